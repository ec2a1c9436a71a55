"""What other processes do is heard and counted: events of the masters at the service, metrics at every process."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestra.configuration import read_token_file
from orchestra.network.event_stream import EventParser, ServerEvent
from tests.support.distributed import Distributed, Part
from tests.support.journey import running, wait_until

HELLO = "orchestra: 1\nproject: ops\njobs:\n  hello:\n    run: echo hello\n"
SECONDS_MAX = 30.0


class EventShown(msgspec.Struct):
    """What the test reads of an event."""

    id: int
    run: int
    actor: str


@pytest.fixture
def instance(tmp_path: Path, postgres_url: str) -> Iterator[Distributed]:
    """Two masters, a service and a website."""
    with Distributed(tmp_path, postgres_url, has_website=True) as distributed:
        yield distributed


def client(instance: Distributed, part: Part) -> httpx2.Client:
    """Of one process, with the first administrator's token."""
    token = read_token_file(instance.data / "admin.token")
    return httpx2.Client(
        base_url=f"http://127.0.0.1:{part.port}", headers={"authorization": f"Bearer {token}"}, timeout=SECONDS_MAX
    )


def events_to_the_end(response: httpx2.Response) -> Iterator[ServerEvent]:
    """The events of a run, until it has ended."""
    parser = EventParser()
    for line in response.iter_lines():
        event = parser.feed(line)
        if event is not None and event.name.startswith("run."):
            yield event
            if event.name == "run.succeeded":
                return


def metrics(instance: Distributed, part: Part) -> dict[str, float]:
    """Samples of one process, by name and label values."""
    with client(instance, part) as asking:
        text = asking.get("/metrics").raise_for_status().text
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_service_tells_in_order_what_the_masters_do(instance: Distributed) -> None:
    instance.apply(HELLO)
    with (
        running(instance.worker("atlas")),
        client(instance, instance.service) as asking,
        asking.stream("GET", "/api/v1/events?types=run.*") as response,
    ):
        run = instance.trigger("ops/hello")

        told = list(events_to_the_end(response))

    events = [msgspec.json.decode(event.text, type=EventShown) for event in told]
    assert [event.name for event in told] == ["run.created", "run.offered", "run.started", "run.succeeded"]
    assert {event.run for event in events} == {run}
    assert [event.id for event in events] == sorted({event.id for event in events})
    assert events[1].actor.startswith("master ")


def test_every_process_tells_its_metrics_and_only_with_a_token(instance: Distributed) -> None:
    instance.apply(HELLO)
    assert metrics(instance, instance.service)["orchestra_runs_ended_total succeeded"] == 0
    with running(instance.worker("atlas")):
        instance.finish(instance.trigger("ops/hello"))
        # Who asks the service may be faster than the master, which counts after its commit.
        masters = wait_until(lambda: _counted(instance), what="a master to count the attempt")

    service = metrics(instance, instance.service)
    website = instance.website
    assert website is not None

    assert service["orchestra_runs_ended_total succeeded"] == 1
    assert service["orchestra_database_up"] == 1
    assert sum(master["orchestra_workers_connected"] for master in masters) == 1
    assert sum(master["orchestra_log_bytes_total"] for master in masters) == len("hello\n")
    assert metrics(instance, website)["orchestra_database_up"] == 1
    for part in instance.parts:
        assert httpx2.get(f"http://127.0.0.1:{part.port}/metrics").status_code in (401, 303)


def _counted(instance: Distributed) -> list[dict[str, float]] | None:
    masters = [metrics(instance, master) for master in instance.masters]
    return masters if sum(master["orchestra_attempts_ended_total succeeded"] for master in masters) == 1 else None
