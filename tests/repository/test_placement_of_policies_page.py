"""What the page of policies says of where a run goes is what the code does."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestra.definition.reader import examine_definition, read_definition
from orchestra.identifiers import WorkerId, WorkerName
from orchestra.matching import RunHistory, properties_of
from orchestra.specification import Matching, PropertyValue
from orchestra_master.selection import Candidate, SpreadingSelector, able

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
SECTION = PAGE[PAGE.index("## Where a run goes") :].split("\n## ")[0]
FOUND = {
    "an element that is not over before this one begins": "build: {}\n      it: { job: build, %s }",
    "an element with a `matrix` or `for-each`": (
        "build: { matrix: { n: [1, 2] } }\n      it: { job: build, after: build, %s }"
    ),
    "an approval": "ok: { approval: [lead] }\n      it: { job: build, after: ok, %s }",
    "an element that runs a pipeline": "parts: {}\n      it: { job: build, after: parts, %s }",
    "one whose job asks for what this one's refuses": "build: {}\n      it: { job: other, after: build, %s }",
}


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the table that begins with this."""
    table = SECTION[SECTION.index(heading) :].split("\n\n")[0].strip()
    for line in table.split("\n")[2:]:
        yield [cell.strip() for cell in line.split("|")[1:-1]]


def matching(worker: str) -> Matching:
    """What a job that says this asks and wishes."""
    text = f"orchestra: 1\nproject: shop\njobs:\n  a:\n    run: x\n    worker: {worker}\n"
    return read_definition(text, "page").jobs[0].specification.matching


def fleet() -> list[Candidate]:
    """The workers of the table."""
    found = []
    for number, (name, said, slots, free) in enumerate(rows("| worker | properties |"), 1):
        properties: dict[str, PropertyValue] = dict(re.findall(r"(\w+): (\w+)", said))
        plain = WorkerName(name.strip("`"))
        found.append(
            Candidate(
                worker=WorkerId(number), name=plain, properties=properties_of(plain, properties), slots=int(slots),
                free_slots=int(free),
            )
        )  # fmt: skip
    return found


def test_the_example_is_a_definition() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)

    pipeline = read_definition(block, "docs/policies.md").jobs[-1].specification.pipeline

    assert pipeline is not None
    assert [each.same_worker_as for each in (*pipeline.elements, *pipeline.closing)] == ["", "build", "build"]


@pytest.mark.parametrize(("worker", "before", "chosen"), [row[:3] for row in rows("| `worker:` | before |")])
def test_a_run_goes_where_the_table_says(worker: str, before: str, chosen: str) -> None:
    asked, candidates = matching(worker.strip("`")), fleet()
    known = {each.name: each.worker for each in candidates}
    warm = [known[WorkerName(name)] for name in re.findall(r"succeeded on `(\w+)`", before)]
    failed = frozenset(known[WorkerName(name)] for name in re.findall(r"failed on `(\w+)`", before))

    history = RunHistory(warm=next(iter(warm), None), failed=failed)
    selected = SpreadingSelector().select(asked, able(asked, candidates), history)

    assert f"`{selected.name}`" == chosen


@pytest.mark.parametrize(("named", "told"), list(rows("| `worker: { same-as: … }` names |")))
def test_what_has_no_one_worker_before_is_refused_as_the_table_says(named: str, told: str) -> None:
    other = told.partition("`")[2].partition("`")[0]
    element = FOUND[named] % f"worker: {{ same-as: {other} }}"
    jobs = "  build: { run: make, worker: { os: linux } }\n  other: { run: make, worker: { os: windows } }\n"
    jobs += "  parts: { elements: { build: {} } }\n"
    text = f"orchestra: 1\nproject: shop\njobs:\n{jobs}  release:\n    elements:\n      {element}\n"

    (problem,) = examine_definition(text, "page").problems

    assert f"{problem.sentence}: {problem.help}".endswith(f"same-as {told}")
