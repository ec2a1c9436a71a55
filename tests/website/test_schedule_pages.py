"""The pages of schedules: the list, one schedule, the switch of its job, and the preview."""

import html
import re

import httpx2
import pytest

from orchestra.clock import after
from orchestra.policy import Role
from orchestra.queries.addresses import API
from orchestra.specification import Overlap
from tests.service.given import START, World, job
from tests.support.schedules import decide, move_next, scheduled

ONE = "/projects/ops/schedules/backup"
HOSTILE = "<script>alert(1)</script>"


def text_of(answer: httpx2.Response) -> str:
    """What a reader sees, on one line."""
    main = answer.text.partition("<main")[2].partition("</main>")[0].partition(">")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())


async def test_the_list_says_when_in_words_and_what_was_decided_last(world: World) -> None:
    await world.project("ops", scheduled("backup"), scheduled("off", every=900.0, enabled=False))
    client = await world.administrator()
    run = (await client.post(f"{API}/projects/ops/jobs/backup/runs", json={})).json()["id"]
    await decide(world.database, "backup", START, decided_at=START, decision="fired", run=run)

    answer = await client.get("/schedules")

    assert answer.status_code == 200
    shown = text_of(answer)
    assert "At 02:30 (Europe/Paris) 30 2 * * *" in shown
    assert "2025-11-22 02:30:00 +01:00" in shown
    assert f"fired #{run}" in shown
    assert "Every 15 min every 15m" in shown
    assert "not scheduled disabled by its definition" in shown
    assert f'href="{ONE}"' in answer.text


async def test_an_empty_list_has_three_schedules_to_copy(small_world: World) -> None:
    client = await small_world.administrator()

    shown = (await client.get("/schedules")).text

    assert html.unescape(shown).count("\nschedule: ") == 3
    assert "/schedules/preview?cron=30+2+*+*+*&amp;zone=Europe%2FParis" in shown


async def test_the_list_of_a_project_has_only_its_own(small_world: World) -> None:
    await small_world.project("ops", scheduled("backup"))
    await small_world.project("shop", scheduled("sync"))
    await small_world.project("lab")
    client = await small_world.administrator()

    of_path = text_of(await client.get("/projects/shop/schedules"))
    of_query = text_of(await client.get("/schedules?project=shop"))
    of_nobody = text_of(await client.get("/projects/lab/schedules"))
    unknown = await client.get("/projects/none/schedules")

    assert "shop/sync" in of_path
    assert "ops/backup" not in of_path + of_query
    assert "No job of this project runs by itself." in of_nobody
    assert unknown.status_code == 404


async def test_a_schedule_that_no_master_decides_about_is_late(small_world: World) -> None:
    await small_world.project("ops", scheduled("backup"))
    await move_next(small_world.database, "backup", after(START, -300))
    client = await small_world.administrator()

    assert "late due 5 min ago , no master has decided" in text_of(await client.get("/schedules"))
    assert "Late: it was due 5 min ago and no master has decided about it." in text_of(await client.get(ONE))


async def test_one_schedule_shows_policies_decisions_instants_and_clock_changes(world: World) -> None:
    await world.project("ops", scheduled("backup"))
    client = await world.administrator()
    late = after(START, -60)
    await decide(world.database, "backup", late, decided_at=after(late, 200), decision="skipped: missed")
    await decide(world.database, "backup", START, decided_at=START, decision="skipped: overlap with #7")

    answer = await client.get(ONE)

    shown = text_of(answer)
    assert "While a run of the job is not over, a due instant is skipped." in shown
    assert "skipped missed" in shown
    assert "3 min 20 s late" in shown
    assert "skipped overlap with #7" in shown
    assert 'href="/runs/7"' in answer.text
    assert answer.text.count("02:30:00 +0") == 10 + 1 + 1, "the next ten, the very next, and the day in autumn"
    assert "clocks go forward from 02:00 to 03:00; no time between 02:00 and 03:00 exists that day" in shown


async def test_only_ten_decisions_are_on_a_page_and_older_ones_behind_a_link(small_world: World) -> None:
    await small_world.project("ops", scheduled("backup", zone="UTC"))
    for number in range(12):
        due = after(START, number * 60)
        await decide(small_world.database, "backup", due, decided_at=due, decision=f"skipped: number {number}")
    client = await small_world.administrator()

    first = await client.get(ONE)
    following = re.search(r'href="([^"]+cursor=[^"]+)" rel="next"', first.text)
    assert following is not None
    second = text_of(await client.get(html.unescape(following[1])))

    assert "number 11" in text_of(first)
    assert "number 1 " not in text_of(first)
    assert "number 1 " in second
    assert "number 11" not in second
    assert (await client.get(f"{ONE}?cursor=nonsense")).status_code == 400


