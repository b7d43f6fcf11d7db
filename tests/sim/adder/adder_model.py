"""Software model of adder.v."""

from collections.abc import Iterator

import numpy as np

from systolith.hdl.config import CoreConfig, param
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.interface import TEMPLATE_REGISTERS, Field, Register, Stream, UserField
from systolith.sim.frames import Beats
from systolith.sim.model import Job, Model, Workload

INT8, INT16 = (IntegerFormat(bits, signed=True) for bits in (8, 16))


class AdderConfig(CoreConfig):
    """y = ±(a + b) + offset, lane by lane."""

    lanes: int = param(4, "Elements per beat.", low=1, high=1024)

    @property
    def streams(self) -> tuple[Stream, ...]:
        return (Stream("a", "in", self.lanes, INT8, "any beats",
                       (UserField("negate", 0, 1, "Negate the sums."),)),
                Stream("b", "in", self.lanes, INT8, "as many beats as a"),
                Stream("y", "out", self.lanes, INT16, "as many beats as a"))

    @property
    def registers(self) -> tuple[Register, ...]:
        field = Field("value", 0, 8, "Added to every sum.", signed=True, reset=3)
        return (Register("offset", TEMPLATE_REGISTERS, "rw", (field,), "Added to every sum."),)

    @property
    def flags(self) -> tuple[tuple[str, str], ...]:
        return (("mismatch", "Frames of a and b had different lengths."),)


class AdderModel(Model):
    """Operands a and b of shape (n, lanes); settings negate and offset."""

    config = AdderConfig

    def check(self, config: AdderConfig, workload: Workload) -> Workload:
        return workload

    def golden(self, config: AdderConfig, workload: Workload) -> dict[str, np.ndarray]:
        total = workload.arrays["a"] + workload.arrays["b"]
        sign = -1 if workload.settings["negate"] else 1
        return {"y": sign * total + workload.settings["offset"], "flags": 0}

    def pack(self, config: AdderConfig, workload: Workload) -> Job:
        a, b = workload.arrays["a"], workload.arrays["b"]
        return Job({"offset": workload.settings["offset"]},
                   {"a": Beats.frame(a, int(workload.settings["negate"])), "b": Beats.frame(b)},
                   {"y": len(a)})

    def expect(self, config, workload, outputs, pad=None):
        return {"y": Beats.frame(outputs["y"])}

    def unpack(self, config, workload, beats):
        return {"y": beats["y"]}

    def cycles(self, config: AdderConfig, workload: Workload) -> int:
        return len(workload.arrays["a"]) + 1

    def utilization(self, config, workload, cycles):
        return len(workload.arrays["a"]) / cycles

    def stimulus(self, config: AdderConfig, rng: np.random.Generator) -> Iterator[Workload]:
        for value in (-128, 127, 0):
            full = np.full((3, config.lanes), value)
            yield Workload(f"all {value}", {"a": full, "b": full}, {"negate": False, "offset": 0})
        while True:
            shape = (int(rng.integers(1, 20)), config.lanes)
            yield Workload(
                f"random {shape[0]}",
                {name: rng.integers(-128, 128, shape) for name in "ab"},
                {"negate": bool(rng.integers(2)), "offset": int(rng.integers(-128, 128))})


MODEL = AdderModel()
