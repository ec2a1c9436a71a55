"""What a retry of a pipeline does again, as a form asks it: everything, the failed part, from an element, or anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestra.commands.triggers import RetryRequest
from orchestra.specification import JobSpecification, PropertyValue

ALL, FAILED, FROM, NEWEST = "all", "failed", "from", "newest"
SCOPES: Mapping[str, str] = {
    ALL: "Everything, by the definition that this run was made of",
    FAILED: "Only what did not succeed; what did is used again with its results",
    FROM: "One element and all that comes after it, and what did not succeed",
    NEWEST: "Everything, by the newest definition",
}
"""In the words of the form."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryScope:
    """What was chosen; only pipelines have a choice."""

    scope: str = ALL
    element: str = ""
    """From which one, if that was chosen."""

    @property
    def problems(self) -> list[tuple[str, str]]:
        """What is wrong with the choice itself, by field."""
        if self.scope not in SCOPES:
            return [("scope", f"must be one of {', '.join(SCOPES)}")]
        if self.scope == FROM and not self.element:
            return [("from", "choose the element")]
        return []

    @property
    def options(self) -> list[str]:
        """The same on the command line."""
        words = {FAILED: ["--failed-only"], FROM: ["--from", self.element], NEWEST: ["--newest"]}
        return words.get(self.scope, [])

    @property
    def fields(self) -> dict[str, object]:
        """The same in the body of a request to the API."""
        fields: dict[str, dict[str, object]] = {
            FAILED: {"failed_only": True},
            FROM: {"from_element": self.element},
            NEWEST: {"newest": True},
        }
        return fields.get(self.scope, {})

    def request(self, parameters: Mapping[str, PropertyValue | None], secrets: Mapping[str, str]) -> RetryRequest:
        """What the commands are asked."""
        return RetryRequest(
            parameters=dict(parameters),
            secrets=dict(secrets),
            failed_only=self.scope == FAILED,
            from_element=self.element if self.scope == FROM else None,
            newest=self.scope == NEWEST,
        )


EVERYTHING = RetryScope()


def read_scope(asked: Mapping[str, str]) -> RetryScope:
    """From a query or a form; an element without more words means from there."""
    element = asked.get("from", "")
    return RetryScope(scope=asked.get("scope") or (FROM if element else ALL), element=element)


def elements_to_choose(specification: JobSpecification) -> Sequence[str]:
    """By name, as the definition has them; none if it is no pipeline."""
    pipeline = specification.pipeline
    return [] if pipeline is None else [each.name for each in (*pipeline.elements, *pipeline.closing)]
