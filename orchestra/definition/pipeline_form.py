"""The Python form of a pipeline: elements are added one after the other, and each goes by its name."""

from collections.abc import Mapping, Sequence

Document = dict[str, object]
After = str | Sequence[str] | Mapping[str, str | Sequence[str]]
"""`"build"`, several, or names with the rules that are asked of them."""


class PipelineForm:
    """A pipeline of a project in Python: `release.add("test", after=build)`; its faults are told by `definition()`."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def add(
        self,
        name: str,
        *,
        after: After | None = None,
        when: str | None = None,
        with_: Mapping[str, object] | None = None,
        **keys: object,
    ) -> str:
        """Adds an element and returns its name. Other keys are those of the file, with `_` for `-`: `for_each="…"`."""
        return self._put("elements", name, {**_common(after, when, with_), **_dashed(keys)})

    def closing(self, name: str, *, after: After | None = None, when: str | None = None, **keys: object) -> str:
        """Adds an element of `finally`, which begins when all others are over."""
        with_ = keys.pop("with_", None)
        return self._put("finally", name, {**_common(after, when, with_), **_dashed(keys)})

    def approval(
        self,
        name: str,
        *,
        by: Sequence[str] | None = None,
        message: str | None = None,
        timeout: str | None = None,
        on_timeout: str | None = None,
        after: After | None = None,
        when: str | None = None,
    ) -> str:
        """Adds an element that waits for a person; `by` nobody in particular is everybody who may run the pipeline."""
        asked: Document = _dashed({"by": by, "message": message, "timeout": timeout, "on_timeout": on_timeout})
        return self._put("elements", name, {**_common(after, when, None), "approval": asked})

    def _put(self, key: str, name: str, element: Document) -> str:
        group = self._document.setdefault(key, {})
        assert isinstance(group, dict)
        if name in group:
            raise ValueError(f"the element {name!r} is already in the pipeline: rename one of them")
        group[name] = element
        return name


def _common(after: After | None, when: str | None, with_: object) -> Document:
    return _dashed({"after": after, "if": when, "with": with_})


def _dashed(keys: Mapping[str, object]) -> Document:
    return {key.replace("_", "-"): value for key, value in keys.items() if value is not None}
