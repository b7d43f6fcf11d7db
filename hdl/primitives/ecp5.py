"""Lattice ECP5: the multiplier MULT18X18D and the block memory PDPW16KD with their registers.

Ports and parameters are those of the ECP5 and ECP5-5G sysDSP and memory usage guides
(FPGA-TN-02205, FPGA-TN-02204).
"""

from amaranth import Cat, ClockSignal, Const, Instance, Module, Signal, Value

from systolith.hdl.primitives.registers import Registers

MULTIPLIER_BITS = 18
MEMORY_BITS, MEMORY_DEPTH, MEMORY_ADDRESS = 36, 512, 9


def bits(name: str, value, direction: str = "i") -> dict[str, Value]:
    """Ports ``<name>0``, ``<name>1``, … of an instance, one for every bit of ``value``."""
    return {f"{direction}_{name}{index}": value[index] for index in range(len(value))}


def multiply(m: Module, multiplier, a: Value, b: Value) -> tuple[Value, int]:
    """Instantiate a MULT18X18D for a :class:`~systolith.hdl.arithmetic.multiplier.Multiplier`.

    Returns
    -------
    product : Value
    stages : int
        How many of the stages of ``multiplier`` are in the block.
    """
    product, stages = _mult18x18d(m, multiplier, a, b)
    return product[:len(multiplier.p)], stages


def multiply_pair(m: Module, multiplier, a: Value, b: tuple[Value, Value]
                  ) -> tuple[tuple[Value, Value], int]:
    """Instantiate a MULT18X18D for a
    :class:`~systolith.hdl.arithmetic.multiplier.PairMultiplier`, its two factors packed in one.

    Returns
    -------
    products : pair of Value
        The second one is less by 1 where the first is negative.
    stages : int
        How many of the stages of ``multiplier`` are in the block.
    """
    distance = multiplier.shape.width
    low, high = b
    packed = Cat(low, Const(0, distance - len(low)), high)
    if multiplier.b_shape.signed:                        # a negative one borrows from the high one
        low_wide = Signal(distance)
        m.d.comb += low_wide.eq(low)
        packed = Cat(low_wide, high - low[-1]).as_signed()
    product, stages = _mult18x18d(m, multiplier, a, packed)
    return (product[:distance], product[distance:2 * distance]), stages


def _mult18x18d(m: Module, multiplier, a: Value, b: Value) -> tuple[Value, int]:
    registers = Registers.of(multiplier, one_outside=True)
    holds = multiplier.operand_registers and not multiplier.outside
    a_wide = Signal(MULTIPLIER_BITS)
    b_wide = Signal(MULTIPLIER_BITS)
    m.d.comb += [a_wide.eq(a), b_wide.eq(b)]
    product = Signal(2 * MULTIPLIER_BITS)

    def clock(used: bool) -> str:
        return "CLK0" if used else "NONE"

    m.submodules.mult18x18d = Instance(
        "MULT18X18D",
        p_REG_INPUTA_CLK=clock(registers.operands), p_REG_INPUTA_CE="CE0",
        p_REG_INPUTB_CLK=clock(registers.operands), p_REG_INPUTB_CE="CE1",
        p_REG_PIPELINE_CLK=clock(registers.pipeline), p_REG_PIPELINE_CE="CE0",
        p_REG_OUTPUT_CLK=clock(registers.product), p_REG_OUTPUT_CE="CE0",
        p_GSR="DISABLED",
        i_CLK0=ClockSignal() if registers.operands or registers.stages else Const(0, 1),
        i_CE0=Const(1, 1), i_RST0=Const(0, 1),
        i_CE1=multiplier.b_enable if holds else Const(1, 1),
        i_SIGNEDA=Const(multiplier.a_shape.signed, 1),
        i_SIGNEDB=Const(multiplier.b_shape.signed, 1),
        i_SOURCEA=Const(0, 1), i_SOURCEB=Const(0, 1),
        **bits("A", a_wide), **bits("B", b_wide), **bits("C", Const(0, MULTIPLIER_BITS)),
        **bits("P", product, "o"))
    return product, registers.stages


def memory(m: Module, name: str, read_address, write_address, write_data, write_enable,
           enables: tuple[Value, Value]) -> Value:
    """Instantiate a PDPW16KD, 512 words of 36 bits.

    Parameters
    ----------
    enables : pair of Value
        Of the memory's latch and of the block's output register, when a word is read.

    Returns
    -------
    Value
        The word at ``read_address``, as wide as ``write_data``, two cycles later: the memory's
        latch, then the block's output register.
    """
    width = len(write_data)
    written = Signal(MEMORY_BITS, name=f"{name}_written")
    word = Signal(MEMORY_BITS, name=f"{name}_word")
    read_word = Signal(MEMORY_ADDRESS, name=f"{name}_read_word")
    written_word = Signal(MEMORY_ADDRESS, name=f"{name}_written_word")
    m.d.comb += [written.eq(write_data), read_word.eq(read_address),
                 written_word.eq(write_address)]
    off = Const(0, 1)
    m.submodules[name] = Instance(
        "PDPW16KD",
        p_DATA_WIDTH_W=MEMORY_BITS, p_DATA_WIDTH_R=MEMORY_BITS, p_REGMODE="OUTREG",
        p_GSR="DISABLED",
        i_CLKW=ClockSignal(), i_CEW=write_enable, i_CLKR=ClockSignal(),
        i_CER=enables[0], i_OCER=enables[1],
        i_RST=off,
        **bits("CSW", Const(0, 3)), **bits("CSR", Const(0, 3)), **bits("BE", Const(0b1111, 4)),
        **bits("ADW", written_word), **bits("ADR", Cat(Const(0, 5), read_word)),
        **bits("DI", written), **bits("DO", word, "o"))
    return word[:width]
