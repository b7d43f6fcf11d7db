"""From numbers to blocks with one power-of-two scale: ``mx…`` and ``bfp…``."""

from amaranth import Cat, Const, Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.decoders import FloatDecoder
from systolith.hdl.arithmetic.fixing import FixedEncoder
from systolith.hdl.arithmetic.rounding import FixedRounder, FloatEncoder, Rounding
from systolith.hdl.arithmetic.shifting import LeadingZeros
from systolith.hdl.arithmetic.steps import counter, shape, signal_of
from systolith.hdl.formats import (
    SCALE_BIAS,
    SCALE_BITS,
    SCALE_NAN,
    BlockFormat,
    FloatFormat,
    IntegerFormat,
)
from systolith.hdl.structure.delay import Delay
from systolith.hdl.structure.linear_array import LinearArray
from systolith.hdl.structure.reduction import Reduction


class SharedScale(wiring.Component):
    """The scale of a block, from the largest magnitude in it.

    X − 127 = floor(log2 max|v|) − ``exponent_high`` of the format, no less than −127.

    Parameters
    ----------
    format : BlockFormat
    source : FloatFormat
        Of the numbers.

    Members
    -------
    largest : In(source.bits - 1)
        Code of the largest magnitude, Inf and NaN included: codes without their signs are in order.
    scale : Out(8)
        X; 0 for a block of zeros, 255 (NaN) if the largest is Inf or NaN, or X would pass 254.

    Timing
    ------
    Latency 2 cycles, one block per cycle.
    """

    latency = 2

    def __init__(self, format: BlockFormat, source: FloatFormat):
        self.format, self.source = format, source
        super().__init__({"largest": In(source.bits - 1), "scale": Out(SCALE_BITS)})

    def elaborate(self, platform):
        m = Module()
        source = self.source
        fraction_bits = source.fraction_bits
        field = self.largest[fraction_bits:]
        normal = signal_of(m, field.any(), "normal")
        # The significand of a normal number has no leading zeros: every step of the exponent
        # field is worth one binade, and so is every zero.
        m.submodules.zeros = zeros = LeadingZeros(1 + fraction_bits)
        m.d.comb += zeros.word.eq(Cat(self.largest[:fraction_bits], normal))
        binade = Signal(range(-fraction_bits, (1 << source.exponent_bits) - 1), reset_less=True)
        zero = Signal(reset_less=True)
        finite = Signal(reset_less=True)
        m.d.sync += [
            binade.eq((field - normal) - zeros.count),
            zero.eq(zeros.zero),
            finite.eq(self.largest <= source.high_code),
        ]

        offset = source.exponent_low - self.format.exponent_high + SCALE_BIAS
        code = Signal(range(min(offset - fraction_bits, 0),
                            max(offset + (1 << source.exponent_bits), 1)))
        scale = Signal(SCALE_BITS, name="shared", reset_less=True)
        m.d.comb += [code.eq(binade + offset), self.scale.eq(scale)]
        with m.If(~finite):
            m.d.sync += scale.eq(SCALE_NAN)
        with m.Elif(zero | (code < 0)):
            m.d.sync += scale.eq(0)
        with m.Elif(code >= SCALE_NAN):
            m.d.sync += scale.eq(SCALE_NAN)
        with m.Else():
            m.d.sync += scale.eq(code)
        return m


