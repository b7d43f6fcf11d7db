"""A template that adds a constant, with an emitter and a shell that print next to nothing.

Run as a program, this file is ``systolith`` with the toy as its only template.
"""

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from pydantic import BaseModel, ConfigDict, model_validator

from systolith.generators import registry
from systolith.generators.template import Template
from systolith.hdl.config import CoreConfig, param
from systolith.hdl.errors import ConfigError, Error
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.interface import TEMPLATE_REGISTERS, Field, Register, Stream, UserField
from systolith.sim.frames import Beats
from systolith.sim.model import Job, Model, Workload


class Limits(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    low: int = param(-10, "Smallest sum.", low=-128, high=127)
    high: int = param(10, "Largest sum.", low=-128, high=127)


class ToyConfig(CoreConfig):
    """Adds a constant to every element."""

    lanes: int = param(4, "Elements per beat.", low=1, high=256, unit="elements", paper=16)
    addend: int = param(1, "What to add.", low=-100, high=100)
    mode: Literal["wrap", "clamp"] = param("wrap", "What happens beyond the range: [see] *the*.")
    width: int | None = param(None, "Width of a sum; automatic: 8.", low=8, high=32, unit="bits")
    label: str = param("toy", "Free text.")
    limits: Limits = param(Limits(), "Bounds of clamp.")

    @model_validator(mode="after")
    def _combinations(self):
        if self.lanes == 13:
            raise ConfigError("lanes must not be 13 with this toy")
        return self

    @property
    def streams(self):
        return (Stream("x", "in", self.lanes, IntegerFormat(8, True), "Any number of x[i].",
                       (UserField("first", 0, 1, "First frame."),)),
                Stream("y", "out", self.lanes, IntegerFormat(8, True), "Beats of y | sums."))

    @property
    def registers(self):
        return (Register("bounds", TEMPLATE_REGISTERS, "rw",
                         (Field("low", 0, 8, "Smallest; a \"quote\", a */ and a |.", True, -10),
                          Field("signed", 8, 8, "A keyword as a name.", True, 10)), "Bounds."),
                Register("encode", TEMPLATE_REGISTERS + 4, "wo", (Field("go", 0, 1, "Go."),),
                         "A keyword as a name…"))

    @property
    def flags(self):
        return (("overflow", "A sum wrapped around."), ("long", "A frame was too long."))


class Toy(wiring.Component):
    def __init__(self, config):
        self.config = config
        super().__init__({})


class Shell(wiring.Component):
    def __init__(self, config, inside):
        self.inside = inside
        members = {}
        for stream in config.streams:
            flow, back = (In, Out) if stream.direction == "in" else (Out, In)
            members |= {f"{stream.prefix}_tdata": flow(stream.tdata_bits),
                        f"{stream.prefix}_tvalid": flow(1), f"{stream.prefix}_tready": back(1)}
        super().__init__({**members, "s_axil": Out(wiring.Signature({"awaddr": In(8)}))})


@dataclass
class EmittedModule:
    name: str
    instances: int
    doc: str


@dataclass
class Emitted:
    text: str
    modules: tuple
    cells: tuple


def emit(component, *, name, header, hardening):
    comment = "".join(f"// {line}".rstrip() + "\n" for line in header.splitlines())
    text = f"{comment}\nmodule {name} (input clk);\nendmodule\n"
    return Emitted(text, (EmittedModule(name, 1, "The toy."),), ())


class ToyModel(Model):
    config = ToyConfig

    def check(self, config, workload):
        given = {**workload.arrays, **workload.settings}
        if set(given) != {"x"}:
            raise Error(f"arguments are x, not {sorted(given)}")
        x = np.asarray(given["x"])
        if x.ndim != 1 or x.dtype.kind not in "iu":
            raise Error(f"x must be integers of shape (N,), not {x.dtype} of shape {x.shape}")
        return Workload(workload.label, {"x": x.astype(np.int64)})

    def golden(self, config, workload):
        exact = workload.arrays["x"] + config.addend
        y = (exact + 128) % 256 - 128
        return {"y": y, "flags": int((exact != y).any())}

    def pack(self, config, workload):
        x = workload.arrays["x"]
        beats = -(-len(x) // config.lanes)
        data = np.zeros((beats, config.lanes), np.int64)
        data.flat[:len(x)] = x
        return Job({}, {"x": Beats.frame(data)}, {"y": beats})

    def expect(self, config, workload, outputs, pad=None):
        raise NotImplementedError

    def unpack(self, config, workload, beats):
        return {"y": beats["y"].ravel()[:len(workload.arrays["x"])]}

    def cycles(self, config, workload):
        return -(-len(workload.arrays["x"]) // config.lanes) + 2

    def utilization(self, config, workload, cycles):
        return len(workload.arrays["x"]) / (config.lanes * cycles)

    def stimulus(self, config, rng):
        yield Workload("empty", {"x": np.zeros(1, np.int64)})


MODEL = ToyModel()
TEMPLATE = Template(name="toy", summary="Adds a constant… [bold]to every[/bold] element.",
                    config=ToyConfig, component=Toy, model="toy:MODEL",
                    latency=lambda config: {"latency": 2, "throughput": "1 beat per cycle"},
                    reference="A. Nobody, On adding one, 1900", reproduces=("1 + 1 = 2",),
                    presets={"wide": {"lanes": 8}})


def modules():
    """Stand-ins for the emitter and the shell, by module name."""
    verilog, shell = ModuleType("systolith.generators.verilog"), ModuleType("systolith.hdl.shell")
    verilog.emit, shell.Core = emit, Shell
    return {module.__name__: module for module in (verilog, shell)}


if __name__ == "__main__":
    import toy

    from systolith.cli import main

    registry.TEMPLATES = (toy.TEMPLATE,)
    sys.modules.update(toy.modules())
    main()
