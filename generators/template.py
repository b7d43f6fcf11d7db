"""The template contract: one object that the registry, command line, docs, tests and flows read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from systolith.hdl.config import CoreConfig

if TYPE_CHECKING:                          # `systolith list` need not wait for numpy
    from amaranth.lib import wiring

    from systolith.sim.model import Model


@dataclass(frozen=True, kw_only=True, eq=False)
class Template:
    """A parametrized accelerator core.

    Attributes
    ----------
    name : str
        How users call it; also names its documentation page.
    summary : str
        One line for ``systolith list``.
    config : type of CoreConfig
        Parameters, streams, registers.
    component : callable
        Builds the Amaranth component of the core's inside from a config. Its ports are the
        streams of the config and what :class:`systolith.hdl.shell.Core` asks for.
    model : str
        ``"module:name"`` of the :class:`systolith.sim.model.Model` instance. A string, so that a
        testbench can find the model from the manifest alone.
    latency : callable
        Latency and throughput of a config in cycles, as a mapping from name to number or formula.
    reference : str
        The paper it implements.
    reproduces : tuple of str
        Figures of the paper that the template reproduces.
    presets : mapping
        Named parameter sets that the regression covers; the first is the example in ``show``.
    unreachable : tuple of (kind, pattern, reason)
        Coverage points that no input reaches, and why: ``line``, ``branch``, ``expr`` or
        ``toggle``, a regular expression of module and Verilator's comment, a sentence.
    """

    name: str
    summary: str
    config: type[CoreConfig]
    component: Callable[[CoreConfig], wiring.Component]
    model: str
    latency: Callable[[CoreConfig], Mapping[str, int | str]]
    reference: str
    reproduces: tuple[str, ...] = ()
    presets: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    unreachable: tuple[tuple[str, str, str], ...] = ()

    def load_model(self) -> Model:
        """Import the software model."""
        from systolith.sim.model import load_model

        return load_model(self.model)
