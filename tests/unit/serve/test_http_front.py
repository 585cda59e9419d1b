"""The tutorial's HTTP surface, over a socket, with a real model behind it."""

from __future__ import annotations

import asyncio
import base64
import json
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.serve.conftest import Served
from tests.unit.serve.support import BLUE, GREEN, RED, expected, picture

PART = b"Content-Disposition: form-data"


async def test_root_says_healthy_as_azure_ml_images_do(served: Served) -> None:
    response = await served.http.get("/")
    assert (response.status_code, response.text) == (200, "Healthy")
    assert response.headers["content-type"].startswith("text/html")
    assert response.headers["x-request-id"] == response.headers["x-ms-request-id"]


async def test_one_multipart_image_gets_the_tutorials_answer(served: Served) -> None:
    image = picture(RED, kind="JPEG")
    response = await served.http.post("/score", files={"image": ("lynx.jpg", image, "image/jpeg")})
    results, computed = response.json()
    assert response.status_code == 200
    assert [each[:2] for each in results["image"]] == [["c0", "red"], ["c1", "green"], ["c2", "blue"]]
    assert [each[2] for each in results["image"]] == pytest.approx(
        sorted(map(float, expected(image)), reverse=True), abs=1e-4
    )
    assert re.fullmatch(r"Computed in \d+\.\d+ ms", computed)
    assert response.headers["x-ms-run-function-failed"] == "False"
    assert float(response.headers["x-ms-run-fn-exec-ms"]) > 0
    assert response.headers["x-skerry-model"] == served.scorer.package.digest


async def test_several_parts_are_one_batch_answered_by_field_name(served: Served) -> None:
    files = {"a": ("a.png", picture(GREEN)), "b": ("b.png", picture(BLUE)), "é": ("c.png", picture(RED))}
    [results, _] = (await served.http.post("/score", files=files)).json()
    assert {name: best[0][1] for name, best in results.items()} == {"a": "green", "b": "blue", "é": "red"}


async def test_a_repeated_field_name_loses_no_image(served: Served) -> None:
    files = [("image", ("a.png", picture(GREEN))), ("image", ("b.png", picture(BLUE)))]
    [results, _] = (await served.http.post("/score", files=files)).json()
    assert {name: best[0][1] for name, best in results.items()} == {"image": "green", "image#2": "blue"}


@pytest.mark.parametrize("content_type", ["image/png", "image/jpeg", "application/octet-stream", ""])
async def test_a_raw_image_gets_a_prediction_with_provenance(served: Served, content_type: str) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = await served.http.post("/score", content=picture(BLUE), headers=headers)
    document = response.json()
    assert response.status_code == 200
    assert (document["label"], document["predictions"][0]["id"]) == ("blue", "c2")
    assert document["model"] == served.scorer.package.digest
    assert document["input"].startswith("sha256:")
    assert document["latencyMs"].keys() == {"prepare", "queue", "infer", "total"}


async def test_json_with_base64_is_scored_in_each_of_its_shapes(served: Served) -> None:
    text = base64.b64encode(picture(GREEN)).decode()
    shapes = [
        {"image": text},
        {"image": f"data:image/png;base64,{text}"},
        {"input": {"image": f'"{text}"'}},
        {"input": json.dumps({"image": text})},
        {"images": {"one": text}},
    ]
    labels = [(await served.http.post("/score", json=shape)).json()["label"] for shape in shapes]
    assert labels == ["green"] * len(shapes)


async def test_json_with_several_images_is_answered_by_name(served: Served) -> None:
    images = {name: base64.b64encode(picture(c)).decode() for name, c in (("a", RED), ("b", BLUE))}
    results = (await served.http.post("/score", json={"images": images})).json()["results"]
    assert {name: document["label"] for name, document in results.items()} == {"a": "red", "b": "blue"}


async def test_a_part_that_is_no_image_is_named(served: Served) -> None:
    response = await served.http.post("/score", files={"good": picture(RED), "bad": b"hello"})
    assert response.status_code == 400
    assert response.json()["field"] == "bad"
    assert "bad" in response.json()["message"]
    assert response.headers["x-ms-run-function-failed"] == "True"


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("image/png", b"", 400),
        ("image/png", b"no image", 400),
        ("text/plain", b"hello", 415),
        ("application/json", b"{", 400),
        ("application/json", b"[]", 400),
        ("application/json", b'{"image": 3}', 400),
        ("application/json", b'{"image": "%%%"}', 400),
        ("application/json", b"[" * 100_000, 400),
        ("multipart/form-data", b"--x", 400),
        ("multipart/form-data; boundary=x", b"garbage", 400),
        ("multipart/form-data; boundary=x", b"--x\r\n" + PART + b"\r\n\r\na\r\n--x--", 400),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\n" + PART + b'; name="a"\r\n\r\nab',
            400,
        ),
        ("multipart/form-data; boundary=x", b"--x--\r\n", 400),
    ],
)
async def test_what_holds_no_image_is_refused_with_a_message(
    served: Served, content_type: str, body: bytes, status: int
) -> None:
    response = await served.http.post("/score", content=body, headers={"content-type": content_type})
    assert response.status_code == status
    assert response.json()["message"]


async def test_a_full_queue_answers_503_and_when_to_come_back(served: Served) -> None:
    async def post() -> int:
        response = await served.http.post("/score", content=picture(RED, size=(2000, 2000)))
        assert response.status_code != 503 or int(response.headers["retry-after"]) >= 1
        return response.status_code

    statuses = await asyncio.gather(*(post() for _ in range(20)))
    assert set(statuses) == {200, 503}
    assert await post() == 200


async def test_more_parts_than_the_queue_holds_are_too_large(served: Served) -> None:
    files = {f"f{i}": picture(RED) for i in range(5)}
    assert (await served.http.post("/score", files=files)).status_code == 413


async def test_unknown_paths_and_methods_get_a_message(served: Served) -> None:
    wrong_method = await served.http.put("/score")
    wrong_path = await served.http.get("/nothing")
    assert (wrong_method.status_code, wrong_path.status_code) == (405, 404)
    assert wrong_method.json()["message"]
    assert wrong_path.json()["message"]


async def test_the_clients_request_id_comes_back(served: Served) -> None:
    response = await served.http.get("/", headers={"x-ms-client-request-id": "abc"})
    assert response.headers["x-ms-client-request-id"] == response.headers["x-ms-request-id"] == "abc"


async def test_operations_paths_tell_the_state(served: Served) -> None:
    await served.http.post("/score", content=picture(RED))
    await served.http.post("/score", content=b"hello")
    ready = (await served.http.get("/readyz")).json()
    assert ready == {"ready": True, "model": served.scorer.package.digest, "waiting": 0}
    assert (await served.http.get("/healthz")).status_code == 200
    assert (await served.http.get("/swagger.json")).json()["swagger"] == "2.0"
    assert (await served.http.get("/score")).json()["classes"] == 3
    text = (await served.http.get("/metrics")).text
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["skerry_serve_images_scored_total", "http"] == 1
    assert samples["skerry_serve_requests_refused_total", "InvalidInput", "http"] == 1
