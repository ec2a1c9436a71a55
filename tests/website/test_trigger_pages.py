"""The form that triggers a job: its fields, what it takes, sending it twice, and retrying with changes."""

import re

import pytest

from orchestra.lifecycle import RunState
from orchestra.policy import Role
from orchestra.queries.addresses import API
from orchestra.specification import Parameter, ParameterType
from tests.service.given import World, job
from tests.support.pages import HOSTILE, field_of, hidden_value, triggered, words_of

FORM = "/projects/ops/jobs/deploy/trigger"
SECRET = "hunter22-hunter22"
PARAMETERS = (
    Parameter(
        name="env", type=ParameterType.CHOICE, options=("staging", "production"), default="staging", help="Where"
    ),
    Parameter(name="version", pattern=r"v\d+\.\d+", required=True, example="v1.4"),
    Parameter(name="notes", type=ParameterType.TEXT),
    Parameter(name="replicas", type=ParameterType.INTEGER, minimum=1.0, maximum=20.0, default=2),
    Parameter(name="ratio", type=ParameterType.NUMBER),
    Parameter(name="notify", type=ParameterType.BOOLEAN, default=True),
    Parameter(name="dry", type=ParameterType.BOOLEAN),
    Parameter(name="drain-for", type=ParameterType.DURATION, default="10m"),
    Parameter(name="title", default="usual"),
    Parameter(name="api-key", type=ParameterType.SECRET),
)


@pytest.fixture
async def world(world: World) -> World:
    """With a job that has a parameter of every type."""
    await world.project("ops", job("deploy", parameters=PARAMETERS), job("other"))
    return world


@pytest.fixture
async def small_world(small_world: World) -> World:
    """The same on SQLite."""
    await small_world.project("ops", job("deploy", parameters=PARAMETERS), job("other"))
    return small_world


async def test_each_parameter_has_the_field_of_its_type(small_world: World) -> None:
    await small_world.worker("atlas")
    client = await small_world.administrator()

    answer = await client.get(FORM)

    assert "<option selected>staging</option>" in answer.text
    assert 'pattern="v\\d+\\.\\d+"' in field_of(answer, "param.version")
    assert "required" in field_of(answer, "param.version")
    assert field_of(answer, "param.notes").startswith("<textarea")
    replicas = field_of(answer, "param.replicas")
    assert all(part in replicas for part in ('type="number"', 'value="2"', 'step="1"', 'min="1"', 'max="20"'))
    assert 'step="any"' in field_of(answer, "param.ratio")
    assert 'type="checkbox"' in field_of(answer, "param.notify")
    assert "checked" in field_of(answer, "param.notify")
    assert field_of(answer, "param.dry").startswith("<select")
    assert 'value="10m"' in field_of(answer, "param.drain-for")
    assert 'type="password"' in field_of(answer, "secret.api-key")
    assert "1 of 1 workers matches." in words_of(answer)
    assert answer.headers["cache-control"] == "no-store"


async def test_what_was_filled_in_reaches_the_run(world: World) -> None:
    client = await world.administrator()
    sent = {
        "key": hidden_value(await client.get(FORM), "key"),
        "param.env": "production",
        "param.version": "v2.0",
        "param.notes": "two\r\nlines",
        "param.replicas": " 7 ",
        "param.ratio": "",
        "param.notify": "false",
        "param.dry": "true",
        "param.drain-for": "45m",
        "param.title": "",
        "secret.api-key": SECRET,
        "priority": "5",
        "delay": "1h30m",
    }

    answer = await client.post(FORM, data=sent)
    run = (await client.get(f"{API}{answer.headers['location']}")).json()

    assert answer.status_code == 303
    assert run["parameters"] == {
        "env": "production",
        "version": "v2.0",
        "notes": "two\nlines",
        "replicas": 7,
        "notify": False,
        "dry": True,
        "drain-for": "45m",
        "title": "",
    }
    assert (run["priority"], run["state"]) == (5, RunState.SCHEDULED)


