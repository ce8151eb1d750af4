"""What ``/metrics`` shows of a scoring process."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from millstream.serving.log import PredictionLog

_BUCKETS_S = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Meters:
    """Counters of one scoring process; their children are kept, so counting costs about 1 µs."""

    def __init__(self, log: PredictionLog) -> None:
        self._registry = registry = CollectorRegistry()
        self._answers = Counter(
            "millstream_predictions", "Answers, by who gave them.", ["model", "answered_by"], registry=registry
        )
        self._seconds = Histogram(
            "millstream_request_seconds", "Time to answer a request, log included.", ["model"], registry=registry,
            buckets=_BUCKETS_S,
        )  # fmt: skip
        self._outcomes = Counter("millstream_outcomes", "Outcomes taken.", ["model"], registry=registry)
        self._refused = Counter("millstream_refused", "Requests refused.", ["status"], registry=registry)
        self._odd = Counter(
            "millstream_request_fields_odd", "Fields the contract or training does not know.",
            ["model", "field", "of"], registry=registry,
        )  # fmt: skip
        self._generation = Gauge("millstream_generation", "Generation served.", ["model"], registry=registry)
        self._leased = Gauge("millstream_leased", "Whether this server may answer as champion.", registry=registry)
        failures = Gauge("millstream_log_failures", "Writes the log's disks refused.", registry=registry)
        failures.set_function(lambda: log.failures)
        spooling = Gauge("millstream_log_spooling", "Whether the log is on its second path.", registry=registry)
        spooling.set_function(lambda: float(log.spooling))
        self._by: dict[tuple[str, str], Counter] = {}
        self._of: dict[str, Histogram] = {}

    def answered(self, model: str, answered_by: Iterable[str], seconds: float) -> None:
        """Count the answers of one request."""
        for each in answered_by:
            counter = self._by.get((model, each))
            if counter is None:
                counter = self._by[model, each] = self._answers.labels(model, each)
            counter.inc()
        histogram = self._of.get(model)
        if histogram is None:
            histogram = self._of[model] = self._seconds.labels(model)
        histogram.observe(seconds)

    def outcomes(self, model: str, count: int) -> None:
        """Count outcomes."""
        self._outcomes.labels(model).inc(count)

    def odd(self, model: str, fields: Iterable[tuple[str, str]]) -> None:
        """Count fields of answered requests that the contract, or only training, does not know."""
        for field, of in fields:
            self._odd.labels(model, field, of).inc()

    def refused(self, status: int) -> None:
        """Count a refusal."""
        self._refused.labels(str(status)).inc()

    def expose(self, generations: dict[str, int], *, leased: bool) -> bytes:
        """Return the text Prometheus reads."""
        for model, generation in generations.items():
            self._generation.labels(model).set(generation)
        self._leased.set(float(leased))
        return generate_latest(self._registry)
