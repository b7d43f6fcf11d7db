"""``verify``: the cocotb regression under Verilator, then a second, independent simulator.

The second is Icarus with the same regression where ``iverilog`` is on PATH. Where it is not, it is
a CXXRTL model of the same Verilog, fed the same workloads with pauses of its own. Builds are
cached, results never are.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np

from systolith.hdl.errors import Error
from systolith.sim.cases import draw, mismatch
from systolith.sim.simulators import cache, cxxrtl, tools, verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.errors import SimulationError, ToolError
from systolith.sim.simulators.harness import Pauses

TESTBENCH = "systolith.testbenches.streams"
DEFAULT_SEED = 1
PERIOD = 2                   # of the clock, in steps of the simulator

#: What Icarus runs by default as the second simulator, which interprets: a share of the stimulus,
#: in beats, and the tests that depend on it.
ICARUS_BEATS = 600
ICARUS_TESTS = ("without_stalls", "random_stalls", "reset_in_frames")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Check:
    """One test under one simulator.

    Attributes
    ----------
    name, simulator : str
    cycles, beats, frames : int
        Clock cycles run; beats moved and output frames compared.
    seconds : float
    message : str or None
        What failed; None if nothing did.
    time : int or None
        Of a failure that shows in one cycle: its rising edge of the clock, in steps of the
        simulator, in the recorded waveform.
    cycle : int or None
        The same, counted from the start of the test.
    """

    name: str
    simulator: str
    cycles: int
    beats: int
    frames: int
    seconds: float
    message: str | None = None
    time: int | None = None
    cycle: int | None = None


@dataclass(frozen=True)
class Report:
    """Outcome of :func:`verify`; :meth:`as_dict` is JSON-able."""

    core: str
    seed: int
    simulators: tuple[str, ...]
    checks: tuple[Check, ...]
    waves: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return all(check.message is None for check in self.checks)

    @property
    def failures(self) -> list[Check]:
        return [check for check in self.checks if check.message is not None]

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed}


def verify(verilog: Path, manifest: Path, model: str, *,
           simulator: Literal["verilator", "icarus"] | None = None, seed: int = DEFAULT_SEED,
           frames: int | None = None, waves: bool = False, directory: Path | None = None,
           tests: Sequence[str] = (), progress: Progress = lambda message: None) -> Report:
    """Prove the emitted Verilog equal to its golden model.

    Parameters
    ----------
    verilog, manifest : Path
        As ``generate`` wrote them.
    model : str
        ``"module:name"`` of the software model.
    simulator : "verilator", "icarus" or None
        Only that one; by default Verilator and then a second one.
    seed : int
        Of stimulus, pauses and initial register values; reproduces a failure.
    frames : int, optional
        Output frames of stimulus, at least; every test runs them. By default all corner cases of
        the template and some random ones; of these, Icarus as the second simulator gets the
        smallest, and only the tests that depend on them.
    waves : bool
        Record waveforms of everything. A failure is run again with waveforms in any case.
    directory : Path, optional
        Where waveforms, and logs of failures, go; by default the current directory. Nothing is
        written if all is well and ``waves`` is not set.
    tests : sequence of str
        Only these tests of the testbench; all by default.
    progress : callable
        Gets a line on each step that begins.

    Raises
    ------
    Error
        If an argument is wrong.
    ToolError
        If a tool is missing or fails.
    """
    if simulator not in (None, "verilator", "icarus"):
        raise Error(f"simulator must be verilator or icarus, not {simulator!r}")
    if frames is not None and frames < 1:
        raise Error(f"frames must be at least 1, not {frames}")
    if seed < 0:
        raise Error(f"seed must be at least 0, not {seed}")
    core = Core.read(verilog, manifest, model)
    if simulator:
        names = [simulator]
    else:
        names = ["verilator", "icarus" if shutil.which("iverilog") else "cxxrtl"]
    if "icarus" in names:
        for program in ("iverilog", "vvp"):
            tools.find(program)

    job = _Job(core, seed, frames, waves, tuple(tests), directory or Path.cwd(), progress)
    # The simulators are programs of their own: each has a processor to itself.
    with ThreadPoolExecutor(len(names)) as pool:
        runs = [pool.submit(job.run, name, second=not simulator and name != names[0])
                for name in names]
        checks = [check for run in runs for check in run.result()]
    return Report(core.name, seed, tuple(names), tuple(checks), tuple(job.written_waves),
                  tuple(job.written_logs), job.seconds)


@dataclass
class _Job:
    """What :func:`verify` was asked for, and the files and times that come of it."""

    core: Core
    seed: int
    frames: int | None
    waves: bool
    tests: tuple[str, ...]
    out: Path
    progress: Progress
    written_waves: list[str] = field(default_factory=list)
    written_logs: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, name: str, *, second: bool) -> list[Check]:
        """All checks under one simulator; what fails is run again with waveforms."""
        started = time.monotonic()
        if name == "cxxrtl":
            checks = self._arrays()
        else:
            beats, tests = None, self.tests
            if second and self.frames is None:
                beats, tests = ICARUS_BEATS, tests or ICARUS_TESTS
            checks = self._cocotb(name, beats, tests, self.waves)
            failed = tuple(check.name for check in checks if check.message)
            if failed and not self.waves:
                self.progress(f"{name}: {len(failed)} failed; running again with waveforms")
                again = {check.name: check for check in self._cocotb(name, beats, failed, True)}
                checks = [replace(check, time=again[check.name].time,
                                  cycle=again[check.name].cycle)
                          if check.name in again else check for check in checks]
        self.seconds[name] = round(time.monotonic() - started, 3)
        return checks

    def _cocotb(self, name: str, beats: int | None, tests: tuple[str, ...],
                waves: bool) -> list[Check]:
        """Run the testbench; waveforms and, of failures, the log are moved to ``out``."""
        from cocotb_tools.runner import get_runner

        core = self.core
        self.progress(f"{name}: building {core.name}{' with waveforms' if waves else ''}")
        started = time.monotonic()
        build = (verilator.build_cocotb(core, trace=waves) if name == "verilator"
                 else _build_icarus(core, waves))
        self.seconds[f"{name} build"] = round(time.monotonic() - started, 3)

        self.progress(f"{name}: testing {core.name}, seed {self.seed}")
        with tempfile.TemporaryDirectory(prefix="systolith.") as scratch:
            folder = Path(scratch)
            results, log = folder / "results.jsonl", folder / "log"
            runner = get_runner(name)
            runner.log.setLevel("CRITICAL")
            plusargs = []
            if name == "verilator":
                plusargs = ["+verilator+rand+reset+2",
                            f"+verilator+seed+{self.seed % (2**31 - 1) + 1}"]
            elif waves:
                plusargs = [f"+dumpfile_path={folder / 'dump.fst'}"]
            # A failing test, or a crash: told apart by what it wrote.
            with suppress(SystemExit, RuntimeError):
                runner.test(
                    TESTBENCH, core.name, hdl_toplevel_lang="verilog", build_dir=build,
                    test_dir=folder, results_xml=str(folder / "results.xml"), log_file=log,
                    seed=self.seed, waves=waves, plusargs=plusargs,
                    test_filter="|".join(rf"\.{test}$" for test in tests) or None,
                    extra_env={"SYSTOLITH_MANIFEST": str(core.manifest),
                               "SYSTOLITH_MODEL": core.model_path,
                               "SYSTOLITH_SEED": str(self.seed),
                               "SYSTOLITH_FRAMES": _text(self.frames),
                               "SYSTOLITH_BEATS": _text(beats),
                               "SYSTOLITH_RESULTS": str(results),
                               "COCOTB_LOG_LEVEL": "WARNING",
                               "COCOTB_REWRITE_ASSERTION_FILES": "",   # saves a second
                               "PYTHONWARNINGS": "ignore::DeprecationWarning"})
            text = log.read_text(errors="replace") if log.exists() else ""
            lines = results.read_text().splitlines() if results.exists() else []
            failures = _failures(folder / "results.xml")
            checks = [Check(simulator=name, **json.loads(line)) for line in lines]
            if not checks or failures is None:
                raise ToolError(name, "the simulation stopped before its end", output=text)
            # cocotb cancels a test when a bus model fails: then only cocotb knows why.
            checks = [check if check.message or check.name not in failures else
                      replace(check, message=failures[check.name]) for check in checks]
            lost = failures.keys() - {check.name for check in checks}
            checks += [Check(test, name, 0, 0, 0, 0.0, failures[test]) for test in sorted(lost)]
            stem = f"{core.name}.{name}"
            if waves:
                kind = "vcd" if name == "verilator" else "fst"
                _move(folder / f"dump.{kind}", self.out / f"{stem}.{kind}", self.written_waves)
            if any(check.message for check in checks):
                _move(log, self.out / f"{stem}.log", self.written_logs)
            return checks

    def _arrays(self) -> list[Check]:
        """Run the same workloads through CXXRTL, without pauses and with them."""
        core = self.core
        self.progress(f"cxxrtl: building {core.name}")
        started = time.monotonic()
        library = cxxrtl.simulator(core)
        self.seconds["cxxrtl build"] = round(time.monotonic() - started, 3)

        self.progress(f"cxxrtl: testing {core.name}, seed {self.seed}")
        model, config = core.model, core.config
        cases = draw(model, config, self.seed, self.frames)
        checks = []
        with library:
            for name in ("without_stalls", "random_stalls"):
                rng = np.random.default_rng(self.seed)
                started, cycles, beats, done, message = time.monotonic(), 0, 0, 0, None
                for case in cases:
                    pauses = {}
                    if name == "random_stalls":
                        for stream in core.streams:
                            pauses[stream.name] = Pauses(*rng.choice([0.03, 0.2, 0.5, 0.9], 2))
                    try:
                        result = library.run(case.job, pauses=pauses, seed=int(rng.integers(2**32)))
                    except SimulationError as error:
                        message = f"workload {case.workload.label!r}: {error}"
                        break
                    cycles += result.cycles
                    beats += case.beats
                    message = next(filter(None, (
                        mismatch(model, config, case, stream, result.beats[stream],
                                 result.beat_cycles[stream]) for stream in case.expected)), None)
                    measured = [("error flags", result.flags, case.flags)]
                    if not pauses:
                        measured += [("cycles", result.cycles, case.cycles),
                                     ("counter cycles_busy", result.counters["cycles_busy"],
                                      case.cycles)]
                    for what, got, want in measured:
                        if got != want and not message:
                            message = (f"workload {case.workload.label!r}: {what} expected {want}, "
                                       f"got {got}")
                    if message:
                        break
                    done += case.frames
                checks.append(Check(name, "cxxrtl", cycles, beats, done,
                                    round(time.monotonic() - started, 3), message))
        return checks


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


def _failures(path: Path) -> dict[str, str] | None:
    """Messages of failed tests by name, from cocotb's results; None where it wrote none."""
    try:
        tree = ElementTree.parse(path)
    except (OSError, ElementTree.ParseError):
        return None
    found = {}
    for case in tree.iter("testcase"):
        for outcome in (*case.iter("failure"), *case.iter("error")):
            found[case.get("name", "")] = (outcome.get("error_msg") or outcome.get("message")
                                           or (outcome.text or "").strip() or "failed")
    return found


def _move(source: Path, target: Path, names: list[str]) -> None:
    if source.exists():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(source, target)
        except OSError as error:
            raise Error(f"cannot write {target}: {error.strerror}") from None
        if str(target) not in names:
            names.append(str(target))


def _build_icarus(core: Core, waves: bool) -> Path:
    """Directory with the compiled ``sim.vvp``."""
    program = tools.find("iverilog")
    dump = (f'module systolith_dump;\n  reg [8*4096-1:0] path;\n  initial begin\n'
            f'    if ($value$plusargs("dumpfile_path=%s", path)) $dumpfile(path);\n'
            f"    $dumpvars(0, {core.name});\n  end\nendmodule\n")

    def make(folder: Path) -> None:
        tops = ["-s", core.name]
        sources = [*core.sources]
        if waves:
            (folder / "dump.v").write_text(dump)
            tops += ["-s", "systolith_dump"]
            sources.append(folder / "dump.v")
        tools.run("iverilog", [program, "-g2005", "-o", folder / "sim.vvp", *tops, *sources])

    version = tools.run("iverilog", [program, "-V"]).splitlines()[0]
    key = cache.key(version, core.name, *core.texts(), dump if waves else "")
    return cache.entry("icarus", key, make)
