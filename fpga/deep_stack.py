"""A larger stack for programs in WebAssembly.

The linker fixes the stack at 64 KiB, below the data, which is little for a program that calls
itself once for every wire of a route. Here it moves behind the data, into memory that the program
is given in addition when it starts. Its heap does not know of that: it begins between the data and
the end of the memory that the linker counted, and goes on behind all there is.
"""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from systolith.sim.simulators import cache

STACK_BYTES = 8 << 20
PAGE_BYTES = 1 << 16

_MAGIC = b"\0asm\1\0\0\0"
_MEMORY, _GLOBAL = 5, 6              # sections
_MUTABLE_I32 = b"\x7f\x01\x41"       # a global of that type, and the constant that it starts with


def package(name: str, version: str) -> Path:
    """Where to import a copy of an installed package from whose programs have the larger stack.

    A program that is not as the linker makes them stays as it is.
    """
    def make(folder: Path) -> None:
        spec = find_spec(name)
        assert spec is not None and spec.submodule_search_locations
        copy = folder / name
        shutil.copytree(spec.submodule_search_locations[0], copy,
                        ignore=shutil.ignore_patterns("__pycache__"))
        for program in copy.glob("*.wasm"):
            with suppress(ValueError):
                program.write_bytes(deepened(program.read_bytes(), STACK_BYTES))

    return cache.entry("programs", cache.key(name, version, str(STACK_BYTES)), make)


def deepened(program: bytes, stack_bytes: int) -> bytes:
    """A WebAssembly module with another stack, of whole pages.

    By the convention of the tools its first global is the stack pointer: WebAssembly tool
    conventions, "Linking", section "Stack pointer".

    Raises
    ------
    ValueError
        If the module has no memory of its own to add to, or does not begin with such a global.
    """
    if not program.startswith(_MAGIC):
        raise ValueError("not a WebAssembly module")
    sections = list(_sections(program))
    changed = dict(sections)
    if not {_MEMORY, _GLOBAL} <= changed.keys():
        raise ValueError("it has no memory, or no globals")

    memory = changed[_MEMORY]
    count, limits = _unsigned(memory, 0)
    initial, rest = _unsigned(memory, limits + 1)
    if count != 1 or memory[limits] != 0:
        raise ValueError("its memory has a limit, or there are several")
    pages = initial + -(-stack_bytes // PAGE_BYTES)
    changed[_MEMORY] = memory[:limits + 1] + _leb(pages) + memory[rest:]

    variables = changed[_GLOBAL]
    _, first = _unsigned(variables, 0)
    value = first + len(_MUTABLE_I32)
    if variables[first:value] != _MUTABLE_I32:
        raise ValueError("its first global is no stack pointer")
    _, rest = _unsigned(variables, value)
    changed[_GLOBAL] = variables[:value] + _leb(pages * PAGE_BYTES, signed=True) + variables[rest:]

    bodies = ((kind, changed[kind] if kind in (_MEMORY, _GLOBAL) else body)
              for kind, body in sections)
    return _MAGIC + b"".join(bytes([kind]) + _leb(len(body)) + body for kind, body in bodies)


def _sections(program: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each section."""
    at = len(_MAGIC)
    while at < len(program):
        size, start = _unsigned(program, at + 1)
        yield program[at], program[start:start + size]
        at = start + size


def _unsigned(octets: bytes, at: int) -> tuple[int, int]:
    """A number in LEB128, and where the next thing begins."""
    value = shift = 0
    while True:
        value |= (octets[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not octets[at - 1] & 0x80:
            return value, at


def _leb(value: int, *, signed: bool = False) -> bytes:
    """A number that is not negative in LEB128; a signed one ends in a clear sign bit."""
    octets = bytearray()
    while value >> (6 if signed else 7):
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*octets, value])
