"""What the soak measured as an SVG picture: a line for each process, and a mark for each fault."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from tests.faults.soak.breaking import Struck
from tests.faults.soak.samples import Sample

WIDTH, HEIGHT, LEFT, GAP = 900, 220, 60, 50
COLOURS = {"master": "#0969da", "service": "#8250df", "agent": "#1a7f37", "keeper": "#bc4c00"}
STYLE = """\
  <style>
    text { font: 12px system-ui, sans-serif; fill: #59636e; }
    .title { font-weight: 600; fill: #1f2328; }
    .line { fill: none; stroke-width: 1.2; stroke-opacity: .7; }
    .grid { stroke: #d1d9e0; stroke-width: 1; }
    .fault { stroke: #cf222e; stroke-width: 1; stroke-opacity: .6; }
    @media (prefers-color-scheme: dark) {
      text { fill: #9198a1; }
      .title { fill: #f0f6fc; }
      .grid { stroke: #3d444d; }
    }
  </style>"""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One of the pictures below one another."""

    title: str
    value: Callable[[Sample], float]
    top: int


PANELS = (
    Panel(title="own memory of each process, MiB", value=lambda one: one.own_bytes / (1 << 20), top=40),
    Panel(title="open descriptors of each process", value=lambda one: one.descriptors, top=40 + HEIGHT + GAP),
)


def plot(samples: Sequence[Sample], struck: Sequence[Struck], *, seconds: float) -> str:
    """The text of an SVG file; `seconds` is how long the soak took from its first sample on."""
    begun = samples[0].at_seconds
    height = PANELS[-1].top + HEIGHT + GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">',
        "  <title>Memory and descriptors of each process, and faults, over the time of the soak</title>",
        STYLE,
        *_legend(),
    ]
    for panel in PANELS:
        lines += _panel(panel, samples, begun=begun, seconds=seconds)
    foot = PANELS[-1].top + HEIGHT
    for fault in struck:
        x = _x(fault.at_seconds - begun, seconds)
        words = escape(f"{fault.kind}: {fault.whom}")
        lines.append(f'  <path class="fault" d="M{x} {foot + 22}v12"><title>{words}</title></path>')
    lines.append(f'  <text x="{LEFT}" y="{foot + 46}">faults, and above them minutes</text>')
    return "\n".join([*lines, "</svg>\n"])


def _legend() -> Iterator[str]:
    for place, (kind, colour) in enumerate(COLOURS.items()):
        yield f'  <text x="{LEFT + 90 * place}" y="14" style="fill: {colour}">{kind}</text>'


def _panel(panel: Panel, samples: Sequence[Sample], *, begun: float, seconds: float) -> Iterator[str]:
    most = max(1.0, *(panel.value(sample) for sample in samples))

    def y(value: float) -> float:
        return round(panel.top + HEIGHT * (1 - value / most), 1)

    yield f'  <text class="title" x="{LEFT}" y="{panel.top - 6}">{escape(panel.title)}</text>'
    for part in range(5):
        value = most * part / 4
        yield f'  <path class="grid" d="M{LEFT} {y(value)}H{WIDTH}"/>'
        yield f'  <text x="{LEFT - 6}" y="{y(value) + 4}" text-anchor="end">{value:.0f}</text>'
    for part in range(7):
        at = seconds * part / 6
        anchor = "end" if part == 6 else "middle"
        yield f'  <text x="{_x(at, seconds)}" y="{panel.top + HEIGHT + 16}" text-anchor="{anchor}">{at / 60:.0f}</text>'
    processes: defaultdict[tuple[str, int], list[Sample]] = defaultdict(list)
    for sample in samples:
        processes[(sample.kind, sample.pid)].append(sample)
    for (kind, pid), each in processes.items():
        points = " ".join(f"{_x(one.at_seconds - begun, seconds)},{y(panel.value(one))}" for one in each)
        style = f'class="line" style="stroke: {COLOURS[kind]}"'
        yield f'  <polyline {style} points="{points}"><title>{kind} {pid}</title></polyline>'


def _x(at: float, seconds: float) -> float:
    return round(LEFT + (WIDTH - LEFT) * min(1.0, max(0.0, at) / seconds), 1)
