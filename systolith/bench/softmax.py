"""Errors of the softmax algorithms against float64, their traffic, and what an attention makes of
them."""

from collections.abc import Iterator

import numpy as np

from systolith.bench.results import SEED, Figure, Grid, Part, Progress, Table, at_most
from systolith.demo import digits
from systolith.hdl.arithmetic.config import ExponentialParameters
from systolith.hdl.formats import BF16, IntegerFormat
from systolith.hdl.softmax.config import REAL, SoftmaxConfig
from systolith.sim.formats import decode, quantize
from systolith.sim.functions import exponential
from systolith.sim.model import Workload
from systolith.sim.softmax import MODEL
from systolith.sim.softmax.ibert import parabola

KINDS = ("normal", "uniform", "heavy-tailed", "one-hot", "constant", "adversarial")
LENGTHS = (1, 2, 16, 256, 4096, 16384)
QUICK_LENGTHS = (1, 2, 16, 256)
ROWS = 6
#: Relative errors are those of probabilities of at least so many units of the last place.
RELATIVE_FROM = 16
#: Worth of 1 in a logit of e^x, as a power of two.
FRACTION = 4
VARIANTS = {
    "three_pass, uint8": {"algorithm": "three_pass"},
    "two_pass, uint8": {"algorithm": "two_pass"},
    "online, uint8": {"algorithm": "online"},
    "single_pass, uint8": {"algorithm": "single_pass", "store": "replay"},
    "online, uint8, precision 12": {"algorithm": "online", "precision": 12},
    "online, uint8, precision 16": {"algorithm": "online", "precision": 16},
    "online, uint16": {"algorithm": "online", "out_format": "uint16"},
    **{f"{algorithm}, {name} in and out": {
        "algorithm": algorithm, "in_format": name, "out_format": name,
        **({"store": "replay"} if algorithm == "single_pass" else {})}
       for algorithm in REAL for name in ("bf16", "fp16")},
    "two_pass, int12 in, uint16": {"algorithm": "two_pass", "in_format": "int12",
                                   "in_fraction": 8, "out_format": "uint16"},
    "base2, uint8": {"algorithm": "base2"},
    "base2, uint16, sum of 20.15 bits": {"algorithm": "base2", "out_format": "uint16",
                                         "sum_integer": 20, "sum_fraction": 15},
    "integer, uint8": {"algorithm": "integer"},
    "ibert, uint8": {"algorithm": "ibert"},
    "ibert, int12 in, uint16": {"algorithm": "ibert", "in_format": "int12", "in_fraction": 8,
                                "out_format": "uint16"},
}
NEVER_ABOVE_ONE = (*REAL, "ibert")


def tables(progress: Progress, *, quick: bool) -> Iterator[Part]:
    """Measure everything, a table at a time."""
    yield from _errors(progress, QUICK_LENGTHS if quick else LENGTHS)
    yield _exponentials(progress)
    yield _traffic(progress)
    yield _attention(progress)


def config_of(values: dict, length: int) -> SoftmaxConfig:
    """A core of 16 lanes for rows of a length."""
    return SoftmaxConfig.parse({"lanes": 16, "max_length": max(length, 16), **values})


