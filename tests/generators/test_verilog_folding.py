"""Constants that a configuration leaves behind do not get into the text."""

import pytest
from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from systolith.generators.verilog import emit


class Part(wiring.Component):
    """What a function makes of two inputs."""

    def __init__(self, drive):
        self.drive = drive
        super().__init__({"a": In(4), "b": In(1), "y": Out(4)})

    def elaborate(self, platform):
        m = Module()
        on, off, undriven = Signal(name="on"), Signal(name="off"), Signal(3, name="six", init=6)
        m.d.comb += [on.eq(off | 1), off.eq(0)]
        self.drive(m, self, on, off, undriven)
        return m


def body(drive) -> str:
    """The statements of the emitted module."""
    text = emit(Part(drive), name="part").text
    text = text.partition(");\n")[2].partition("endmodule")[0]
    return " ".join(line.strip() for line in text.splitlines() if "unused" not in line).strip()


def conditional(m, part, on, off, six):
    with m.If(off):
        m.d.comb += part.y.eq(1)
    with m.Elif(part.b & on):
        m.d.comb += part.y.eq(2)
    with m.Else():
        m.d.comb += part.y.eq(3)


def always(m, part, on, off, six):
    with m.If(on):
        m.d.sync += part.y.eq(part.a)
    with m.Else():
        m.d.sync += part.y.eq(0)


def cases(m, part, on, off, six):
    with m.Switch(Cat(part.b, on)):
        with m.Case(1):
            m.d.comb += part.y.eq(1)
        with m.Case(3):
            m.d.comb += part.y.eq(part.a)
        with m.Default():
            m.d.comb += part.y.eq(2)


@pytest.mark.parametrize("drive, text", [
    (lambda m, part, on, off, six: m.d.comb.__iadd__(part.y.eq(part.a & six)),
     "assign y = a & 4'd6;"),
    (lambda m, part, on, off, six: m.d.comb.__iadd__(part.y.eq(Mux(on & ~off, part.a, 9))),
     "assign y = a;"),
    (lambda m, part, on, off, six: m.d.comb.__iadd__(part.y.eq(Mux(part.b, six + 1, 7))),
     "assign y = 4'd7;"),
    (lambda m, part, on, off, six: m.d.comb.__iadd__(part.y.eq(part.a << off)),
     "assign y = a;"),
    (lambda m, part, on, off, six: m.d.comb.__iadd__(part.y.eq(six[1:].all())),
     "assign y = 4'd1;"),
    (conditional, "always @* begin y = 4'd0; if (b) begin y = 4'd2; end else begin "
                  "y = 4'd3; end end"),
    (always, "always @(posedge clk) if (rst) begin y <= 4'd0; end else begin y <= a; end"),
    (cases, "always @* begin y = 4'd0; case ({1'b1, b}) 2'd3: begin y = a; end default: begin "
            "y = 4'd2; end endcase end"),
])
def test_constants_are_in_place(drive, text):
    found = body(drive)
    assert found == text, found


class Rom(wiring.Component):
    """A table."""

    def __init__(self, words):
        self.words = words
        super().__init__({"address": In(2), "word": Out(4)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = Memory(shape=4, depth=4, init=self.words)
        port = words.read_port()
        m.d.comb += [port.addr.eq(self.address), self.word.eq(port.data)]
        return m


def test_a_port_of_a_memory_that_is_always_on_has_no_condition():
    text = emit(Rom([1, 2, 3, 4]), name="rom").text
    assert "if (" not in text and "_en" not in text and "<= words[" in text


def test_a_table_of_zeros_has_contents():
    text = emit(Rom([0, 0, 0, 0]), name="rom").text
    assert all(f"words[{index}] = 4'h0;" in text for index in range(4))


def test_what_leaves_through_a_port_stays():
    class Outer(wiring.Component):
        """Reads a constant output of what is inside."""

        def __init__(self):
            super().__init__({"y": Out(4)})

        def elaborate(self, platform):
            m = Module()
            m.submodules.part = part = Part(lambda m, part, on, off, six: m.d.comb.__iadd__(
                part.y.eq(Const(5, 4))))
            m.d.comb += [part.a.eq(0), part.b.eq(0), self.y.eq(part.y)]
            return m

    text = emit(Outer(), name="outer").text
    assert "assign y = 4'd5;" in text and ".y(y)" in text


def test_what_is_overwritten_by_a_constant_is_assigned():
    """A block `always @*` that reads nothing would never run."""
    def drive(m, part, on, off, six):
        m.d.comb += part.y.eq(part.a)
        m.d.comb += part.y.eq(Cat(on, off, Const(3, 2)))

    text = emit(Part(drive), name="part").text
    assert "assign y = 4'd13;" in text
    assert "always" not in text
