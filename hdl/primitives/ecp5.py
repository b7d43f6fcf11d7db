"""Lattice ECP5: the multiplier MULT18X18D and the block memory PDPW16KD with their registers.

Ports and parameters are those of the ECP5 and ECP5-5G sysDSP and memory usage guides
(FPGA-TN-02205, FPGA-TN-02204).
"""

from amaranth import Cat, ClockSignal, Const, Instance, Module, Shape, Signal, Value

MULTIPLIER_BITS = 18
MEMORY_BITS, MEMORY_DEPTH, MEMORY_ADDRESS = 36, 512, 9


def bits(name: str, value, direction: str = "i") -> dict[str, Value]:
    """Ports ``<name>0``, ``<name>1``, … of an instance, one for every bit of ``value``."""
    return {f"{direction}_{name}{index}": value[index] for index in range(len(value))}


def fits_multiplier(a: Shape, b: Shape) -> bool:
    """Whether a MULT18X18D multiplies factors of these shapes."""
    return max(a.width, b.width) <= MULTIPLIER_BITS


def multiply(m: Module, multiplier) -> tuple[Value, int]:
    """Instantiate a MULT18X18D for a :class:`~systolith.hdl.arithmetic.multiplier.Multiplier`.

    Of its registers, those of the operands are used first, then that of the output, then that of
    the pipeline.

    Returns
    -------
    product : Value
    stages : int
        How many of the stages of ``multiplier`` are in the block.
    """
    operand_registers = multiplier.operand_registers or multiplier.stages >= 2
    done = min(multiplier.stages, 2 if multiplier.operand_registers else 3)
    behind = done - (operand_registers and not multiplier.operand_registers)
    product = Signal(2 * MULTIPLIER_BITS)
    a_wide = Signal(MULTIPLIER_BITS)
    b_wide = Signal(MULTIPLIER_BITS)
    m.d.comb += [a_wide.eq(multiplier.a), b_wide.eq(multiplier.b)]

    def clock(used: bool) -> str:
        return "CLK0" if used else "NONE"

    m.submodules.mult18x18d = Instance(
        "MULT18X18D",
        p_REG_INPUTA_CLK=clock(operand_registers), p_REG_INPUTA_CE="CE0",
        p_REG_INPUTB_CLK=clock(operand_registers), p_REG_INPUTB_CE="CE1",
        p_REG_PIPELINE_CLK=clock(behind == 2), p_REG_PIPELINE_CE="CE0",
        p_REG_OUTPUT_CLK=clock(behind >= 1), p_REG_OUTPUT_CE="CE0",
        p_GSR="DISABLED",
        i_CLK0=ClockSignal() if operand_registers or done else Const(0, 1),
        i_CE0=Const(1, 1), i_RST0=Const(0, 1),
        i_CE1=multiplier.b_enable if multiplier.operand_registers else Const(1, 1),
        i_SIGNEDA=Const(multiplier.a_shape.signed, 1),
        i_SIGNEDB=Const(multiplier.b_shape.signed, 1),
        i_SOURCEA=Const(0, 1), i_SOURCEB=Const(0, 1),
        **bits("A", a_wide), **bits("B", b_wide), **bits("C", Const(0, MULTIPLIER_BITS)),
        **bits("P", product, "o"))
    return product[:len(multiplier.p)], done


def memory(m: Module, name: str, read_address, write_address, write_data, write_enable) -> Value:
    """Instantiate a PDPW16KD, 512 words of 36 bits.

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
    on, off = Const(1, 1), Const(0, 1)
    m.submodules[name] = Instance(
        "PDPW16KD",
        p_DATA_WIDTH_W=MEMORY_BITS, p_DATA_WIDTH_R=MEMORY_BITS, p_REGMODE="OUTREG",
        p_GSR="DISABLED",
        i_CLKW=ClockSignal(), i_CEW=write_enable, i_CLKR=ClockSignal(), i_CER=on, i_OCER=on,
        i_RST=off,
        **bits("CSW", Const(0, 3)), **bits("CSR", Const(0, 3)), **bits("BE", Const(0b1111, 4)),
        **bits("ADW", written_word), **bits("ADR", Cat(Const(0, 5), read_word)),
        **bits("DI", written), **bits("DO", word, "o"))
    return word[:width]
