"""The documentation page of the number formats, written from their descriptors."""

from collections.abc import Iterator
from typing import Any

from systolith.hdl.formats import FORMS, parse_format
from systolith.hdl.systolic.pairs import RULES, table
from systolith.sim.formats import describe

#: One section each, in this order.
SECTIONS = (
    "int8", "uint4", "bipolar3", "ternary", "binary", "fp8e4m3", "fp8e5m2", "fp6e3m2", "fp6e2m3",
    "fp4e2m1", "fp8e3m4", "bf16", "fp16", "fp32", "mxfp8e4m3", "mxfp8e5m2", "mxfp6e3m2",
    "mxfp6e2m3", "mxfp4e2m1", "mxint8", "bfp4", "bfp8", "ovp4", "ovp8", "bitmod3", "bitmod4",
)
TABLE_COLUMNS = 8
#: Longer value tables are left to the command line.
TABLE_BITS = 4

INTRODUCTION = """\
# Number formats

A format has a name; configs, manifests and the command line use the same one.
`systolith formats NAME` shows any of them with its value table.

{forms}

What a code means and how a number is rounded is written twice, in Amaranth and in numpy, and the
two are compared for every code of every format of up to 16 bits. The numpy side is checked against
`ml_dtypes` for every float format that it has, and so are sums and products of fp32, fp16 and bf16.

**Floats.** `fp8e4m3` is the OCP format (finite, one NaN), `fp8e5m2` is like IEEE 754, formats of 4
and 6 bits are finite in every code; every other split is like IEEE 754. The bias is 2^(E − 1) − 1.
FNUZ formats are refused.

**Rounding** is once, from the exact number, and to nearest with halves to even unless a section
says otherwise. Block formats can also round halves away from zero (`half_away`) or `toward_zero`.
`BlockQuantizer` in `hdl/arithmetic/` quantizes blocks in hardware, from floats of up to 32 bits
([functions.md](functions.md#blocks)).

**Saturation.** Arrays that a user passes are quantized with saturation. NaN in an array is an error
where the format has no NaN. Hardware that rounds to such a format gives code 0 and raises a flag.

**NaN, Inf and illegal codes in an exact sum** count as zero and raise a flag; in an fp32
accumulator NaN and Inf take part as IEEE 754 says. A NaN that an operation gives is always the one
NaN that its format's section names. In `systolic` an element of a block that is NaN or Inf, or a
scale that is NaN, makes the sums of its block NaN and raises a flag; where a block's products are
too wide for an exact sum, as with `bf16`, an Inf stays Inf.

In the tables, *step* divides every value of an element; *fixed point* is the narrowest integer that
holds every value exactly in units of the step, which sets the width of exact products and sums.
"""

PAIRS = """\
`systolic` takes these pairs as A and W, in any order. Others are refused, and the message names the
nearest pair of the table. Formats that are not in its rows go by the rules.
"""


def page() -> str:
    """The page, as Markdown."""
    forms = "\n".join(f"- `{form}`" if " " not in form else _form(form) for form in FORMS)
    pairs = "\n".join(["## Pairs", "", PAIRS, *(f"- {rule}" for rule in RULES), "",
                       "| format | with |", "|---|---|",
                       *(f"| `{name}` | {', '.join(f'`{other}`' for other in others)} |"
                         for name, others in table().items()), ""])
    sections = (_section(describe(parse_format(name))) for name in SECTIONS)
    return "\n".join([INTRODUCTION.format(forms=forms), pairs, *sections])


def _form(form: str) -> str:
    names, _, limits = form.partition(" (")
    text = " and ".join(f"`{name}`" for name in names.split(" and "))
    return f"- {text} ({limits}"


def _section(data: dict[str, Any]) -> str:
    return "\n".join([f"## `{data['name']}`", "", data["encoding"], "", *_facts(data), "",
                      *_table(data)])


def _facts(data: dict[str, Any]) -> Iterator[str]:
    fixed = data["fixed"]
    yield "| | |"
    yield "|---|---|"
    yield f"| bits | {data['bits']}{', ' + _shared(data) if data['shared'] else ''} |"
    yield f"| range | {_number(data['range'][0])} to {_number(data['range'][1])} |"
    yield f"| step | {_power(fixed['lsb_exponent'])} |"
    yield f"| fixed point | {fixed['bits']} bits |"
    for name, value in data["parameters"].items():
        yield f"| {name.replace('_', ' ')} | {_number(value)} |"
    for special in data["specials"]:
        yield f"| {special['meaning']} | `{special['code']}` |"
    yield f"| rounding | {data['rounding']} |"
    yield f"| saturation | {data['saturation']} |"
    yield f"| illegal codes | {data['illegal']} |"


def _shared(data: dict[str, Any]) -> str:
    return ", ".join(f"{part['bits']} of {part['name']} per {part['per']}"
                     for part in data["shared"])


def _table(data: dict[str, Any]) -> Iterator[str]:
    rows = data["values"]
    if not rows or data["bits"] > TABLE_BITS:
        return
    for start in range(0, len(rows), TABLE_COLUMNS):
        part = rows[start:start + TABLE_COLUMNS]
        yield "| code | " + " | ".join(f"`{row['bits']}`" for row in part) + " |"
        yield "|---" * (len(part) + 1) + "|"
        yield "| value | " + " | ".join(_number(row["value"]) for row in part) + " |"
        if "outlier" in part[0]:
            outliers = (_number(row["outlier"]) for row in part)
            yield "| beside a victim | " + " | ".join(outliers) + " |"
        yield ""


def _number(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.9g}".replace("-", "−")


def _power(exponent: int) -> str:
    return "1" if exponent == 0 else f"2^{exponent}".replace("-", "−")
