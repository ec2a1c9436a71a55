"""The fields of a form, as a browser sends them: names may repeat."""

from collections.abc import Sequence


class Form:
    """What was typed and ticked; nothing is trusted yet."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.pairs = tuple(pairs)

    def text(self, name: str) -> str:
        """The first value of the field without spaces around it; empty if there is none."""
        return self.raw(name).strip()

    def raw(self, name: str) -> str:
        """The first value exactly as it was typed, but with newlines as `\\n`: passwords, longer texts."""
        return next((value.replace("\r\n", "\n") for key, value in self.pairs if key == name), "")

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of the field, in order."""
        return tuple(value for key, value in self.pairs if key == name)

    def below(self, prefix: str) -> dict[str, tuple[str, ...]]:
        """The fields whose names begin so (`param.`), by the rest of their names."""
        found: dict[str, tuple[str, ...]] = {}
        for key, value in self.pairs:
            if key.startswith(prefix):
                name = key[len(prefix) :]
                found[name] = (*found.get(name, ()), value.replace("\r\n", "\n"))
        return found
