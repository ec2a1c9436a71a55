"""One job: its history, its workers, its definition, and its switch."""

import msgspec
import pytest

from orchestra.elements import Approval, Element, Pipeline, Rule
from orchestra.policies import Concurrency, LockDemand, Policies
from orchestra.policy import Role
from orchestra.queries.addresses import API
from orchestra.specification import (
    Execution,
    JobDefinition,
    Matching,
    Operator,
    Parameter,
    ParameterType,
    Placement,
    RetryPolicy,
    Step,
    Wish,
)
from tests.service.given import LINUX, World, job
from tests.support.pages import HOSTILE, ended_runs, links_of, triggered, words_of
from tests.support.schedules import scheduled

BACKUP = "/projects/ops/jobs/backup"


def hostile_job() -> JobDefinition:
    """A job whose every word is hostile."""
    parameter = Parameter(name="env", help=HOSTILE, example=HOSTILE, default=HOSTILE)
    made = job("backup", parameters=(parameter,), matching=LINUX)
    execution = msgspec.structs.replace(
        made.specification.execution,
        steps=(Step(name=HOSTILE, run=HOSTILE), Step(name="b", command=("echo", HOSTILE))),
        environment={"A": HOSTILE},
        directory=f"/{HOSTILE}",
    )
    specification = msgspec.structs.replace(made.specification, description=HOSTILE, execution=execution)
    return msgspec.structs.replace(made, specification=specification)


async def test_a_job_that_never_ran_says_how_to_run_it(small_world: World) -> None:
    client = await small_world.administrator()

    answer = await client.get(BACKUP)

    assert "Never run. Trigger it, or type orchestra trigger ops/backup --follow" in words_of(answer)
    assert f"{BACKUP}/trigger" in links_of(answer)


async def test_its_newest_runs_are_listed_and_drawn(world: World) -> None:
    client = await world.administrator()
    runs = await ended_runs(world, client, ["succeeded", "succeeded", "failed"], seconds=30.0)

    answer = await client.get(BACKUP)

    shown = words_of(answer)
    assert "Usually takes about 30 s" in shown
    assert "2 of 3 succeeded; ✖ failed once since 04:42" in shown
    assert "How long the last 3 runs took, up to 30 s" in shown
    assert f'aria-label="#{runs[-1]} failed, 30 s"' in answer.text
    assert answer.text.count('class="dot ') == 3
    assert "style=" not in answer.text


async def test_each_worker_says_whether_it_matches_and_why_not(world: World) -> None:
    await world.project("ops", job("backup", matching=LINUX))
    await world.worker("atlas")
    await world.worker("busy", state="draining", reason="by ana")
    await world.worker("wing", properties='{"os":"windows"}')
    client = await world.administrator()

    shown = words_of(await client.get(BACKUP))

    assert "2 of 3 match" in shown
    assert "atlas ✔ yes could take a run" in shown
    assert "busy ✔ yes is draining (by ana)" in shown
    assert "wing ✖ no os is windows, needs linux" in shown


async def test_the_definition_is_shown_as_data_with_its_versions(world: World) -> None:
    made = scheduled("backup")
    disk = Wish(name="disk", operator=Operator.IN, values=("ssd",), weight=5)
    placed = Matching(prefer=(disk,), placement=Placement.PACK, sticky=True)
    retry = RetryPolicy(max_attempts=3, factor=2.0)
    step = Step(name="build", run="make", timeout_seconds=600)
    limited = Execution(steps=(step,), timeout_seconds=3600, silence_seconds=300)
    retrying = msgspec.structs.replace(made.specification, retry=retry, matching=placed, execution=limited)
    policies = Policies(concurrency=Concurrency(limit=2), locks=(LockDemand(name="license"),))
    retrying = msgspec.structs.replace(retrying, policies=policies)
    await world.project("ops", made)
    await world.project("ops", msgspec.structs.replace(made, specification=retrying))
    client = await world.administrator()

    shown = words_of(await client.get(BACKUP))

    assert "up to 3 attempts, 1 min apart, each wait 2 times the one before, on exit, timeout, lost" in shown
    assert (
        "Time limit 1 h; 5 min without output or check-in; 10 min for the step build; 10 s between asking it to end"
        in shown
    )
    assert (
        "1 slot; of several workers where the job last succeeded; rather disk: ssd (weight 5); "
        "packed: the fewest free slots that still fit" in shown
    )
    assert "Concurrency 2 at a time; waits if full Locks license" in shown
    assert "At 02:30 (Europe/Paris), next 2025-11-22 01:30:00 +00:00" in shown
    assert "retry.max-attempts: 1 → 3" in shown
    assert "first version" in shown


