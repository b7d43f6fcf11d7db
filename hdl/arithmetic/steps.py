"""Where a datapath is cut by registers."""

from amaranth import Const, Module, Shape, Signal

from systolith.hdl.formats import IntegerFormat


def shape(number: IntegerFormat) -> Shape:
    """Amaranth's shape of an integer format."""
    return Shape(number.bits, number.signed)


def counter(highest: int) -> Shape:
    """Unsigned shape for 0 to ``highest``, at least one bit."""
    return Shape(max(highest.bit_length(), 1))


class Steps:
    """Registers after some of the steps of a datapath, spread evenly, the last step among them.

    Parameters
    ----------
    m : Module
    steps : int
        How many times :meth:`after` is called.
    stages : int
        How many of these put registers in, 0 to ``steps``.
    prefix : str
        Begins the names of the registers.
    """

    def __init__(self, m: Module, steps: int, stages: int, prefix: str = ""):
        check_stages(stages, steps)
        self._m, self._prefix = m, prefix
        self._registered = spread(steps, stages)
        self._step = 0

    def after(self, *signals: Signal | Const) -> tuple[Signal | Const, ...]:
        """End a step: what the next one sees of ``signals``, all that it uses; constants need no
        registers."""
        self._step += 1
        if self._step not in self._registered:
            return signals
        registers: list[Signal | Const] = []
        for signal in signals:
            if isinstance(signal, Const):
                registers.append(signal)
                continue
            register = Signal(signal.shape(), name=f"{self._prefix}{signal.name}_s{self._step}",
                              reset_less=True)
            self._m.d.sync += register.eq(signal)
            registers.append(register)
        return tuple(registers)


def spread(steps: int, stages: int) -> set[int]:
    """After which of steps 1 to ``steps`` the registers go: evenly, the last step first."""
    return {-(-steps * stage // stages) for stage in range(1, stages + 1)}


def check_stages(stages: int, steps: int) -> None:
    """Raise ``ValueError`` unless ``stages`` registers fit a datapath of so many steps."""
    if not 0 <= stages <= steps:
        raise ValueError(f"stages must be 0 to {steps}, not {stages}")


def exceeds(a, b):
    """Whether ``a`` > ``b``: the sign of their difference, which is a carry chain and nothing
    behind it, where an operator also asks for zero, or for an overflow."""
    return (b - a)[-1]


def signal_of(m: Module, value, name: str) -> Signal:
    """A signal called ``name`` that follows ``value``, as wide and signed as it."""
    result = Signal(value.shape(), name=name)
    m.d.comb += result.eq(value)
    return result
