"""Every status that the description names can be had, with a body as described."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest

from skerry.serve.answer import Settings
from tests.unit.serve import pictures
from tests.unit.serve.conftest import Served
from tests.unit.serve.fronts.test_open_inference import TENSOR, tensor_input
from tests.unit.serve.support import BLUE, RED, SIDE, picture

Asked = dict[str, Any]

TENSORS = {"inputs": [tensor_input(TENSOR, data=TENSOR.ravel().tolist())]}
NAMES = {"{model}": "colours", "{version}": "1", "{project}": "p", "{iteration}": "i"}


def image(data: bytes, kind: str = "image/png") -> Asked:
    return {"content": data, "headers": {"content-type": kind}}


def five_tensors() -> Asked:
    many = np.zeros((5, SIDE, SIDE, 3), np.float32)
    return {"json": {"inputs": [tensor_input(many, data=many.ravel().tolist())]}}


IMAGES: dict[int, Callable[[], Asked]] = {
    200: lambda: image(picture(BLUE)),
    204: lambda: image(picture(BLUE)),
    400: lambda: image(b"hello"),
    413: lambda: image(pictures.bomb()),
    415: lambda: image(b"hello", "text/plain"),
    503: lambda: image(picture(BLUE)),
}
INFERENCE: dict[int, Callable[[], Asked]] = {
    200: lambda: {"json": TENSORS},
    400: lambda: {"json": {}},
    404: lambda: {"json": TENSORS},
    413: five_tensors,
    415: lambda: {"json": {"inputs": [{**TENSORS["inputs"][0], "datatype": "INT8"}]}},
    503: lambda: {"json": TENSORS},
}


async def ask(served: Served, method: str, path: str, status: int) -> httpx.Response:
    """What is asked so that the answer has this status."""
    for name, value in NAMES.items():
        path = path.replace(name, "other" if (name, status) == ("{model}", 404) else value)
    if method == "get":
        return await served.http.get(path)
    asked = INFERENCE if path.endswith("/infer") else IMAGES
    if status == 503:
        served.scorer._admission.admit(4)
    if status == 204:
        served.scorer.settings = Settings(top_k=1, threshold=1.0)
    try:
        return await served.http.post(path, **asked[status]())
    finally:
        served.scorer.settings = Settings(top_k=3)
        if status == 503:
            served.scorer._admission.release(4)


async def test_every_documented_status_is_given_with_its_body(served: Served) -> None:
    document = (await served.http.get("/openapi.json")).json()
    seen = 0
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for status, described in operation["responses"].items():
                response = await ask(served, method, path, int(status))
                where = f"{method} {path} {status}: {response.text[:200]}"
                assert response.status_code == int(status), where
                if int(status) == 503:
                    assert response.headers["retry-after"] == "1", where
                if "content" in described:
                    schema = described["content"]["application/json"]["schema"]
                    jsonschema.validate(response.json(), schema)
                seen += 1
    assert seen > 70


async def test_predictions_carry_their_provenance_where_the_body_has_no_place_for_it(served: Served) -> None:
    data = picture(BLUE)
    body = (await served.http.post("/score", **image(data))).json()
    asked: dict[str, Asked] = {
        "/score": {"files": {"image": data}},
        "/image": image(data),
        "/video-analytics": image(data),
    }
    for path, question in asked.items():
        headers = (await served.http.post(path, **question)).headers
        for name in ("model", "recipe", "input"):
            assert headers[f"x-skerry-{name}"] == body[name], path
        assert float(headers["x-skerry-margin"]) == pytest.approx(body["margin"], abs=1e-5)
        assert float(headers["x-skerry-latency-ms"]) > 0
        assert datetime.fromisoformat(headers["x-skerry-time"]).tzinfo is not None
    two = await served.http.post("/score", files={"a": data, "b": picture(RED)})
    assert len(two.headers["x-skerry-input"].split(", ")) == 2
    served.scorer.settings = Settings(top_k=1, threshold=1.0)
    nothing = await served.http.post("/video-analytics", **image(data))
    assert (nothing.status_code, nothing.headers["x-skerry-input"]) == (204, body["input"])
