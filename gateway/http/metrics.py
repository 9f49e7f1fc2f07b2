"""What Prometheus reads: requests by route, open streams, and what the house says of itself."""

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.http.services import Measure

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})


class _House(Collector):
    """The measures of the last look."""

    def __init__(self) -> None:
        self.measures: Sequence[Measure] = ()

    def collect(self) -> Iterable[Metric]:
        families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}
        for measure in self.measures:
            family = families.get(measure.name)
            if family is None:
                make = CounterMetricFamily if measure.type == "counter" else GaugeMetricFamily
                family = families[measure.name] = make(measure.name, measure.help, labels=list(measure.labels))
            family.add_metric(list(measure.labels.values()), measure.value)
        return families.values()


class Metrics:
    """Its own registry: two servers in one process do not count each other's requests."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._house = _House()
        self.registry.register(self._house)
        self._requests = Histogram(
            "tocsin_http_request_seconds",
            "From the head of a request to its answer, without streams.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.streams = Gauge("tocsin_http_streams", "Progress streams open now.", registry=self.registry)
        self.listeners = Gauge("tocsin_feed_listeners", "Public streams open now.", registry=self.registry)

    def answered(self, method: str, route: str, status: int, took_s: float) -> None:
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, str(status)).observe(took_s)

    def text(self, measures: Sequence[Measure]) -> bytes:
        self._house.measures = measures
        return generate_latest(self.registry)