async def test_disabling_asks_first_and_says_which_runs_go_on(world: World) -> None:
    await world.project("ops", scheduled("backup"))
    client = await world.administrator()
    run = (await client.post(f"{API}/projects/ops/jobs/backup/runs", json={})).json()["id"]

    page = await client.get(f"{ONE}/disable")
    done = await client.post(f"{ONE}/disable", data={"reason": HOSTILE})
    after_it = await client.get(done.headers["location"])

    assert "Due instants are noted as skipped" in text_of(page)
    assert f"Runs that exist go on: #{run}" in text_of(page)
    assert (done.status_code, done.headers["location"]) == (303, f"{ONE}?done=disabled")
    assert "ops/backup is disabled." in text_of(after_it)
    assert f"disabled by root: {HOSTILE}" in text_of(after_it)
    assert HOSTILE not in after_it.text
    assert f'href="{ONE}/enable"' in after_it.text


async def test_enabling_again_is_one_more_page(small_world: World) -> None:
    await small_world.project("ops", scheduled("backup"))
    client = await small_world.administrator()
    await client.post(f"{ONE}/disable", data={"reason": "migration"})

    page = text_of(await client.get(f"{ONE}/enable"))
    done = await client.post(f"{ONE}/enable", data={"reason": ""})
    again = await client.post(f"{ONE}/enable", data={"reason": ""})

    assert "It is disabled by root: migration." in page
    assert (done.status_code, again.status_code) == (303, 303)
    assert (await client.get(f"{API}/schedules")).json()["items"][0]["enabled"] is True


async def test_a_bad_reason_keeps_the_form_as_it_was_typed(small_world: World) -> None:
    await small_world.project("ops", scheduled("backup"))
    client = await small_world.administrator()

    refused = await client.post(f"{ONE}/disable", data={"reason": "x" * 501})

    assert refused.status_code == 422
    assert "Must be one line of at most 500 characters." in text_of(refused)
    assert f'value="{"x" * 501}"' in refused.text


async def test_what_only_the_definition_can_enable_says_so(small_world: World) -> None:
    await small_world.project("ops", scheduled("backup", enabled=False))
    client = await small_world.administrator()

    shown = await client.get(ONE)
    refused = await client.post(f"{ONE}/enable", data={"reason": ""})

    assert "Only its definition can enable it" in text_of(shown)
    assert f"{ONE}/enable" not in shown.text
    assert refused.status_code == 422
    assert "say 'enabled: true' there." in text_of(refused)


async def test_who_may_not_switch_sees_no_button_and_is_refused(small_world: World) -> None:
    await small_world.project("ops", scheduled("backup"))
    await small_world.project("shop", scheduled("sync"))
    viewer = small_world.client(await small_world.user("ana", Role.VIEWER))
    own = small_world.client(await small_world.user("bo", (Role.OPERATOR, "shop"), (Role.VIEWER, "ops")))

    assert "/disable" not in (await viewer.get(ONE)).text + (await own.get(ONE)).text
    assert "/disable" in (await own.get("/projects/shop/schedules/sync")).text
    for client in (viewer, own):
        assert (await client.get(f"{ONE}/disable")).status_code == 403
        assert (await client.post(f"{ONE}/disable", data={})).status_code == 403


@pytest.mark.parametrize(
    "path", ["/projects/ops/schedules/plain", "/projects/secret/schedules/sync", f"{ONE}/explode", f"{ONE}x"]
)
async def test_what_is_not_there_or_not_to_be_seen_is_a_page_that_says_so(small_world: World, path: str) -> None:
    await small_world.project("ops", scheduled("backup"), job("plain"))
    await small_world.project("secret", scheduled("sync"))
    client = small_world.client(await small_world.user("ana", (Role.OPERATOR, "ops")))

    assert (await client.get(path)).status_code == 404