class BlockElement(wiring.Component):
    """Rounds a number, divided by the scale of its block, to an element; saturates.

    Parameters
    ----------
    format : BlockFormat
    source : FloatFormat
        Of the number.
    rounding : "rne", "half_away" or "toward_zero"

    Members
    -------
    number : In(source.bits)
        Less than twice the largest power of two that an element with this scale holds, in
        magnitude, as :class:`SharedScale` makes sure.
    scale : In(8)
        255 makes the element 0.
    code : Out(format.bits)

    Timing
    ------
    Latency :attr:`latency` cycles, one number per cycle.
    """

    def __init__(self, format: BlockFormat, source: FloatFormat, rounding: Rounding = "rne"):
        self.format, self.source, self.rounding = format, source, rounding
        self.latency = 1 + (FloatEncoder.STEPS if isinstance(format.element, FloatFormat)
                            else FixedEncoder.latency + 1)
        super().__init__({"number": In(source.bits), "scale": In(SCALE_BITS),
                          "code": Out(format.bits)})

    def elaborate(self, platform):
        m = Module()
        source, format = self.source, self.format
        width = 1 + source.fraction_bits
        # Exponents of the significand's last bit: with the lowest one, and below, the number is
        # less than half an element's step.
        exponents = range(format.lsb_exponent - 1 - width, format.exponent_high + 1)
        m.submodules.decode = decode = FloatDecoder(source)
        valid = signal_of(m, self.scale != SCALE_NAN, "valid")
        offset = source.lsb_exponent + SCALE_BIAS - exponents.start
        place = signal_of(m, decode.exponent - self.scale + Const(offset, Shape.cast(
            range(min(offset, 0), max(offset, 0) + 1))), "place")
        exponent = Signal(counter(len(exponents) - 1), reset_less=True)
        magnitude = Signal(width, reset_less=True)
        sign = Signal(reset_less=True)
        m.d.comb += decode.code.eq(self.number)
        m.d.sync += [
            exponent.eq(Mux(place < 0, 0, place)),
            magnitude.eq(Mux(valid, decode.significand, 0)),
            sign.eq(decode.sign & valid),
        ]
        encode = (self._float if isinstance(format.element, FloatFormat) else self._integer)(
            m, format.element, width, exponents)
        m.d.comb += [encode.sign.eq(sign), encode.exponent.eq(exponent),
                     encode.magnitude.eq(magnitude)]
        return m

    def _float(self, m: Module, element: FloatFormat, width: int, exponents: range):
        m.submodules.encode = encode = FloatEncoder(
            element, width, exponents, FloatEncoder.STEPS, self.rounding, saturate=True)
        m.d.comb += self.code.eq(encode.code)
        return encode

    def _integer(self, m: Module, element: IntegerFormat, width: int, exponents: range):
        # Wide enough for every number: the range is looked at behind the rounding.
        whole = IntegerFormat(element.bits + width, True, element.lsb_exponent)
        m.submodules.encode = encode = FixedEncoder(whole, width, exponents, self.rounding)
        m.submodules.limit = limit = FixedRounder(whole, element, symmetric=self.format.symmetric)
        limited = Signal(shape(element), reset_less=True)
        m.d.comb += [limit.value.eq(encode.value), self.code.eq(limited)]
        m.d.sync += limited.eq(limit.result)
        return encode


class BlockQuantizer(wiring.Component):
    """Quantizes a block: its scale from the largest magnitude, then every element.

    OCP Microscaling Formats 1.0, section 6.3, for ``mx``; the same with integers for ``bfp``. A
    block that holds an Inf or a NaN, or whose scale would pass 2^127, has scale 255 and elements 0.

    Parameters
    ----------
    format : BlockFormat
    source : FloatFormat
        Of the numbers.
    rounding : "rne", "half_away" or "toward_zero"
        Of the elements.

    Members
    -------
    numbers : In(format.block * source.bits)
        Element i is bits ``[i*w +: w]``. A block that is not full is padded with zeros.
    codes : Out(format.block * format.bits)
    scale : Out(8)

    Timing
    ------
    Latency :attr:`latency` cycles, one block per cycle.
    """

    def __init__(self, format: BlockFormat, source: FloatFormat, rounding: Rounding = "rne"):
        self.format, self.source, self.rounding = format, source, rounding
        #: Until the scale is known.
        self.scale_latency = Reduction.cycles(format.block) + SharedScale.latency
        self.latency = self.scale_latency + BlockElement(format, source, rounding).latency
        super().__init__({"numbers": In(format.block * source.bits),
                          "codes": Out(format.block * format.bits), "scale": Out(SCALE_BITS)})

    def elaborate(self, platform):
        m = Module()
        format, source = self.format, self.source
        magnitudes = Cat(*(self.numbers.word_select(index, source.bits)[:-1]
                           for index in range(format.block)))
        m.submodules.largest = largest = Reduction(format.block, Shape(source.bits - 1), "max")
        m.submodules.shared = shared = SharedScale(format, source)
        m.submodules.wait = wait = Delay(len(self.numbers), self.scale_latency)
        m.submodules.beside = beside = Delay(SCALE_BITS, self.latency - self.scale_latency)
        m.submodules.elements = elements = LinearArray(
            lambda: BlockElement(format, source, self.rounding), format.block, name="element",
            broadcast=("scale",))
        m.d.comb += [
            largest.i.eq(magnitudes),
            shared.largest.eq(largest.o),
            wait.i.eq(self.numbers),
            beside.i.eq(shared.scale),
            elements.number.eq(wait.o),
            elements.scale.eq(shared.scale),
            self.codes.eq(elements.code),
            self.scale.eq(beside.o),
        ]
        return m
