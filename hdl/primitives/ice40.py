"""Lattice iCE40 UltraPlus: the multiplier SB_MAC16 with its registers.

Ports and parameters are those of the DSP function usage guide (FPGA-TN-02007) and of the iCE
technology library.
"""

from amaranth import Cat, ClockSignal, Const, Instance, Module, Signal, Value

from systolith.hdl.primitives.registers import Registers

FACTOR_BITS, PAIR_FACTOR_BITS = 16, 8
PRODUCT_BITS, PAIR_PRODUCT_BITS = 32, 16

# What a half of the output shows.
MULTIPLIER_OF_8 = 2
MULTIPLIER_OF_16 = 3


def multiply(m: Module, multiplier, a: Value, b: Value) -> tuple[Value, int]:
    """Instantiate an SB_MAC16 for a :class:`~systolith.hdl.arithmetic.multiplier.Multiplier`.

    Returns
    -------
    product : Value
    stages : int
        How many of the stages of ``multiplier`` are in the block.
    """
    a_wide = Signal(FACTOR_BITS)
    b_wide = Signal(FACTOR_BITS)
    m.d.comb += [a_wide.eq(a), b_wide.eq(b)]
    registers = Registers.of(multiplier, one_outside=True)
    product = _instance(
        m, multiplier, registers, a_wide, b_wide, MULTIPLIER_OF_16, MODE_8x8=0,
        PIPELINE_16x16_MULT_REG1=registers.pipeline, PIPELINE_16x16_MULT_REG2=registers.product,
        TOP_8x8_MULT_REG=registers.pipeline, BOT_8x8_MULT_REG=registers.pipeline)
    return product[:len(multiplier.p)], registers.stages


def multiply_pair(m: Module, multiplier, a: Value, b: tuple[Value, Value]
                  ) -> tuple[tuple[Value, Value], int]:
    """Instantiate an SB_MAC16 as two multipliers of 8 by 8 bits, for a
    :class:`~systolith.hdl.arithmetic.multiplier.PairMultiplier`.

    Returns
    -------
    products : pair of Value
    stages : int
        How many of the stages of ``multiplier`` are in the block.
    """
    a_wide = Signal(PAIR_FACTOR_BITS)
    b_wide = [Signal(PAIR_FACTOR_BITS, name=f"b_wide_{index}") for index in range(2)]
    m.d.comb += [a_wide.eq(a), *(wide.eq(factor)
                                 for factor, wide in zip(b, b_wide, strict=True))]
    registers = Registers.of(multiplier, one_outside=True)
    product = _instance(
        m, multiplier, registers, Cat(a_wide, a_wide), Cat(*b_wide), MULTIPLIER_OF_8, MODE_8x8=1,
        PIPELINE_16x16_MULT_REG1=0, PIPELINE_16x16_MULT_REG2=0,
        TOP_8x8_MULT_REG=registers.product, BOT_8x8_MULT_REG=registers.product)
    width = multiplier.shape.width
    return ((product[:width], product[PAIR_PRODUCT_BITS:PAIR_PRODUCT_BITS + width]),
            registers.stages - registers.pipeline)


def _instance(m: Module, multiplier, registers: Registers, a, b, output: int, **parameters
              ) -> Value:
    product = Signal(PRODUCT_BITS)
    clocked = registers.operands or registers.stages > 0
    off = Const(0, 1)
    held = multiplier.operand_registers
    m.submodules.sb_mac16 = Instance(
        "SB_MAC16",
        p_A_REG=Const(registers.operands, 1), p_B_REG=Const(registers.operands, 1),
        p_A_SIGNED=Const(multiplier.a_shape.signed, 1),
        p_B_SIGNED=Const(multiplier.b_shape.signed, 1),
        p_TOPOUTPUT_SELECT=Const(output, 2), p_BOTOUTPUT_SELECT=Const(output, 2),
        **{f"p_{name}": Const(value, 1) for name, value in parameters.items()},
        i_CLK=ClockSignal() if clocked else off, i_CE=Const(1, 1),
        i_A=a, i_B=b, i_C=Const(0, 16), i_D=Const(0, 16),
        i_AHOLD=off, i_BHOLD=~multiplier.b_enable if held else off, i_CHOLD=off, i_DHOLD=off,
        **{f"i_{name}": off for name in (
            "IRSTTOP", "IRSTBOT", "ORSTTOP", "ORSTBOT", "OLOADTOP", "OLOADBOT", "ADDSUBTOP",
            "ADDSUBBOT", "OHOLDTOP", "OHOLDBOT", "CI", "ACCUMCI", "SIGNEXTIN")},
        o_O=product)
    return product
