"""YAML that remembers where it was written, and takes no more than a parameter file needs.

The value types are those of YAML 1.2's core schema: null, true and false, integers, floats,
strings, lists and mappings. Tags, anchors, aliases, repeated keys, several documents, deep nesting
and non-finite numbers are refused.
"""

import math
import re
from dataclasses import dataclass, field

import yaml

MAX_DEPTH = 16
MAX_DIGITS = 40

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Mark:
    """Line and column of a character, from 1."""

    line: int
    column: int


@dataclass
class Document:
    """A parsed text.

    Attributes
    ----------
    value
        None for an empty text.
    values, keys : mapping
        Where the value, or the key, that a path leads to is written.
    """

    value: object = None
    values: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)


class TextError(Exception):
    """What is wrong with a text, and where."""

    def __init__(self, message: str, mark: Mark):
        super().__init__(message)
        self.mark = mark


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}           # noqa: RUF012  PyYAML's own way to set it


def _resolve(kind: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(pattern),
                                  list(first))


_resolve("null", r"(?:~|null|Null|NULL|)\Z", "~nN")
_Loader.yaml_implicit_resolvers[""] = _Loader.yaml_implicit_resolvers["n"]
_resolve("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", "tTfF")
_resolve("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z", "-+0123456789")
_resolve("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z", "-+.0123456789")


def parse(text: str) -> Document:
    """Parse ``text``.

    Raises
    ------
    TextError
        If it is not YAML, or uses what is not taken here.
    """
    try:
        _refuse_extras(text)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise TextError(str(error.problem or error.context),
                        _mark(mark) if mark else Mark(1, 1)) from None
    except yaml.reader.ReaderError as error:
        before = text[:error.position]
        raise TextError(f"the character {chr(error.character)!r} is not allowed",
                        Mark(before.count("\n") + 1, error.position - before.rfind("\n"))) from None
    except (ValueError, OverflowError):    # PyYAML on escapes and versions beyond all bounds
        raise TextError("a number or an escape sequence is out of range", Mark(1, 1)) from None
    document = Document()
    if root is not None:
        document.value = _value(root, (), document)
    return document


def _refuse_extras(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        mark = _mark(event.start_mark)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise TextError("anchors and aliases are not taken here; write the value out", mark)
        if getattr(event, "tag", None):
            raise TextError(f"tags such as {event.tag!r} are not taken here", mark)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise TextError(f"nested more than {MAX_DEPTH} levels deep", mark)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _value(node: yaml.Node, path: Path, document: Document) -> object:
    document.values[path] = _mark(node.start_mark)
    if isinstance(node, yaml.SequenceNode):
        return [_value(child, (*path, index), document) for index, child in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    mapping = {}
    for key_node, child in node.value:
        mark = _mark(key_node.start_mark)
        if not isinstance(key_node, yaml.ScalarNode):
            raise TextError("a key must be a word, not a list or a mapping", mark)
        key = key_node.value
        if key in mapping:
            first = document.keys[(*path, key)]
            raise TextError(f"the key {key!r} is repeated; it is first set on line {first.line}",
                            mark)
        document.keys[(*path, key)] = mark
        mapping[key] = _value(child, (*path, key), document)
    return mapping


def _scalar(node: yaml.ScalarNode) -> object:
    text = node.value
    match node.tag.rpartition(":")[2]:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int" | "float" if len(text) > MAX_DIGITS:
            raise TextError(f"a number of {len(text)} characters; at most {MAX_DIGITS} are taken",
                            _mark(node.start_mark))
        case "int":
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        case "float":
            if not math.isfinite(float(text)):
                raise TextError(f"{text} is too large for a number", _mark(node.start_mark))
            return float(text)
        case _:
            return text


def _mark(mark: yaml.Mark) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)
