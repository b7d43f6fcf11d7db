"""Which templates exist."""

from systolith.generators.template import Template
from systolith.generators.templates import (
    activation,
    bitplane,
    bitserial,
    dot,
    gating,
    lut_gemv,
    norm,
    softmax,
    sparse_chain,
    systolic,
    ternary,
    topn,
)
from systolith.hdl.errors import Error

TEMPLATES: tuple[Template, ...] = (
    systolic.TEMPLATE,
    ternary.TEMPLATE,
    sparse_chain.TEMPLATE,
    topn.TEMPLATE,
    bitplane.TEMPLATE,
    bitserial.TEMPLATE,
    lut_gemv.TEMPLATE,
    softmax.TEMPLATE,
    norm.TEMPLATE,
    activation.TEMPLATE,
    gating.TEMPLATE,
    dot.TEMPLATE,
)


def get(name: str) -> Template:
    """Return the template called ``name``.

    Raises
    ------
    Error
        If there is none.
    """
    for template in TEMPLATES:
        if template.name == name:
            return template
    names = ", ".join(template.name for template in TEMPLATES)
    raise Error(f"unknown template {name!r}; templates are {names}")
