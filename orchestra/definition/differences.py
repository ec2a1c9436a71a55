"""What differs between two specifications, in the words of the definition file."""

from collections.abc import Iterator, Mapping

import msgspec

from orchestra.durations import format_duration
from orchestra.elements import Element

_SECONDS = "_seconds"
_SHOWN_CHARACTERS_MAX = 40
_WORDS = {
    "execution": "",
    "matching": "",
    "requirements": "worker",
    "prefer": "worker.prefer",
    "avoid": "worker.avoid",
    "placement": "worker.placement",
    "sticky": "worker.sticky",
    "lost_after_seconds": "lost-after",
    "minimum": "min",
    "maximum": "max",
    "disconnect_stop_seconds": "disconnect",
    "pipeline": "",
    "closing": "finally",
    "policies": "",
    "share": "slots.share",
    "reserve": "slots.reserve",
}
_ELEMENT_WORDS = {
    **_WORDS,
    "axes": "",
    "condition": "if",
    "parameters": "with",
    "same_worker_as": "worker.same-as",
    "allowed_exit_codes": "allow-failure.exit",
}
_ELEMENTS_SHOWN_MAX = 10


def describe_changes(old: msgspec.Struct, new: msgspec.Struct) -> str:
    """`timeout: 45m → 1h, retry.max-attempts: 1 → 3`; an empty text if nothing differs."""
    return ", ".join(_differences((), _plain(old), _plain(new), _WORDS))


def _plain(value: object) -> Mapping[str, object]:
    """All fields, those with default values as well."""
    assert isinstance(value, msgspec.Struct)
    return msgspec.structs.asdict(value)


def _differences(
    path: tuple[str, ...], old: Mapping[str, object], new: Mapping[str, object], words: Mapping[str, str]
) -> Iterator[str]:
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        word = words.get(name, name.removesuffix(_SECONDS).replace("_", "-"))
        inner = (*path, word) if word else path
        if isinstance(before, msgspec.Struct) and isinstance(after, msgspec.Struct):
            yield from _differences(inner, _plain(before), _plain(after), words)
        elif isinstance(before, dict) and isinstance(after, dict):
            # Its keys are names that people chose, and no fields of ours.
            yield from _differences(inner, before, after, {})
        elif isinstance(before, tuple) and isinstance(after, tuple) and _are_elements(before or after):
            yield from _element_differences(inner, _by_name(before), _by_name(after))
        elif isinstance(before, tuple | msgspec.Struct) or isinstance(after, tuple | msgspec.Struct):
            # A job that becomes a pipeline, or is none any more, has no word of its own for that.
            yield ".".join(inner) or "elements"
        else:
            is_time = name.endswith(_SECONDS)
            yield f"{'.'.join(inner)}: {_shown(before, is_time)} → {_shown(after, is_time)}"


def _element_differences(path: tuple[str, ...], old: dict[str, Element], new: dict[str, Element]) -> Iterator[str]:
    """By name: an element that only moved in the file is the same."""
    changed = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    for name in changed[:_ELEMENTS_SHOWN_MAX]:
        inner = (*path, name)
        if name not in old or name not in new:
            yield f"{'.'.join(inner)} {'removed' if name in old else 'added'}"
        else:
            yield from _differences(inner, _plain(old[name]), _plain(new[name]), _ELEMENT_WORDS)
    if len(changed) > _ELEMENTS_SHOWN_MAX:
        yield f"{len(changed) - _ELEMENTS_SHOWN_MAX} more of {'.'.join(path)}"
    if not changed:
        yield f"order of {'.'.join(path)}"


def _are_elements(values: tuple[object, ...]) -> bool:
    return bool(values) and isinstance(values[0], Element)


def _by_name(values: tuple[object, ...]) -> dict[str, Element]:
    return {value.name: value for value in values if isinstance(value, Element)}


def _shown(value: object, is_time: bool) -> str:
    if value is None or value == "":
        return "none"
    if is_time and isinstance(value, int | float):
        return format_duration(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else text[: _SHOWN_CHARACTERS_MAX - 1] + "…"
