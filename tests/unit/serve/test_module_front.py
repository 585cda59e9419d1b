"""Images on an input become predictions on ``amlOutput``: none lost, in order, also around a stop."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from skerry.clock import SystemClock
from skerry.contract.message import MESSAGE_BYTES_MAX, Message
from skerry.contract.method import MethodRequest
from skerry.errors import Unavailable
from skerry.protocol.claims import ClaimSettings, ClaimStore, claim_message
from skerry.protocol.client import DeviceClient
from skerry.serve.activation import Activated, as_built, score_golden
from skerry.serve.measures import Measures
from skerry.serve.module_front import ModuleFront
from skerry.serve.scoring import Scorer
from tests.unit.serve.memory_hub import MemoryHub, running_hub
from tests.unit.serve.support import BLUE, GREEN, RED, make_scorer, picture

DRAIN_S = 0.5
COLOURS = {"red": RED, "green": GREEN, "blue": BLUE}


@dataclass
class Running:
    hub: MemoryHub
    scorer: Scorer
    front: ModuleFront


def new_front(scorer: Scorer, client: DeviceClient, claims: ClaimStore | None = None) -> ModuleFront:
    package = scorer.package
    golden = score_golden(package, scorer.predictor, 8, package.chosen.tolerance)
    activated = Activated(package, scorer.predictor, golden, as_built(package))
    return ModuleFront(
        client, scorer, activated, Measures(), clock=SystemClock(), drain_s=DRAIN_S, claims=claims
    )


@asynccontextmanager
async def module(tmp_path: Path, *, admitted_max: int = 64, **desired: Any) -> AsyncIterator[Running]:
    hub = MemoryHub()
    hub.desired = desired
    async with running_hub(hub) as running:
        scorer = make_scorer(tmp_path / "model", admitted_max=admitted_max)
        claims = ClaimStore(ClaimSettings(tmp_path / "claims"), SystemClock())
        front = new_front(scorer, running.make_client(), claims)
        await front.start()
        await hub.listener()
        try:
            yield Running(hub, scorer, front)
        finally:
            await front.close()
            await scorer.close()


def question(label: str, number: int = 1, **system: str) -> Message:
    return Message(
        picture(COLOURS[label]),
        {"frame": f"{label}.png", "sequence": str(number)},
        {"messageId": f"m{number}", "contentType": "image/png", **system},
    )


async def ask(running: Running, *messages: Message) -> list[Message]:
    """Send the inputs side by side and return the outputs once all inputs are acknowledged."""
    session = await running.hub.listener()
    await asyncio.gather(*(session.send_input("amlInput", message) for message in messages))
    return running.hub.messages


async def test_the_twin_says_what_runs_and_who_chose_it(tmp_path: Path) -> None:
    async with module(tmp_path) as running:
        await running.hub.until(lambda: "inference" in running.hub.reported)
        told = running.hub.reported["inference"]
        assert {name: value for name, value in told.items() if value is not None} == {
            "candidate": "onnx-fp32",
            "engine": "onnxruntime",
            "precision": "fp32",
            "threads": 1,
            "source": "build",
        }
        assert running.hub.reported["engine"].startswith("onnxruntime ")


async def test_an_image_becomes_a_prediction_on_aml_output(tmp_path: Path) -> None:
    async with module(tmp_path) as running:
        [answer] = await ask(running, question("green"))
        document = json.loads(answer.body)
        assert (document["label"], document["model"]) == ("green", running.scorer.package.digest)
        assert answer.properties == {"frame": "green.png", "sequence": "1", "AzureMLResponse": "OK"}
        assert answer.system["outputName"] == "amlOutput"
        assert answer.system["contentType"] == "application/json"
        assert answer.system["contentEncoding"] == "utf-8"
        assert answer.system["correlationId"] == "m1"


async def test_json_with_base64_is_scored_like_the_bytes(tmp_path: Path) -> None:
    body = json.dumps({"image": base64.b64encode(picture(BLUE)).decode()}).encode()
    async with module(tmp_path) as running:
        typed = Message(body, {}, {"contentType": "application/json"})
        answers = await ask(running, typed, Message(body), question("blue"))
        documents = [json.loads(answer.body) for answer in answers]
        assert [document["label"] for document in documents] == ["blue"] * 3
        assert len({document["input"] for document in documents}) == 1


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"hello", "image/png"), (b"{}", "application/json"), (b"x", "text/plain"), (b"", "")],
)
async def test_an_input_that_cannot_be_scored_is_answered_with_the_reason(
    tmp_path: Path, body: bytes, content_type: str
) -> None:
    async with module(tmp_path) as running:
        bad = Message(body, {"frame": "bad"}, {"contentType": content_type} if content_type else {})
        answers = await ask(running, bad, question("red", 2))
        assert answers[0].properties == {"frame": "bad", "AzureMLResponse": "Error"}
        assert json.loads(answers[0].body)["message"]
        assert json.loads(answers[1].body)["label"] == "red"


async def test_a_reference_is_answered_like_the_image_it_stands_for(tmp_path: Path) -> None:
    camera = ClaimStore(ClaimSettings(tmp_path / "claims"), SystemClock())
    image = picture(BLUE, (1500, 1500), "BMP")
    large = Message(image, {"frame": "large"}, {"messageId": "m1", "contentType": "image/bmp"})
    assert len(image) > MESSAGE_BYTES_MAX
    async with module(tmp_path) as running:
        lost = Message(b'{"claim": {}}', {"skerry-claim": "sha256:" + "0" * 64})
        found, missing = await ask(running, claim_message(large, camera.put(image)), lost)
        document = json.loads(found.body)
        assert document["label"] == "blue"
        assert found.properties["skerry-claim"] == document["input"]
        assert missing.properties["AzureMLResponse"] == "Error"
        assert "time to live" in json.loads(missing.body)["message"]


async def test_many_inputs_are_answered_in_their_order(tmp_path: Path) -> None:
    labels = ["red", "green", "blue"] * 20
    async with module(tmp_path, admitted_max=3) as running:
        answers = await ask(running, *(question(label, n) for n, label in enumerate(labels)))
        assert [answer.properties["sequence"] for answer in answers] == [str(n) for n in range(60)]
        assert [json.loads(answer.body)["label"] for answer in answers] == labels


async def test_an_input_is_acknowledged_only_after_its_output_is(tmp_path: Path) -> None:
    async with module(tmp_path) as running:
        session = await running.hub.listener()
        running.hub.accepting.clear()
        sending = asyncio.create_task(session.send_input("amlInput", question("red")))
        await running.hub.until(lambda: len(running.hub.messages) == 1)
        await asyncio.wait([sending], timeout=0.1)
        assert not sending.done()
        running.hub.accepting.set()
        await sending


async def test_a_stop_before_the_output_is_accepted_leaves_the_input_with_the_hub(tmp_path: Path) -> None:
    async with module(tmp_path) as running:
        session = await running.hub.listener()
        running.hub.accepting.clear()
        sending = asyncio.create_task(session.send_input("amlInput", question("red")))
        await running.hub.until(lambda: len(running.hub.messages) == 1)
        closing = asyncio.create_task(running.front.close())
        with pytest.raises(Unavailable):
            await sending
        await closing
        running.hub.accepting.set()


async def test_a_stop_lets_the_inputs_at_hand_finish(tmp_path: Path) -> None:
    async with module(tmp_path) as running:
        session = await running.hub.listener()
        running.hub.accepting.clear()
        sending = asyncio.create_task(session.send_input("amlInput", question("red")))
        await running.hub.until(lambda: len(running.hub.messages) == 1)
        closing = asyncio.create_task(running.front.close())
        await asyncio.sleep(0)
        running.hub.accepting.set()
        await asyncio.gather(sending, closing)


async def test_a_link_lost_in_between_repeats_and_loses_nothing(tmp_path: Path) -> None:
    async with module(tmp_path) as running:
        session = await running.hub.listener()
        running.hub.accepting.clear()
        sending = asyncio.create_task(session.send_input("amlInput", question("red")))
        await running.hub.until(lambda: len(running.hub.messages) == 1)
        session.close("test")
        with pytest.raises(Unavailable):
            await sending
        running.hub.accepting.set()
        await running.hub.until(lambda: running.hub.session is not None)
        answers = await ask(running, question("red"))
        ids = {answer.system["messageId"] for answer in answers}
        assert (ids, len(answers) >= 2) == ({"m1.amlOutput"}, True)


async def test_the_twin_sets_threshold_and_top_k_and_hears_so(tmp_path: Path) -> None:
    async with module(tmp_path, threshold=0.5) as running:
        hub = running.hub
        await hub.until(lambda: "threshold" in hub.reported)
        assert hub.reported["threshold"] == {"value": 0.5, "ac": 200, "av": 1, "ad": "applied"}
        [answer] = await ask(running, question("red"))
        assert len(json.loads(answer.body)["predictions"]) == 1
        await hub.desire({"threshold": None, "topK": 2})
        await hub.until(lambda: "topK" in hub.reported)
        assert hub.reported["topK"] == {"value": 2, "ac": 200, "av": 2, "ad": "applied"}
        assert "threshold" not in hub.reported
        answer = (await ask(running, question("red")))[-1]
        assert len(json.loads(answer.body)["predictions"]) == 2


async def test_one_bad_property_leaves_all_as_they_were(tmp_path: Path) -> None:
    async with module(tmp_path, topK=2) as running:
        hub = running.hub
        await hub.until(lambda: "topK" in hub.reported)
        await hub.desire({"topK": 1, "threshold": 7})
        await hub.until(lambda: "threshold" in hub.reported)
        assert (running.scorer.settings.top_k, running.scorer.settings.threshold) == (2, 0.0)
        assert (hub.reported["threshold"]["ac"], hub.reported["threshold"]["value"]) == (400, 0.0)
        assert (hub.reported["topK"]["ac"], hub.reported["topK"]["value"]) == (424, 2)


async def test_a_setting_that_waited_for_another_to_be_mended_is_applied_then(tmp_path: Path) -> None:
    async with module(tmp_path, topK=1, threshold=7) as running:
        hub = running.hub
        await hub.until(lambda: "threshold" in hub.reported)
        assert (hub.reported["topK"]["ac"], running.scorer.settings.top_k) == (424, 3)
        await hub.desire({"threshold": 0.25})
        await hub.until(lambda: hub.reported["topK"]["ac"] == 200)
        assert (running.scorer.settings.top_k, running.scorer.settings.threshold) == (1, 0.25)
        assert hub.reported["threshold"] == {"value": 0.25, "ac": 200, "av": 2, "ad": "applied"}


async def test_the_twin_decides_which_answers_leave(tmp_path: Path) -> None:
    async with module(tmp_path, upstream="changes") as running:
        hub = running.hub
        await hub.until(lambda: "upstream" in hub.reported)
        assert hub.reported["upstream"]["value"]["policy"] == "changes"
        labels = ["red", "red", "blue", "blue", "red"]
        await ask(running, *(question(label, n) for n, label in enumerate(labels)))
        assert [m.properties["sequence"] for m in hub.messages] == ["0", "2", "4"]
        assert running.front.status()["withheld"] == 2
        await hub.desire({"upstream": {"policy": "sometimes"}})
        await hub.until(lambda: hub.reported["upstream"]["ac"] == 400)
        assert hub.reported["upstream"]["value"]["policy"] == "changes"
        await hub.desire({"upstream": None})
        await hub.until(lambda: "upstream" not in hub.reported)
        await ask(running, question("red", 9))
        assert hub.messages[-1].properties["sequence"] == "9"


async def test_errors_leave_whatever_the_policy(tmp_path: Path) -> None:
    async with module(tmp_path, upstream="lowConfidence") as running:
        await running.hub.until(lambda: "upstream" in running.hub.reported)
        await ask(running, question("red"), Message(b"hello", {"frame": "bad"}))
        assert [m.properties["AzureMLResponse"] for m in running.hub.messages] == ["Error"]


async def test_a_summary_leaves_when_its_interval_is_over_and_at_the_end(tmp_path: Path) -> None:
    async with module(tmp_path, upstream={"policy": "summary", "intervalSeconds": 1}) as running:
        hub = running.hub
        await hub.until(lambda: "upstream" in hub.reported)
        await ask(running, question("red"), question("red", 2))
        await hub.until(lambda: len(hub.messages) == 1)
        [summary] = hub.messages
        assert summary.properties == {"AzureMLResponse": "OK", "kind": "summary"}
        assert json.loads(summary.body)["summary"]["classes"][0]["images"] == 2
        await hub.desire({"upstream": {"intervalSeconds": 3600}})
        await hub.until(lambda: hub.reported["upstream"]["value"]["intervalSeconds"] == 3600)
        await ask(running, question("blue", 3))
        await running.front.close()
        assert json.loads(hub.messages[-1].body)["summary"]["classes"][0]["label"] == "blue"


async def test_counts_and_confidence_are_reported_on_schedule(tmp_path: Path) -> None:
    async with module(tmp_path, reportSeconds=1) as running:
        hub = running.hub
        await ask(running, question("red"), question("red", 2), question("blue", 3))
        await hub.until(lambda: hub.reported.get("predictions", {}).get("images") == 3)
        predictions = hub.reported["predictions"]
        assert predictions["classes"] == [{"label": "red", "images": 2}, {"label": "blue", "images": 1}]
        assert sum(step["images"] for step in predictions["confidence"]) == 3


@pytest.mark.parametrize("seconds", [-1, 0.5, 1e9, "60", True])
async def test_a_schedule_that_makes_no_sense_is_refused(tmp_path: Path, seconds: Any) -> None:
    async with module(tmp_path, reportSeconds=seconds) as running:
        await running.hub.until(lambda: "reportSeconds" in running.hub.reported)
        assert running.hub.reported["reportSeconds"]["ac"] == 400


async def test_it_reports_its_model_and_its_golden_set(tmp_path: Path) -> None:
    async with module(tmp_path) as running:
        await running.hub.until(lambda: "model" in running.hub.reported)
        reported = running.hub.reported
        assert reported["model"]["digest"] == running.scorer.package.digest
        assert (reported["golden"]["passed"], reported["golden"]["scored"]) == (True, 3)
        assert reported["engine"].startswith("onnxruntime")


async def test_methods_tell_the_status_and_predict(tmp_path: Path) -> None:
    async with module(tmp_path) as running:
        session = await running.hub.listener("methods")
        image = base64.b64encode(picture(GREEN)).decode()
        predicted = await session.invoke(MethodRequest("predict", {"image": image}))
        status = await session.invoke(MethodRequest("Status"))
        bad = await session.invoke(MethodRequest("predict", {"image": "?"}))
        nothing = await session.invoke(MethodRequest("predict"))
        unknown = await session.invoke(MethodRequest("dance"))
        assert (predicted.status, predicted.payload["label"]) == (200, "green")
        assert (status.status, status.payload["scored"]) == (200, 1)
        assert [bad.status, nothing.status, unknown.status] == [400, 400, 404]


async def test_it_serves_and_stops_without_an_edge_hub(tmp_path: Path) -> None:
    hub = MemoryHub()
    async with running_hub(hub) as running:
        client = running.make_client()
        await running.listener.close()
        scorer = make_scorer(tmp_path / "model")
        front = new_front(scorer, client)
        await front.start()
        [found] = await scorer.score([picture(RED)])
        assert found.predictions[0].label == "red"
        await front.close()
        await scorer.close()


async def test_without_a_place_to_keep_models_it_says_so(tmp_path: Path) -> None:
    async with module(tmp_path) as running:
        session = await running.hub.listener("methods")
        for name in ("activate", "rollback"):
            answer = await session.invoke(MethodRequest(name, {"package": "sha256:" + "0" * 64}))
            assert answer.status == 501
            assert "SKERRY_STATE_DIR" in answer.payload["message"]
        await running.hub.desire({"model": {"package": "sha256:" + "0" * 64}})
        await running.hub.until(lambda: "ac" in running.hub.reported["model"])
        model = running.hub.reported["model"]
        assert (model["ac"], model["value"]) == (501, {"package": running.scorer.package.digest})
