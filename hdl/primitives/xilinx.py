"""Xilinx 7 series: the multiplier and adder DSP48E1 with its registers and cascades.

Ports, parameters and modes are those of the user guide UG479.
"""

from dataclasses import dataclass

from amaranth import Cat, ClockSignal, Const, Instance, Module, Signal, Value

from systolith.hdl.primitives.config import signed_width
from systolith.hdl.primitives.registers import Registers

A_BITS, B_BITS, C_BITS, D_BITS = 30, 18, 48, 25
FACTOR_BITS = 25                       # of A, or of A + D
P_BITS = 48

#: What the adder adds, for ``opmode``: the product, and one of these.
PRODUCT = 0b0000101
ZERO, FROM_CASCADE, FROM_P, FROM_C = (kind << 4 for kind in (0b000, 0b001, 0b010, 0b011))

# For INMODE: add D to A.
_ADD_D = 0b00100


@dataclass(frozen=True)
class Outputs:
    """Outputs of a DSP48E1.

    Attributes
    ----------
    p : Value
        The sum, 48 bits.
    pcout, acout, bcout : Value
        For the ``pcin``, ``acin`` and ``bcin`` of the block above it and for nothing else.
    """

    p: Value
    pcout: Value
    acout: Value
    bcout: Value


def dsp48e1(m: Module, name: str, *, a=None, b=None, c=None, d=None, acin=None, bcin=None,
            pcin=None, opmode=PRODUCT, a_registers: int = 1, b_registers: int = 1,
            d_register: bool = True, ad_register: bool = False, c_register: bool = True,
            m_register: bool = True, p_register: bool = True, opmode_register: bool = False,
            a_enable=None, b_enable=None, d_enable=None) -> Outputs:
    """Instantiate a DSP48E1: P = (A + D) · B + Z, all of them signed.

    Parameters
    ----------
    name : str
        Of the instance.
    a, b, c, d : Value
        Operands, sign-extended to their ports: of 25 (A), 18, 48 and 25 bits. Without ``d`` there
        is no A + D.
    acin, bcin : Value
        ``acout``, ``bcout`` of the block below, in place of ``a``, ``b``.
    pcin : Value
        ``pcout`` of the block below.
    opmode : int or Value
        :data:`PRODUCT`, or that and one of :data:`FROM_CASCADE`, :data:`FROM_P`, :data:`FROM_C`;
        may change from cycle to cycle.
    a_registers, b_registers : int
        0 to 2 registers of A and B. The cascade leaves behind the first one.
    d_register, ad_register, c_register, m_register, p_register, opmode_register : bool
        The registers of D, of A + D, of C, of the product, of P and of ``opmode``. Those of D and
        of A + D are only for a block with ``d``.
    a_enable, b_enable, d_enable : Value
        Take A, B, D into the last of their registers, which holds otherwise.

    Returns
    -------
    Outputs
        Combinational where no register is asked for.
    """
    on, off = Const(1, 1), Const(0, 1)
    p, pcout = Signal(P_BITS, name=f"{name}_p"), Signal(P_BITS, name=f"{name}_pcout")
    acout, bcout = Signal(A_BITS, name=f"{name}_acout"), Signal(B_BITS, name=f"{name}_bcout")

    def port(value, bits: int, port_name: str) -> Value:
        if value is None:
            return Const(0, bits)
        wide = Signal(bits, name=f"{name}_{port_name}")
        m.d.comb += wide.eq(value)
        return wide

    clocked = any((a_registers, b_registers, c_register and c is not None,
                   d is not None and (d_register or ad_register), m_register, p_register,
                   opmode_register))
    m.submodules[name] = Instance(
        "DSP48E1",
        p_A_INPUT="DIRECT" if acin is None else "CASCADE",
        p_B_INPUT="DIRECT" if bcin is None else "CASCADE",
        p_USE_DPORT="FALSE" if d is None else "TRUE",
        p_AREG=a_registers, p_ACASCREG=min(a_registers, 1),
        p_BREG=b_registers, p_BCASCREG=min(b_registers, 1),
        p_CREG=int(c_register), p_DREG=int(d_register and d is not None),
        p_ADREG=int(ad_register and d is not None),
        p_MREG=int(m_register), p_PREG=int(p_register), p_OPMODEREG=int(opmode_register),
        p_ALUMODEREG=0, p_CARRYINREG=0, p_CARRYINSELREG=0, p_INMODEREG=0,
        i_CLK=ClockSignal() if clocked else off,
        i_A=port(a, A_BITS, "a"), i_B=port(b, B_BITS, "b"), i_C=port(c, C_BITS, "c"),
        i_D=port(d, D_BITS, "d"), i_ACIN=port(acin, A_BITS, "acin"),
        i_BCIN=port(bcin, B_BITS, "bcin"), i_PCIN=port(pcin, P_BITS, "pcin"),
        i_OPMODE=Const(opmode, 7) if isinstance(opmode, int) else port(opmode, 7, "opmode"),
        i_INMODE=Const(0 if d is None else _ADD_D, 5), i_ALUMODE=Const(0, 4),
        i_CARRYINSEL=Const(0, 3), i_CARRYIN=off, i_CARRYCASCIN=off, i_MULTSIGNIN=off,
        i_CEA1=on, i_CEA2=on if a_enable is None else a_enable,
        i_CEB1=on, i_CEB2=on if b_enable is None else b_enable,
        i_CED=on if d_enable is None else d_enable,
        **{f"i_{enable}": on for enable in (
            "CEC", "CEAD", "CEM", "CEP", "CECTRL", "CEINMODE", "CEALUMODE", "CECARRYIN")},
        **{f"i_{reset}": off for reset in (
            "RSTA", "RSTB", "RSTC", "RSTD", "RSTM", "RSTP", "RSTCTRL", "RSTINMODE", "RSTALUMODE",
            "RSTALLCARRYIN")},
        o_P=p, o_PCOUT=pcout, o_ACOUT=acout, o_BCOUT=bcout)
    return Outputs(p, pcout, acout, bcout)


