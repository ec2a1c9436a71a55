"""What is wanted of a figure, what was measured, and whether that holds: written by the program, copied by nobody."""

import msgspec


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One wanted figure: at most the limit, or at least."""

    what: str
    limit: float
    measured: float | None
    """None if it could not be measured; `lacking` says why."""
    unit: str = ""
    is_at_least: bool = False
    lacking: str = "absent"

    @property
    def holds(self) -> bool:
        """Whether it is as wanted; what could not be measured is not."""
        if self.measured is None:
            return False
        return self.measured >= self.limit if self.is_at_least else self.measured <= self.limit

    @property
    def wanted(self) -> str:
        """The limit in words."""
        if self.measured is None and self.limit == 0:
            return "to be measured"
        return f"{'≥' if self.is_at_least else '≤'} {_with_unit(self.limit, self.unit)}"

    @property
    def found(self) -> str:
        """The figure in words."""
        return self.lacking if self.measured is None else _with_unit(self.measured, self.unit, like=self.limit)

    @property
    def use(self) -> float | None:
        """How much of the limit is used up: 1 is just as wanted, more is too much."""
        if self.measured is None or self.limit == 0:
            return None
        ratio = self.measured / self.limit
        return (1 / ratio if ratio else None) if self.is_at_least else ratio


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """What one row has measured: its gates, and the tables behind them in Markdown."""

    gates: tuple[Gate, ...]
    tables: tuple[str, ...]


def _with_unit(value: float, unit: str, like: float | None = None) -> str:
    """So many digits that the figure can be told from its limit."""
    size = abs(value if like is None else like)
    digits = (
        0
        if size >= 100 or size == 0 or (like is None and value == int(value))
        else 1
        if size >= 10
        else 2
        if size >= 0.2
        else 3
    )
    text = f"{value:,.{digits}f}"
    return f"{text} {unit}".rstrip() if unit != "×" else f"{text} ×"
