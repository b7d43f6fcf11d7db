"""A format as plain data: for the command line, the manifest and the documentation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from systolith.hdl.formats import (
    BinaryFormat,
    BipolarFormat,
    BitmodFormat,
    BlockFormat,
    FloatFormat,
    Format,
    IntegerFormat,
    PairFormat,
    TernaryFormat,
)
from systolith.sim.formats.elements import decode
from systolith.sim.formats.pairs import decode_pairs

#: Wider codes have no value table.
TABLE_BITS = 8


def describe(format: Format) -> dict[str, Any]:
    """Everything there is to say about a format, as data that JSON can hold.

    Keys
    ----
    name, family : str
    bits : int
        Per element.
    signed : bool
    range : [low, high]
        Finite values of an element, without the scale of its block.
    step : number
        Every finite value is a multiple of it.
    fixed : {name, bits, lsb_exponent}
        The narrowest fixed-point integer that holds every finite value.
    parameters : mapping from name to number
        What the family's layout depends on: bias, widths, block size.
    shared : list of {name, bits, per, doc}
        What elements share with their neighbours, and how many elements share one.
    encoding, rounding, saturation, illegal : str
        A sentence each.
    specials : list of {code, meaning}
    values : list of {code, bits, value[, outlier]}
        One row per code, for elements of up to 8 bits; ``value`` is a number or "NaN", "Inf",
        "-Inf", "illegal", "victim", "special value". ``outlier`` is the value of a code beside a
        victim.
    """
    text = _texts(format)
    return {
        "name": format.name,
        "family": text.family,
        "bits": format.bits,
        "signed": format.signed,
        "range": [format.low, format.high],
        "step": 2.0**format.lsb_exponent if format.lsb_exponent < 0 else 1 << format.lsb_exponent,
        "fixed": {"name": format.fixed.name, "bits": format.fixed.bits,
                  "lsb_exponent": format.fixed.lsb_exponent},
        "parameters": dict(_parameters(format)),
        "shared": list(_shared(format)),
        "encoding": text.encoding,
        "rounding": text.rounding,
        "saturation": text.saturation,
        "illegal": text.illegal,
        "specials": list(_specials(format)),
        "values": list(_values(format)) if format.bits <= TABLE_BITS else [],
    }


@dataclass(frozen=True)
class _Text:
    family: str
    encoding: str
    rounding: str = "To nearest, halves to the even code."
    saturation: str = "Numbers beyond the range become its end; there is no code for NaN."
    illegal: str = "None: every code is a number."


def _texts(format: Format) -> _Text:
    match format:
        case IntegerFormat(_, signed):
            return _Text("integer", "Two's complement." if signed else "Unsigned.")
        case BipolarFormat(bits):
            return _Text("bipolar", f"Code u, unsigned, is 2u − {(1 << bits) - 1}: bit i is worth "
                                    f"−2^i or +2^i. There is no zero.")
        case TernaryFormat():
            return _Text("ternary", "Two bits of two's complement.",
                         illegal="10: decodes to 0 and is flagged.")
        case BinaryFormat():
            return _Text("binary", "0 is −1, 1 is +1.", rounding="By sign; 0 becomes +1.")
        case FloatFormat():
            return _float_text(format)
        case BlockFormat(element):
            return _block_text(format, element)
        case PairFormat():
            return _pair_text(format)
        case BitmodFormat():
            return _Text(
                "bitmod",
                "Sign and magnitude; the code that would be −0 is the special value that the group "
                "selects.",
                rounding="To the nearest value of the group's grid, halves to the smaller value; "
                         "the special value with the least squared error is kept, the first of "
                         "equals.",
                saturation="The scale fits the largest magnitude to the largest of the grid; it is "
                           "kept between 1e-5 and 1e4. NaN and Inf are refused.")
    raise TypeError(f"{format!r} is not a format")


def _float_text(format: FloatFormat) -> _Text:
    encoding = (f"Sign, {format.exponent_bits} exponent bits with bias {format.bias}, "
                f"{format.fraction_bits} fraction bits. An exponent field of 0 holds zero "
                f"{'and subnormals' if format.fraction_bits else '(there are no subnormals)'}; "
                f"both zeros exist.")
    illegal = "None; what is not a number is in the list of special codes."
    rounding = _Text.rounding if format.fraction_bits else \
        "To nearest, halves to the larger magnitude (all significands are odd), or to 0."
    saturating = "Numbers beyond the range and infinities become the largest number of their sign"
    match format.specials:
        case "ieee":
            nan = "NaN stays NaN" if format.fraction_bits else "there is no code for NaN"
            return _Text("float", encoding, rounding, f"{saturating}; {nan}. Without saturation "
                         f"they become Inf, as in IEEE 754.", illegal=illegal)
        case "fn":
            return _Text("float", encoding, rounding, f"{saturating}; NaN stays NaN. Without "
                         f"saturation they become NaN.", illegal=illegal)
        case "finite":
            return _Text("float", encoding, rounding,
                         f"{saturating}; there is no code for NaN.")


def _block_text(format: BlockFormat, element: FloatFormat | IntegerFormat) -> _Text:
    exponent = f"floor(log2 max|v|) − {format.exponent_high}" if format.exponent_high \
        else "floor(log2 max|v|)"
    unused = "; the most negative code is not used" if format.symmetric else ""
    encoding = (f"Blocks of {element} elements with one scale X, worth 2^(X − 127)."
                + (f" The elements are in fixed point: the least significant bit is worth "
                   f"2^{element.lsb_exponent}." if isinstance(element, IntegerFormat) else ""))
    return _Text(
        "block", encoding,
        rounding=f"X − 127 = {exponent}, at least −127; then elements to nearest, halves to the "
                 f"even code. A block of zeros has X = 0.",
        saturation=f"Elements saturate{unused if isinstance(element, IntegerFormat) else ''}. A "
                   f"block that holds a NaN or an Inf, or needs X > 254, has X = 255 and elements "
                   f"0.",
        illegal="None; X = 255 makes every element of its block NaN, whatever its code.")


def _pair_text(format: PairFormat) -> _Text:
    threshold = (format.normal_high + format.outlier_low) / 2
    return _Text(
        "pair",
        f"Pairs, the first element in the low half. An element is a two's complement integer, but "
        f"for code {format.identifier:0{format.bits}b}: it stands for 0 (the victim), and its "
        f"neighbour is an outlier with a sign, {format.exponent_bits} exponent bits e and "
        f"{format.fraction_bits} fraction bits f, worth "
        f"({1 << format.fraction_bits} + f) · 2^(e + {format.bias}).",
        rounding=f"Magnitudes above {threshold:g} (or another threshold) become the nearest "
                 f"outlier, halves to the even code, and their neighbour 0; of two outliers the "
                 f"larger stays. Others become the nearest integer, halves to even.",
        saturation=f"Integers saturate at ±{format.normal_high}, outliers at "
                   f"±{format.outlier_high}. NaN and Inf are refused.",
        illegal="Two victims, and outliers with e = f = 0"
                + ("" if format.bits == 4 else f" or above {format.outlier_high}")
                + ": the pair decodes to (0, 0) and is flagged.")


def _parameters(format: Format) -> Iterator[tuple[str, float]]:
    match format:
        case FloatFormat():
            yield "exponent_bits", format.exponent_bits
            yield "fraction_bits", format.fraction_bits
            yield "bias", format.bias
            if format.smallest_normal is not None:
                yield "smallest_normal", format.smallest_normal
            if format.smallest_subnormal is not None:
                yield "smallest_subnormal", format.smallest_subnormal
        case BlockFormat(element):
            yield "block", format.block
            yield from _parameters(element)
        case PairFormat():
            yield "exponent_bits", format.exponent_bits
            yield "fraction_bits", format.fraction_bits
            yield "bias", format.bias
            yield "normal_high", format.normal_high
            yield "outlier_low", format.outlier_low
        case BitmodFormat():
            yield "group", format.group
            for index, value in enumerate(format.special_values):
                yield f"special_value_{index}", value


def _shared(format: Format) -> Iterator[dict[str, Any]]:
    match format:
        case BlockFormat():
            yield {"name": "scale", "bits": 8, "per": format.block,
                   "doc": "E8M0: X is worth 2^(X − 127), 255 is NaN."}
        case BitmodFormat():
            yield {"name": "scale", "bits": 8, "per": format.group,
                   "doc": "int8, times an fp16 scale of the channel."}
            yield {"name": "select", "bits": 2, "per": format.group,
                   "doc": "Which special value the group uses."}


def _specials(format: Format) -> Iterator[dict[str, str]]:
    def special(code, meaning):
        return {"code": f"{code:0{format.bits}b}", "meaning": meaning}

    match format:
        case FloatFormat():
            sign, inf, nan = format.sign_code, format.inf_code, format.nan_code
            yield special(0, "+0")
            yield special(sign, "−0")
            if inf is not None:
                yield special(inf, "+Inf")
                yield special(sign | inf, "−Inf")
            if nan is not None:
                yield special(nan, "NaN (the one that operations give)")
                if inf is None:
                    yield special(sign | nan, "NaN")
                else:
                    yield {"code": f"s{'1' * format.exponent_bits}, any fraction but 0",
                           "meaning": f"NaN ({2 * (sign - 1 - inf)} codes)"}
        case TernaryFormat():
            yield special(format.illegal, "illegal")
        case BlockFormat(FloatFormat() as element):
            yield from _specials(element)
        case PairFormat():
            yield special(format.identifier, "victim; the other element is an outlier")
        case BitmodFormat():
            yield special(format.special_code, "special value of the group")


def _values(format: Format) -> Iterator[dict[str, Any]]:
    codes = np.arange(1 << format.bits)
    columns = {"value": codes}
    match format:
        case BlockFormat(element):
            columns["value"] = [_plain(value) for value in decode(element, codes)]
        case TernaryFormat():
            columns["value"] = [_plain(value) for value in decode(format, codes)]
            columns["value"][format.illegal] = "illegal"
        case PairFormat():
            columns |= _pair_columns(format, codes)
        case BitmodFormat():
            half = format.special_code
            columns["value"] = [*format.magnitudes, *(-value for value in format.magnitudes)]
            columns["value"][half] = "special value"
        case _:
            columns["value"] = [_plain(value) for value in decode(format, codes)]
    for row in zip(codes.tolist(), *columns.values(), strict=True):
        code, *cells = row
        yield {"code": code, "bits": f"{code:0{format.bits}b}",
               **dict(zip(columns, cells, strict=True))}


def _pair_columns(format: PairFormat, codes: np.ndarray) -> dict[str, list]:
    beside_zero = decode_pairs(format, np.stack([codes, np.zeros_like(codes)], -1))[:, 0].tolist()
    beside_zero[format.identifier] = "victim"
    victims = np.full_like(codes, format.identifier)
    outliers = decode_pairs(format, np.stack([codes, victims], -1))[:, 0].tolist()
    return {"value": beside_zero, "outlier": [value or "illegal" for value in outliers]}


def _plain(value: np.generic) -> float | str:
    number = value.item()
    if isinstance(number, int) or np.isfinite(number):
        return number
    return "NaN" if np.isnan(number) else "Inf" if number > 0 else "-Inf"
