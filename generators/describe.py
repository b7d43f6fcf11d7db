"""What there is to say about a template, as data: for ``show``, for pages, for editors."""

from typing import Any

from pydantic_core import to_jsonable_python

from systolith.generators.manifest import stream_entry
from systolith.generators.names import MAX_NAME_LENGTH
from systolith.generators.registers import register_map
from systolith.generators.template import Template
from systolith.hdl.config import CoreConfig


def describe(template: Template, config: CoreConfig) -> dict[str, Any]:
    """Everything ``systolith show`` tells about ``template``.

    Streams, registers, flags and latency are those of ``config``.
    """
    first = next(iter(template.presets.values()), {})
    settings = "".join(f" --set {key}={value}" for key, value in first.items())
    return {
        "name": template.name,
        "summary": template.summary,
        "doc": " ".join((template.config.__doc__ or "").replace("``", "`").split()),
        "parameters": parameters(template.config),
        "config": config.model_dump(mode="json"),
        "streams": [stream_entry(stream) for stream in config.streams],
        "registers": [{"name": register.name, "offset": register.offset,
                       "access": register.access, "doc": register.doc}
                      for register in register_map(config)],
        "flags": [{"name": name, "doc": doc} for name, doc in config.flags],
        "latency": dict(template.latency(config)),
        "reference": template.reference,
        "reproduces": list(template.reproduces),
        "presets": {name: dict(values) for name, values in template.presets.items()},
        "example": f"systolith generate {template.name}{settings}",
    }


def parameters(config: type[CoreConfig]) -> list[dict[str, Any]]:
    """The parameters in order: ``name, type, low, high, choices, default, unit, paper, doc``.

    What does not apply is None. A default of None stands for a value derived from the others.
    """
    schema = config.model_json_schema()["properties"]
    entries = []
    for name, field in config.model_fields.items():
        own = schema[name]
        kinds = [kind for kind in own.get("anyOf", [own]) if kind.get("type") != "null"]
        kind = kinds[0]
        choices = kind.get("enum", [kind["const"]] if "const" in kind else None)
        entries.append({
            "name": name,
            "type": kind.get("type", "string" if choices else "any"),
            "low": kind.get("minimum"),
            "high": kind.get("maximum"),
            "choices": choices,
            "default": to_jsonable_python(field.get_default(call_default_factory=True)),
            "unit": own.get("unit"),
            "paper": own.get("paper"),
            "doc": field.description or "",
        })
    return entries


def spec_schema(template: Template) -> dict[str, Any]:
    """JSON Schema of a spec file of ``template``, for editors."""
    config = template.config.model_json_schema()
    definitions = config.pop("$defs", {})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Systolith spec of the template {template.name}",
        "type": "object",
        "additionalProperties": False,
        "required": ["template"],
        "properties": {
            "template": {"const": template.name, "description": template.summary},
            "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
                     "maxLength": MAX_NAME_LENGTH,
                     "description": "Name of the core; the template's name where it is missing."},
            "config": config,
        },
        **({"$defs": definitions} if definitions else {}),
    }
