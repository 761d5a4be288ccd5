"""What the hub counts, in the words of Prometheus."""

from __future__ import annotations

from collections import Counter as Tally
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    from sync.hub.core import Core

    Family: TypeAlias = CounterMetricFamily | GaugeMetricFamily

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_COMMITS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """Counters of one hub; `show` adds what can be read off its other parts."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.events = Counter(
            "whorl_events", "Events pushed, by verdict.", ["verdict"], registry=self._registry
        )
        self.bad_messages = Counter(
            "whorl_bad_messages", "Connections ended by a bad message.", registry=self._registry
        )
        self.commits = Histogram(
            "whorl_commit_seconds",
            "How long the commits to the log took.",
            buckets=_COMMITS,
            registry=self._registry,
        )
        self.malformed = 0

    def judged(self, verdicts: Iterable[str]) -> None:
        """Count the verdicts on one push."""
        for verdict, count in Tally(verdicts).items():
            self.events.labels(verdict).inc(count)

    def bad_message(self) -> None:
        """Count a connection that ended by a message that could not be taken."""
        self.malformed += 1
        self.bad_messages.inc()

    def show(self, core: Core) -> bytes:
        """Everything, as text (Prometheus text format 0.0.4)."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Live(core))
        return generate_latest(self._registry) + generate_latest(registry)


class _Live:
    """What is read at the moment of asking."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def collect(self) -> Iterator[Family]:
        core, rooms = self._core, self._core.rooms
        yield _family(
            GaugeMetricFamily("whorl_connections", "Connections.", labels=["transport"]),
            core.transports(),
        )
        yield _family(
            CounterMetricFamily("whorl_denials", "Requests refused.", labels=["code"]),
            core.access.denials,
        )
        yield GaugeMetricFamily("whorl_rooms", "Rooms that are followed.", len(rooms.counts()))
        yield GaugeMetricFamily(
            "whorl_subscriptions", "Rooms followed, over all peers.", sum(rooms.counts().values())
        )
        yield GaugeMetricFamily("whorl_queue", "Requests to the log waiting.", core.writer.queued())
        yield GaugeMetricFamily(
            "whorl_failing", "1 while the log cannot be written.", int(core.writer.failing)
        )
        for name, help_, value in (
            ("whorl_lagged", "Peers passed over for being slow.", rooms.lagged),
            ("whorl_slow_closes", "Peers closed for being slow (4408).", rooms.slowed),
            ("whorl_frames", "Batches of live events served to rooms.", rooms.frames),
            ("whorl_page_reads", "Pages read from the log.", rooms.recent.reads),
        ):
            yield CounterMetricFamily(name, help_, value)


def _family(family: Family, values: dict[str, int]) -> Family:
    for label, value in values.items():
        family.add_metric([label], value)
    return family