def rows_of(kind: str, length: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Logits as real numbers from −8 to 8, shape (count, length)."""
    shape = count, length
    match kind:
        case "normal":
            rows = rng.normal(0, 2, shape)
        case "uniform":
            rows = rng.uniform(-8, 8, shape)
        case "heavy-tailed":
            rows = rng.standard_t(2, shape)
        case "one-hot":
            rows = np.full(shape, -8.0)
            rows[np.arange(count), rng.integers(0, length, count)] = 8
        case "constant":
            rows = np.repeat(rng.uniform(-8, 8, (count, 1)), length, axis=1)
        case "adversarial":
            # The maximum rises with every element: sums are scaled down as often as they can be.
            rows = np.sort(rng.uniform(-8, 8, shape), axis=1)
        case _:
            raise ValueError(f"no rows of kind {kind!r}")
    return rows.clip(-8, 8)


def compared(config: SoftmaxConfig, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the golden model, and float64 ones of the same logits.

    Each algorithm gets the logits in its own scale: base2 and integer have powers of two, so that
    log2(e) is in the scale of the logits.
    """
    worth = 2.0**-config.in_fraction if config.in_fraction is not None \
        else 2.0**-config.step_shift
    base_two = config.algorithm in ("base2", "integer")
    scaled = rows * np.log2(np.e) if base_two else rows
    if config.float_in:
        logits = x = decode(config.x, quantize(config.x, scaled)).astype(float)
    else:
        x = np.rint(scaled / worth).clip(config.x.low, config.x.high).astype(int)
        logits = x * worth
    workload = MODEL.check(config, Workload("", {"x": x}))
    got = MODEL.golden(config, workload)["y"].astype(float)
    if not config.float_out:
        got = np.ldexp(got, config.y.lsb_exponent)
    z = logits - logits.max(axis=1, keepdims=True)
    e = np.exp2(z) if base_two else np.exp(z)
    return got, e / e.sum(axis=1, keepdims=True)


def _errors(progress: Progress, lengths: tuple[int, ...]) -> Iterator[Part]:
    by_kind, by_length, limits = [], [], []
    for name, values in VARIANTS.items():
        progress(f"errors of {name}")
        rng = np.random.default_rng(SEED)
        results = {}
        for kind in KINDS:
            for length in lengths:
                config = config_of(values, length)
                results[kind, length] = compared(config, rows_of(kind, length, ROWS, rng))
        # Of floats, relative errors are those of normal numbers.
        unit = config.y.smallest_normal / RELATIVE_FROM if config.float_out \
            else 2.0**config.y.lsb_exponent
        for kind in KINDS:
            by_kind.append((f"{name}: {kind}", *_row(
                [results[kind, length] for length in lengths], unit)))
        for length in lengths:
            by_length.append((f"{name}: {length}", *_row(
                [results[kind, length] for kind in KINDS], unit)))
        every = list(results.values())
        if config.float_out:
            relative = max((abs(got - want) / want)[want >= config.y.smallest_normal].max()
                           for got, want in every)
            half = 2.0**-(config.y.fraction_bits + 1)
            beyond = 2.0**-config.in_fraction + 12.2 * 2.0**-config.precision
            limits += [at_most(f"{name}: largest relative error", 100 * relative, "%",
                               float(f"{100 * (half + beyond):.3g}")),
                       Figure(f"{name}: largest row sum",
                              max(got.sum(axis=1).max() for got, _ in every), "",
                              "results are rounded to nearest")]
            continue
        if config.algorithm in NEVER_ABOVE_ONE:
            sums = max(got.sum(axis=1).max() for got, _ in every)
            limits.append(at_most(f"{name}: largest row sum", sums, "", 1))
        if config.algorithm in REAL:
            low = max((np.floor(want * (1 + 1e-12) / unit) - got / unit).max()
                      for got, want in every)
            limits.append(at_most(f"{name}: largest difference from the quotient rounded down",
                                  low, "units", 1))
            beyond = 12.2 * 2.0**-config.precision / unit
            limits.append(Figure(f"{name}: largest difference from the quotient",
                                 max(abs(want - got).max() for got, want in every) / unit,
                                 "units", f"at most 1 and {beyond:.2g} by calculation"))
        elif config.algorithm not in NEVER_ABOVE_ONE:
            limits.append(Figure(f"{name}: largest row sum",
                                 max(got.sum(axis=1).max() for got, _ in every), "",
                                 _worst_sum(config)))
    columns = ("max abs", "mean abs", "max rel", "mean rel", "sum − 1, lowest", "sum − 1, highest")
    note = (f"Golden models, which are bit-exact with the RTL, on {ROWS} rows of each kind and "
            "length against float64 softmax of the same logits; relative errors of "
            f"probabilities of at least {RELATIVE_FROM} units of the last place, or of normal "
            "floats.")
    yield Table("Softmax: limits", tuple(limits))
    yield Grid("Softmax: errors by kind of row", ("algorithm, formats: rows", *columns),
               tuple(by_kind), f"{note} Lengths {', '.join(map(str, lengths))}.")
    yield Grid("Softmax: errors by length of row", ("algorithm, formats: length", *columns),
               tuple(by_length), f"{note} Kinds of rows: {', '.join(KINDS)}.")


def _worst_sum(config: SoftmaxConfig) -> str:
    """The largest sum of a row by calculation."""
    if config.algorithm == "integer":
        return "about 2^7: 15 rises by half a step halve the sum 15 times and the weights 8"
    # Every beat cuts the sum twice, by less than its last bit; it is at least a half.
    worst = (1 + 2.0 ** (1 - config.y.bits)) * (1 + config.max_beats * 2.0 ** (
        2 - config.sum_fraction))
    return f"{worst:.3g}, or more where the sum saturates"


def _row(results: list[tuple[np.ndarray, np.ndarray]], unit: float) -> tuple[str, ...]:
    errors = np.concatenate([abs(got - want).ravel() for got, want in results])
    wanted = np.concatenate([want.ravel() for _, want in results])
    sums = np.concatenate([got.sum(axis=1) for got, _ in results]) - 1
    large = wanted >= RELATIVE_FROM * unit
    relative = errors[large] / wanted[large]
    most, mean = (relative.max(), relative.mean()) if large.any() else (None, None)
    return tuple(None if value is None else f"{value:.1e}" for value in (
        errors.max(), errors.mean(), most, mean, sums.min(), sums.max()))


def _exponentials(progress: Progress) -> Table:
    progress("exponentials")
    rng = np.random.default_rng(SEED)
    source = IntegerFormat(28, True, -24)
    fixed = rng.integers(round(-10 * np.log(2) * 2**24), 1, 1 << 20)
    in_bf16 = decode(BF16, quantize(BF16, np.ldexp(fixed.astype(float), -24)))

    def rounded(values: np.ndarray, x: np.ndarray) -> float:
        """Mean relative error of values rounded to bf16, in percent."""
        return 100 * float(abs(decode(BF16, quantize(BF16, values)) / np.exp(x) - 1).mean())

    def library(x: np.ndarray) -> np.ndarray:
        """e^x as the library has it, of x in units of ``source``."""
        v, n = exponential(ExponentialParameters(source, 16), x)
        return np.ldexp(v / 2.0**16, n)

    real = np.ldexp(fixed.astype(float), -24)
    of_bf16 = np.floor(np.ldexp(in_bf16, 24)).astype(np.int64)
    fine = IntegerFormat(30, True, -22)
    z = rng.integers(fine.code_low // 2, fine.code_high // 2, 1 << 20)
    v24, n24 = exponential(ExponentialParameters(fine, 24), z)
    exact = np.exp(np.ldexp(z.astype(float), -22))
    ulp = np.ldexp(1.0, np.frexp(exact)[1] - 24)
    config = SoftmaxConfig.parse({"algorithm": "ibert", "in_format": "int16", "in_fraction": 12})
    constants = [register.fields[0].reset for register in config.registers]
    distance = np.arange(constants[0])
    polynomial, _ = parabola(distance, *constants)
    off = abs(polynomial / constants[2] - np.exp(-distance / 4096.0)).max()
    return Table("Softmax: exponentials", (
        at_most("e^x to bf16, precision 16: mean relative error", rounded(library(fixed), real),
                "%", 0.142),
        Figure("the same, correctly rounded", rounded(np.exp(real), real), "%"),
        Figure("e^x of bf16 to bf16, precision 16: mean relative error",
               rounded(library(of_bf16), in_bf16), "%"),
        Figure("the same, correctly rounded", rounded(np.exp(in_bf16), in_bf16), "%"),
        at_most("e^x with precision 24: largest error",
                float((abs(np.ldexp(v24 / 2.0**24, n24) - exact) / ulp).max()), "fp32 ulp", 2),
        at_most("ibert: largest error of the parabola", float(off), "", 2e-3),
    ), "The library's exponential on 2^20 random numbers uniform in −10 ln 2 to 0, and on the same "
       "rounded to bf16 first; with precision 24 from −64 to 64; ibert's at a scale of 2^-12.")


def _traffic(progress: Progress) -> Table:
    progress("traffic")
    figures = []
    length = 4096
    for algorithm, store in (("two_pass", "replay"), ("online", "replay"), ("two_pass", "chip"),
                             ("three_pass", "chip")):
        config = config_of({"algorithm": algorithm, "store": store}, length)
        workload = MODEL.check(config, Workload("", {"x": np.zeros((4, length), int)}))
        job = MODEL.pack(config, workload)
        beats = sum(map(len, job.inputs.values())) + sum(job.outputs.values())
        figures.append(Figure(f"{algorithm}, rows kept by {store}: words in and out of the core",
                              beats * config.lanes / (4 * length), "N"))
    figures += [
        Figure("two passes: words read and written", 3, "N", "two readings and a writing"),
        Figure("three passes, exponentials computed again", 4, "N",
               "three readings and a writing"),
        Figure("three passes, exponentials stored", 5, "N",
               "three readings and two writings; none is built so"),
    ]
    return Table("Softmax: memory traffic of a row of N", tuple(figures),
                 "The first four are counted on the streams; with rows kept on chip, further "
                 "readings are of the core's own memory.")


def _attention(progress: Progress) -> Grid:
    """Digits look at other digits: keys are images, values their labels."""
    progress("attention over digits")
    data = digits.load_digits()
    keys, labels = data.train[:1024], data.train_labels[:1024]
    queries, truth = data.test, data.test_labels
    values = np.eye(10)[labels]

    def unit(images: np.ndarray) -> np.ndarray:
        flat = images.reshape(len(images), -1).astype(float)
        flat -= flat.mean(axis=1, keepdims=True)
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    scores = 8 * unit(queries) @ unit(keys).T
    weights = np.exp(scores)
    want = weights / weights.sum(axis=1, keepdims=True) @ values
    rows = [("float64", f"{100 * (want.argmax(axis=1) == truth).mean():.1f}", None, None)]
    for name, variant in VARIANTS.items():
        got, _ = compared(config_of(variant, len(keys)), scores)
        result = got @ values
        rows.append((name, f"{100 * (result.argmax(axis=1) == truth).mean():.1f}",
                     f"{100 * (result.argmax(axis=1) == want.argmax(axis=1)).mean():.1f}",
                     f"{abs(result - want).mean():.1e}"))
    return Grid("Softmax: an attention over digits",
                ("algorithm, formats", "right, %", "same as float64, %",
                 "mean error of the output"),
                tuple(rows),
                f"{len(queries)} digits look at {len(keys)} others: keys are images, values their "
                "labels, a score is 8 times the correlation.")
