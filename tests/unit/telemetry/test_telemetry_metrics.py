"""Metrics come out in Prometheus' format with the numbers that went in."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hanse.core.errors import ConfigurationError
from hanse.telemetry import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_counters_gauges_and_histograms_are_shown() -> None:
    metrics = Metrics()
    orders = metrics.counter("orders_total", "Orders.", ("state",))
    orders.labels("placed").inc()
    orders.labels("placed").inc(2)
    metrics.gauge("queue", "Waiting.").labels().set(4)
    metrics.gauge("asked", "Asked for.").labels().set_function(lambda: 9)
    times = metrics.histogram("took_seconds", "Duration.", bounds=(0.1, 1.0)).labels()
    for value in (0.1, 0.5, 7.0):
        times.observe(value)
    assert samples(metrics) == {
        ("orders_total", (("state", "placed"),)): 3,
        ("queue", ()): 4,
        ("asked", ()): 9,
        ("took_seconds_bucket", (("le", "0.1"),)): 1,
        ("took_seconds_bucket", (("le", "1.0"),)): 2,
        ("took_seconds_bucket", (("le", "+Inf"),)): 3,
        ("took_seconds_count", ()): 3,
        ("took_seconds_sum", ()): 7.6,
    }


def test_the_same_name_is_the_same_family() -> None:
    metrics = Metrics()
    assert metrics.counter("a", "A.") is metrics.counter("a_total", "A.")
    with pytest.raises(ConfigurationError, match="exists already"):
        metrics.gauge("a", "A.")
    with pytest.raises(ConfigurationError, match="has the labels"):
        metrics.counter("a", "A.").labels("x")


def test_ids_in_a_label_can_not_eat_the_memory() -> None:
    metrics = Metrics()
    family = metrics.counter("hits", "Hits.", ("user",))
    for number in range(3000):
        family.labels(str(number)).inc()
    assert len(family.values) == 2001
    assert family.labels("other").value == 1000


def test_the_process_can_be_shown_too() -> None:
    assert b"process_resident_memory_bytes" in Metrics(process=True).render()
