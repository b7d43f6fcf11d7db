"""Processing elements of the bit-plane core: counted ones, weighted and summed."""

from typing import ClassVar

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.popcount import Compressor, Popcount
from systolith.hdl.arithmetic.steps import shape, signal_of
from systolith.hdl.bitplane.config import BitplaneConfig

#: Members of a PE that all PEs share.
CONTROLS = ("bipolar", "negate", "fresh", "step", "load")


class Stages:
    """The sums of a PE, in the order of the pipeline; each has its bit in the controls.

    ``serial`` weights planes by Horner's rule, most significant first: ``a`` sums the planes of A
    for one plane of W, ``w`` the planes of W for one word, ``k`` the words of a frame. Sums over
    what has one plane only are left out. ``parallel`` weights in its compressor trees.
    """

    def __init__(self, config: BitplaneConfig):
        self.names = ("k",)
        if config.serial:
            self.names = (*("a" if config.max_a_bits > 1 else ""),
                          *("w" if config.max_w_bits > 1 else ""), "k")
        #: Cycles from an operand in its register to its weighted counts.
        self.counted = 1 + config.popcount_stages + (not config.serial)
        #: To the sum that includes it, and to the result register.
        self.summed = self.counted + len(self.names)
        self.result = self.summed + 1


def add_or_subtract(augend, term, negate):
    """``augend`` ± ``term`` with one adder: −x is the complement of x and a carry into its lowest
    place."""
    sign = term[-1] if term.shape().signed else Const(0, 1)
    flipped = Cat(term, sign) ^ negate.replicate(len(term) + 1)
    return (Cat(negate, augend).as_signed() + Cat(negate, flipped).as_signed()) >> 1


class BitplanePE(wiring.Component):
    """One element of C.

    Members
    -------
    a, w : In
        Planes of a word, ``word`` bits each.
    bipolar : In(1)
        Count where a and w differ, not where both are one.
    negate : In(2)
        The most significant plane of A is negative; that of W. With the operands (``parallel``), or
        when the plane's count is added (``serial``).
    fresh, step : In
        One bit per sum of :class:`Stages`: start it anew; add to it.
    load : In(1)
        Take the finished sum as result; otherwise the result of the next row.
    result_in, result_out : In, Out
        The chain of results of a column.

    Timing
    ------
    The controls come from the array, each in the cycle in which it is used: see :class:`Stages`.
    """

    broadcast: ClassVar = CONTROLS
    result_chain: ClassVar = {"result_in": "result_out"}

    def __init__(self, config: BitplaneConfig):
        self.config, self.stages = config, Stages(config)
        sums = len(self.stages.names)
        super().__init__({
            "a": In(config.word * config.a_planes), "w": In(config.word * config.w_planes),
            "bipolar": In(1), "negate": In(2), "fresh": In(sums), "step": In(sums), "load": In(1),
            "result_in": In(shape(config.acc)), "result_out": Out(shape(config.acc)),
        })

    def elaborate(self, platform):
        m = Module()
        total = self._serial(m) if self.config.serial else self._parallel(m)
        result = Signal(shape(self.config.acc), reset_less=True)
        m.d.sync += result.eq(Mux(self.load, total, self.result_in))
        m.d.comb += self.result_out.eq(result)
        return m

    def _ones(self, m: Module, a, w, name: str) -> Signal:
        ones = Signal(self.config.word, name=name, reset_less=True)
        m.d.sync += ones.eq(Mux(self.bipolar, a ^ w, a & w))
        return ones

    def _sum(self, m: Module, name: str, term, negate, words: int, planes: tuple[int, int]):
        """Register that ``term`` is added to: doubled before where planes are summed."""
        index = self.stages.names.index(name)
        number = self.config.sum_of_words(words, *planes)
        total = Signal(shape(number), name=f"sum_{name}", reset_less=True)
        before = total if name == "k" else total << 1
        augend = signal_of(m, Mux(self.fresh[index], 0, before), f"augend_{name}")
        with m.If(self.step[index]):
            m.d.sync += total.eq(augend + term if negate is None
                                 else add_or_subtract(augend, term, negate))
        return total

    def _counted(self, m: Module, name: str, heights: list[int], bits) -> Signal:
        """The sum of bits, ``popcount_stages`` cycles later: registers that a small tree has no
        levels for are behind it."""
        stages = self.config.popcount_stages
        inside = min(stages, Compressor.levels(heights))
        m.submodules[name] = tree = (Popcount(heights[0], inside) if len(heights) == 1 else
                                     Compressor(heights, inside))
        m.d.comb += tree.bits.eq(bits)
        total = tree.total
        for index in range(stages - inside):
            register = Signal.like(total, name=f"{name}_total_{index}", reset_less=True)
            m.d.sync += register.eq(total)
            total = register
        return total

    def _serial(self, m: Module) -> Signal:
        config, names = self.config, self.stages.names
        value = self._counted(m, "popcount", [config.word], self._ones(m, self.a, self.w, "ones"))
        signs = [self.negate[0], self.negate[1]]
        if "a" in names:
            value = self._sum(m, "a", value, signs.pop(0), 1, (config.max_a_bits, 1))
        if "w" in names:
            # The sign of a lone plane of A has not been used yet.
            negate = signs[0] if "a" in names else signs[0] ^ signs[1]
            signs.clear()
            value = self._sum(m, "w", value, negate, 1, (config.max_a_bits, config.max_w_bits))
        negate = signs[0] ^ signs[1] if len(signs) == 2 else signs[0] if signs else None
        return self._sum(m, "k", value, negate, config.max_words,
                         (config.max_a_bits, config.max_w_bits))

    def _parallel(self, m: Module) -> Signal:
        config, word = self.config, self.config.word
        # Pairs of planes by what can make their product negative: the most significant plane of A,
        # that of W. Each group has its own tree.
        groups: dict[tuple[bool, bool], list[list]] = {}
        columns = config.max_a_bits + config.max_w_bits - 1
        for j in range(config.max_a_bits):
            for i in range(config.max_w_bits):
                ones = self._ones(m, self.a[j * word:(j + 1) * word],
                                  self.w[i * word:(i + 1) * word], f"ones_{i}_{j}")
                key = j == config.max_a_bits - 1, i == config.max_w_bits - 1
                groups.setdefault(key, [[] for _ in range(columns)])[i + j].append(ones)
        number = config.sum_of_words(1, config.max_a_bits, config.max_w_bits)
        term = Const(0, shape(number))
        for (top_a, top_w), planes in groups.items():
            bits = [bit for column in planes for ones in column for bit in ones]
            heights = [word * len(column) for column in planes]
            while not heights[-1]:
                heights.pop()
            name = f"compressor{'_a' * top_a}{'_w' * top_w}"
            count = self._counted(m, name, heights, Cat(*bits))
            negate = (self.negate[0] & top_a) ^ (self.negate[1] & top_w)
            term = add_or_subtract(term, count, negate)
        total = Signal(shape(number), reset_less=True)
        m.d.sync += total.eq(term)
        return self._sum(m, "k", total, None, config.max_words,
                         (config.max_a_bits, config.max_w_bits))