async def test_a_pipeline_shows_its_elements_and_nothing_about_workers(small_world: World) -> None:
    made = job("release")
    elements = tuple(Element(name=f"e{number}", job="backup") for number in range(300))
    asked = Element(name="ok", approval=Approval(by=(HOSTILE,)), after={"e1": (Rule.FINISHED,)})
    pipeline = Pipeline(elements=(asked, *elements))
    execution = msgspec.structs.replace(made.specification.execution, steps=())
    specification = msgspec.structs.replace(made.specification, execution=execution, pipeline=pipeline)
    await small_world.project("ops", job("backup"), msgspec.structs.replace(made, specification=specification))
    client = await small_world.administrator()

    answer = await client.get("/projects/ops/jobs/release")

    shown = words_of(answer)
    assert "Elements 301, each of which runs a job or asks somebody" in shown
    assert "e298 runs backup" in shown
    assert "e1 (finished)" in shown
    assert "and 1 more" in shown
    assert "Workers that can do it now" not in shown
    assert "Asks of a worker" not in shown
    assert HOSTILE not in answer.text


async def test_a_retired_job_stays_readable_and_cannot_be_run(world: World) -> None:
    client = await world.administrator()
    run = await triggered(client)
    await world.project("ops", job("other"))

    answer = await client.get(BACKUP)

    assert "in no definition any more" in words_of(answer)
    assert f"/runs/{run}" in links_of(answer)
    assert f"{BACKUP}/trigger" not in links_of(answer)
    assert f"{BACKUP}/disable" not in links_of(answer)


async def test_disabling_asks_first_then_tells_why_everywhere(world: World) -> None:
    client = await world.administrator()

    question = await client.get(f"{BACKUP}/disable")
    still = (await client.get(f"{API}{BACKUP}")).json()["enabled"]
    done = await client.post(f"{BACKUP}/disable", data={"reason": HOSTILE})
    page = await client.get(done.headers["location"])
    form = await client.get(f"{BACKUP}/trigger")
    enabled = await client.post(f"{BACKUP}/enable")

    assert "Runs that exist go on." in words_of(question)
    assert still
    assert (done.status_code, done.headers["location"]) == (303, f"{BACKUP}?done=disabled")
    assert f"Disabled by root: {HOSTILE}" in words_of(page)
    assert HOSTILE not in page.text + form.text
    assert "This job is disabled by root" in words_of(form)
    assert "<form method" not in form.text.partition("<main")[2].partition("</main>")[0]
    assert (enabled.status_code, (await client.get(f"{API}{BACKUP}")).json()["enabled"]) == (303, True)


@pytest.mark.parametrize("reason", ["x" * 501, "two\nlines"])
async def test_a_reason_that_does_not_fit_is_refused_at_its_field(small_world: World, reason: str) -> None:
    client = await small_world.administrator()

    answer = await client.post(f"{BACKUP}/disable", data={"reason": reason})

    assert answer.status_code == 422
    assert 'href="#f-reason"' in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert (await client.get(f"{API}{BACKUP}")).json()["enabled"]


async def test_only_the_definition_enables_what_it_disables(small_world: World) -> None:
    await small_world.project("ops", scheduled("backup", enabled=False))
    client = await small_world.administrator()

    page, refused = await client.get(BACKUP), await client.post(f"{BACKUP}/enable")

    assert "Disabled by its definition: say enabled: true there." in words_of(page)
    assert refused.status_code == 409


async def test_a_reader_sees_no_buttons_and_is_refused_by_hand(world: World) -> None:
    await world.project("shop", job("sync"))
    viewer = world.client(await world.user("vera", Role.VIEWER))
    mixed = world.client(await world.user("mia", Role.VIEWER, (Role.OPERATOR, "shop")))
    outside = world.client(await world.user("otto", (Role.OPERATOR, "shop")))

    pages = [await viewer.get(BACKUP), await mixed.get(BACKUP)]
    refused = [await each.post(f"{BACKUP}/disable", data={"reason": ""}) for each in (viewer, mixed, outside)]

    assert all(f"{BACKUP}/{word}" not in page.text for page in pages for word in ("trigger", "disable"))
    assert [answer.status_code for answer in refused] == [403, 403, 404]
    assert [(await outside.get(path)).status_code for path in (BACKUP, f"{BACKUP}/disable")] == [404, 404]
    assert "You lack the permission" in words_of(await mixed.get(f"{BACKUP}/trigger"))


async def test_hostile_definitions_stay_text(small_world: World) -> None:
    await small_world.project("ops", hostile_job())
    client = await small_world.administrator()

    for path in (BACKUP, f"{BACKUP}/trigger", "/projects/ops", "/projects"):
        answer = await client.get(path)
        assert answer.status_code == 200
        assert HOSTILE not in answer.text, path


async def test_a_default_of_a_secret_is_not_shown(small_world: World) -> None:
    secret = Parameter(name="key", type=ParameterType.SECRET, default="hunter22")
    await small_world.project("ops", job("backup", parameters=(secret,)))
    client = await small_world.administrator()

    for path in (BACKUP, f"{BACKUP}/trigger"):
        assert "hunter22" not in (await client.get(path)).text
