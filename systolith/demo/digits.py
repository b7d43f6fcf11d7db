"""Classify scikit-learn's handwritten digits with a generated core.

``python -m systolith.demo.digits`` trains a 64-32-10 network, quantizes it to int8 and computes
every matrix product of it twice, on the golden model and on the RTL. It ends in status 1 if a
single value or the number of cycles differs.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

import systolith
from systolith.demo.picture import draw
from systolith.demo.quantize import Dense, QuantizedDense, quantize_network

HIDDEN = 32
TEST_IMAGES = 450
SEED = 1


@dataclass(frozen=True)
class Digits:
    """Images as float arrays of shape (images, 64), 0 to 1, and labels of shape (images,)."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


@dataclass(frozen=True)
class LayerRun:
    """One layer on one core: int8 outputs (images, columns), and what they cost.

    ``cycles`` and ``utilization`` are those of ``core.last``; ``macs`` counts the useful
    multiply-accumulates, ``seconds`` the wall time of the call.
    """

    outputs: np.ndarray
    cycles: int
    utilization: float
    macs: int
    seconds: float


def load_digits() -> Digits:
    """Read the bundled images and set ``TEST_IMAGES`` of them aside, the classes balanced."""
    try:
        from sklearn import datasets, model_selection
    except ModuleNotFoundError:
        raise systolith.Error("the digits demo needs scikit-learn: "
                              "pip install 'systolith[demo]'") from None
    images, labels = datasets.load_digits(return_X_y=True)
    train, test, train_labels, test_labels = model_selection.train_test_split(
        images / 16, labels, test_size=TEST_IMAGES, stratify=labels, random_state=SEED)
    return Digits(train, train_labels, test, test_labels)


def train(digits: Digits) -> tuple[Dense, ...]:
    """Fit a perceptron with one hidden layer, in floating point."""
    from sklearn.neural_network import MLPClassifier
    network = MLPClassifier((HIDDEN,), learning_rate_init=1e-2, alpha=1e-2, max_iter=300,
                            random_state=SEED).fit(digits.train, digits.train_labels)
    final = len(network.coefs_) - 1
    return tuple(Dense(weights, bias, relu=index < final)
                 for index, (weights, bias) in enumerate(
                     zip(network.coefs_, network.intercepts_, strict=True)))


def run(core: Any, layers: Sequence[QuantizedDense], images: np.ndarray) -> list[LayerRun]:
    """Put float images (images, 64) through the quantized layers on ``core``."""
    codes = layers[0].input.quantize(images)
    runs = []
    for layer in layers:
        start = time.perf_counter()
        outputs = layer(core, codes)
        seconds = time.perf_counter() - start
        runs.append(LayerRun(outputs, core.last.cycles, core.last.utilization,
                             codes.shape[0] * layer.weights.size, seconds))
        codes = outputs
    return runs


def differences(golden: Sequence[LayerRun], rtl: Sequence[LayerRun], *,
                cycles: bool = True) -> list[str]:
    """Every layer in which two runs disagree, in a sentence each; empty if they are identical.

    ``cycles`` tells whether these count: a board's include those in which it waits for the link.
    """
    found = []
    for index, (want, got) in enumerate(zip(golden, rtl, strict=True)):
        wrong = np.argwhere(want.outputs != got.outputs)
        if len(wrong):
            image, column = wrong[0]
            found.append(f"layer {index}: {len(wrong)} of {want.outputs.size} outputs differ, "
                         f"first c[{image}, {column}]: expected {want.outputs[image, column]}, "
                         f"got {got.outputs[image, column]}")
        if cycles and want.cycles != got.cycles:
            found.append(f"layer {index}: expected {want.cycles} cycles, measured {got.cycles}")
    return found


