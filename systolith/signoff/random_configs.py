"""Rung ``random``: configurations of the template that nobody chose, valid ones and malformed ones.

Valid ones are drawn over the whole parameter space. Each is emitted and linted; one in ten is
small, and also built and run through :class:`~systolith.sim.simulators.exercise.Exercise`. What
fails is shrunk by Hypothesis to its smallest form. Malformed requests must be refused in words.

What passed is recorded by content in ``random.jsonl`` in the output directory, so that a run that
was stopped goes on where it was.
"""

import importlib.metadata
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from systolith.generators.core import GeneratedCore, elaborate, write
from systolith.generators.template import Template
from systolith.hdl.config import CoreConfig
from systolith.signoff import lint, malformed
from systolith.signoff.rung import Finding, Options, Outcome, Progress, RungResult, Table
from systolith.signoff.spread import spread
from systolith.sim.simulators import cache, verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.errors import ToolError
from systolith.sim.simulators.exercise import Exercise
from systolith.sim.simulators.exercise.counters import writable
from systolith.sim.simulators.harness import Simulator

DEFAULT_COUNT = 20
SHARE_SIMULATED = 10         # one in so many is simulated
MALFORMED = 10               # malformed requests for each configuration
SMALL = 9                    # largest integer parameters of what is simulated
SHRINK_EXAMPLES = 60
LEDGER = "random.jsonl"


@dataclass(frozen=True)
class Draw:
    """One configuration to examine, for another process."""

    template: str
    config: dict
    simulate: bool
    known: str = ""          # key of what passed with this configuration before


@dataclass(frozen=True)
class Verdict:
    """What came of a draw; ``key`` stands for the text of the core and the tools' versions."""

    key: str
    problem: str | None


def run(core: GeneratedCore, options: Options, progress: Progress) -> RungResult:
    """Examine configurations of a core's template; see :mod:`systolith.signoff.rung`."""
    started = time.monotonic()
    template, count = core.template, options.count or DEFAULT_COUNT
    result = examine(template, count, options, progress)
    progress(f"random: {MALFORMED * count} malformed requests for {template.name}")
    wrong = malformed.campaign(template, MALFORMED * count, options.seed)
    outcomes = (*result.outcomes, Outcome("malformed requests are refused in words",
                                          "\n".join(wrong.problems) or None))
    table = Table("Malformed requests", ("damage", "refused"), tuple(sorted(wrong.kinds.items())))
    return RungResult(
        rung="random", outcomes=outcomes,
        summary=f"{result.summary}; {wrong.refused} malformed requests refused, "
                f"{len(wrong.problems)} not as they should",
        tables=(*result.tables, table), findings=result.findings, seeds=(options.seed,),
        tools={"hypothesis": importlib.metadata.version("hypothesis"),
               "verilator": verilator.version(), "slang": importlib.metadata.version("pyslang"),
               "yosys": importlib.metadata.version("pyosys")},
        seconds=round(time.monotonic() - started, 3), files=result.files,
        details={**result.details, "malformed": wrong.refused})


