"""Running arithmetic components in Amaranth's simulator."""

import numpy as np
import pytest
from amaranth.hdl import Fragment
from amaranth.lib.wiring import Out
from amaranth.sim import Simulator


def _evaluate(component, **inputs):
    """Outputs of ``component`` for arrays of inputs, one element per evaluation or cycle.

    Inputs are integers; every output comes back as an integer array (of objects where int64 is too
    narrow), shifted by the component's latency.
    """
    ports = {name: getattr(component, name) for name in inputs}
    members = component.signature.members.items()
    outputs = {name: getattr(component, name) for name, member in members if member.flow == Out}
    columns = [np.asarray(values).tolist() for values in inputs.values()]
    rows = list(zip(*columns, strict=True))
    latency = component.latency
    seen = []

    async def combinational(ctx):
        for row in rows:
            for port, value in zip(ports.values(), row, strict=True):
                ctx.set(port, value)
            seen.append([ctx.get(output) for output in outputs.values()])

    async def clocked(ctx):
        for row in rows + rows[-1:] * (latency - 1):
            for port, value in zip(ports.values(), row, strict=True):
                ctx.set(port, value)
            await ctx.tick()
            seen.append([ctx.get(output) for output in outputs.values()])

    simulator = Simulator(Fragment.get(component, None))
    if latency:
        simulator.add_clock(1e-6)
    simulator.add_testbench(clocked if latency else combinational)
    simulator.run()
    columns = zip(*seen[max(latency - 1, 0):], strict=True)
    return {name: np.array(column) for name, column in zip(outputs, columns, strict=True)}


@pytest.fixture
def evaluate():
    return _evaluate
