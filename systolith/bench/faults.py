"""Upsets of single bits: what they do to every template, and with triple redundancy."""

from collections.abc import Iterator

from systolith.bench.results import SEED, Grid, Part, Progress, Table, at_most
from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.signoff.faults import measure
from systolith.sim.simulators.upsets import OUTCOMES

COUNT = 10_000               # upsets of each core

#: Templates of a quick run: their models build in seconds.
QUICK = ("topn", "activation", "dot")


def tables(progress: Progress, *, quick: bool) -> Iterator[Part]:
    """A campaign against the first preset of every template, plain and hardened."""
    rows, figures, total, left = [], [], 0, 0
    for template in registry.TEMPLATES:
        if quick and template.name not in QUICK:
            continue
        config = template.config.parse(dict(next(iter(template.presets.values()))))
        for level in ("none", "tmr"):
            progress(f"faults: {template.name}, hardening {level}")
            core = elaborate(template, config, template.name, level)
            found = measure(core, count=COUNT, seed=SEED)
            counts = found.counts()
            if level == "none":
                rows.append((template.name, found.bits(memory=False), found.bits(memory=True),
                             *(100 * counts[name] / COUNT for name in OUTCOMES)))
            else:
                seen = COUNT - counts["masked"]
                total, left = total + COUNT, left + seen
                figures.append(at_most(f"{template.name}: upsets not masked with tmr, of "
                                       f"{COUNT:,}", seen, "upsets", 0))
    figures.append(at_most(f"all of them: upsets not masked, of {total:,}", left, "upsets", 0))
    which = f"A quick run, of {', '.join(QUICK)} alone. " if quick else ""
    yield Grid("Plain cores", ("template", "bits of registers", "bits of memories",
                               *(f"{name}, %" for name in OUTCOMES)), tuple(rows),
               f"{which}{COUNT:,} upsets of the first preset of each template, seed {SEED}: three "
               "of four in registers, each bit in its turn, one of four in words of memories that "
               "are in use, where there are any. The workloads are the eight shortest ones of the "
               "stimulus, with random stalls; what an upset does in longer ones may differ.")
    yield Table("With triple redundancy", tuple(figures))
