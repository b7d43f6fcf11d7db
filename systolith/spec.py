"""What a user asks for: a template, its parameters and a name.

A SPEC is the name of a template or the path of a YAML file::

    template: systolic
    name: gemm                # optional
    harden: tmr               # optional
    config:                   # optional, as is every parameter
      rows: 16

The name of a template wins over a file of the same name; write ``./systolic`` to mean the file.
"""

import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from systolith import marked_yaml
from systolith.generators import registry
from systolith.generators.names import check_hardening, check_name
from systolith.generators.template import Template
from systolith.hdl.config import CoreConfig, did_you_mean
from systolith.hdl.errors import ConfigError, Error
from systolith.marked_yaml import Document, Mark, TextError

MAX_BYTES = 64 * 1024
KEYS = ("template", "name", "harden", "config")


@dataclass(frozen=True)
class Spec:
    """A resolved request."""

    template: Template
    config: CoreConfig
    name: str
    hardening: str = "none"


@dataclass(frozen=True)
class Problem:
    """One mistake in a SPEC and where it was made: in a file, in a ``--set``, or neither."""

    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    setting: str | None = None

    def __str__(self) -> str:
        if self.setting is not None:
            return f"--set {self.setting}: {self.message}"
        place = ":".join(str(part) for part in (self.file, self.line, self.column)
                         if part is not None)
        return f"{place}: {self.message}" if place else self.message


class SpecError(Error):
    """A SPEC that cannot be read, or that a template does not accept.

    Attributes
    ----------
    problems : tuple of Problem
    """

    def __init__(self, *problems: Problem):
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


class _File:
    """A spec file: its content, and where each part of it is written."""

    def __init__(self, path: str):
        self.label = path if path.isprintable() else repr(path)
        try:
            self.document = marked_yaml.parse(_read(path))
        except TextError as error:
            raise self.error(str(error), error.mark) from None
        except Error as error:
            raise SpecError(Problem(str(error), self.label)) from None

    def error(self, message: str, mark: Mark) -> SpecError:
        return SpecError(Problem(message, self.label, mark.line, mark.column))

    def at(self, *path: str) -> Mark:
        return self.document.values[path]

    def sections(self) -> dict[str, Any]:
        """The top-level entries, checked for their names and types."""
        content = self.document.value
        if not isinstance(content, dict):
            kind = {type(None): "empty", list: "a list"}.get(type(content), "a single value")
            raise self.error(f"must be a mapping with the keys {', '.join(KEYS)}; this is {kind}",
                             self.document.values.get((), Mark(1, 1)))
        for key in content:
            if key not in KEYS:
                raise self.error(f"unknown key {key!r}{did_you_mean(key, KEYS)}; keys are "
                                 f"{', '.join(KEYS)}", self.document.keys[(key,)])
        if "template" not in content:
            raise self.error(f"the key 'template' is missing; templates are {_names()}",
                             self.at())
        if not isinstance(content["template"], str):
            raise self.error(f"template must be a name, not {content['template']!r}; templates are "
                             f"{_names()}", self.at("template"))
        config = content.get("config")
        if config is not None and not isinstance(config, dict):
            raise self.error("config must be a mapping of parameters", self.at("config"))
        return {**content, "config": config or {}}


def resolve(source: str, settings: Sequence[str] = (), name: str | None = None,
            harden: str | None = None) -> Spec:
    """Resolve a SPEC.

    Parameters
    ----------
    source : str
        A template's name or a file's path.
    settings : sequence of str
        ``"key=value"`` each, dotted for nested keys; the value is a YAML scalar. They win over
        the file, and later ones over earlier ones.
    name : str, optional
        Name of the core; wins over the file. Otherwise the file's, otherwise the template's.
    harden : str, optional
        One of :data:`systolith.generators.names.HARDENING`; wins over the file.

    Raises
    ------
    SpecError
        One message that says what is wrong, where, and what is allowed.
    """
    assignments = [_assignment(text) for text in settings]
    if name is not None:
        name = _checked(check_name, name)
    if harden is not None:
        harden = _checked(check_hardening, harden)
    if any(template.name == source for template in registry.TEMPLATES):
        file, template, values = None, registry.get(source), {}
    else:
        file = _open(source)
        content = file.sections()
        values = content["config"]
        try:
            template = registry.get(content["template"])
        except Error as error:
            raise file.error(str(error), file.at("template")) from None
        if "name" in content:
            try:
                named = check_name(content["name"])
            except Error as error:
                raise file.error(str(error), file.at("name")) from None
            name = name or named
        if "harden" in content:
            try:
                asked = check_hardening(content["harden"])
            except Error as error:
                raise file.error(str(error), file.at("harden")) from None
            harden = harden or asked
    for path, value, text in assignments:
        _assign(values, path, value, text)
    try:
        config = template.config.parse(values)
    except ConfigError as error:
        origins = {path: text for path, _, text in assignments}
        raise SpecError(*(_located(path, message, origins, file)
                          for path, message in error.problems)) from None
    return Spec(template, config, name or template.name, harden or "none")


