"""The order of a pipeline's elements: who comes before whom, and circles, which are refused with their path."""

from collections.abc import Iterator, Mapping, Sequence

from orchestra.elements import Element, Pipeline


class Graph:
    """The elements of a pipeline without circles, each after those that it waits for."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.closing = frozenset(element.name for element in pipeline.closing)
        """Elements that wait for all the others."""
        named = {element.name: element for element in (*pipeline.elements, *pipeline.closing)}
        self.elements: tuple[Element, ...] = tuple(named[name] for name in _ordered(named))
        self.by_name: Mapping[str, Element] = named

    def in_written_order(self) -> Sequence[Element]:
        """As the definition has them."""
        return (*self.pipeline.elements, *self.pipeline.closing)

    def descendants(self, name: str) -> frozenset[str]:
        """The element itself and all that come after it, however far; the closing ones always do."""
        found = {name}
        for element in self.elements:
            if found & element.after.keys():
                found.add(element.name)
        return frozenset(found | self.closing)

    def columns(self) -> Mapping[str, int]:
        """For a drawing: the longest way from a beginning to each element; the closing ones begin after all others."""
        column: dict[str, int] = {}
        ordinary = [element for element in self.elements if element.name not in self.closing]
        for element in ordinary:
            column[element.name] = max((column[name] + 1 for name in element.after), default=0)
        last = max(column.values(), default=-1) + 1
        for element in self.elements:
            if element.name in self.closing:
                column[element.name] = max((column[name] + 1 for name in element.after), default=last)
        return column


def circle_in(elements: Sequence[Element]) -> list[str]:
    """The path of a circle, beginning and ending with the same element; empty if there is none."""
    named = {element.name: element for element in elements}
    done: set[str] = set()
    for start in named:
        path: list[str] = []
        on_path: set[str] = set()
        ways: list[Iterator[str]] = [iter((start,))]
        while ways:
            following = next(ways[-1], None)
            if following is None:
                ways.pop()
                if path:
                    last = path.pop()
                    on_path.discard(last)
                    done.add(last)
            elif following in on_path:
                return [*path[path.index(following) :], following]
            elif following in named and following not in done:
                path.append(following)
                on_path.add(following)
                ways.append(iter(named[following].after))
    return []


def _ordered(named: Mapping[str, Element]) -> list[str]:
    """Each name after those that its element waits for, otherwise as they were written (Kahn)."""
    waits_for = {name: sum(before in named for before in element.after) for name, element in named.items()}
    followers: dict[str, list[str]] = {name: [] for name in named}
    for name, element in named.items():
        for before in element.after:
            if before in named:
                followers[before].append(name)
    ordered = [name for name, count in waits_for.items() if count == 0]
    for name in ordered:
        for follower in followers[name]:
            waits_for[follower] -= 1
            if waits_for[follower] == 0:
                ordered.append(follower)
    assert len(ordered) == len(named), "circles are refused when a definition is read"
    return ordered
