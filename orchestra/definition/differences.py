"""What differs between two specifications, in the words of the definition file."""

from collections.abc import Iterator, Mapping

import msgspec

from orchestra.durations import format_duration

_SECONDS = "_seconds"
_SHOWN_CHARACTERS_MAX = 40
_WORDS = {
    "execution": "",
    "matching": "",
    "requirements": "worker",
    "lost_after_seconds": "lost-after",
    "minimum": "min",
    "maximum": "max",
    "disconnect_stop_seconds": "disconnect",
}


def describe_changes(old: msgspec.Struct, new: msgspec.Struct) -> str:
    """`timeout: 45m → 1h, retry.max-attempts: 1 → 3`; an empty text if nothing differs."""
    return ", ".join(_differences((), _plain(old), _plain(new)))


def _plain(value: object) -> Mapping[str, object]:
    """All fields, those with default values as well."""
    assert isinstance(value, msgspec.Struct)
    return msgspec.structs.asdict(value)


def _differences(path: tuple[str, ...], old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        word = _WORDS.get(name, name.removesuffix(_SECONDS).replace("_", "-"))
        inner = (*path, word) if word else path
        if isinstance(before, msgspec.Struct) and isinstance(after, msgspec.Struct):
            yield from _differences(inner, _plain(before), _plain(after))
        elif isinstance(before, dict) and isinstance(after, dict):
            yield from _differences(inner, before, after)
        elif isinstance(before, tuple) or isinstance(after, tuple):
            yield ".".join(inner)
        else:
            is_time = name.endswith(_SECONDS)
            yield f"{'.'.join(inner)}: {_shown(before, is_time)} → {_shown(after, is_time)}"


def _shown(value: object, is_time: bool) -> str:
    if value is None or value == "":
        return "none"
    if is_time and isinstance(value, int | float):
        return format_duration(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else text[: _SHOWN_CHARACTERS_MAX - 1] + "…"
