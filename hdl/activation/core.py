"""The activation core: lanes that never stall, and the buffer behind them."""

from collections.abc import Mapping

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring

from systolith.hdl.activation.config import ActivationConfig
from systolith.hdl.activation.lane import ActivationLane, flag_port, lane_latency
from systolith.hdl.bus import axi_stream
from systolith.hdl.bus.credits import Credits
from systolith.hdl.shell import SLICE_LATENCY, inside_signature
from systolith.hdl.structure.delay import Delay
from systolith.hdl.structure.linear_array import LinearArray


def latency(config: ActivationConfig) -> Mapping[str, int | str]:
    """Latency and throughput of the core, in cycles."""
    cycles = lane_latency(config) + axi_stream.Fifo.latency + 2 * SLICE_LATENCY
    return {
        "latency": cycles,
        "latency_from": "an accepted x beat to its y beat",
        "beats_per_cycle": 1,
        "cycles": f"beats + {cycles}",
    }


class ActivationCore(wiring.Component):
    """A function of every element of a stream.

    A beat enters the lanes when its place in the output buffer is reserved.

    Parameters
    ----------
    config : ActivationConfig

    Timing
    ------
    One beat per cycle.
    """

    def __init__(self, config: ActivationConfig):
        self.config = config
        super().__init__(inside_signature(config))

    def elaborate(self, platform):
        m = Module()
        config, x = self.config, self.x
        m.submodules.lanes = lanes = LinearArray(
            lambda: ActivationLane(config), config.lanes, name="lane")
        cell = lanes.prototype
        m.submodules.results = results = axi_stream.Fifo(
            axi_stream.Signature(config.lanes * config.y.bits),
            cell.latency + axi_stream.Fifo.latency + 2)
        m.submodules.result_places = places = Credits(results.depth, 1)
        take = Signal()
        inside = Signal()                                # a frame has begun
        with m.If(take):
            m.d.sync += inside.eq(~x.last)

        # Whether a beat is there: when its elements are in fixed point, and when they leave.
        m.submodules.entered = entered = Delay(2, cell.entry, reset=True)
        m.submodules.done = done = Delay(2, cell.latency - cell.entry, reset=True)
        m.d.comb += [
            take.eq(x.valid & places.enough),
            x.ready.eq(places.enough),
            lanes.x.eq(x.data),
            places.reserve.eq(take),
            places.freed.eq(results.taken),
            entered.i.eq(Cat(take, x.last)),
            done.i.eq(entered.o),
            results.i.data.eq(lanes.y),
            results.i.valid.eq(done.o[0]),
            results.i.last.eq(done.o[1]),
            self.busy.eq(inside | places.any_used),
            self.waiting.eq(inside & places.enough & ~x.valid),
        ]
        wiring.connect(m, results.o, wiring.flipped(self.y))
        m.d.comb += self.flags.eq(Cat(
            (done if name.startswith("y_") else entered).o[0]
            & getattr(lanes, flag_port(name)).any() for name, _ in config.flags))
        return m
