"""A count whose events come late in their cycle."""

from amaranth import Const, Module, Mux, Shape, Signal


class LateCount:
    """Counts events that come late: each ends in a register, and is counted a cycle later.

    Questions about the count are answered in time all the same: the answers without and with what
    is not counted yet are registers, and the events of the last cycle choose between them. So
    neither an event nor an answer has arithmetic behind or in front of it in its cycle.

    Parameters
    ----------
    m : Module
        Where the counter is made.
    name : str
        Of the count.
    up, down : value
        Events: one more, ``step`` less; neither comes where the count would leave its range.
    limit : int
        The count is never above it.
    step, init : int
    """

    def __init__(self, m: Module, name: str, up, down, limit: int, *, step: int = 1,
                 init: int = 0):
        self.m, self.name, self.limit, self.step = m, name, limit, step
        self.counted = counted = Signal(range(limit + 1), name=name, init=init)
        self.risen = Signal(name=f"{name}_risen")
        self.fallen = Signal(name=f"{name}_fallen")
        self._answers: dict[int, Signal] = {}
        # One sum, as nothing then shares its carries with the comparisons.
        change = Signal(Shape(step.bit_length() + 1, True), name=f"{name}_change")
        m.d.comb += change.eq(self._choice(Const(1 - step), Const(-step), Const(1), Const(0)))
        m.d.sync += [
            self.risen.eq(up),
            self.fallen.eq(down),
            counted.eq(counted + change),
        ]

    def reaches(self, number: int):
        """Whether the count is at least that, with the events of all cycles before this one."""
        return self._after(number, self._answer)

    def _answer(self, number: int):
        """The answer without the last events: a register."""
        if number not in self._answers:
            self._answers[number] = answer = Signal(
                name=f"{self.name}_at_least_{number}", init=self.counted.init >= number)
            self.m.d.sync += answer.eq(self._after(number, lambda least: self.counted >= least))
        return self._answers[number]

    def _after(self, number: int, before):
        """Whether the number is reached with the last events, where ``before`` tells about numbers
        without them."""
        def reached(rise: int, fall: int):
            # There was room for the events.
            least = number - rise + fall
            low, high = fall, self.limit - rise
            return before(least) if low < least <= high else Const(least <= low, 1)

        return self._choice(reached(1, self.step), reached(0, self.step), reached(1, 0),
                            reached(0, 0))

    def _choice(self, both, less, more, same):
        """One of four, by the last events."""
        return _mux(self.fallen, _mux(self.risen, both, less), _mux(self.risen, more, same))


def _mux(choice, one, zero):
    """A multiplexer, unless both are the same constant."""
    if isinstance(one, Const) and isinstance(zero, Const) and one.value == zero.value:
        return one
    return Mux(choice, one, zero)
