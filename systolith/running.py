"""Cores as functions on numpy arrays."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from systolith import simulation, spec
from systolith.generators import registry
from systolith.generators.core import GeneratedCore, elaborate
from systolith.hdl.errors import Error
from systolith.sim.model import Workload

if TYPE_CHECKING:
    from systolith.fpga.link.host import Session
    from systolith.sim.simulators.harness import Simulator

BACKENDS = ("sim", "golden", "serial:PORT")
SERIAL = "serial:"


@dataclass(frozen=True)
class Run:
    """What one call took.

    Attributes
    ----------
    cycles : int
        From the first accepted input beat to the last accepted output beat, both included. On a
        board, as its core counts them: waiting for the link is part of them.
    utilization : float
        Useful operations over those the hardware offered in that time, 0 to 1.
    counters : mapping
        ``cycles_busy``, ``stalled_input``, ``stalled_output`` and ``frames`` as read from the
        core; of the golden backend ``cycles_busy`` alone.
    flags : tuple of str
        Error flags that the call raised, such as ``"overflow"``.
    """

    cycles: int
    utilization: float
    counters: Mapping[str, int]
    flags: tuple[str, ...]


class Core:
    """A core that computes: call it with its operands by name, get its results by name.

    Attributes
    ----------
    name : str
    backend : "sim", "golden" or "serial:PORT"
    config : CoreConfig
    last : Run or None
        What the last call took; None before the first.
    """

    def __init__(self, request: spec.Spec, backend: str, baud: int | None = None):
        self.name, self.backend, self.config = request.name, backend, request.config
        self.last: Run | None = None
        self._hardening = request.hardening
        self._template = request.template
        self._model = request.template.load_model()
        self._engine: Simulator | Session | None = None
        if backend == "sim":
            self._engine = simulation.compiled(self.generated)
        elif backend.startswith(SERIAL):
            self._engine = _connected(self, backend.removeprefix(SERIAL), baud)

    @property
    def generated(self) -> GeneratedCore:
        """The Verilog, the manifest and the other files."""
        return _elaborated(self._template.name, self.config.canonical_json(), self.name,
                           self._hardening)

    def __call__(self, *positional: Any, **arguments: Any) -> dict[str, np.ndarray]:
        """Compute.

        Parameters
        ----------
        **arguments
            Operands (arrays, or nested lists of numbers) and run-time settings (scalars).

        Returns
        -------
        dict from name to array

        Raises
        ------
        Error
            If an argument has a wrong name, shape, dtype or value.
        """
        self.last = None
        if positional:
            raise Error("operands are passed by name, as in core(a=A, w=W), not by position")
        workload = self._model.check(self.config, _workload(arguments))
        if self._engine is None:
            results = dict(self._model.golden(self.config, workload))
            errors = int(results.pop("flags", 0))
            cycles = self._model.cycles(self.config, workload)
            counters: Mapping[str, int] = {"cycles_busy": cycles}
        else:
            outcome = self._engine.run(self._model.pack(self.config, workload))
            beats = {name: beats.data for name, beats in outcome.beats.items()}
            results = self._model.unpack(self.config, workload, beats)
            cycles, counters, errors = outcome.cycles, outcome.counters, outcome.flags
        flags = tuple(name for bit, (name, _) in enumerate(self.config.flags) if errors >> bit & 1)
        self.last = Run(cycles, self._model.utilization(self.config, workload, cycles),
                        dict(counters), flags)
        return results

    def close(self) -> None:
        """Free the simulation model or the serial port; the core cannot be called after this."""
        if self._engine is not None:
            self._engine.close()

    def __repr__(self) -> str:
        return f"<systolith core {self.name}: {self._template.name}, backend {self.backend}>"


def load(template: str, *, backend: str = "sim", name: str | None = None,
         baud: int | None = None, harden: str | None = None, **config: Any) -> Core:
    """Generate and compile a core, once for the same parameters, and return it as a function.

    Parameters
    ----------
    template : str
        Name of a template, or path of a spec file.
    backend : "sim", "golden" or "serial:PORT"
        ``sim`` runs the compiled RTL, ``golden`` the numpy model, ``serial:`` the board at a serial
        port such as ``serial:/dev/ttyUSB1``, once it holds this core.
    name : str, optional
        Name of the core; the template's by default.
    baud : int, optional
        Rate of the serial port, as the bitstream was built for; 1,000,000 by default.
    harden : "none", "tmr-registers" or "tmr", optional
        Against upsets of state; docs/hardening.md.
    **config
        Parameters of the template; they win over the file.

    Raises
    ------
    Error
        If the request is wrong.
    ToolError
        If the port is missing, or nothing answers.
    """
    serial = backend.startswith(SERIAL) and backend != SERIAL
    if backend not in ("sim", "golden") and not serial:
        raise Error(f"unknown backend {backend!r}; backends are {', '.join(map(repr, BACKENDS))}")
    return Core(spec.from_values(template, config, name, harden), backend, baud)


@lru_cache(maxsize=32)
def _elaborated(template: str, config: str, name: str, hardening: str) -> GeneratedCore:
    known = registry.get(template)
    return elaborate(known, known.config.parse(json.loads(config)), name, hardening)


def _connected(core: Core, port: str, baud: int | None) -> "Session":
    """A session with the board at a serial port, once it is sure that it holds ``core``."""
    from systolith.fpga.build import DEFAULT_BAUD
    from systolith.fpga.link import host, ports

    line = ports.SerialPort(port, baud or DEFAULT_BAUD)
    try:
        return host.Session(line, core.config, core.name)
    except BaseException:
        line.close()
        raise


def _workload(arguments: Mapping[str, Any]) -> Workload:
    arrays, settings = {}, {}
    for name, value in arguments.items():
        scalar = value is None or isinstance(value, (bool, int, float, str, np.generic))
        (settings if scalar else arrays)[name] = value
    return Workload("call", arrays, settings)
