"""The demo's deployment is legal, its verdict strict, and what arrives is read as it was sent."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.cli.demo.manifest import CAMERA, CNN, FRAMES_PER_SECOND, deployment
from skerry.cli.demo.verdict import Check, all_hold, rows
from skerry.cli.demo.watch import Seen, Watch, _seen
from skerry.clock import SystemClock
from skerry.contract.manifest import parse_manifest
from skerry.errors import TimedOut
from skerry.hub.client import ServiceClient

OWNER = "HostName=localhost;SharedAccessKeyName=iothubowner;SharedAccessKey=a2V5"


def test_the_deployment_is_legal_and_routes_camera_to_cnn_to_hub() -> None:
    manifest = parse_manifest(deployment("skerry/camera:1", "defects:7"))
    modules = manifest.agent.modules
    assert {name: (one.image, one.startup_order) for name, one in modules.items()} == {
        CNN: ("defects:7", 1),
        CAMERA: ("skerry/camera:1", 2),
    }
    assert modules[CAMERA].env["SKERRY_FRAMES_PER_SECOND"] == str(FRAMES_PER_SECOND)
    sinks = {name: str(spec.route.sink) for name, spec in manifest.edge_hub.routes.items()}
    assert sinks["cameraToCnn"] == 'BrokeredEndpoint("/modules/cnn/inputs/amlInput")'
    assert sinks["cnnToHub"] == "$upstream"
    assert manifest.modules[CNN] == {"topK": 3}


def test_the_verdict_needs_every_check_and_at_least_one() -> None:
    good, bad = Check("nothing lost", "lost 0", True), Check("in order", "3 late", False)
    assert all_hold([good])
    assert not all_hold([good, bad])
    assert not all_hold([])
    assert rows([good, bad]) == [("nothing lost", "lost 0", "ok"), ("in order", "3 late", "WRONG")]


def event(**properties: str) -> dict[str, Any]:
    return {
        "enqueuedTime": "2026-01-01T12:00:01.500Z",
        "properties": {"AzureMLResponse": "OK", "sequence": "41", "frame": "f/041.png", **properties},
        "body": {
            "time": "2026-01-01T12:00:01.250Z",
            "label": "tench",
            "predictions": [{"label": "tench", "score": 0.75}, {"label": "eel", "score": 0.2}],
            "model": "lite0",
            "latencyMs": {"total": 21.5},
        },
    }


SEEN = Seen(
    sequence=41,
    frame="f/041.png",
    truth=None,
    label="tench",
    top=(("tench", 0.75), ("eel", 0.2)),
    model="lite0",
    inference_ms=21.5,
    end_to_end_ms=250.0,
)


def test_a_prediction_is_read_as_it_was_sent() -> None:
    assert _seen(event(), event()["properties"], event()["body"]) == SEEN
    labelled = event(truth="eel")
    assert _seen(labelled, labelled["properties"], labelled["body"]).truth == "eel"


async def test_arrivals_are_counted_once_each_and_errors_apart() -> None:
    async with ServiceClient(OWNER) as client:
        watch = Watch(client, "d", CNN, SystemClock())
        for one in (
            event(),
            event(),
            event(sequence="42"),
            {**event(AzureMLResponse="Error"), "body": "no image"},
        ):
            await watch._take(one)
        assert (len(watch.arrivals), watch.distinct(), watch.errors) == (3, 2, ["no image"])
        await watch.until(lambda: watch.distinct() == 2, 1, "never")
        with pytest.raises(TimedOut, match="too few: 2 different predictions") as caught:
            await watch.until(lambda: watch.distinct() == 3, 0.01, "too few")
        assert caught.value.fields["errors"] == "no image"
