"""Whether mutants are the design itself, as a program of its own::

    prove_mutant.py TOP MODULE LINES SECONDS SOURCE…

LINES is a file with the Yosys commands that make the mutants. If there are several, an input
chooses among them anew in every cycle. SECONDS is the time for all questions to ABC. MODULE with
them and without, what is in it included, are compared for any sequence of inputs, from the state in
which every register without a value of its own is zero. Of the whole core, data that go with a
handshake only count while they are valid.

What a module is without mutants is kept in a file, for further ones.

Prints ``EQUAL``, ``DIFFERENT`` or ``UNKNOWN``, and why.

Every register has its counterpart in the other circuit. Those pairs are found that are equal in the
next cycle whenever all of them are in this one; where outputs are equal whenever those pairs are,
they always are. So it is with pairs that are the inverse of each other, in registers that nothing
sets in the beginning: what is turned twice on its way is as it was. If some are neither, pairs that
fail first are the question: ABC looks for a proof by reachable states (PDR) that they stay equal,
which may take but a few of the registers; then those that fail next, and last the outputs. What a
memory holds does not matter: whatever is read, both circuits must write the same.

Of a pair that may differ the registers are the one without mutants, and whether the other is equal.
Where that matters values mostly do not. So the question comes first with a mark in place of the
other: whatever has to do with a marked value is marked, but behind a gate that the rest of the
design closes. Then with any value in the one, in every cycle; and at last as it is.
"""

import pickle
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from pyosys import libyosys as ys

from systolith.proofs import engine
from systolith.signoff.and_inverter import Circuit, Graph
from systolith.signoff.write_mutants import control, read

CONFLICTS = 2_000            # of its solver, for one gate
SIMULATION_SECONDS = 2
MOST_TURNS = 50              # in which registers turn out to be the inverse of their counterparts
RESET, RARE = "rst [0]", 6   # so many inputs make it: it is rare where they are random
SHARE = 3                    # of the time left: what a question gets that others may follow
CONFLICTS_OF_PAIRS = 100     # of it, for a pair of registers of what is left
QUESTION = Path("question.aig")
#: Data of a stream and answers on the register bus, and which handshake they belong to.
DATA = (r"(\w+)_(t)(?:data|last|user)", r"(\w+)_(r)(?:data|resp)", r"(\w+)_(b)resp")
#: Names of the ports that stand for a memory: the memory, and what of it. Of one with a port for
#: each direction and nothing in it at first it does not matter which place is which.
MEMORY = re.compile(r"(.*)\.(WR_EN|WR_DATA|WR_ADDR|RD_ADDR) \[(\d+)\]")
PLACED = "placed."           # begins the names of others

Pairs = Mapping[str, tuple[int, int]]


def main(top: str, module: str, lines: str, seconds: str, *sources: str) -> None:
    mutants = Path(lines).read_text().splitlines()
    # The mutants first: names of cells count on from design to design.
    (gate, _), kept = _circuit(top, module, mutants, sources), Path(f"{module}.unchanged")
    if kept.exists():
        gold, begun = pickle.loads(kept.read_bytes())
    else:
        gold, begun = _circuit(top, module, [], sources)
        kept.write_bytes(pickle.dumps((gold, begun)))
    print(compare(gold, gate, time.monotonic() + float(seconds), begun))


