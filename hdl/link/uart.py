"""The two halves of a UART: eight bits, no parity, one stop bit, least significant bit first."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

DATA_BITS = 8


class UartReceiver(wiring.Component):
    """From the line to bytes.

    Bits are sampled in their middle. A byte whose stop bit is low is dropped: whatever comes after
    it, the packet it was part of fails its check.

    Parameters
    ----------
    divisor : int
        Clock cycles of a bit, at least 4.

    Members
    -------
    rx : In(1)
        The line; it may change at any time.
    data : Out(8)
    valid : Out(1)
        High for a cycle with every byte.
    """

    def __init__(self, divisor: int):
        self.divisor = divisor
        super().__init__({"rx": In(1), "data": Out(DATA_BITS), "valid": Out(1)})

    def elaborate(self, platform):
        m = Module()
        rx_meta = Signal(init=1)
        rx = Signal(init=1)
        timer = Signal(range(self.divisor))
        left = Signal(range(DATA_BITS + 3))              # bits to sample; 0: waits for a start bit
        m.d.sync += [rx_meta.eq(self.rx), rx.eq(rx_meta), self.valid.eq(0)]
        with m.If(left == 0):
            m.d.sync += timer.eq(self.divisor // 2 - 1)
            with m.If(~rx):
                m.d.sync += left.eq(DATA_BITS + 2)
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [timer.eq(self.divisor - 1), left.eq(left - 1)]
            with m.If(left == 1):
                m.d.sync += self.valid.eq(rx)
            with m.Elif(left != DATA_BITS + 2):
                m.d.sync += self.data.eq(Cat(self.data[1:], rx))
            with m.Elif(rx):                             # no start bit, only a glitch
                m.d.sync += left.eq(0)
        return m


class UartTransmitter(wiring.Component):
    """From bytes to the line.

    Parameters
    ----------
    divisor : int
        Clock cycles of a bit.

    Members
    -------
    data : In(8)
    valid : In(1)
    ready : Out(1)
    tx : Out(1)
        The line, from a register.

    Timing
    ------
    Bytes follow each other without a gap: one is taken in the last cycle of the stop bit before.
    """

    def __init__(self, divisor: int):
        self.divisor = divisor
        super().__init__({"data": In(DATA_BITS), "valid": In(1), "ready": Out(1), "tx": Out(1)})

    def elaborate(self, platform):
        m = Module()
        timer = Signal(range(self.divisor))
        left = Signal(range(DATA_BITS + 3))              # bits to go, with the one on the line
        shift = Signal(DATA_BITS + 1, init=(1 << DATA_BITS + 1) - 1)
        m.d.comb += [
            self.ready.eq((left == 0) | ((left == 1) & (timer == 0))),
            self.tx.eq(shift[0]),
        ]
        with m.If(self.ready):
            m.d.sync += left.eq(0)
            with m.If(self.valid):
                m.d.sync += [shift.eq(Cat(Const(0, 1), self.data)), left.eq(DATA_BITS + 2),
                             timer.eq(self.divisor - 1)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [shift.eq(Cat(shift[1:], Const(1, 1))), left.eq(left - 1),
                         timer.eq(self.divisor - 1)]
        return m