def accuracy(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows whose largest element is that of the label; the first wins a tie."""
    return float(np.mean(outputs.argmax(axis=1) == labels))


def tables(runs: Sequence[LayerRun], single: Sequence[LayerRun], images: int, pes: int,
           accuracies: dict[str, float]) -> list[Table]:
    """What the demo prints."""
    scores = Table("accuracy", *accuracies, title=f"{images} test images")
    scores.add_row("", *(f"{value:.2%}" for value in accuracies.values()))

    costs = Table("", *(f"layer {index}" for index in range(len(runs))), "network",
                  title=f"{pes} PEs, all images in one batch")
    cycles = [layer.cycles for layer in runs] + [sum(layer.cycles for layer in runs)]
    macs = [layer.macs for layer in runs] + [sum(layer.macs for layer in runs)]
    seconds = [layer.seconds for layer in runs] + [sum(layer.seconds for layer in runs)]
    useful = [layer.utilization for layer in runs] + [macs[-1] / (pes * cycles[-1])]
    alone = [layer.cycles for layer in single] + [sum(layer.cycles for layer in single)]
    costs.add_row("cycles", *(f"{value:,}" for value in cycles))
    costs.add_row("cycles per image", *(f"{value / images:.2f}" for value in cycles))
    costs.add_row("cycles, one image alone", *(f"{value:,}" for value in alone))
    costs.add_row("MACs per cycle", *(f"{m / c:.2f}" for m, c in zip(macs, cycles, strict=True)))
    costs.add_row("PE utilization", *(f"{value:.1%}" for value in useful))
    costs.add_row("simulated clock", *(f"{c / s / 1e3:,.0f} kHz"
                                       for c, s in zip(cycles, seconds, strict=True)))
    for column in costs.columns[1:]:
        column.justify = "right"
    return [scores, costs]


@click.command(help=__doc__)
@click.option("--backend", default="sim", show_default=True,
              help="What runs beside the golden model, as for systolith.load.")
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False),
              help="Also draw digits and results as SVG into this file.")
def main(backend: str, picture: Path | None) -> None:
    console = Console()
    spec = yaml.safe_load(files(__package__).joinpath("digits.yaml").read_text())
    try:
        digits = load_digits()
        network = train(digits)
        layers = quantize_network(network, digits.train)
        with console.status("Compiling the core"):
            golden_core = systolith.load(spec["template"], **spec["config"], backend="golden")
            core = systolith.load(spec["template"], **spec["config"], backend=backend)
        with console.status("Classifying"):
            golden = run(golden_core, layers, digits.test)
            runs = run(core, layers, digits.test)
            single = run(core, layers, digits.test[:1])
    except systolith.Error as error:
        raise click.UsageError(str(error)) from None

    x = digits.test
    for layer in network:
        x = layer(x)
    what = "RTL" if backend == "sim" else backend
    accuracies = {"float": accuracy(x, digits.test_labels),
                  "integer golden": accuracy(golden[-1].outputs, digits.test_labels),
                  what: accuracy(runs[-1].outputs, digits.test_labels)}
    pes = spec["config"]["rows"] * spec["config"]["cols"]
    for table in tables(runs, single, len(digits.test), pes, accuracies):
        console.print(table)

    on_board = backend.startswith("serial:")
    if found := differences(golden, runs, cycles=not on_board):
        for sentence in found:
            console.print(f"[bold red]MISMATCH[/] {sentence}", highlight=False)
        sys.exit(1)
    values = sum(layer.outputs.size for layer in runs)
    cycles = ("cycles include waiting for the link" if on_board
              else "cycles as the cycle model says")
    console.print(f"{what} and golden model agree: {values:,} of {values:,} values identical, "
                  f"{cycles}.", highlight=False)
    if picture:
        title = f"Handwritten digits on the generated core ({what}), int8, " \
                f"{spec['config']['rows']} × {spec['config']['cols']} PEs"
        summary = ", ".join(f"{name} {value:.2%}" for name, value in accuracies.items())
        picture.write_text(draw(
            digits.test, digits.test_labels, runs[-1].outputs.argmax(axis=1), title,
            [f"Accuracy: {summary}; {values:,} of {values:,} values identical to the golden model",
             *(f"Layer {index}: {layer.cycles:,} cycles, {layer.macs / layer.cycles:.1f} "
               f"multiply-accumulates per cycle, PE utilization {layer.utilization:.1%}"
               for index, layer in enumerate(runs))]))
        console.print(f"Drew {picture}")


if __name__ == "__main__":
    main()
