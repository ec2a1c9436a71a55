"""What a master shows of its workers and its queue when somebody asks for the metrics."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from orchestra_master.dispatcher import Dispatcher
from orchestra_master.listener import Listener
from orchestra_master.roster import Roster


class FleetCollector(Collector):
    """The master's own view at the moment of asking: it costs nothing in between."""

    def __init__(self, *, roster: Roster, dispatcher: Dispatcher, listener: Listener) -> None:
        self._roster = roster
        self._dispatcher = dispatcher
        self._listener = listener

    def collect(self) -> Iterator[Metric]:
        """The families, as prometheus_client asks for them."""
        connected = self._roster.connected()
        yield _gauge("orchestra_workers_connected", "Workers that are connected to this master.", len(connected))
        free = sum(each.free_slots for each in connected)
        slots = GaugeMetricFamily("orchestra_slots", "Slots of the connected workers.", labels=["use"])
        slots.add_metric(["used"], sum(each.slots for each in connected) - free)
        slots.add_metric(["free"], free)
        yield slots
        yield _gauge("orchestra_attempts_held", "Attempts on these workers.", sum(len(each.held) for each in connected))
        yield _gauge("orchestra_offers_open", "Offers not yet accepted.", sum(len(each.offers) for each in connected))
        queue = GaugeMetricFamily(
            "orchestra_dispatcher_signatures",
            "Kinds of requirements with runs to give out (hungry), or without a worker for them now (blocked).",
            labels=["state"],
        )
        queue.add_metric(["hungry"], self._dispatcher.hungry)
        queue.add_metric(["blocked"], self._dispatcher.blocked)
        yield queue
        yield _counter("orchestra_worker_tokens_refused", "Connections with a bad token.", self._listener.refused)
        yield _counter("orchestra_worker_links_broken", "Connections that broke the protocol.", self._listener.broken)


def _gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, value=value)


def _counter(name: str, words: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, words, value=value)
