"""Configurations of any template, drawn over its whole parameter space by Hypothesis.

What is drawn comes from the config's own fields: types, choices and ranges. Where the draw is no
valid combination, the parameters that the message names go back to their defaults, one by one.
"""

import math
import re
import types
from typing import Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from systolith.generators.template import Template
from systolith.hdl.config import CoreConfig
from systolith.hdl.errors import ConfigError

FORMATS = ("int2", "int3", "int4", "int5", "int8", "int13", "int16", "uint2", "uint4", "uint7",
           "uint8", "uint16", "binary", "ternary", "bipolar1", "bipolar3", "fp8e4m3", "fp8e5m2",
           "fp6e3m2", "fp6e2m3", "fp4e2m1", "fp7e3m3", "fp12e5m6", "bf16", "fp16", "ovp4", "ovp8",
           "mxfp4", "mxfp8e4m3", "mxint8", "bfp4", "bfp8", "bitmod3", "bitmod4")
TYPICAL = 24                # most integers are drawn up to here: a run must fit the machine


def configs(template: Template, *, largest: int | None = TYPICAL) -> st.SearchStrategy[CoreConfig]:
    """Valid configurations of a template.

    Parameters
    ----------
    largest : int, optional
        Bound of integer parameters where their range and default allow it; None for their whole
        range.
    """
    fields = template.config.model_fields
    values = st.fixed_dictionaries(
        {}, optional={name: _values(field, largest) for name, field in fields.items()})
    return values.map(lambda drawn: repaired(template, drawn)).filter(lambda found: found)


def repaired(template: Template, values: dict[str, Any]) -> CoreConfig | None:
    """The config of ``values``, without those that the messages object to; None if none is left
    to take back."""
    values = dict(values)
    while True:
        try:
            return template.config.parse(values)
        except ConfigError as error:
            words = re.findall(r"\w+", str(error))
            named = [word for word in words if word in values] or sorted(values)
            if not named:
                return None
            values.pop(named[0])


def _values(field: FieldInfo, largest: int | None) -> st.SearchStrategy:
    return _of_type(field.annotation, field, largest)


def _of_type(kind: Any, field: FieldInfo, largest: int | None) -> st.SearchStrategy:
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) in (Union, types.UnionType):
        return st.one_of(*(st.none() if part is type(None) else _of_type(part, field, largest)
                           for part in get_args(kind)))
    if kind is bool:
        return st.booleans()
    if kind is int:
        bounds = {name: getattr(bound, name) for bound in field.metadata for name in ("ge", "le")
                  if hasattr(bound, name)}
        low, high = bounds.get("ge", 0), bounds.get("le", 64)
        if largest is not None:
            high = max(min(high, largest), low, field.default or low)
        steps = int(math.log2(high - low + 1)) + 1           # small values as often as large ones
        return st.integers(0, steps).flatmap(
            lambda step: st.integers(low, min(high, low + (1 << step) - 1)))
    if kind is str:
        return st.sampled_from(FORMATS)
    raise TypeError(f"no strategy for {kind}")