async def test_a_moment_to_start_at_is_read_by_the_clocks_of_the_reader(world: World) -> None:
    client = await world.administrator()
    await client.patch(f"{API}/me", json={"zone": "Europe/Paris"})

    form = await client.get(FORM)
    answer = await client.post(FORM, data={"param.version": "v1.0", "run_at": "2025-12-24T18:00"})
    run = (await client.get(f"{API}{answer.headers['location']}")).json()
    page = await client.get(answer.headers["location"])

    assert "by the clocks of Europe/Paris" in words_of(form)
    assert (run["state"], run["due_at"]) == (RunState.SCHEDULED, "2025-12-24T17:00:00Z")
    assert "It starts at 2025-12-24T17:00:00.000Z (in 33 d)" in words_of(page)


async def test_a_moment_that_has_passed_is_told_at_its_field(small_world: World) -> None:
    client = await small_world.administrator()

    answer = await client.post(FORM, data={"param.version": "v1.0", "run_at": "2025-11-20T18:00"})

    assert answer.status_code == 422
    assert "aria-invalid" in field_of(answer, "run_at")
    assert 'value="2025-11-20T18:00"' in field_of(answer, "run_at")


async def test_a_ticked_box_is_true_and_an_empty_one_false(small_world: World) -> None:
    client = await small_world.administrator()
    pairs = "param.version=v1.0&param.notify=false&param.notify=true"

    answer = await client.post(FORM, content=pairs, headers={"content-type": "application/x-www-form-urlencoded"})

    run = (await client.get(f"{API}{answer.headers['location']}")).json()
    assert run["parameters"]["notify"] is True


async def test_wrong_fields_are_told_at_the_field_and_what_was_typed_stays_except_secrets(world: World) -> None:
    client = await world.administrator()
    sent = {
        "key": "k1",
        "param.version": HOSTILE,
        "param.replicas": "99",
        "param.notes": HOSTILE,
        "param.ghost": "1",
        "secret.api-key": SECRET,
        "delay": "soon",
        "priority": "much",
    }

    answer = await client.post(FORM, data=sent)

    assert answer.status_code == 422
    for name in ("param.version", "param.replicas", "param.ghost", "delay", "priority"):
        assert f'href="#f-{name}"' in answer.text, name
    assert f'value="{HOSTILE}"' in field_of(answer, "param.version")
    assert 'aria-invalid="true"' in field_of(answer, "param.replicas")
    assert 'value="soon"' in field_of(answer, "delay")
    assert HOSTILE not in answer.text
    assert SECRET not in answer.text
    assert hidden_value(answer, "key") == "k1"
    assert (await client.get(f"{API}/runs")).json()["items"] == []


async def test_sending_the_form_twice_makes_one_run(world: World) -> None:
    client = await world.administrator()
    sent = {"key": hidden_value(await client.get(FORM), "key"), "param.version": "v1.0"}

    first, second = await client.post(FORM, data=sent), await client.post(FORM, data=sent)
    changed = await client.post(FORM, data={**sent, "param.version": "v1.1"})
    again = await client.post(FORM, data={"key": hidden_value(changed, "key"), "param.version": "v1.1"})

    assert first.headers["location"] == second.headers["location"]
    assert changed.status_code == 409
    assert "This form has made a run already." in words_of(changed)
    assert again.status_code == 303
    assert len((await client.get(f"{API}/runs")).json()["items"]) == 2


async def test_the_address_fills_the_form(small_world: World) -> None:
    client = await small_world.administrator()
    query = {
        "param.env": "production",
        "param.version": "v3.1",
        "param.notify": "false",
        "param.old": "1",
        "delay": "5m",
    }

    answer = await client.get(FORM, params=query)
    unknown = await client.get(FORM, params={"env": "production"})

    assert "<option selected>production</option>" in answer.text
    assert 'value="v3.1"' in field_of(answer, "param.version")
    assert "checked" not in field_of(answer, "param.notify")
    assert "The address names what the job has no parameter for: old." in words_of(answer)
    assert "<details open>" in answer.text
    assert unknown.status_code == 400


