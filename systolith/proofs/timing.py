"""When a pipeline owes what: values some cycles ago, and whether it has been that long."""

from amaranth.hdl import Mux, Value

from systolith.proofs.harness import Harness


def ago(h: Harness, value: Value, cycles: int, name: str) -> Value:
    """``value`` so many cycles ago."""
    for index in range(cycles):
        value = h.past(value, f"{name}_{index}")
    return value


def settled(h: Harness, cycles: int) -> Value:
    """As many cycles have passed since the reset."""
    age = h.register(range(cycles + 2), "age")
    h.step(age, Mux(age == cycles, age, age + 1))
    return age == cycles
