"""Multipliers of an iCE40 UP5K out of products in the source, as steps of a Yosys script.

``synth_ice40 -dsp`` does the same, but crashes where a product has two registers behind it and its
second operand none in front: of the two it makes the block's inner pipeline, whose reset it
compares with that of the missing one. These steps keep it from the inner pipeline, so the first
register behind a product becomes the block's output register, and the second stays in the fabric.
They belong in front of ``synth_ice40`` without ``-dsp``.
"""

#: Parameter that tells Yosys that the inner pipeline is taken, while it packs.
_TAKEN = "TOP_8x8_MULT_REG"

#: Type of blocks that the packing leaves alone, meanwhile.
_HIDDEN = "$__SB_MAC16"

_PRODUCTS = (
    "techmap -map +/mul2dsp.v -map +/ice40/dsp_map.v -D DSP_A_MAXWIDTH=16 -D DSP_B_MAXWIDTH=16 "
    "-D DSP_A_MINWIDTH=2 -D DSP_B_MINWIDTH=2 -D DSP_Y_MINWIDTH=11 -D DSP_NAME=$__MUL16X16")


def steps(*, flat: bool) -> tuple[str, ...]:
    """Commands that turn products into ``SB_MAC16`` with their registers and adders.

    Parameters
    ----------
    flat : bool
        Across modules, which are dissolved; registers of another module are packed then.
    """
    return (
        "proc", *(("flatten",) if flat else ()), "opt", "wreduce", "peepopt", "opt_clean",
        # The registers of memories are not for the multipliers.
        "memory_dff -no-rw-check",
        "wreduce t:$mul",
        "select -set instantiated t:SB_MAC16",
        _PRODUCTS,
        "setattr -unset mul2dsp a:mul2dsp",
        "opt_expr -fine",
        "wreduce",
        "select -set inferred t:SB_MAC16 @instantiated %d",
        # Blocks of the source stay as they are: Yosys looks at parameters that they need not have.
        f"chtype -set {_HIDDEN} @instantiated",
        f"setparam -set {_TAKEN} 1 @inferred",
        "ice40_dsp",
        f"setparam -set {_TAKEN} 0 @inferred",
        f"chtype -set SB_MAC16 t:{_HIDDEN}",
        "chtype -set $mul t:$__soft_mul",
    )