def multiply(m: Module, multiplier, a: Value, b: Value) -> tuple[Value, int]:
    """Instantiate a DSP48E1 for a :class:`~systolith.hdl.arithmetic.multiplier.Multiplier`.

    Returns
    -------
    product : Value
    stages : int
        How many of the stages of ``multiplier`` are in the block.
    """
    registers = Registers.of(multiplier)
    factors = [(a, None), (b, multiplier.b_enable if multiplier.operand_registers else None)]
    if signed_width(multiplier.b_shape) > B_BITS:        # the wider one is for port A
        factors.reverse()
    (wide, wide_enable), (narrow, narrow_enable) = factors
    block = dsp48e1(
        m, "dsp48e1", a=wide, b=narrow, a_enable=wide_enable, b_enable=narrow_enable,
        a_registers=int(registers.operands), b_registers=int(registers.operands), c_register=False,
        m_register=registers.pipeline, p_register=registers.product)
    return block.p[:len(multiplier.p)], registers.stages


def multiply_pair(m: Module, multiplier, a: Value, b: tuple[Value, Value]
                  ) -> tuple[tuple[Value, Value], int]:
    """Instantiate a DSP48E1 for a
    :class:`~systolith.hdl.arithmetic.multiplier.PairMultiplier`, its pre-adder packing the factors.

    Returns
    -------
    products : pair of Value
        The second one is less by 1 where the first is negative.
    stages : int
        How many of the stages of ``multiplier`` are in the block.
    """
    registers = Registers.of(multiplier)
    held = multiplier.b_enable if multiplier.operand_registers else None
    distance = multiplier.shape.width
    low, high = b
    high = Cat(Const(0, distance), high)
    block = dsp48e1(
        m, "dsp48e1", a=low, b=a,
        d=high.as_signed() if multiplier.b_shape.signed else high, a_enable=held, d_enable=held,
        a_registers=int(registers.operands), b_registers=int(registers.operands),
        d_register=registers.operands, c_register=False,
        m_register=registers.pipeline, p_register=registers.product)
    return (block.p[:distance], block.p[distance:2 * distance]), registers.stages