def _circuit(top: str, module: str, mutants: Sequence[str], sources: Sequence[str]
             ) -> tuple[Circuit, set[str]]:
    """A module with mutants, made of gates; names of registers that begin with a value of their
    own."""
    design = read(top, list(sources))
    for index, line in enumerate(mutants, 1):
        several = len(mutants) > 1
        ys.run_pass(control(line, index, len(mutants).bit_length()) if several else line, design)
    whole = module
    if module == top:
        whole = f"{top}_seen"
        Path("seen.v").write_text(_seen(design, top, whole))
        ys.run_pass("read_verilog seen.v", design)
    for command in (f"hierarchy -top {whole}", "flatten", "memory_collect"):
        ys.run_pass(command, design)
    flat = design.module(ys.IdString(f"\\{whole}"))
    begun = {f"{wire.name.str()[1:]} [{bit}]" for wire in flat.wires_.values()
             if ys.IdString("\\init") in wire.attributes for bit in range(wire.width)}
    _take_memories_out(flat)
    for command in ("chformal -remove", "memory_map", *engine.GATES_FROM_ZERO,
                    "write_aiger -ascii -zinit -map gates.map gates.aag"):
        ys.run_pass(command, design)
    circuit = Circuit.read(Path("gates.aag"), Path("gates.map"))
    return circuit, {first for first, names in circuit.names.items() if not begun.isdisjoint(names)}


def _take_memories_out(module: ys.Module) -> None:
    """Make ports of what goes into a memory and out of it; tables stay."""
    for cell in list(module.cells_.values()):
        if cell.type.str() != "$mem_v2" or not cell.getParam(ys.IdString("\\WR_PORTS")).as_int():
            continue
        parameter = {name: cell.getParam(ys.IdString(f"\\{name}"))
                     for name in ("INIT", "RD_PORTS", "WR_PORTS")}
        plain = (parameter["INIT"].is_fully_undef() and parameter["RD_PORTS"].as_int() == 1
                 and parameter["WR_PORTS"].as_int() == 1)
        for port, signal in list(cell.connections_.items()):
            name = f"{'' if plain else PLACED}{cell.name.str()[1:]}.{port.str()[1:]}"
            if signal.is_fully_const():
                continue
            wire = module.addWire(ys.IdString(f"\\{name}"), signal.size())
            if port.str() == "\\RD_DATA":
                wire.port_input = True
                module.connect(signal, ys.SigSpec(wire))
            else:
                wire.port_output = True
                module.connect(ys.SigSpec(wire), signal)
        module.remove(cell)
    module.fixup_ports()


def compare(gold: Circuit, gate: Circuit, deadline: float, begun: Set[str] = frozenset()) -> str:
    """Whether two circuits with the same ports do the same, whatever ``gate`` has of inputs besides
    to choose a mutant. Of ``gold``, the registers ``begun`` have a value in the beginning."""
    gate = gate.named_like(gold)
    both = gold.outputs.keys() | gate.outputs.keys()
    gold, gate = (replace(circuit, outputs=_all(circuit, both)) for circuit in (gold, gate))
    if gold.inputs.keys() - gate.inputs.keys() or not gold.outputs or not gate.outputs:
        return "UNKNOWN: they have different ports"
    names = gold.registers.keys() & gate.registers.keys()
    if _shown_different(gold, gate):
        return "DIFFERENT"
    apart: set[str] = gate.registers.keys() - names      # registers that may differ
    inverse: set[str] = set()                            # that always do
    turns = 0
    while True:
        joined = _join(gold, gate, apart, inverse)
        graph = joined.graph
        differences = {name: graph.differ(*pair) for name, pair in joined.nexts.items()}
        seen = {name: graph.differ(*pair) for name, pair in joined.outputs.items()}
        failing = _unproven(graph, differences, deadline)
        wrong = _unproven(graph, seen, deadline)
        if not failing and not wrong:
            return "EQUAL"
        turned = failing - begun - _unproven(
            graph, {name: differences[name] ^ 1 for name in failing}, deadline)
        if turned and turns < MOST_TURNS:
            turns += 1
            inverse ^= turned
            continue
        if failing & inverse:
            apart |= failing & inverse
            inverse -= failing
            continue
        until = deadline
        if failing:
            until = time.monotonic() + (deadline - time.monotonic()) / SHARE
        if _kept_in(gold, gate, apart, inverse, failing, wrong, until):
            return "EQUAL"
        answer = _reachable(joined, [*(differences[name] for name in sorted(failing)),
                                     *(seen[name] for name in sorted(wrong))], until)
        if answer != "proven" and (memories := _memories(wrong)):
            others = [seen[name] for name in sorted(wrong) if not _memories([name])]
            answer = _reachable(joined, [
                *(differences[name] for name in sorted(failing)), *others,
                *(joined.confused(memory) for memory in memories)], until)
        if answer == "proven":
            return "EQUAL"
        if not failing:
            return "DIFFERENT" if answer == "refuted" else "UNKNOWN"
        if time.monotonic() > deadline:
            return "UNKNOWN"
        apart |= failing


