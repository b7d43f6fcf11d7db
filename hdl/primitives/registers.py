"""How the registers that a multiplier asks for are spread over a block and the fabric behind it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Registers:
    """Registers of a multiplier block in use.

    Attributes
    ----------
    operands : bool
        Those of the factors.
    product : bool
        That of the product.
    pipeline : bool
        That between partial products and product.
    stages : int
        How many of the stages of the multiplier these are: operand registers that were asked for
        beside the stages do not count.
    """

    operands: bool
    product: bool
    pipeline: bool
    stages: int

    @classmethod
    def of(cls, multiplier, *, one_outside: bool = False) -> "Registers":
        """Share out the stages of a multiplier: to the factors first, then to the product, then to
        the pipeline.

        With ``one_outside`` the second one behind the factors stays outside the block. There it may
        lie next to what adds the product, and so halves the way from the block, which is often the
        longest of a design.
        """
        asked = multiplier.operand_registers and multiplier.outside != "ab"
        operands = asked or multiplier.stages >= 2
        own = operands and not asked
        behind = multiplier.stages - own
        product, pipeline = behind >= 1, behind >= 2 + one_outside
        return cls(operands, product, pipeline, own + product + pipeline)
