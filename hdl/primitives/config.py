"""The technologies: what their multiplier blocks take, without any hardware."""

from typing import Any, Literal, Protocol

from systolith.hdl.config import param

#: Whose blocks a core can be made of; ``generic`` leaves the choice to synthesis.
Technology = Literal["generic", "ecp5", "ice40", "gowin", "xilinx7"]


class Number(Protocol):
    """A factor: an Amaranth shape, or an integer format."""

    signed: bool


def technology() -> Any:
    """The parameter ``technology``, for the config of a template."""
    return param("generic", "Whose multiplier and memory blocks to instantiate; generic leaves "
                            "them to synthesis.")


def width(number: Number) -> int:
    """Bits of a factor."""
    return number.width if hasattr(number, "width") else number.bits


def signed_width(number: Number) -> int:
    """Bits that a factor takes on a port that is always signed."""
    return width(number) + (not number.signed)


def fits_multiplier(technology: str, a: Number, b: Number) -> bool:
    """Whether a block of ``technology`` multiplies ``a`` and ``b``."""
    match technology:
        case "ecp5" | "gowin":
            return max(width(a), width(b)) <= 18
        case "ice40":
            return max(width(a), width(b)) <= 16
        case "xilinx7":
            small, large = sorted((signed_width(a), signed_width(b)))
            return small <= 18 and large <= 25
    return False


#: Bits of the unsigned low piece of a factor that is too wide for a block.
PIECE_BITS = {"ecp5": 18}


def fits_pieces(technology: str, a: Number, b: Number) -> bool:
    """Whether blocks of ``technology`` multiply ``a`` and ``b`` in at most two pieces each."""
    return technology in PIECE_BITS and max(width(a), width(b)) <= 2 * PIECE_BITS[technology]


def fits_pair(technology: str, a: Number, b: Number) -> bool:
    """Whether a block of ``technology`` multiplies ``a`` with two factors like ``b`` at a time."""
    match technology:
        case "ecp5":
            return width(a) <= 18 and packed_width(a, b) <= 18
        case "ice40":
            return max(width(a), width(b)) <= 8
        case "xilinx7":
            return signed_width(a) <= 18 and packed_width(a, b) + (not b.signed) <= 25
    return False


def packed_width(a: Number, b: Number) -> int:
    """Bits of two factors like ``b`` in one, so far apart that their products with ``a`` are."""
    return width(a) + 2 * width(b) + b.signed
