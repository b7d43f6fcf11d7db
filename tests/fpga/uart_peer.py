"""Runs inside the simulator: cocotbext-uart at the pins of a board, as an independent peer."""

import json
import os
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.uart import UartSink, UartSource

from systolith.fpga.link.packets import Packet, Splitter
from systolith.hdl.link.config import Kind


@cocotb.test()
async def peer(dut):
    """Open the link and read registers; what came back goes into a file."""
    told = json.loads(os.environ["UART_PEER"])
    period = 2 * round(5e11 / told["clock_hz"])      # an even number
    cocotb.start_soon(Clock(dut.pin_clk, period, unit="ps").start())
    source = UartSource(dut.pin_rx, baud=told["baud"])
    sink = UartSink(dut.pin_tx, baud=told["baud"])
    splitter = Splitter()
    await ClockCycles(dut.pin_clk, 1000)

    async def ask(packet):
        await source.write(b"\0" + packet.encode())
        answers = []
        while not answers:
            answers = list(splitter.feed(bytes(await with_timeout(sink.read(1), 2, "ms"))))
        return answers[0]

    hello = await ask(Packet(Kind.OPEN, argument=0x1234))
    found = {"hello": [hello.kind, hello.argument, *hello.payload], "registers": []}
    for number, offset in enumerate(told["offsets"], 1):
        answer = await ask(Packet(Kind.READ_REGISTER, number, offset))
        found["registers"].append(int.from_bytes(answer.payload, "little"))
    found["damaged"] = splitter.damaged
    Path(told["result"]).write_text(json.dumps(found))