async def test_a_preview_shows_the_sentence_the_instants_and_what_to_write(small_world: World) -> None:
    client = await small_world.administrator()

    answer = await client.get("/schedules/preview", params={"cron": "0 9 13 * 5", "zone": "Europe/Paris"})
    every = await client.get("/schedules/preview", params={"cron": "every 15m"})
    first = await client.get("/schedules/preview")

    shown = text_of(answer)
    assert "At 09:00, on day 13 of the month, or on Friday (Europe/Paris)" in shown
    assert "It is due on its days of the month and also on its weekdays" in shown
    assert shown.count("09:00:00 +01:00") == 10
    assert 'schedule: { cron: "0 9 13 * 5", zone: Europe/Paris }' in shown
    assert "schedule: every 15m" in text_of(every)
    assert "Type an expression" in text_of(first)


async def test_a_preview_of_nonsense_underlines_the_wrong_part_and_keeps_what_was_typed(small_world: World) -> None:
    client = await small_world.administrator()

    answer = await client.get("/schedules/preview", params={"cron": "0 61 * * *", "zone": "Europe/Pari"})
    hostile = await client.get("/schedules/preview", params={"cron": HOSTILE, "zone": HOSTILE})

    assert answer.status_code == 200
    assert "0 <mark>61</mark> * * *" in answer.text
    assert "Wrong from character 3:" in text_of(answer)
    assert 'value="0 61 * * *"' in answer.text
    assert "did you mean <code>Europe/Paris</code>?" in answer.text
    assert "'61' is no hour (0 to 23)" in text_of(answer)
    assert HOSTILE not in hostile.text


async def test_names_and_parameters_are_only_ever_text(small_world: World) -> None:
    await small_world.project("ops", scheduled("backup", overlap=Overlap.ALLOW, parameters={}))
    await decide(small_world.database, "backup", START, decided_at=START, decision=f"skipped: {HOSTILE} #x")
    client = await small_world.administrator()

    for path in (ONE, "/schedules"):
        answer = await client.get(path)
        assert HOSTILE not in answer.text
        assert html.escape(HOSTILE) in answer.text


async def test_the_calendar_counts_what_is_due_from_today_on(world: World) -> None:
    await world.project("ops", scheduled("backup", zone="UTC"), scheduled("often", every=900.0, zone="UTC"))
    await world.project("shop", scheduled("off", enabled=False))
    client = await world.administrator()

    this, following = await client.get("/schedules/calendar"), await client.get("/schedules/calendar?month=2025-12")

    # The clock stands at the 21st of November 2025.
    assert text_of(this).count("97 due ops/backup and 1 other job") == 10
    assert "21 Friday, today 97 due" in text_of(this)
    assert "shop/off" not in text_of(this)
    assert text_of(following).count("97 due") == 31
    assert 'href="/schedules/calendar?month=2026-01"' in following.text
    assert (await client.get("/schedules/calendar?month=2025-13")).status_code == 400


async def test_a_schedule_is_paused_and_resumed_on_its_page(world: World) -> None:
    await world.project("ops", scheduled("backup"))
    client = await world.administrator()

    asked = text_of(await client.get(f"{ONE}/pause"))
    done = await client.post(f"{ONE}/pause", data={"reason": HOSTILE, "for": "2d"})
    paused = await client.get(done.headers["location"])
    listed, calendar = text_of(await client.get("/schedules")), text_of(await client.get("/schedules/calendar"))
    changing = text_of(await client.get(f"{ONE}/pause"))
    resumed = await client.post(f"{ONE}/resume")
    again = await client.post(f"{ONE}/resume")

    assert "Nothing is decided about it until the pause is over" in asked
    assert (done.status_code, done.headers["location"]) == (303, f"{ONE}?done=paused")
    assert "Paused by root" in text_of(paused)
    assert HOSTILE in text_of(paused)
    assert HOSTILE not in paused.text
    assert "paused by root until" in listed
    assert "Those before the end of the pause are decided when it is over" in text_of(paused)
    assert "Change the pause of ops/backup?" in changing
    assert "0 schedules that are neither disabled nor paused" in calendar
    assert [each.headers["location"] for each in (resumed, again)] == [f"{ONE}?done=resumed", ONE]
    assert "Paused" not in text_of(await client.get(ONE))


@pytest.mark.parametrize("length", ["a while", "0", "-1h", "9999d"])
async def test_a_length_of_a_pause_that_is_none_is_told_at_its_field(small_world: World, length: str) -> None:
    await small_world.project("ops", scheduled("backup"))
    client = await small_world.administrator()

    refused = await client.post(f"{ONE}/pause", data={"reason": "migration", "for": length})

    assert refused.status_code == 422
    assert "is no duration" in text_of(refused)
    assert 'value="migration"' in refused.text