def _memories(names: Iterable[str]) -> list[str]:
    """The memories whose addresses are among the names of outputs, and may be others."""
    found = (MEMORY.fullmatch(name) for name in names)
    return sorted({match[1] for match in found if match and match[2].endswith("ADDR")
                   and not match[1].startswith(PLACED)})


def _shown_different(gold: Circuit, gate: Circuit) -> bool:
    """Random inputs show a difference: where there is one, they mostly do."""
    joined = _join(gold, gate, set(gate.registers), set())
    graph = joined.graph
    shown = [graph.differ(*pair) for name, pair in joined.outputs.items() if not _memories([name])]
    graph.write(QUESTION, [graph.any(shown)], joined.registers)
    return engine.simulate(QUESTION, SIMULATION_SECONDS).status == "refuted"


def _all(circuit: Circuit, names: Set[str]) -> Mapping[str, int]:
    """The outputs with those that are constant; none if it is not known which has which value."""
    missing = names - circuit.outputs.keys()
    if missing and len(circuit.constants) != 1:
        return {}
    return {**circuit.outputs, **{name: value for name in missing for value in circuit.constants}}


@dataclass(frozen=True)
class _Joined:
    """Both circuits in one, with one register for each pair but some.

    Attributes
    ----------
    nexts : mapping
        The next values of those pairs.
    outputs : mapping
        The pairs of outputs.
    registers : mapping
        Literals of all registers and of their next values.
    loose : set
        Literals of those without mutants where another one says whether they are equal.
    ports : mapping
        Pairs of bits of ports of memories, whether something is written or not.
    """

    graph: Graph
    nexts: Pairs
    outputs: Pairs
    registers: dict[int, int]
    loose: Set[int]
    ports: Pairs

    def confused(self, memory: str) -> int:
        """Whether two places of a memory are one in the other circuit: of a place that the solver
        picks when it is written, and the one there, later writes and reads are at both or at
        neither."""
        graph = self.graph
        written, read, enables = (self._bits(f"{memory}.{port}")
                                  for port in ("WR_ADDR", "RD_ADDR", "WR_EN"))
        if written.keys() != read.keys():                # some bits are constant: not asked
            return 1
        writes = graph.any(pair[0] for pair in enables.values())
        picked, picks = graph.variable(), graph.both(graph.variable(), writes)
        self.registers[picked] = graph.any([picked, picks])
        new = graph.both(picks, picked ^ 1)
        places = {}
        for bit, pair in written.items():
            places[bit] = graph.variable(), graph.variable()
            for place, literal in zip(places[bit], pair, strict=True):
                self.registers[place] = graph.any([graph.both(new, literal),
                                                   graph.both(new ^ 1, place)])

        def apart(port: Mapping[int, tuple[int, int]]) -> int:
            at_gold, at_gate = (graph.any(graph.differ(port[bit][side], places[bit][side])
                                          for bit in places) for side in range(2))
            return graph.differ(at_gold, at_gate)

        return graph.both(picked, graph.any([graph.both(writes, apart(written)), apart(read)]))

    def _bits(self, port: str) -> dict[int, tuple[int, int]]:
        """Those of a port of a memory that are not constant, by their number."""
        found = {name: MEMORY.fullmatch(name) for name in self.ports}
        return {int(match[3]): self.ports[name] for name, match in found.items()
                if match and f"{match[1]}.{match[2]}" == port}