@pytest.mark.parametrize("name", ["param.api-key", "secret.api-key", "secret.other"])
async def test_a_secret_in_the_address_is_taken_out_and_not_used(small_world: World, name: str) -> None:
    client = await small_world.administrator()

    answer = await client.get(FORM, params={name: SECRET, "param.version": "v1.0"})
    shown = await client.get(answer.headers["location"])

    assert answer.status_code == 303
    assert SECRET not in answer.headers["location"] + answer.text + shown.text
    assert 'value="v1.0"' in field_of(shown, "param.version")
    assert "The address had a secret in it." in words_of(shown)


async def test_the_same_is_shown_for_terminal_and_programs(small_world: World) -> None:
    client = await small_world.administrator()

    shown = words_of(await client.get(FORM, params={"param.version": "v1.0", "param.title": "a 'b'"}))

    assert "orchestra trigger ops/deploy -p version=v1.0 -p 'title=a '\"'\"'b'\"'\"'' --secret api-key=@FILE" in shown
    assert "http://orchestra.test/api/v1/projects/ops/jobs/deploy/runs" in shown
    assert '"version": "v1.0"' in shown


async def test_a_retry_begins_with_the_old_values_and_takes_changes(world: World) -> None:
    client = await world.administrator()
    old = await triggered(client, "deploy", parameters={"version": "v1.0", "notes": "kept", "replicas": 9})
    await world.change_run(old, state="failed", ended_at=world.clock.now())

    form = await client.get(f"{FORM}?retry_of={old}")
    fields = {"param.version": "v1.1", "param.notes": "", "param.replicas": "9", "param.notify": "true"}
    answer = await client.post(FORM, data={"key": "k", "retry_of": str(old), **fields})
    run = (await client.get(f"{API}{answer.headers['location']}")).json()

    assert f"Retry #{old} of deploy" in words_of(form)
    assert 'value="9"' in field_of(form, "param.replicas")
    assert re.search(r"<textarea[^>]*>\nkept</textarea>", form.text)
    assert field_of(form, "priority") == ""
    assert run["retry_of"] == old
    assert (run["parameters"]["version"], run["parameters"]["replicas"]) == ("v1.1", 9)
    assert "notes" not in run["parameters"]


async def test_a_retry_of_what_is_not_over_or_not_of_this_job_is_refused(small_world: World) -> None:
    client = await small_world.administrator()
    open_run = await triggered(client, "deploy", parameters={"version": "v1.0"})
    other = await triggered(client, "other")

    early = await client.post(FORM, data={"retry_of": str(open_run), "param.version": "v1.0"})
    foreign = [(await client.get(f"{FORM}?retry_of={text}")).status_code for text in (other, 999, "x", 0, -1)]

    assert early.status_code == 409
    assert "is not over" in words_of(early)
    assert foreign == [404] * 5


async def test_a_job_that_was_disabled_meanwhile_says_so_and_keeps_the_form(world: World) -> None:
    client = await world.administrator()
    key = hidden_value(await client.get(FORM), "key")
    await client.patch(f"{API}/projects/ops/jobs/deploy", json={"enabled": False, "reason": "disk is full"})

    answer = await client.post(FORM, data={"key": key, "param.version": "v1.0"})

    assert answer.status_code == 409
    assert "disabled by root: disk is full" in words_of(answer)


async def test_who_may_not_run_the_job_is_refused(small_world: World) -> None:
    await small_world.project("shop", job("sync"))
    viewer = small_world.client(await small_world.user("vera", Role.VIEWER))
    mixed = small_world.client(await small_world.user("mia", Role.VIEWER, (Role.OPERATOR, "shop")))
    outside = small_world.client(await small_world.user("otto", (Role.OPERATOR, "shop")))

    answers = [await each.post(FORM, data={"param.version": "v1.0"}) for each in (viewer, mixed, outside)]

    assert [answer.status_code for answer in answers] == [403, 403, 404]
