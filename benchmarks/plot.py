"""The gates as a drawing, made of plain text: how much of each limit is used, on a scale of halves and doubles."""

import math
from collections.abc import Sequence
from html import escape

from benchmarks.gates import Gate

LINE, LABELS, WIDTH, FIGURES = 22, 430, 420, 250
"""Pixels: the height of a gate, and the widths of its three columns."""
LEAST, MOST = 1 / 64, 4.0
"""What is less or more is drawn up to the edge."""
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f } .quiet { fill: #57606a } .grid { stroke: #d0d7de }
.limit { stroke: #24292f; stroke-width: 2 } .holds { fill: #2da44e } .misses { fill: #cf222e } .page { fill: #ffffff }
"""


def plot_gates(sections: Sequence[tuple[str, Sequence[Gate]]]) -> str:
    """An SVG; a bar that passes the line at 1 uses more than is wanted. What was not measured has no bar."""
    lines: list[str] = []
    top = LINE
    for title, gates in sections:
        top += LINE
        lines.append(f'<text x="8" y="{top - 6}" class="quiet">{escape(title)}</text>')
        for gate in gates:
            lines += _gate(gate, top)
            top += LINE
    height, width = top + LINE, LABELS + WIDTH + FIGURES
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img"'
            ' aria-label="How much of each limit is used">',
            f"<style>{STYLE}</style>",
            f'<rect class="page" width="{width}" height="{height}"/>',
            *_scale(top),
            *lines,
            "</svg>\n",
        ]
    )


def _scale(bottom: int) -> list[str]:
    marks = [2.0**power for power in range(round(math.log2(LEAST)), round(math.log2(MOST)) + 1)]
    drawn = []
    for mark in marks:
        x = _x(mark)
        name = f"{mark:g}" if mark >= 1 else f"1/{1 / mark:g}"
        kind = "limit" if mark == 1 else "grid"
        drawn.append(f'<line class="{kind}" x1="{x}" y1="{LINE}" x2="{x}" y2="{bottom}"/>')
        drawn.append(f'<text class="quiet" x="{x}" y="{LINE - 6}" text-anchor="middle">{name}</text>')
    return drawn


def _gate(gate: Gate, top: int) -> list[str]:
    kind = "holds" if gate.holds else "misses"
    drawn = [f'<text x="{LABELS - 8}" y="{top + 15}" text-anchor="end">{escape(gate.what)}</text>']
    if gate.use is not None:
        size = max(1.0, _x(gate.use) - LABELS)
        drawn.append(f'<rect class="{kind}" x="{LABELS}" y="{top + 4}" width="{size:.1f}" height="{LINE - 8}"/>')
    words = escape(f"{gate.found} ({gate.wanted})")
    drawn.append(f'<text x="{LABELS + WIDTH + 8}" y="{top + 15}">{words}</text>')
    return drawn


def _x(use: float) -> float:
    steps = math.log2(min(MOST, max(LEAST, use)) / LEAST) / math.log2(MOST / LEAST)
    return round(LABELS + WIDTH * steps, 1)