def examine(template: Template, count: int, options: Options, progress: Progress) -> RungResult:
    """Emit and lint ``count`` configurations, and simulate one in :data:`SHARE_SIMULATED`."""
    simulated = -(-count // SHARE_SIMULATED)
    draws = [Draw(template.name, config.model_dump(mode="json"), small)
             for small, number in ((False, count - simulated), (True, simulated))
             for config in drawn(template, number, options.seed, small=small)]
    ledger = Ledger(options.directory / LEDGER)
    draws = [replace(draw, known=ledger.key(draw)) for draw in draws]
    problems: list[tuple[Draw, str]] = []
    again = 0
    for done, (index, verdict) in enumerate(spread(judge, draws, options), 1):
        progress(f"random: {done} of {len(draws)} configurations of {template.name}")
        again += verdict.key == draws[index].known
        if verdict.problem is None:
            ledger.add(draws[index], verdict.key)
        else:
            problems.append((draws[index], verdict.problem))
    outcomes = []
    for what, small in (("emitted and linted", False), ("emitted, linted and simulated", True)):
        failed = [pair for pair in problems if pair[0].simulate == small]
        outcomes.append(Outcome(f"configurations are {what}",
                                smallest(template, *failed[0]) if failed else None))
    return RungResult(
        rung="random", outcomes=tuple(outcomes),
        summary=f"{len(draws) - len(problems)} of {len(draws)} configurations right, "
                f"{sum(draw.simulate for draw in draws)} of them simulated",
        tables=(Table("Configurations", ("what", "number"), (
            ("drawn, all different", len(draws)), ("simulated", simulated),
            ("known from an earlier run", again), ("failed", len(problems)))),),
        findings=tuple(Finding(json.dumps(draw.config), problem) for draw, problem in problems),
        files=(ledger.path,),
        details={"configurations": len(draws), "failed": len(problems)})


def drawn(template: Template, count: int, seed: int, *, small: bool) -> list[CoreConfig]:
    """Different configurations, the same for the same arguments; fewer where there are fewer."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    found: dict[str, CoreConfig] = {}

    @seeded(seed)
    @settings(max_examples=4 * count + 20, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    @given(_strategy(template, small))
    def collect(config: CoreConfig) -> None:
        if len(found) < count:
            found.setdefault(config.config_hash, config)

    if count:
        collect()
    return list(found.values())


def _strategy(template: Template, small: bool):
    try:
        from systolith.signoff.configs import TYPICAL, configs
    except ImportError:
        raise ToolError("hypothesis", "not installed",
                        install="pip install 'systolith[signoff]'") from None
    return configs(template, largest=SMALL if small else TYPICAL)


def judge(draw: Draw) -> Verdict:
    """Examine a configuration, unless the very same core passed before."""
    from systolith.generators import registry

    template = registry.get(draw.template)
    core = elaborate(template, template.config.parse(draw.config), "core")
    key = cache.key(*core.files.values(), str(draw.simulate), *map(str, verilator.identity()),
                    *(importlib.metadata.version(name) for name in ("pyosys", "pyslang")))
    if key == draw.known:
        return Verdict(key, None)
    with TemporaryDirectory(prefix="systolith-") as place:
        folder = Path(place)
        if found := lint.warnings(core, folder):
            return Verdict(key, "\n".join(found).replace(f"{folder}/", ""))
        return Verdict(key, wrong(core, folder) if draw.simulate else None)


def wrong(core: GeneratedCore, folder: Path) -> str | None:
    """What first differs from the models of a core, without and with stalls."""
    write(core, folder)
    files = Core.read(folder / f"{core.name}.v", folder / f"{core.name}.json", core.model)
    exercise = Exercise(files, 1)
    library = verilator.build(writable(files, folder))
    with Simulator(files, library) as simulator:
        return exercise.first_problem(simulator)


def smallest(template: Template, draw: Draw, problem: str) -> str:
    """The smallest configuration that fails, and how; the one that was drawn if none is found."""
    import hypothesis
    from hypothesis.errors import NoSuchExample

    def of(config: CoreConfig) -> str | None:
        return judge(Draw(draw.template, config.model_dump(mode="json"), draw.simulate)).problem

    try:
        config = hypothesis.find(
            _strategy(template, draw.simulate), lambda config: of(config) is not None,
            settings=hypothesis.settings(max_examples=SHRINK_EXAMPLES, deadline=None, database=None,
                                         suppress_health_check=list(hypothesis.HealthCheck)))
    except NoSuchExample:
        return f"{json.dumps(draw.config)}: {problem}"
    return f"{json.dumps(config.model_dump(mode='json'))}: {of(config)}"


class Ledger:
    """What passed: for every configuration the key of its content. A line each, in a file."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        text = path.read_text()
        whole = text[:text.rfind("\n") + 1]             # the last line may be cut off
        if whole != text:
            path.write_text(whole)
        lines = [json.loads(line) for line in whole.splitlines()]
        self._keys = {line["of"]: line["key"] for line in lines}

    def key(self, draw: Draw) -> str:
        """Of what passed with this configuration; empty if nothing did."""
        return self._keys.get(self._of(draw), "")

    def add(self, draw: Draw, key: str) -> None:
        """Record that the core with ``key`` passed."""
        if self.key(draw) != key:
            self._keys[self._of(draw)] = key
            with self.path.open("a") as file:
                file.write(json.dumps({"of": self._of(draw), "key": key}) + "\n")

    @staticmethod
    def _of(draw: Draw) -> str:
        return cache.key(draw.template, json.dumps(draw.config, sort_keys=True), str(draw.simulate))
