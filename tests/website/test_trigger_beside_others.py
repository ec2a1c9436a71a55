"""The form of a job that looks at its other runs, and what its schedule decided: the other run is one click away."""

import pytest

from orchestra.policies import Conflict, Policies, Uniqueness
from orchestra.specification import Execution, JobDefinition, JobSpecification, Step
from tests.service.given import START, World
from tests.support.pages import hidden_value, links_of, words_of
from tests.support.schedules import decide, scheduled


def scan(conflict: Conflict) -> JobDefinition:
    execution = Execution(steps=(Step(name="scan", run="scan"),))
    policies = Policies(unique=Uniqueness(key="nightly", conflict=conflict))
    return JobDefinition(name=str(conflict), specification=JobSpecification(execution=execution, policies=policies))


@pytest.fixture
async def small_world(small_world: World) -> World:
    """With a job for each answer to a conflict."""
    await small_world.project("ops", *(scan(each) for each in Conflict))
    return small_world


def form_of(conflict: Conflict) -> str:
    return f"/projects/ops/jobs/{conflict}/trigger"


async def test_a_refused_run_is_said_at_the_form_with_a_link_to_the_other(small_world: World) -> None:
    client = await small_world.administrator()
    form = form_of(Conflict.REJECT)
    first = await client.post(form, data={"key": hidden_value(await client.get(form), "key")})

    answer = await client.post(form, data={"key": hidden_value(await client.get(form), "key"), "priority": "7"})

    assert (first.status_code, answer.status_code) == (303, 409)
    assert "no run of ops/reject was made, because #1 has the same key 'nightly' and is pending" in words_of(answer)
    assert "/runs/1" in links_of(answer)
    assert 'value="7"' in answer.text


async def test_an_existing_run_is_shown_instead_of_a_new_one(small_world: World) -> None:
    client = await small_world.administrator()
    form = form_of(Conflict.RETURN_EXISTING)
    await client.post(form, data={"key": hidden_value(await client.get(form), "key")})
    key = hidden_value(await client.get(form), "key")

    answer, again = [await client.post(form, data={"key": key}) for _ in range(2)]

    for each in (answer, again):
        assert each.status_code == 200
        assert "No run was made: by its policies #1 is the one for these values." in words_of(each)
        assert "/runs/1" in links_of(each)
        assert hidden_value(each, "key") not in ("", key)


async def test_a_replacement_goes_to_the_new_run(small_world: World) -> None:
    client = await small_world.administrator()
    form = form_of(Conflict.REPLACE)
    await client.post(form, data={"key": hidden_value(await client.get(form), "key")})

    answer = await client.post(form, data={"key": hidden_value(await client.get(form), "key")})

    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/2")


@pytest.mark.parametrize(
    ("decision", "is_of_run", "words"),
    [
        (
            "skipped: #1 has the same key '#b' and is running",
            False,
            "skipped #1 has the same key '#b' and is running",
        ),
        ("skipped: group ops/x is full: #1 is running", False, "skipped group ops/x is full: #1 is running"),
        ("skipped: overlap with #1", False, "skipped overlap with #1"),
        ("existing: #1 has the same key 'a' and is running", True, "existing #1 has the same key 'a' and is running"),
    ],
)
async def test_a_decision_links_the_run_that_it_names(
    small_world: World, decision: str, is_of_run: bool, words: str
) -> None:
    await small_world.project("ops", scheduled("backup"))
    client = await small_world.administrator()
    await client.post("/api/v1/projects/ops/jobs/backup/runs", json={})
    run = 1 if is_of_run else None
    await decide(small_world.database, "backup", START, decided_at=START, decision=decision, run=run)

    for path in ("/schedules", "/projects/ops/schedules/backup"):
        answer = await client.get(path)
        assert words in words_of(answer)
        assert "/runs/1" in links_of(answer)
