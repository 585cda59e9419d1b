from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.service.metrics import Metrics
from skerry.service.tallies import SHARES, Quantiles


def shown(metrics: Metrics) -> list[str]:
    # When a series was made is told by Prometheus' own only.
    return [line for line in metrics.exposition().decode().splitlines() if "_created" not in line]


def test_counts_are_shown_as_prometheus_shows_its_own() -> None:
    ours, theirs = Metrics(process=False), Metrics(process=False)
    counts = ours.counts("sent_total", "Sent.", ["to"])
    counter = theirs.counter("sent_total", "Sent.", ["to"])
    for _ in range(3):
        counts.labels("up").value += 1
        counter.labels("up").inc()
    assert shown(ours) == shown(theirs)


@given(st.lists(st.floats(1e-5, 1e6), min_size=1, max_size=200), st.sampled_from(SHARES))
def test_a_quantile_is_within_two_percent(values: list[float], share: float) -> None:
    quantiles = Quantiles()
    for value in values:
        quantiles.add(value)
    exact = sorted(values)[max(ceil(share * len(values)) - 1, 0)]
    assert quantiles.value(share) == pytest.approx(exact, rel=0.021)
    assert quantiles.count == len(values)
    assert quantiles.sum == pytest.approx(sum(values))


def test_summaries_have_their_quantiles_and_what_is_common() -> None:
    metrics = Metrics(process=False)
    metrics.common = {"edge_device": "d"}
    metrics.summaries("took_seconds", "Took.", ["to"]).labels("up").add(2.0, times=4)
    lines = shown(metrics)
    assert lines[1] == "# TYPE took_seconds summary"
    assert lines[2].startswith('took_seconds{edge_device="d",quantile="0.5",to="up"} ')
    assert lines[-2:] == [
        'took_seconds_count{edge_device="d",to="up"} 4.0',
        'took_seconds_sum{edge_device="d",to="up"} 8.0',
    ]
