"""Reads what a project says for all projects: the locks that it declares, its share of the slots, and its reserve."""

from orchestra.definition.document import Mapping
from orchestra.definition.matching_fields import OWN_KEYS, read_matching
from orchestra.definition.values import Value, describe_node
from orchestra.specification import Requirement, SlotReserve

SLOT_KEYS = ("share", "reserve")
_SLOT_HINTS = {"weight": "did you mean `share`?", "reserved": "did you mean `reserve`?"}
_RESERVE_HINTS = {"slots": "did you mean `count`?", "workers": "did you mean `worker`?"}
_LOCKS_REMEDY = "write `locks: { license: 5 }`; those of which there is one need no declaration"


def read_locks(value: Value) -> dict[str, int]:
    """The capacities of the locks that the project declares, by their names."""
    if value.scalar is not None or value.is_list:
        value.refuse(
            f"must be a mapping of names to how many there are, got {describe_node(value.node)}", _LOCKS_REMEDY
        )
        return {}
    counts = {name: item.whole() for name, item in (value.named() or {}).items()}
    return {name: count for name, count in counts.items() if count is not None}


def read_slots(value: Value, *, project: str) -> tuple[int, SlotReserve | None]:
    """The share of the project, and its reserve."""
    if value.scalar is not None:
        sentence = f"must be a mapping, got {describe_node(value.node)}"
        value.refuse(sentence, "write `slots: { share: 3 }`; how many a run fills belongs to its job")
        return 1, None
    fields = value.fields(SLOT_KEYS, hints=_SLOT_HINTS)
    if fields is None:
        return 1, None
    share, reserve = fields.get("share"), fields.get("reserve")
    weight = share.whole() if share else None
    return 1 if weight is None else weight, _reserve(reserve, project) if reserve else None


def _reserve(value: Value, project: str) -> SlotReserve | None:
    remedy = "write `reserve: { count: 1, worker: { os: linux } }`"
    if value.scalar is not None:
        value.refuse(f"must be a mapping, got {describe_node(value.node)}", remedy)
        return None
    fields = value.fields(("count", "worker", "project"), hints=_RESERVE_HINTS)
    if fields is None:
        return None
    count, worker, own = (fields.get(key) for key in ("count", "worker", "project"))
    if "count" not in fields.values:
        value.refuse("does not say how many slots", remedy)
    if own is not None and (name := own.text("the name of this project")) not in (None, project):
        sentence = f"is `{name}`, but a file reserves slots for its own project alone"
        own.refuse(sentence, f"write it into the file of `{name}`, or remove `project`")
    many = count.whole() if count else None
    return None if many is None else SlotReserve(count=many, requirements=_requirements(worker) if worker else ())


def _requirements(value: Value) -> tuple[Requirement, ...]:
    if isinstance(value.node, Mapping):
        for key, wish in (value.named() or {}).items():
            if key in OWN_KEYS:
                wish.refuse("is no property: a reserve is kept on the workers that have what is asked", "remove it")
    return read_matching(value, None).requirements
