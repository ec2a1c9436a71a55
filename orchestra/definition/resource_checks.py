"""What must hold of the locks that a project declares, and of what it is to have of the slots."""

from collections.abc import Iterator

from orchestra.definition import bounds
from orchestra.definition.faults import Fault, bound_fault
from orchestra.limits import RESOURCE_CHARACTERS_MAX
from orchestra.specification import ProjectDefinition


def resource_faults(definition: ProjectDefinition) -> Iterator[Fault]:
    """Everything that forbids to use what the project says for all projects."""
    if len(definition.locks) > bounds.LOCKS_DECLARED_MAX:
        remedy = "those of which there is one need no declaration"
        yield Fault(("locks",), f"are more than {bounds.LOCKS_DECLARED_MAX}", remedy)
    for name, capacity in definition.locks.items():
        path = ("locks", name)
        if not 0 < len(name.strip()) <= len(name) <= RESOURCE_CHARACTERS_MAX or not name.isprintable():
            yield Fault(path, f"must have a name of one line, of 1 to {RESOURCE_CHARACTERS_MAX} characters")
        elif "{" in name or "}" in name:
            yield Fault(path, "has a brace in its name, and what is declared is no template", "write the whole name")
        yield from bound_fault(capacity, bounds.LOCK_COUNT, path)
    yield from bound_fault(definition.share, bounds.SHARE, ("slots", "share"))
    reserve = definition.reserve
    if reserve is not None:
        yield from bound_fault(reserve.count, bounds.RESERVE, ("slots", "reserve", "count"))
        if len(reserve.requirements) > bounds.REQUIREMENTS_MAX:
            sentence = f"asks for more than {bounds.REQUIREMENTS_MAX} properties"
            yield Fault(("slots", "reserve", "worker"), sentence, "remove some")
