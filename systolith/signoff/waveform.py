"""A picture of some cycles of a recorded simulation, as SVG."""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

BEFORE, AFTER = 20, 8        # cycles around the one in question
CYCLE, ROW, LEFT = 34, 26, 190      # pixels
STYLE = """\
.wave { font: 12px ui-monospace, monospace; }
.wave text { fill: currentColor; } .wave path { stroke: currentColor; fill: none; }
.wave .mark { fill: #d33; opacity: .18; } .wave .value { font-size: 10px; }"""


def read_vcd(path: Path, signals: Sequence[str], start: int, stop: int, step: int
             ) -> dict[str, list[str]]:
    """Values of top-level signals, sampled every ``step`` of simulated time.

    Parameters
    ----------
    path : Path
        A VCD file.
    signals : sequence of str
        Names in the top module, without indices.
    start, stop, step : int
        Times of the first sample, of one beyond the last, and between samples.

    Returns
    -------
    mapping from name to list of str
        Bits of each sample, the highest first; ``x`` where there is no value yet. Signals that the
        file does not hold are missing.
    """
    codes: dict[str, str] = {}
    widths: dict[str, int] = {}
    depth = 0
    now: dict[str, str] = {}
    times = range(start, stop, step)
    found: dict[str, list[str]] = {}
    taken = 0

    def take_until(time: int) -> None:
        nonlocal taken
        while taken < len(times) and times[taken] < time:
            for code, name in codes.items():
                found[name].append(now.get(code, "x").rjust(widths[name], "0"))
            taken += 1

    with path.open() as file:
        for line in file:
            words = line.split()
            if not words:
                continue
            match words[0]:
                case "$scope":
                    depth += 1
                case "$upscope":
                    depth -= 1
                case "$var" if words[4] in signals and words[4] not in found:
                    codes[words[3]], widths[words[4]] = words[4], int(words[2])
                    found[words[4]] = []
                case word if word[0] == "#":
                    take_until(int(word[1:]))
                    if taken == len(times):
                        break
                case word if word[0] in "bB" and words[1] in codes:
                    now[words[1]] = word[1:]
                case word if word[0] in "01xzXZ" and word[1:] in codes:
                    now[word[1:]] = word[0]
        take_until(stop)
    return found


def draw(signals: dict[str, list[str]], first_cycle: int, marked: int, title: str) -> str:
    """An SVG of sampled signals.

    Parameters
    ----------
    signals : mapping from name to list of str
        From :func:`read_vcd`, a sample per cycle.
    first_cycle : int
        Number of the first sample.
    marked : int
        Cycle to mark.
    title : str
    """
    cycles = max(map(len, signals.values()), default=0)
    width, height = LEFT + cycles * CYCLE + 10, 44 + ROW * len(signals)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" class="wave" width="{width}" '
             f'height="{height}" viewBox="0 0 {width} {height}" role="img">',
             f"<style>{STYLE}</style>", f"<title>{escape(title)}</title>",
             f'<text x="0" y="14">{escape(title)}</text>',
             f'<rect class="mark" x="{LEFT + (marked - first_cycle) * CYCLE}" y="20" '
             f'width="{CYCLE}" height="{height - 24}"/>']
    for cycle in range(0, cycles, 4):
        parts.append(f'<text class="value" x="{LEFT + cycle * CYCLE}" y="30">'
                     f"{first_cycle + cycle}</text>")
    for row, (name, samples) in enumerate(signals.items()):
        top = 38 + row * ROW
        parts.append(f'<text x="0" y="{top + 14}">{escape(name)}</text>')
        parts.append(_bit(samples, top) if all(len(sample) == 1 for sample in samples)
                     else _word(samples, top))
    return "\n".join([*parts, "</svg>", ""])


def _bit(samples: list[str], top: int) -> str:
    heights = {"1": top + 3, "0": top + 17}
    path, before = [], None
    for cycle, sample in enumerate(samples):
        y = heights.get(sample, top + 10)
        path.append(f"{'M' if before is None else 'L'}{LEFT + cycle * CYCLE} {y}")
        path.append(f"L{LEFT + (cycle + 1) * CYCLE} {y}")
        before = y
    return f'<path d="{" ".join(path)}"/>'


def _word(samples: list[str], top: int) -> str:
    parts, start = [], 0
    for cycle in range(1, len(samples) + 1):
        if cycle < len(samples) and samples[cycle] == samples[start]:
            continue
        left, right = LEFT + start * CYCLE, LEFT + cycle * CYCLE
        parts.append(f'<path d="M{left} {top + 10} L{left + 3} {top + 3} L{right - 3} {top + 3} '
                     f"L{right} {top + 10} L{right - 3} {top + 17} L{left + 3} {top + 17} Z\"/>")
        room = max((right - left - 8) // 6, 1)
        digits = _hex(samples[start])
        shown = digits if len(digits) <= room else "…" + digits[-(room - 1):] if room > 1 else "…"
        parts.append(f'<text class="value" x="{left + 5}" y="{top + 14}">{escape(shown)}</text>')
        start = cycle
    return "\n".join(parts)


def _hex(bits: str) -> str:
    if set(bits) <= {"0", "1"}:
        return f"{int(bits, 2):0{-(-len(bits) // 4)}x}"
    return "x"
