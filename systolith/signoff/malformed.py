"""Requests that are wrong: spec files and options, damaged at random.

Whatever comes, the command line answers with a status of its own and one message, in time, and
leaves a whole output or none.
"""

import contextlib
import io
import random
import string
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from systolith.generators.template import Template

#: Statuses that say "the request is wrong" or "done"; all others are defects here.
REFUSED, DONE = 2, 0
SECONDS = 20                 # for one answer
WRITE_EVERY = 40             # of those that turn out to be right, one in so many is generated

SCALARS = ("", "null", "true", "~", "0", "-1", "1e9", "1.5", ".inf", ".nan", "0x10", "0o7",
           "99999999999999999999999999999999999999999999999", "int8", "int99999", "uint0", "fp8",
           "ecp5", "[1, 2]", "{a: 1}", "[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]",
           "!!python/object:a",
           "&a [*a]", "*a", "'",
           '"\\', "|",
           "- a",
           ": :", "\x00", "\u2028", "é", "𝔘", "a: b: c",
           "2026-11-28", "1_000", "yes", "...", "---", "#", "%YAML 1.2", "\t", "../../x", "<<: {}")
LETTERS = string.ascii_letters + string.digits + " \t\n:-#{}[],&*!|>'\"%@`?~\x00\x7f\u00e9\u2028"


@dataclass
class Found:
    """What came of a campaign.

    Attributes
    ----------
    refused, accepted : int
        Damaged requests that were refused, and that were right in spite of the damage.
    problems : list of str
        Answers that are defects, each with the request.
    slowest : float
        Seconds.
    kinds : Counter
        Refusals by kind of damage.
    """

    refused: int = 0
    accepted: int = 0
    problems: list[str] = field(default_factory=list)
    slowest: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)


def campaign(template: Template, count: int, seed: int) -> Found:
    """Damage requests for a template until ``count`` of them are refused."""
    found = Found()
    rng = random.Random(f"{template.name} {seed}")
    with TemporaryDirectory(prefix="systolith-") as place:
        folder = Path(place)
        for kind, text, options in requests(template, rng):
            _try(folder, kind, text, options, found)
            if found.refused >= count or len(found.problems) >= 10:
                return found
    return found


def requests(template: Template, rng: random.Random) -> Iterator[tuple[str, bytes, list[str]]]:
    """Endless damaged requests: the kind of damage, a spec file, options."""
    configs = [template.config.parse(dict(values)).model_dump(mode="json")
               for values in template.presets.values()] or [{}]
    while True:
        config = dict(rng.choice(configs))
        spec = {"template": template.name, "name": "core", "config": config}
        kind = rng.choice(("value", "value", "key", "section", "bytes", "text", "option",
                           "option", "name"))
        options: list[str] = []
        text: str | bytes = ""
        if kind == "value" and config:
            marker = "DAMAGED"
            config[rng.choice([*config])] = marker
            text = yaml.safe_dump(spec).replace(marker, _value(rng))
        elif kind == "key":
            key = rng.choice([*config] or ["a"])
            config[_word(rng, key)] = config.pop(key, 1)
            text = yaml.safe_dump(spec, allow_unicode=True)
        elif kind == "section":
            spec[rng.choice([*spec, "extra", ""])] = yaml_value(rng)
            if rng.random() < 0.3:
                del spec[rng.choice([*spec])]
            text = yaml.safe_dump(spec, allow_unicode=True)
        elif kind == "bytes":
            octets = bytearray(yaml.safe_dump(spec).encode())
            for _ in range(rng.randint(1, 4)):
                place = rng.randrange(len(octets))
                match rng.randrange(4):
                    case 0:
                        octets[place] = rng.randrange(256)
                    case 1:
                        del octets[place:place + rng.randint(1, 20)]
                    case 2:
                        octets[place:place] = bytes(rng.randrange(256) for _ in range(3))
                    case _:
                        octets[place:place] = octets[place:place + 30]
                if not octets:
                    break
            text = bytes(octets)
        elif kind == "text":
            text = "".join(rng.choice(LETTERS) for _ in range(rng.randint(0, 80)))
        else:
            text = yaml.safe_dump(spec)
            if kind == "name":
                options = ["--name", _word(rng, "core")]
            else:
                key = rng.choice([*config] or ["a"])
                options = ["--set", rng.choice((
                    f"{key}={_value(rng)}", f"{_word(rng, key)}={_value(rng)}", key, f"={key}",
                    f"{key}.{key}={_value(rng)}", f"{'a.' * 30}{key}=1"))]
        if isinstance(text, str):
            text = text.encode("utf-8", "surrogatepass")
        yield kind, text, options


def _value(rng: random.Random) -> str:
    if rng.random() < 0.2:
        return str(rng.randint(-(1 << rng.randint(1, 80)), 1 << rng.randint(1, 80)))
    return rng.choice(SCALARS)


def yaml_value(rng: random.Random) -> object:
    """Something that a YAML file can hold, and that a section does not expect."""
    return rng.choice((None, True, 3, -1.5, "x" * 300, [], [1, [2]], {}, {"a": {"b": 1}}, "dot",
                       {1: 2}, {None: None}, "é", float("inf")))


def _word(rng: random.Random, word: str) -> str:
    letters = list(word)
    place = rng.randrange(len(letters))
    match rng.randrange(6):
        case 0:
            letters[place] = rng.choice(LETTERS.replace("\x00", ""))
        case 1:
            del letters[place]
        case 2:
            letters.insert(place, rng.choice("é$.-/ 1_"))
        case 3:
            return rng.choice(("", "module", "always", "0a", "a" * 70, "../core", "con fig", "-x"))
        case 4:
            letters.reverse()
        case _:
            return word.upper()
    return "".join(letters)


def _try(folder: Path, kind: str, text: bytes, options: list[str], found: Found) -> None:
    from systolith import cli, spec
    from systolith.hdl.errors import Error

    source, target = folder / "spec.yaml", folder / "out"
    source.write_bytes(text)
    settings = [value for key, value in pairwise(options) if key == "--set"]
    names = [value for key, value in pairwise(options) if key == "--name"]
    started = time.monotonic()
    command = ["generate", str(source), "-o", str(target), *options]
    right = False
    with contextlib.suppress(Error, Exception):      # the command line tells which
        spec.resolve(str(source), settings, *names)
        right = True
    if right:
        found.accepted += 1
        if found.accepted % WRITE_EVERY:
            return
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.run(command)
    seconds = time.monotonic() - started
    found.slowest = max(found.slowest, seconds)
    shown = f"{text!r} with {options!r}"
    message = err.getvalue()
    left = sorted(path.name for path in target.iterdir()) if target.exists() else []
    if "Traceback" in message + out.getvalue() or status not in (REFUSED, DONE):
        found.problems.append(f"status {status} for {shown}: {message[-500:]}")
    elif status == REFUSED and (left or target.exists()):
        found.problems.append(f"half an output ({left}) for {shown}")
    elif status == REFUSED and not message.strip():
        found.problems.append(f"no message for {shown}")
    elif status == DONE and len(left) < 7:
        found.problems.append(f"a part of the output ({left}) for {shown}")
    elif seconds > SECONDS:
        found.problems.append(f"{seconds:.0f} s for {shown}")
    if status == REFUSED:
        found.refused += 1
        found.kinds[kind] += 1
    for name in left:
        (target / name).unlink()
    if target.exists():
        target.rmdir()
