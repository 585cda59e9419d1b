from __future__ import annotations

from skerry.service.metrics import Metrics


def test_counts_and_spreads_are_shown_as_prometheus_shows_its_own() -> None:
    ours, theirs = Metrics(process=False), Metrics(process=False)
    counts = ours.counts("sent_total", "Sent.", ["to"])
    spreads = ours.spreads("size_bytes", "Sizes.", ["id"], (10.0, 20.0))
    counter = theirs.counter("sent_total", "Sent.", ["to"])
    histogram = theirs.histogram("size_bytes", "Sizes.", ["id"], (10.0, 20.0))
    for number in (1, 10, 11, 20, 21, 5000):
        counts.labels("up").value += 1
        counter.labels("up").inc()
        spreads.labels("a").add(number)
        histogram.labels("a").observe(number)

    def shown(metrics: Metrics) -> list[str]:
        # When a series was made is told by theirs only.
        return [line for line in metrics.exposition().decode().splitlines() if "_created" not in line]

    assert shown(ours) == shown(theirs)
