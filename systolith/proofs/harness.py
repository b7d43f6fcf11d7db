"""A component, whatever surrounds it, and what must hold: the circuit of a proof.

The component is the Verilog that a user gets. Everything that drives it is free: the solver chooses
inputs, the values of registers before the first reset, and when further resets come.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Cat, ClockDomain, ClockSignal, Const, Instance, Module, Signal, Value
from amaranth.lib import wiring

from systolith.fpga.design import Design
from systolith.generators.verilog import emit
from systolith.proofs import engine

Edit = Callable[[str], str]                  # of the Verilog of a component


class Harness:
    """Properties of one component.

    Parameters
    ----------
    component : wiring.Component or Design
    edit : callable, optional
        Changes the Verilog of the component, to see a proof fail.
    resets : bool
        Further resets may come at any time.

    Attributes
    ----------
    m : Module
        For logic of the harness. Its registers start at their ``init``.
    ports : namespace
        The ports of the component by name; inputs may be given a driver with :meth:`drive`.
    rst : Signal
        Resets the component: in the first cycle, and whenever the solver likes.
    cut : tuple of str
        Types of cells whose outputs are free: the properties hold whatever these give.
    """

    def __init__(self, component: wiring.Component | Design,
                 edit: Edit = lambda text: text, *, resets: bool = True):
        design = (component if isinstance(component, Design) else
                  Design("dut", emit(component, name="dut").text))
        self.verilog = edit(design.verilog)
        self.m = Module()
        self._clock = ClockDomain("sync", reset_less=True)
        self.m.domains.sync = self._clock
        self.ports = SimpleNamespace()
        self._free: dict[str, Signal] = {}
        self._driven: list[str] = []
        self.rst = Signal(name="dut_rst")
        self.started = Signal(name="started")
        self.m.d.sync += self.started.eq(1)
        # Rare among random inputs, for what is deep in a pipeline to come out.
        self._again = self.free(6, "reset_again").all() if resets else Const(0)
        connections: dict[str, Any] = {}
        for port in design.ports:
            if port.name in ("clk", "rst"):
                connections[f"i_{port.name}"] = (ClockSignal() if port.name == "clk" else self.rst)
                continue
            signal = Signal(port.width, name=port.name)
            setattr(self.ports, port.name, signal)
            connections[f"{port.direction[0]}_{port.name}"] = signal
            if port.direction == "input":
                self._free[port.name] = signal
        self._dut = Instance(design.name, **connections)
        self.cut: tuple[str, ...] = ()
        self._assumed: list[Value] = []
        self._checks: dict[str, Value] = {}
        self._covers: dict[str, Value] = {}

    def free(self, shape: Any, name: str) -> Signal:
        """A value that the solver chooses in every cycle."""
        signal = Signal(shape, name=name)
        self._free[name] = signal
        return signal

    def constant(self, shape: Any, name: str) -> Signal:
        """A value that the solver chooses once."""
        choice = self.free(shape, f"{name}_choice")
        kept, value = Signal(shape, name=f"{name}_kept"), Signal(shape, name=name)
        self.m.d.comb += value.eq(choice)
        with self.m.If(self.started):
            self.m.d.comb += value.eq(kept)
        self.m.d.sync += kept.eq(value)
        return value

    def drive(self, port: str, value: Any) -> None:
        """Connect an input of the component."""
        self._driven.append(port)
        self.m.d.comb += self._free.pop(port).eq(value)

    def register(self, shape: Any, name: str, init: int = 0) -> Signal:
        """A register of the harness that every reset sets to ``init``; :meth:`step` says what it
        is in the next cycle."""
        return Signal(shape, name=name, init=init)

    def step(self, register: Signal, value: Any) -> None:
        """The value of ``register`` in the next cycle, unless a reset comes."""
        with self.m.If(self.rst):
            self.m.d.sync += register.eq(register.init)
        with self.m.Else():
            self.m.d.sync += register.eq(value)

    def past(self, value: Any, name: str) -> Signal:
        """``value`` one cycle ago; zero after a reset."""
        value = Value.cast(value)
        register = self.register(value.shape(), f"past_{name}")
        self.step(register, value)
        return register

    def assume(self, condition: Any) -> None:
        """The surroundings keep to this, in every cycle without reset."""
        self._assumed.append(Value.cast(condition).bool())

    def check(self, name: str, condition: Any) -> None:
        """The component must keep to this, in every cycle without reset."""
        self._checks[name] = Value.cast(condition).bool()

    def cover(self, name: str, condition: Any) -> None:
        """This must be possible, or the proof says nothing."""
        self._covers[name] = Value.cast(condition).bool()

    @property
    def names(self) -> tuple[str, ...]:
        """Of all checks."""
        return tuple(self._checks)

    def graph(self, folder: Path, checks: tuple[str, ...] | None = None, *, covers: bool = False
              ) -> Path:
        """The circuit of :meth:`sources` as a graph, written into ``folder``."""
        return engine.circuit(self.sources(checks, covers=covers), folder, self.cut)

    def sources(self, checks: tuple[str, ...] | None = None, *, covers: bool = False
                ) -> dict[str, str]:
        """The circuit with the output ``bad``: some of ``checks`` does not hold, or, if asked for,
        all covers have been seen. Can be called once."""
        m, kept = self.m, Signal(name="assumptions_kept", init=1)
        now = Signal(name="assumptions_hold")
        m.submodules.dut = self._dut
        m.d.comb += [self.rst.eq(~self.started | self._again), now.eq(kept)]
        for condition in self._assumed:
            with m.If(~condition & ~self.rst):
                m.d.comb += now.eq(0)
        m.d.sync += kept.eq(now)
        bad = Signal(name="bad")
        if covers:
            seen = [self._seen(name, condition, now) for name, condition in self._covers.items()]
            m.d.comb += bad.eq(1)
            for one in seen:
                with m.If(~one):
                    m.d.comb += bad.eq(0)
        else:
            chosen = self._checks if checks is None else {name: self._checks[name]
                                                          for name in checks}
            for condition in chosen.values():
                with m.If(~condition & ~self.rst & now):
                    m.d.comb += bad.eq(1)
        text = rtlil.convert(m, name="harness", emit_src=False,
                             ports=[self._clock.clk, *self._free.values(), bad])
        return {"dut.v": self.verilog, "harness.il": text}

    def watcher(self) -> str | None:
        """RTLIL of a module ``watcher`` in place of the component, which looks at its ports. What
        is assumed held in all cycles since the last reset, says ``kept`` of those before this one,
        and ``keeps`` of this one, too. None where it takes what the solver chooses to say so, or
        where there is nothing to look at. Can be called once, and :meth:`sources` cannot then."""
        ports = vars(self.ports)
        choices = self._free.keys() - ports.keys() - {"reset_again"}
        if not self._assumed or self._driven or choices:
            return None
        m, kept, keeps = self.m, Signal(name="kept", init=1), Signal(name="keeps")
        m.d.comb += keeps.eq(kept & Cat(condition | self.rst for condition in self._assumed).all())
        m.d.sync += kept.eq(keeps | self.rst)
        return rtlil.convert(m, name="watcher", emit_src=False,
                             ports=[self._clock.clk, self.rst, *ports.values(), kept, keeps])

    def _seen(self, name: str, condition: Value, now: Signal) -> Signal:
        seen = Signal(name="seen_" + name.replace(" ", "_"))
        with self.m.If(condition & ~self.rst & now):
            self.m.d.sync += seen.eq(1)
        return seen


def integer(value: Value, is_signed: bool) -> Value:
    """The number that the bits of a port stand for."""
    return value.as_signed() if is_signed else value.as_unsigned()


@dataclass(frozen=True)
class Flow:
    """A stream of a component: its beat as one value, and the handshake."""

    beat: Value
    valid: Value
    ready: Value

    @property
    def moves(self) -> Value:
        """A beat is taken."""
        return self.valid & self.ready


def flow(harness: Harness, prefix: str, pins: bool = False) -> Flow:
    """The stream of a component whose ports start with ``prefix``."""
    letter = "t" if pins else ""

    def port(name: str):
        return getattr(harness.ports, f"{prefix}_{letter}{name}", None)

    parts = [part for part in (port("data"), port("last"), port("user")) if part is not None]
    return Flow(Cat(*parts), port("valid"), port("ready"))


def holds(harness: Harness, name: str, stream: Flow) -> Value:
    """A beat that was offered and not taken is offered again, unchanged."""
    waited = harness.past(stream.valid & ~stream.ready, f"{name}_waited")
    beat = harness.past(stream.beat, f"{name}_beat")
    return ~waited | (stream.valid & (stream.beat == beat))


def source_keeps_contract(harness: Harness, name: str, stream: Flow) -> None:
    """Assume that whoever feeds the component holds its beats."""
    harness.assume(holds(harness, name, stream))


def buffer_contract(harness: Harness, source: Flow, sink: Flow, *, capacity: int,
                    patience: int, full: Value | None = None) -> Signal:
    """What every buffer owes: beats leave unchanged, in order, each once, and none stays for ever.

    One beat, which the solver picks, is followed through: how many were before it when it came,
    and that it leaves after exactly these, unchanged.

    Parameters
    ----------
    capacity : int
        Beats in the buffer at most.
    patience : int
        In so many cycles in which the sink is ready, a beat that is inside moves on; and in so many
        in which, besides, a beat is offered, one is taken.

    Returns
    -------
    Signal
        How many beats are inside.
    """
    h, m = harness, harness.m
    inside = h.register(range(capacity + 2), "beats_inside")
    h.step(inside, (inside + source.moves - sink.moves)[:len(inside)])
    h.check("sink beat holds", holds(h, "sink", sink))
    h.check("no beat invented or repeated", ~sink.valid | (inside != 0))
    h.check("no more beats than places", inside <= capacity)

    pick = h.free(1, "pick")
    following = h.register(1, "following")
    picked = h.register(1, "picked")
    kept = h.register(len(source.beat), "followed_beat")
    ahead = h.register(range(capacity + 2), "beats_ahead")
    takes = Signal(name="takes")
    m.d.comb += takes.eq(pick & ~picked & source.moves)
    leaves = Signal(name="leaves")
    m.d.comb += leaves.eq(following & (ahead == 0) & sink.moves)
    with m.If(h.rst):
        m.d.sync += [following.eq(0), picked.eq(0)]
    with m.Else():
        with m.If(takes):
            m.d.sync += [following.eq(1), picked.eq(1), kept.eq(source.beat),
                         ahead.eq((inside - sink.moves)[:len(ahead)])]
        with m.Elif(leaves):
            m.d.sync += following.eq(0)
        with m.If(following & sink.moves & (ahead != 0)):
            m.d.sync += ahead.eq(ahead - 1)
    h.check("beats in order and unchanged", ~(following & (ahead == 0) & sink.valid)
            | (sink.beat == kept))
    h.check("no beat lost", ~following | (ahead < inside))

    bounded(h, "a beat inside moves on", (inside != 0) & sink.ready & ~sink.valid, patience)
    if source.ready is not None:
        bounded(h, "a beat offered is taken",
                source.valid & ~source.ready & sink.ready, patience)
    h.cover("followed beat leaves", leaves)
    h.cover("buffer full", inside == capacity)
    return inside


def bounded(harness: Harness, name: str, waiting: Any, patience: int) -> None:
    """``waiting`` does not last for more than ``patience`` cycles on end."""
    count = harness.register(range(patience + 2), "waits_" + name.replace(" ", "_"))
    waiting = Value.cast(waiting)
    with harness.m.If(harness.rst | ~waiting):
        harness.m.d.sync += count.eq(0)
    with harness.m.Elif(count <= patience):
        harness.m.d.sync += count.eq(count + 1)
    harness.check(name, ~(waiting & (count >= patience)))
