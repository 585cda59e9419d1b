"""The numbers: every stage, every class, the spread of confidence, what was let go."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from skerry.contract.twin import validate_patch
from skerry.package.postprocess import Prediction
from skerry.serve.answer import Latency, Scored
from skerry.serve.latest import Superseded
from skerry.serve.measures import STAGES, Measures
from skerry.serve.tally import KEYS_MAX, OTHER, Spread, Tally
from skerry.service.metrics import Metrics
from tests.unit.serve.conftest import Served
from tests.unit.serve.support import BLUE, RED, picture


def samples(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_images_are_counted_by_stage_class_and_confidence(served: Served) -> None:
    for colour in (RED, RED, BLUE):
        await served.http.post("/score", content=picture(colour))
    found = samples((await served.http.get("/metrics")).text)
    for stage in STAGES:
        assert found["skerry_serve_stage_seconds_count", f"stage={stage}"] == 3
    assert found["skerry_serve_class_predicted_total", "label=red"] == 2
    assert found["skerry_serve_class_predicted_total", "label=blue"] == 1
    assert found["skerry_serve_confidence_count",] == 3
    assert found["skerry_serve_confidence_bucket", "le=0.5"] == 0
    assert found["skerry_serve_confidence_bucket", "le=+Inf"] == 3


def test_a_spread_counts_as_prometheus_does() -> None:
    metrics = Metrics(process=False)
    spread = Spread("spread", "A spread", "kind", (1.0, 2.0))
    metrics.registry.register(spread)
    for amount in (0.5, 1.0, 1.5, 9.0):
        spread.observe(amount, "a")
    found = samples(metrics.exposition().decode())
    buckets = [found["spread_bucket", "kind=a", f"le={bound}"] for bound in ("1.0", "2.0", "+Inf")]
    assert (buckets, found["spread_sum", "kind=a"]) == ([2, 3, 4], 12.0)


def test_the_number_of_keys_is_bounded() -> None:
    tally = Tally("tally", "A tally", "label")
    for number in range(KEYS_MAX + 50):
        tally.add(1, str(number))
    counts = dict(tally.items())
    assert (len(counts), counts[OTHER,]) == (KEYS_MAX + 1, 50)


def test_an_image_let_go_is_counted_apart() -> None:
    measures = Measures()
    measures.refused("http", Superseded("newer"))
    found = samples(measures.exposition(0).decode())
    assert found["skerry_serve_images_superseded_total", "front=http"] == 1
    assert found["skerry_serve_requests_refused_total", "front=http", "reason=Superseded"] == 1


async def test_counting_goes_on_while_requests_run(served: Served) -> None:
    posts = [served.http.post("/score", content=picture(RED)) for _ in range(4)]
    await asyncio.gather(*posts, served.http.get("/metrics"))
    found = samples((await served.http.get("/metrics")).text)
    assert found["skerry_serve_images_scored_total", "front=http"] == 4
    assert found["skerry_serve_images_waiting",] == 0


def test_the_report_fits_a_twin_however_many_and_long_the_classes_are() -> None:
    measures, now = Measures(), datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(2000):
        found = Prediction("id", f"{number} $.# " + "ü" * 5000, 0.5, number)
        latency = Latency(1, 1, 1, 3)
        scored = Scored((found,), "sha256:p", 0.5, "sha256:i", "sha256:m", "sha256:r", 1, latency, now)
        measures.scored("http", [scored])
    report = measures.report(now)
    validate_patch({"predictions": report})
    told = report["classes"]
    assert isinstance(told, list)
    assert sum(each["images"] for each in told) + int(str(report["otherClasses"])) == 2000
