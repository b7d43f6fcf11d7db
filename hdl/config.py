"""The base of every template's parameters."""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from systolith.hdl.errors import ConfigError
from systolith.hdl.interface import Register, Stream


def param(default: Any, doc: str, *, low: int | None = None, high: int | None = None,
          unit: str | None = None, paper: Any = None) -> Any:
    """Describe one parameter.

    Parameters
    ----------
    default
        Its value where the user gives none.
    doc : str
        One sentence.
    low, high : int, optional
        The closed range of allowed values.
    unit : str, optional
        ``"bits"``, ``"rows"``, ``"cycles"``, …
    paper : optional
        The value that the reference design uses.
    """
    extra = {key: value for key, value in (("unit", unit), ("paper", paper)) if value is not None}
    return Field(default=default, description=doc, ge=low, le=high, json_schema_extra=extra or None)


class Config(BaseModel):
    """Immutable, validated parameters of a template.

    Subclasses declare fields with :func:`param`, reject impossible combinations in pydantic
    validators, and derive :attr:`streams` and :attr:`registers`. A field that has an automatic
    value is filled in by a validator, so that a config is always fully resolved.

    Raises
    ------
    ConfigError
        From :meth:`parse`: names the field, its value and what is allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Validate ``values``; the one way from user input to a config."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            allowed = list(cls.model_fields)
            problems = tuple((details["loc"], _message(details, allowed))
                             for details in error.errors())
            raise ConfigError("; ".join(message for _, message in problems), problems) from None

    def canonical_json(self) -> str:
        """The config as JSON with sorted keys and every default filled in."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def chosen(self) -> dict[str, Any]:
        """The values that have to be given to get this config; all others follow from them."""
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        values = {name: value for name, value in self.model_dump(mode="json").items()
                  if value != defaults[name]}
        for name in list(values):
            fewer = {key: value for key, value in values.items() if key != name}
            with suppress(ConfigError):
                if type(self).parse(fewer) == self:
                    values = fewer
        return values

    @property
    def config_hash(self) -> str:
        """SHA-256 of :meth:`canonical_json`, in hexadecimal; a register has its first 32 bits."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()


class CoreConfig(Config):
    """Parameters of a template that becomes a core: they say what it looks like from outside."""

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The data streams, inputs first."""
        raise NotImplementedError

    @property
    def registers(self) -> tuple[Register, ...]:
        """The template's own registers, which follow the common ones."""
        return ()

    @property
    def flags(self) -> tuple[tuple[str, str], ...]:
        """Sticky error flags, as (name, meaning), in bit order."""
        raise NotImplementedError


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` if one of ``words`` is near ``word``, else an empty string."""
    near = get_close_matches(word, list(words), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _message(details: ErrorDetails, allowed: list[str]) -> str:
    where = ".".join(str(part) for part in details["loc"])
    value = details["input"]
    context = details.get("ctx", {})
    match details["type"]:
        case "extra_forbidden":
            return (f"unknown parameter {_show(where)}{did_you_mean(where, allowed)}; parameters "
                    f"are {', '.join(allowed)}")
        case "greater_than_equal":
            return f"{where} must be at least {context['ge']}, not {_show(value)}"
        case "less_than_equal":
            return f"{where} must be at most {context['le']}, not {_show(value)}"
        case "literal_error":
            return f"{where} must be {context['expected']}, not {_show(value)}"
        case "int_type" | "bool_type" | "string_type" | "float_type":
            kind = {"int_type": "an integer", "bool_type": "true or false",
                    "string_type": "a string", "float_type": "a number"}[details["type"]]
            return f"{where} must be {kind}, not {_show(value)}"
        case "value_error":
            reason = str(context["error"])
            return f"{where}: {reason}" if where else reason
        case _:
            text = details["msg"][:1].lower() + details["msg"][1:]
            return f"{where}: {text}, not {_show(value)}" if where else text


def _show(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
