"""Values in the words of pages: instants in the reader's zone, durations, sizes. An empty date is never 1970."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
from markupsafe import Markup, escape

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_KIBI = 1024
_RUN = re.compile(r"(?<!\w)#([1-9]\d{0,17})(?!\w)", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


def moment_text(at: datetime, zone: ZoneInfo) -> str:
    """`2026-11-21 14:02:11 +01:00`, to the second."""
    local = at.astimezone(zone)
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%d %H:%M:%S} {offset[:3]}:{offset[3:]}"


def duration_text(seconds: float) -> str:
    """The two largest units: `4 min 12 s`; below ten seconds with a tenth, below a tenth in milliseconds."""
    if seconds < 0.0995:
        return f"{max(0.0, 1000 * seconds):.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    words: list[str] = []
    whole = round(seconds)
    for size, unit in _UNITS:
        count, whole = divmod(whole, size)
        if count or words:
            words.append(f"{count} {unit}")
        if len(words) == 2:
            break
    return " ".join(words)


def relative_text(at: datetime, now: datetime) -> str:
    """`3 min ago`, `in 2 h`: one unit, secondary to the instant itself."""
    seconds = (now - at).total_seconds()
    size = abs(seconds)
    if size < 1:
        return "now"
    count, unit = next((int(size // each), unit) for each, unit in _UNITS if size >= each)
    return f"{count} {unit} ago" if seconds > 0 else f"in {count} {unit}"


def day_text(at: datetime, now: datetime, zone: ZoneInfo) -> str:
    """`14:02` today, `Tue 14:02` within a week, else `21 Nov 2026`: for "since …"."""
    local, today = at.astimezone(zone), now.astimezone(zone).date()
    days = abs((today - local.date()).days)
    return f"{local:%H:%M}" if days == 0 else f"{local:%a %H:%M}" if days < 7 else f"{local:%d %b %Y}"


def sentence_text(text: str) -> str:
    """What an error says, as a sentence that stands by itself."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?', '!')) else '.'}"


def linked_text(text: str) -> Markup:
    """The text in which each `#482` leads to that run."""
    parts = _RUN.split(text)
    return Markup("").join(
        Markup('<a href="/runs/{0}">#{0}</a>').format(part) if index % 2 else escape(part)
        for index, part in enumerate(parts)
    )


def size_text(count: int) -> str:
    """`14.2 MiB`."""
    if count < _KIBI:
        return f"{count} B"
    size = float(count)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size /= _KIBI
        if size < _KIBI or unit == "TiB":
            break
    return f"{size:.1f} {unit}"


def plain_text(raw: msgspec.Raw) -> str:
    """A JSON value as people write it: `operator@ops, viewer`, `yes`, `none`; of a digest the beginning."""
    match msgspec.json.decode(raw):
        case None | []:
            return "none"
        case bool(value):
            return "yes" if value else "no"
        case str(value):
            return f"{value[:12]}…" if _DIGEST.fullmatch(value) else value
        case [*values] if all(isinstance(each, str) for each in values):
            return ", ".join(values)
        case _:
            return bytes(raw).decode()


def browser_text(agent: str) -> str:
    """`Firefox on Linux` of a User-Agent, for people to know their sessions again; never trusted."""
    browsers = (
        ("Firefox/", "Firefox"),
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    )
    systems = (
        ("Windows", "Windows"),
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    )
    browser = next((word for mark, word in browsers if mark in agent), agent[:40] or "an unknown browser")
    system = next((word for mark, word in systems if mark in agent), "")
    return f"{browser} on {system}" if system else browser
