"""The manifest: everything there is to know about one generated core, as JSON."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from systolith.generators.registers import register_map
from systolith.generators.template import Template
from systolith.hdl.config import CoreConfig
from systolith.hdl.formats import Format
from systolith.hdl.interface import Field, Register, Stream

SCHEMA = 1


def manifest(template: Template, config: CoreConfig, *, name: str, verilog: str,
             modules: Iterable[Mapping[str, Any]], cells: Iterable[str] = (),
             hardening: str = "none") -> dict[str, Any]:
    """Describe a core.

    Parameters
    ----------
    verilog : str
        The emitted text, of which the manifest keeps the SHA-256.
    modules : iterable of mapping
        ``name``, ``instances`` and ``doc`` of each module of the text.
    cells : iterable of str
        Blocks of the target device that the text instantiates.
    hardening : str
        One of :data:`systolith.generators.names.HARDENING`.

    Returns
    -------
    dict
        As :func:`schema` describes it; the same for the same core, byte for byte.
    """
    return {
        "schema": SCHEMA,
        "name": name,
        "template": template.name,
        "config": config.model_dump(mode="json"),
        "config_hash": config.config_hash,
        "clock": "clk",
        "reset": {"name": "rst", "active": "high", "sync": True},
        "streams": [stream_entry(stream) for stream in config.streams],
        "registers": [_register(register) for register in register_map(config)],
        "latency": dict(template.latency(config)),
        "modules": [{key: module[key] for key in ("name", "instances", "doc")}
                    for module in modules],
        "technology": getattr(config, "technology", "generic"),
        "cells": list(cells),
        "hardening": hardening,
        "model": template.model,
        "reference": template.reference,
        "tools": tools(),
        "sha256": hashlib.sha256(verilog.encode()).hexdigest(),
    }


def tools() -> dict[str, str]:
    """Versions of what the text of a core depends on."""
    return {package: version(package) for package in ("systolith", "amaranth")}


def schema() -> dict[str, Any]:
    """The published JSON Schema of a manifest."""
    text = files("systolith.generators").joinpath("manifest.schema.json").read_text("utf-8")
    return json.loads(text)


def stream_entry(stream: Stream) -> dict[str, Any]:
    """A stream as the manifest shows it."""
    return {
        "name": stream.name,
        "direction": stream.direction,
        "prefix": stream.prefix,
        "lanes": stream.lanes,
        "element": _element(stream.element),
        "tdata_bits": stream.tdata_bits,
        "tuser": [{"name": user.name, "lsb": user.lsb, "bits": user.bits, "doc": user.doc}
                  for user in stream.user],
        "frame": stream.frame,
    }


def _element(element: Format) -> dict[str, Any]:
    return {"format": element.name, "bits": element.bits, "signed": element.signed,
            "lsb_exponent": element.lsb_exponent}


def _register(register: Register) -> dict[str, Any]:
    return {"name": register.name, "offset": register.offset, "access": register.access,
            "doc": register.doc, "fields": [_field(field) for field in register.fields]}


def _field(field: Field) -> dict[str, Any]:
    return {"name": field.name, "lsb": field.lsb, "bits": field.bits, "signed": field.signed,
            "reset": field.reset, "doc": field.doc}
