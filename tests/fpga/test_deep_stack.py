"""A program in WebAssembly with a larger stack."""

from importlib import resources

import pytest
import wasmtime

from systolith.fpga import toolchain
from systolith.fpga.deep_stack import PAGE_BYTES, STACK_BYTES, deepened

#: A function that keeps 64 bytes on the stack for each call of itself, as a linker lays it out: the
#: stack below the data.
DEEP = """
(module
  (memory (export "memory") {limits})
  {globals}
  (data (i32.const 65536) "data")
  (func $deep (export "deep") (param $left i32) (result i32)
    (local $frame i32)
    (local.set $frame (i32.sub (global.get 0) (i32.const 64)))
    (global.set 0 (local.get $frame))
    (i32.store (local.get $frame) (local.get $left))
    (if (local.get $left)
      (then (drop (call $deep (i32.sub (local.get $left) (i32.const 1))))))
    (global.set 0 (i32.add (local.get $frame) (i32.const 64)))
    (i32.load (local.get $frame))))
"""
STACK = "(global (mut i32) (i32.const 65536)) (global i32 (i32.const 7))"


def module(limits="2", globals=STACK):
    return bytes(wasmtime.wat2wasm(DEEP.format(limits=limits, globals=globals)))


def run(program, depth):
    """What the function returns, and the memory after it."""
    store = wasmtime.Store()
    exports = wasmtime.Instance(store, wasmtime.Module(store.engine, program), []).exports(store)
    return exports["deep"](store, depth), exports["memory"].read(store)


def test_a_recursion_that_ran_out_of_stack_ends():
    program = module()
    assert run(program, 1000)[0] == 1000
    with pytest.raises(wasmtime.Trap, match="out of bounds"):
        run(program, 2000)
    result, memory = run(deepened(program, 1_000_000), 2000)
    assert result == 2000
    assert len(memory) == (2 + 16) * PAGE_BYTES                  # whole pages
    assert memory[PAGE_BYTES:PAGE_BYTES + 4] == b"data"
    assert not any(memory[:PAGE_BYTES])                          # where the stack was
    assert any(memory[-PAGE_BYTES:])


@pytest.mark.parametrize("stack", [1, 4_000_000, 64_000_000])
def test_numbers_of_other_lengths(stack):
    pages = -(-stack // PAGE_BYTES)
    result, memory = run(deepened(module(), stack), 500)
    assert result == 500
    assert len(memory) == (2 + pages) * PAGE_BYTES


@pytest.mark.parametrize("program", [program for program in toolchain.NEXTPNR.values()
                                     if program.deep], ids=lambda program: program.name)
def test_programs_of_the_packages_are_as_the_linker_makes_them(program):
    """Others would be run with the stack that they have, which nobody would notice."""
    files = list(resources.files(program.package.replace("-", "_")).iterdir())
    found = [file for file in files if file.name.endswith(".wasm")]
    assert found
    for file in found:
        assert len(deepened(file.read_bytes(), STACK_BYTES)) > file.stat().st_size


@pytest.mark.parametrize("program, message", [
    (b"#!/bin/sh\n", "not a WebAssembly module"),
    (module("2 9"), "a limit"),
    (bytes(wasmtime.wat2wasm("(module (global i32 (i32.const 1)))")), "no memory"),
    (bytes(wasmtime.wat2wasm("(module (memory 1) (global i32 (i32.const 1)))")),
     "no stack pointer"),
    (bytes(wasmtime.wat2wasm("(module (memory 1))")), "no globals"),
])
def test_other_modules_are_refused(program, message):
    with pytest.raises(ValueError, match=message):
        deepened(program, 1 << 20)