def from_values(template: str, values: Mapping[str, Any], name: str | None = None,
                harden: str | None = None) -> Spec:
    """Resolve a request made in Python; ``template`` may be a SPEC file, ``values`` win over it."""
    if not isinstance(template, str):
        raise Error(f"a template is given by its name, not {template!r}; templates are {_names()}")
    values = {key: value.item() if hasattr(value, "item") else value
              for key, value in values.items()}      # numpy's scalars are no Python integers
    if any(known.name == template for known in registry.TEMPLATES):
        known = registry.get(template)
        return Spec(known, known.config.parse(values),
                    check_name(known.name if name is None else name),
                    check_hardening("none" if harden is None else harden))
    spec = resolve(template, (), name, harden)
    given = spec.config.model_dump(mode="json", exclude_unset=True)
    return Spec(spec.template, spec.template.config.parse({**given, **values}), spec.name,
                spec.hardening)


def _names() -> str:
    return ", ".join(template.name for template in registry.TEMPLATES)


def _checked(check, value):
    try:
        return check(value)
    except Error as error:
        raise SpecError(Problem(str(error))) from None


def _open(source: str) -> _File:
    known = [template.name for template in registry.TEMPLATES]
    try:
        exists = Path(source).exists()
    except (OSError, ValueError):          # a name too long, or one that holds a NUL
        exists = False
    if not exists:
        shown = repr(source) if len(source) <= 80 else repr(source[:77] + "...")
        raise SpecError(Problem(
            f"{shown} is neither a template{did_you_mean(source, known)} nor a file that exists; "
            f"templates are {_names()}"))
    return _File(source)


def _read(path: str) -> str:
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise Error("is a directory; a spec is a template's name or a YAML file")
        if not stat.S_ISREG(status.st_mode):
            raise Error("is not a regular file; a spec is a template's name or a YAML file")
        if status.st_size > MAX_BYTES:
            raise Error(f"has {status.st_size} bytes; a spec file has at most {MAX_BYTES}")
        content = Path(path).read_bytes()
    except OSError as error:
        raise Error(f"cannot be read: {error.strerror or error}") from None
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        before = content[:error.start]
        raise TextError(f"the byte 0x{content[error.start]:02x} is not UTF-8 text",
                        Mark(before.count(b"\n") + 1,
                             error.start - before.rfind(b"\n"))) from None


def _assignment(text: str) -> tuple[tuple[str, ...], object, str]:
    shown = text if text.isprintable() and len(text) <= 80 else repr(text[:80])
    key, equals, value = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        raise SpecError(Problem("must have the form key=value, with dots between nested keys",
                                setting=shown))
    if len(path) > marked_yaml.MAX_DEPTH:
        raise SpecError(Problem(f"nested more than {marked_yaml.MAX_DEPTH} levels deep",
                                setting=shown))
    try:
        parsed = marked_yaml.parse(value).value
    except TextError as error:
        raise SpecError(Problem(f"the value is not a YAML scalar: {error}",
                                setting=shown)) from None
    if isinstance(parsed, (list, dict)):
        raise SpecError(Problem("the value must be a single number, word, true, false or null; "
                                "lists and mappings go into a spec file", setting=shown))
    return path, parsed, shown


def _assign(values: dict[str, Any], path: Iterable[str], value: object, text: str) -> None:
    *outer, last = path
    for key in outer:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise SpecError(Problem(f"{key!r} holds a single value, not parameters of its own",
                                    setting=text))
    values[last] = value


def _located(path: tuple[str | int, ...], message: str, settings: Mapping[tuple, str],
             file: _File | None) -> Problem:
    for length in range(len(path), 0, -1):
        if (text := settings.get(path[:length])) is not None:
            return Problem(message, setting=text)
    inside = [text for setting, text in settings.items() if path and setting[:len(path)] == path]
    if inside:
        return Problem(message, setting=inside[-1])
    if file is None:
        return Problem(message)
    document: Document = file.document
    full = ("config", *path)
    unknown = message.startswith("unknown parameter")
    for length in range(len(full), -1, -1):
        marks = document.keys if unknown and length == len(full) else document.values
        if mark := marks.get(full[:length]):
            return Problem(message, file.label, mark.line, mark.column)
    return Problem(message, file.label)
