"""Made-up jobs, workers and histories, and a model that reads one requirement after the other aloud."""

import re
from collections.abc import Mapping
from fractions import Fraction

from hypothesis import strategies as st

from orchestra.identifiers import WorkerId, WorkerName
from orchestra.matching import RunHistory
from orchestra.specification import Matching, Operator, Placement, PropertyValue, Requirement, Wish
from orchestra_master.selection import Candidate

ORDERINGS = (Operator.AT_LEAST, Operator.AT_MOST, Operator.ABOVE, Operator.BELOW)
UNITS = {"": 1, "B": 1, "k": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "T": 10**12}
NAMES = ("os", "gpu", "memory", "fast")

numbers = st.one_of(st.integers(-3, 3), st.integers(-(2**53), 2**53), st.sampled_from((0.5, 2.0, -1.25, 1e300)))
sizes = st.builds(
    lambda number, gap, unit: f"{number}{gap}{unit}",
    st.sampled_from(("0", "1", "2", "1.5", "+2", "-1", "007", "9" * 30)),
    st.sampled_from(("", " ")),
    st.sampled_from(sorted(UNITS)),
)
words = st.sampled_from(("linux", "windows", "true", "false", "1", "2", "2.0", "", " 2", "3.11.2", "1 kg", "٣", "1e3"))
property_values: st.SearchStrategy[PropertyValue] = st.one_of(words, sizes, numbers, st.booleans(), st.text(max_size=4))
properties = st.dictionaries(st.sampled_from(NAMES), property_values)
requirements = st.one_of(
    st.builds(
        Requirement,
        name=st.sampled_from(NAMES),
        operator=st.sampled_from((Operator.IN, Operator.NOT_IN)),
        values=st.lists(property_values, min_size=1, max_size=3).map(tuple),
    ),
    st.builds(
        Requirement,
        name=st.sampled_from(NAMES),
        operator=st.sampled_from(ORDERINGS),
        values=st.tuples(st.one_of(sizes, numbers, words)),
    ),
)
wishes = st.builds(
    lambda asked, weight: Wish(name=asked.name, operator=asked.operator, values=asked.values, weight=weight),
    requirements,
    st.integers(1, 3),
)


def asking(requirements_most: int, slots_most: int) -> st.SearchStrategy[Matching]:
    """Everything that a job may ask of a worker, with so much of it."""
    return st.builds(
        Matching,
        requirements=st.lists(requirements, max_size=requirements_most).map(tuple),
        prefer=st.lists(wishes, max_size=3).map(tuple),
        avoid=st.lists(wishes, max_size=2).map(tuple),
        placement=st.sampled_from(Placement),
        sticky=st.booleans(),
        slots=st.integers(1, slots_most),
    )


matchings = asking(3, 4)
modest_matchings = asking(1, 2)
"""So that mostly some worker can run it."""
candidate_lists = st.lists(
    st.builds(
        Candidate,
        worker=st.integers(1, 9).map(WorkerId),
        name=st.text(alphabet="abc", min_size=1, max_size=3).map(WorkerName),
        properties=properties,
        slots=st.integers(1, 4),
        free_slots=st.integers(0, 4),
        prefetch_room=st.integers(0, 2),
    ),
    max_size=6,
    unique_by=(lambda each: each.name, lambda each: each.worker),
)
histories = st.builds(
    RunHistory,
    warm=st.none() | st.integers(1, 9).map(WorkerId),
    failed=st.frozensets(st.integers(1, 9).map(WorkerId), max_size=4),
)


# --- the model: values are written texts, and numbers are exact ---


def written(value: PropertyValue) -> str:
    """As a person writes it into a file."""
    if isinstance(value, bool):
        return str(value).lower()
    whole = isinstance(value, float) and value == int(value)
    return str(int(value)) if whole else str(value)


def exact(value: PropertyValue) -> Fraction | None:
    """The number that it stands for."""
    if isinstance(value, bool):
        return None
    if not isinstance(value, str):
        return Fraction(value)
    match = re.fullmatch(r"\s*([+-]?[0-9]+)(?:\.([0-9]+))?(?:\s*([kKMGTP]))?(i)?(B)?\s*", value, re.ASCII)
    spaced_byte = re.fullmatch(r"\s*([+-]?[0-9]+(?:\.[0-9]+)?)\s*B?\s*", value, re.ASCII)
    if spaced_byte:
        return Fraction(spaced_byte[1])
    if match is None or (match[4] and not match[3]):
        return None
    number = Fraction(f"{match[1]}.{match[2] or 0}")
    for _ in range("KMGTP".index(match[3].upper()) + 1):
        number *= 1024 if match[4] else 1000
    return number


def meets(requirement: Requirement, worker: Mapping[str, PropertyValue]) -> bool:
    """One requirement, read aloud."""
    have = worker.get(requirement.name)
    if requirement.operator in ORDERINGS:
        number, bound = None if have is None else exact(have), exact(requirement.values[0])
        if number is None or bound is None:
            return False
        left, right = float(number), float(bound)
        return {
            Operator.AT_LEAST: left >= right,
            Operator.AT_MOST: left <= right,
            Operator.ABOVE: left > right,
            Operator.BELOW: left < right,
        }[requirement.operator]
    is_one_of_them = have is not None and any(written(have) == written(value) for value in requirement.values)
    return is_one_of_them == (requirement.operator is Operator.IN)
