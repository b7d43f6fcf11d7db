"""Arithmetic components compiled by Verilator: millions of cases instead of thousands."""

import ctypes
import shutil
from pathlib import Path

import numpy as np
from amaranth import Shape
from amaranth.lib.wiring import In

from systolith.generators.verilog import emit
from systolith.sim.simulators import cache, tools, verilator

SOURCE = Path(__file__).with_name("compiled.cpp")
WORD = 64


def evaluate(component, **inputs):
    """As the fixture ``evaluate``: the outputs of ``component`` for arrays of inputs.

    What is run is the emitted Verilog. Inputs and outputs are integers; an output wider than 64
    bits comes back as an array of objects.
    """
    members = component.signature.members.items()
    ports = {name: Shape.cast(member.shape) for name, member in members}
    ins = [name for name, member in members if member.flow == In]
    outs = [name for name in ports if name not in ins]
    assert sorted(ins) == sorted(inputs), f"inputs are {', '.join(ins)}"
    length = len(np.asarray(next(iter(inputs.values()))))
    data = [_to_words(np.broadcast_to(np.asarray(inputs[name]), (length,)), ports[name].width)
            for name in ins]
    results = [np.zeros((length, _words(ports[name].width)), np.uint64) for name in outs]
    pointers = (ctypes.c_void_p * len(ports))(*(array.ctypes.data for array in (*data, *results)))
    library = ctypes.CDLL(str(_build(component, ins, outs)))
    library.evaluate(pointers, ctypes.c_uint64(length), ctypes.c_uint64(component.latency))
    return {name: _from_words(words, ports[name])
            for name, words in zip(outs, results, strict=True)}


def _build(component, ins, outs) -> Path:
    emitted = emit(component, name="part")
    clocked = bool(component.latency)
    words = {name: _words(Shape.cast(member.shape).width)
             for name, member in component.signature.members.items()}
    adapter = "\n".join([
        '#include "Vtop.h"', f"#define CLOCK(level) {'top.clk = level' if clocked else ''}",
        "#define INPUTS " + " ".join(f"PUT({name}, {words[name]})" for name in ins),
        "#define OUTPUTS " + " ".join(f"GET({name}, {words[name]})" for name in outs), ""])

    def make(folder: Path) -> None:
        (folder / "adapter.h").write_text(adapter)
        (folder / "part.v").write_text(emitted.text)
        shutil.copy(SOURCE, folder)
        objects = verilator.compile_sources("part", [folder / "part.v"], folder,
                                            [folder / SOURCE.name])
        tools.link([*objects, verilator.runtime(trace=False)], folder / "part.so", shared=True)
        verilator.keep(folder, "part.so")

    key = cache.key(*verilator.identity(), emitted.text, adapter, SOURCE.read_bytes())
    return cache.entry("part", key, make) / "part.so"


def _words(width: int) -> int:
    return -(-width // WORD)


def _to_words(values: np.ndarray, width: int) -> np.ndarray:
    """Little-endian words of integers modulo 2^width."""
    if width <= WORD and values.dtype != object:
        mask = np.uint64((1 << width) - 1)
        return np.ascontiguousarray(values.astype(np.uint64) & mask)
    rows = [[(int(value) % (1 << width)) >> WORD * index & (1 << WORD) - 1
             for index in range(_words(width))] for value in values]
    return np.array(rows, np.uint64)


def _from_words(words: np.ndarray, shape: Shape) -> np.ndarray:
    if shape.width < WORD or (shape.width == WORD and shape.signed):
        values = words[:, 0].astype(np.int64)
        if shape.signed:
            values -= (values >> (shape.width - 1) & 1) << shape.width
        return values
    values = sum(words[:, index].astype(object) << WORD * index for index in range(words.shape[1]))
    if shape.signed:
        values = np.where(values >> shape.width - 1 > 0, values - (1 << shape.width), values)
    return values