def _join(gold: Circuit, gate: Circuit, apart: Set[str], inverse: Set[str]) -> _Joined:
    graph = Graph()
    inputs, stored = _variables(graph, gold, gate)
    different = {name: graph.variable() for name in apart}

    def of_mutant(name: str) -> int:
        if name not in different:
            return stored[name] ^ (name in inverse)
        return graph.differ(stored.get(name, 0), different[name])

    of_gold = _placed(graph, gold, inputs, stored)
    of_gate = _placed(graph, gate, inputs, {name: of_mutant(name) for name in gate.registers})
    following = {name: of_gold(gold.registers[name][1]) for name in stored}
    mutant_following = {name: of_gate(literal) for name, (_, literal) in gate.registers.items()}
    return _Joined(
        graph,
        {name: (following[name], literal ^ (name in inverse))
         for name, literal in mutant_following.items() if name not in apart},
        {name: tuple(_written(graph, name, circuit.outputs, of)
                     for circuit, of in ((gold, of_gold), (gate, of_gate)))
         for name in gold.outputs},
        {**{literal: following[name] for name, literal in stored.items()},
         **{literal: graph.differ(following.get(name, 0), mutant_following[name])
            for name, literal in different.items()}},
        {stored[name] for name in apart & stored.keys()},
        {name: (of_gold(gold.outputs[name]), of_gate(gate.outputs[name]))
         for name in gold.outputs if MEMORY.fullmatch(name)})


def _variables(graph: Graph, gold: Circuit, gate: Circuit
               ) -> tuple[dict[str, int], dict[str, int]]:
    """Literals of inputs and of the registers without mutants."""
    inputs = {name: graph.variable() for name in gate.inputs}
    if RESET in inputs:
        inputs[RESET] = graph.any([graph.variable() for _ in range(RARE)]) ^ 1
    return inputs, {name: graph.variable() for name in gold.registers}


def _placed(graph: Graph, circuit: Circuit, inputs: Mapping[str, int], stored: Mapping[str, int]
            ) -> Callable[[int], int]:
    """Literals of a circuit with those inputs and registers; others are 0."""
    return graph.place(circuit, {
        **{literal: inputs[name] for name, literal in circuit.inputs.items()},
        **{literal: stored.get(name, 0) for name, (literal, _) in circuit.registers.items()}})


def _written(graph: Graph, name: str, outputs: Mapping[str, int], of) -> int:
    """An output; of what goes into a memory, only what is written."""
    literal, enables = of(outputs[name]), _enables(name, outputs)
    return graph.both(literal, graph.any(map(of, enables))) if enables else literal


def _enables(name: str, outputs: Mapping[str, int]) -> list[int]:
    """Where an output goes into a memory: what must be true for it to be written."""
    found = MEMORY.fullmatch(name)
    if not found or found[2] in ("WR_EN", "RD_ADDR"):
        return []
    if found[2] == "WR_DATA":
        return [outputs[f"{found[1]}.WR_EN [{found[3]}]"]]
    return [literal for port, literal in outputs.items()
            if port.startswith(f"{found[1]}.WR_EN [")]


def _unproven(graph: Graph, differences: Mapping[str, int], deadline: float) -> set[str]:
    """Names of what may be true for some values of the variables."""
    asked = [name for name, literal in differences.items() if literal]
    if not asked:
        return set()
    graph.write(QUESTION, [differences[name] for name in asked])
    commands = f"read_aiger {QUESTION}; fraig -C {CONFLICTS}; write_aiger answer.aig"
    try:
        subprocess.run([engine.abc(), "-c", commands], capture_output=True, check=True,
                       timeout=max(deadline - time.monotonic(), 1))
    except subprocess.TimeoutExpired:
        return set(asked)
    lines = Path("answer.aig").read_bytes().split(b"\n")
    return {name for name, literal in zip(asked, lines[1:1 + len(asked)], strict=True)
            if literal != b"0"}


