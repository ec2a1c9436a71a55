"""What a journey asks of a pipeline: its elements as the service shows them, and answers to approvals."""

from collections.abc import Mapping

import msgspec

from orchestra.network.client import API
from tests.support.journey import Instance, wait_until

OPEN = ("blocked", "waiting", "running")


class Part(msgspec.Struct, frozen=True):
    """One run of an element."""

    key: str
    state: str
    run: int | None
    is_reused: bool


class Asked(msgspec.Struct, frozen=True):
    """What a person is asked."""

    message: str
    decided_by: str | None


class Node(msgspec.Struct, frozen=True):
    """One element."""

    name: str
    state: str
    reason: str
    instances: tuple[Part, ...]
    approval: Asked | None


class _Elements(msgspec.Struct, frozen=True):
    elements: tuple[Node, ...]


class PipelineOf:
    """One run of a pipeline, looked at again with each question."""

    def __init__(self, up: Instance, number: int) -> None:
        self._up = up
        self._path = f"{API}/runs/{number}/elements"

    @property
    def nodes(self) -> Mapping[str, Node]:
        """By name."""
        return {node.name: node for node in self._up.api.get(self._path).read(_Elements).elements}

    @property
    def states(self) -> Mapping[str, str]:
        """Of the elements."""
        return {name: node.state for name, node in self.nodes.items()}

    def reach(self, name: str, state: str) -> Node:
        """Waits until an element is in this state."""

        def look() -> Node | None:
            node = self.nodes[name]
            assert node.state in (*OPEN, state), f"{name} is {node.state}: {node.reason}"
            return node if node.state == state else None

        return wait_until(look, what=f"{name} to be {state}")

    def answer(self, name: str, verdict: str, reason: str = "") -> None:
        """Approves or rejects."""
        self._up.api.post(f"{self._path}/{name}/{verdict}", {"reason": reason})

    def runs(self, name: str) -> Mapping[str, int | None]:
        """The runs of an element by their key."""
        return {part.key: part.run for part in self.nodes[name].instances}
