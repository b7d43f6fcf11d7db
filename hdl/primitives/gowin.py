"""Gowin GW1N and GW2A: the multipliers MULT9X9 and MULT18X18 with their registers.

Ports and parameters are those of the DSP user guide UG287.
"""

from amaranth import ClockSignal, Const, Instance, Module, Signal, Value

from systolith.hdl.primitives.registers import Registers


def multiply(m: Module, multiplier, a: Value, b: Value) -> tuple[Value, int]:
    """Instantiate a MULT9X9 or MULT18X18 for a
    :class:`~systolith.hdl.arithmetic.multiplier.Multiplier`.

    All registers of a block share one enable, so a factor that can be held, ``b``, comes from a
    register outside.

    Returns
    -------
    product : Value
    stages : int
        How many of the stages of ``multiplier`` are in the block.
    """
    registers = Registers.of(multiplier)
    bits = 9 if max(multiplier.a_shape.width, multiplier.b_shape.width) <= 9 else 18
    held = multiplier.operand_registers
    product = Signal(2 * bits)
    a_wide = Signal(bits)
    b_wide = Signal(bits)
    m.d.comb += [a_wide.eq(a), b_wide.eq(b)]
    clocked = registers.operands or registers.stages > 0
    off = Const(0, 1)
    m.submodules.mult = Instance(
        f"MULT{bits}X{bits}",
        p_AREG=Const(registers.operands, 1), p_BREG=Const(registers.operands and not held, 1),
        p_PIPE_REG=Const(registers.pipeline, 1), p_OUT_REG=Const(registers.product, 1),
        p_ASIGN_REG=Const(0, 1), p_BSIGN_REG=Const(0, 1), p_SOA_REG=Const(0, 1),
        p_MULT_RESET_MODE="SYNC",
        i_CLK=ClockSignal() if clocked else off, i_CE=Const(1, 1), i_RESET=off,
        i_A=a_wide, i_B=b_wide, i_SIA=Const(0, bits), i_SIB=Const(0, bits),
        i_ASIGN=Const(multiplier.a_shape.signed, 1), i_BSIGN=Const(multiplier.b_shape.signed, 1),
        i_ASEL=off, i_BSEL=off,
        o_DOUT=product)
    return product[:len(multiplier.p)], registers.stages
