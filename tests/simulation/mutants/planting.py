"""A planted defect, and the list of all of them; nothing in the product knows that it can be replaced."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class Graft:
    """Replaces attributes of modules and classes, and gives back what was there."""

    def __init__(self) -> None:
        self._originals: list[tuple[object, str, object]] = []

    def replace(self, owner: object, name: str, substitute: object) -> None:
        """Puts the substitute there; what does not exist cannot be replaced, so that a renamed function is noticed."""
        self._originals.append((owner, name, vars(owner)[name]))
        setattr(owner, name, substitute)

    def undo(self) -> None:
        """Everything is as it was."""
        while self._originals:
            owner, name, original = self._originals.pop()
            setattr(owner, name, original)


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One defect."""

    name: str
    what: str
    """A sentence."""
    breaks: tuple[str, ...]
    """The promises that it breaks: a violation of another one, or an error, does not count as found."""
    plant: Callable[[Graft], None]

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The defect is there until the end of the block."""
        graft = Graft()
        try:
            self.plant(graft)
            yield
        finally:
            graft.undo()

    def explains(self, violation: str) -> bool:
        """Whether the violation is what this defect causes."""
        return violation.partition(":")[0] in self.breaks


Plant = Callable[[Graft], None]


class Mutants:
    """A list of defects; as a decorator it takes a function that plants one, named and described by it."""

    def __init__(self) -> None:
        self.all: list[Mutant] = []

    def breaks(self, *promises: str) -> Callable[[Plant], Plant]:
        """The function plants a defect that breaks these promises."""

        def enter(plant: Plant) -> Plant:
            what = (plant.__doc__ or "").strip()
            name = plant.__name__.replace("_", "-")
            self.all.append(Mutant(name=name, what=what, breaks=promises, plant=plant))
            return plant

        return enter