def _kept_in(gold: Circuit, gate: Circuit, apart: Set[str], inverse: Set[str], failing: Set[str],
             wrong: Set[str], deadline: float) -> bool:
    """Whether no difference gets beyond the registers ``apart``, if one of them makes everything
    different that its value may have to do with."""
    if not apart:
        return False
    graph = Graph()
    inputs, stored = _variables(graph, gold, gate)
    marked = {name: graph.variable() for name in apart}
    of_gold = _placed(graph, gold, inputs, stored)
    of_gate = _placed(graph, gate, inputs, {name: literal ^ (name in inverse)
                                            for name, literal in stored.items()})
    mark = graph.marks(gate, of_gate, {gate.registers[name][0]: literal
                                       for name, literal in marked.items()})

    def differs(literal: int, of_mutant: int) -> int:
        return graph.any([graph.differ(of_gold(literal), of_gate(of_mutant)), mark(of_mutant)])

    def output(name: str) -> int:
        ours, theirs = (_enables(name, circuit.outputs) for circuit in (gold, gate))
        value = differs(gold.outputs[name], gate.outputs[name])
        if not ours and not theirs:
            return value
        enabled = graph.any(map(of_gold, ours))
        return graph.any([graph.both(value, enabled),
                          graph.differ(enabled, graph.any(map(of_gate, theirs))),
                          *map(mark, theirs)])

    registers = {stored[name]: of_gold(gold.registers[name][1])
                 for name in stored.keys() - apart}
    registers |= {literal: differs(gold.registers.get(name, (0, 0))[1], gate.registers[name][1])
                  for name, literal in marked.items()}
    questions = [differs(gold.registers[name][1], gate.registers[name][1])
                 for name in sorted(failing)]
    questions += map(output, sorted(wrong))
    return all(_asked(graph, cone, registers, deadline) == "proven"
               for cone in graph.cones(questions, registers))


def _reachable(joined: _Joined, questions: Sequence[int], deadline: float) -> str:
    """Whether something is never true: ``proven``, ``refuted`` or ``open``."""
    graph, registers = joined.graph, joined.registers
    free = {literal: following for literal, following in registers.items()
            if literal not in joined.loose}
    # What depends on other registers is another question: one lane of many.
    if joined.loose and all(_asked(graph, cone, free, deadline) == "proven"
                            for cone in graph.cones(questions, free)):
        return "proven"
    return _asked(graph, questions, registers, deadline)


def _asked(graph: Graph, questions: Sequence[int], registers: Mapping[int, int],
           deadline: float) -> str:
    left = int(deadline - time.monotonic())
    if left < 1:
        return "open"
    graph.write(QUESTION, [graph.any(questions)], registers)
    if engine.simulate(QUESTION, SIMULATION_SECONDS).status == "refuted":
        return "refuted"
    return engine.prove(QUESTION, left, CONFLICTS_OF_PAIRS).status


def _seen(design: ys.Design, top: str, name: str) -> str:
    """Verilog of a module around the core whose outputs are 0 where nobody may look at them."""
    ports, lines = [], []
    for wire in design.module(ys.IdString(f"\\{top}")).wires_.values():
        port, size = wire.name.str()[1:], f"[{wire.width - 1}:0]"
        if wire.port_input:
            ports.append(f"input {size} {port}")
        elif wire.port_output:
            ports.append(f"output {size} {port}")
            lines.append(f"wire {size} inner_{port};")
    for port in (line.split()[-1] for line in ports if line.startswith("output")):
        found = next((found for pattern in DATA if (found := re.fullmatch(pattern, port))), None)
        seen = f"inner_{found[1]}_{found[2]}valid ? inner_{port} : 0" if found else f"inner_{port}"
        lines.append(f"assign {port} = {seen};")
    pins = ", ".join(f".{port}({'inner_' * line.startswith('output')}{port})"
                     for line in ports for port in (line.split()[-1],))
    return (f"module {name} ({', '.join(ports)});\n" + "\n".join(lines)
            + f"\n{top} u_core ({pins});\nendmodule\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
