"""Circuits of a design and of its mutants have the same names for the same registers."""

from systolith.signoff.and_inverter import Circuit


def circuit(*names):
    """Registers alone: of each, all its names."""
    return Circuit({}, {own[0]: (2 * index, 2 * index + 1) for index, own in enumerate(names, 1)},
                   {own[0]: own for own in names}, {}, {0}, [])


def test_registers_are_called_alike_where_one_name_is_the_same():
    design = circuit(["a_out [0]", "pe.held [0]"], ["count [0]"], ["line [0]", "line [1]"])
    # `a_out` is of a mutant, `line` has two registers now, and `extra` has no counterpart.
    mutant = circuit(["pe.held [0]"], ["count [0]"], ["line [0]"], ["line [1]"], ["extra [0]"])
    assert mutant.named_like(design).registers == {
        "a_out [0]": (2, 3), "count [0]": (4, 5), "line [0]": (6, 7), "~line [1]": (8, 9),
        "~extra [0]": (10, 11)}


def test_a_design_keeps_its_names():
    design = circuit(["b [0]", "c [0]"], ["a [0]"])
    assert design.named_like(design).registers == design.registers
