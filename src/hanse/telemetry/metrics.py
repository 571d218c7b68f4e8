"""Metrics: counters, gauges and histograms that cost a tenth of a microsecond, shown in Prometheus' format.

All changes are made by the loop's own thread, so a number is a plain attribute without a lock; prometheus-client does
what it is good at: the exposition format.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from hanse.core.errors import ConfigurationError

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Bucket bounds of durations (OpenTelemetry's semantic conventions for HTTP metrics)."""
_MAX_CHILDREN = 2000
_OVERFLOW = "other"


class CounterValue:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Add `amount` (≥ 0)."""
        self.value += amount


class GaugeValue:
    """A number that goes up and down, or is asked for when it is shown."""

    __slots__ = ("read", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.read: Callable[[], float] | None = None

    def set(self, value: float) -> None:
        self.value = value

    def inc(self, amount: float = 1.0) -> None:
        self.value += amount

    def dec(self, amount: float = 1.0) -> None:
        self.value -= amount

    def set_function(self, read: Callable[[], float]) -> None:
        """Show what `read()` returns at the time of showing."""
        self.read = read


class HistogramValue:
    """How many values fell into each bucket, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


V = TypeVar("V", CounterValue, GaugeValue, HistogramValue)


class Family(ABC, Generic[V]):
    """All values of one metric, told apart by their labels.

    At most 2,000 combinations of labels are kept; whatever comes later is counted under labels "other", so that a label
    that somebody fills with ids can't eat the memory.
    """

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self.name = name
        self.text = text
        self.label_names = tuple(labels)
        self.values: dict[tuple[str, ...], V] = {}

    def labels(self, *values: str) -> V:
        """The value with these labels, in the order the family declares them; keep it on hot paths."""
        value = self.values.get(values)
        if value is None:
            if len(values) != len(self.label_names):
                raise ConfigurationError(f"metric {self.name} has the labels {self.label_names}, not {len(values)}")
            if len(self.values) >= _MAX_CHILDREN:
                values = (_OVERFLOW,) * len(values)
            value = self.values.setdefault(values, self._make())
        return value

    @abstractmethod
    def _make(self) -> V:
        """A new value, at zero."""

    @abstractmethod
    def show(self) -> Metric:
        """What prometheus-client renders."""


class CounterFamily(Family[CounterValue]):
    """A metric that only grows; `_total` is added to its name when it is shown."""

    def _make(self) -> CounterValue:
        return CounterValue()

    def show(self) -> Metric:
        metric = CounterMetricFamily(self.name, self.text, labels=self.label_names)
        for labels, value in self.values.items():
            metric.add_metric(labels, value.value)
        return metric


class GaugeFamily(Family[GaugeValue]):
    """A metric that goes up and down."""

    def _make(self) -> GaugeValue:
        return GaugeValue()

    def show(self) -> Metric:
        metric = GaugeMetricFamily(self.name, self.text, labels=self.label_names)
        for labels, value in self.values.items():
            metric.add_metric(labels, value.read() if value.read is not None else value.value)
        return metric


class HistogramFamily(Family[HistogramValue]):
    """A metric that counts values by size."""

    def __init__(self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float] = SECONDS) -> None:
        super().__init__(name, text, labels)
        self.bounds = tuple(bounds)

    def _make(self) -> HistogramValue:
        return HistogramValue(self.bounds)

    def show(self) -> Metric:
        metric = HistogramMetricFamily(self.name, self.text, labels=self.label_names)
        for labels, value in self.values.items():
            total, buckets = 0, []
            for bound, count in zip((*map(repr, value.bounds), "+Inf"), value.counts, strict=True):
                total += count
                buckets.append((bound, float(total)))
            metric.add_metric(labels, buckets, value.sum)
        return metric


F = TypeVar("F", CounterFamily, GaugeFamily, HistogramFamily)


class Metrics(Collector):
    """The metrics of one service.

    Args:
        process: also show memory, CPU and open files of this process.
    """

    def __init__(self, *, process: bool = False) -> None:
        self._families: dict[str, CounterFamily | GaugeFamily | HistogramFamily] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        if process:
            ProcessCollector(registry=self._registry)

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> CounterFamily:
        """The counter of that name, made at first use."""
        name = name.removesuffix("_total")
        return self._known(CounterFamily, name, labels) or self._keep(CounterFamily(name, text, labels))

    def gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> GaugeFamily:
        """The gauge of that name, made at first use."""
        return self._known(GaugeFamily, name, labels) or self._keep(GaugeFamily(name, text, labels))

    def histogram(
        self, name: str, text: str, labels: Sequence[str] = (), *, bounds: Sequence[float] = SECONDS
    ) -> HistogramFamily:
        """The histogram of that name, made at first use.

        Args:
            bounds: upper bounds of the buckets, rising; the last bucket, without a bound, is added.
        """
        return self._known(HistogramFamily, name, labels) or self._keep(HistogramFamily(name, text, labels, bounds))

    def render(self) -> bytes:
        """Everything in Prometheus' text format (`CONTENT_TYPE`)."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """For prometheus-client: one metric per family."""
        return [family.show() for family in self._families.values()]

    def _known(self, kind: type[F], name: str, labels: Sequence[str]) -> F | None:
        family = self._families.get(name)
        if family is None:
            return None
        if not isinstance(family, kind) or family.label_names != tuple(labels):
            raise ConfigurationError(f"metric {name} exists already: {type(family).__name__} by {family.label_names}")
        return family

    def _keep(self, family: F) -> F:
        self._families[family.name] = family
        return family
