"""The Open Inference Protocol: metadata, JSON and binary tensors, image files, and every way to be wrong."""

from __future__ import annotations

import base64
import contextlib
import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from skerry.errors import SkerryError
from skerry.package.preprocess import prepare
from skerry.serve.fronts.tensors import parse_infer
from tests.unit.serve.conftest import Served
from tests.unit.serve.support import BLUE, GREEN, RECIPE, RED, SIDE, expected, picture

INFER = "/v2/models/colours/infer"
IMAGES = [picture(RED), picture(GREEN), picture(BLUE)]
TENSOR = np.stack([prepare(image, RECIPE) for image in IMAGES])
ANSWER = np.stack([expected(image) for image in IMAGES])


def tensor_input(values: NDArray[np.float32], **more: Any) -> dict[str, Any]:
    return {"name": "image", "datatype": "FP32", "shape": list(values.shape), **more}


async def infer(served: Served, document: dict[str, Any]) -> dict[str, Any]:
    response = await served.http.post(INFER, json=document)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def infer_binary(served: Served, document: dict[str, Any], tail: bytes) -> tuple[dict[str, Any], bytes]:
    start = json.dumps(document).encode()
    headers = {"Inference-Header-Content-Length": str(len(start))}
    response = await served.http.post(INFER, content=start + tail, headers=headers)
    assert response.status_code == 200, response.text
    length = int(response.headers["Inference-Header-Content-Length"])
    return json.loads(response.content[:length]), response.content[length:]


async def test_server_and_model_describe_themselves(served: Served) -> None:
    server = (await served.http.get("/v2")).json()
    model = (await served.http.get("/v2/models/colours")).json()
    assert "binary_tensor_data" in server["extensions"]
    assert model["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, SIDE, SIDE, 3]}]
    assert model["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}]
    ready = ("/v2/health/live", "/v2/health/ready", "/v2/models/colours/ready")
    for path in (*ready, "/v2/models/colours/versions/1/ready"):
        assert (await served.http.get(path)).status_code == 200
    for path in ("/v2/models/other", "/v2/models/colours/versions/2", "/v2/models/other/ready"):
        response = await served.http.get(path)
        assert (response.status_code, list(response.json())) == (404, ["error"])


@pytest.mark.parametrize("flat", [True, False])
async def test_a_json_tensor_gets_the_models_output(served: Served, flat: bool) -> None:
    data = TENSOR.ravel().tolist() if flat else TENSOR.tolist()
    answer = await infer(served, {"id": "7", "inputs": [tensor_input(TENSOR, data=data)]})
    [output] = answer["outputs"]
    assert (answer["id"], answer["model_name"], output["datatype"]) == ("7", "colours", "FP32")
    assert np.reshape(output["data"], output["shape"]) == pytest.approx(ANSWER, abs=1e-6)


async def test_a_binary_tensor_gets_binary_output(served: Served) -> None:
    tail = TENSOR.tobytes()
    document = {
        "inputs": [tensor_input(TENSOR, parameters={"binary_data_size": len(tail)})],
        "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}],
    }
    answer, found = await infer_binary(served, document, tail)
    [output] = answer["outputs"]
    assert output["parameters"]["binary_data_size"] == len(found)
    assert np.frombuffer(found, "<f4").reshape(output["shape"]) == pytest.approx(ANSWER, abs=1e-6)


async def test_image_files_are_prepared_by_the_recipe(served: Served) -> None:
    data = [base64.b64encode(image).decode() for image in IMAGES]
    document = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [3], "data": data}]}
    [output] = (await infer(served, document))["outputs"]
    assert np.reshape(output["data"], output["shape"]) == pytest.approx(ANSWER, abs=1e-6)


async def test_binary_image_files_get_the_best_classes(served: Served) -> None:
    tail = b"".join(struct.pack("<I", len(image)) + image for image in IMAGES)
    document = {
        "inputs": [
            {
                "name": "image",
                "datatype": "BYTES",
                "shape": [3, 1],
                "parameters": {"binary_data_size": len(tail)},
            }
        ],
        "outputs": [{"name": "probabilities", "parameters": {"classification": 1}}],
        "parameters": {"binary_data_output": True},
    }
    answer, found = await infer_binary(served, document, tail)
    labels = []
    while found:
        (length,) = struct.unpack_from("<I", found)
        labels.append(found[4 : 4 + length].decode().split(":")[2])
        found = found[4 + length :]
    assert (answer["outputs"][0]["shape"], labels) == ([3, 1], ["red", "green", "blue"])


GOOD = tensor_input(TENSOR[:1], data=TENSOR[:1].tolist())


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ([], 400),
        ({}, 400),
        ({"inputs": []}, 400),
        ({"inputs": [GOOD, GOOD]}, 400),
        ({"inputs": [{**GOOD, "name": 3}]}, 400),
        ({"inputs": [{**GOOD, "shape": [1, SIDE, SIDE, 2]}]}, 400),
        ({"inputs": [{**GOOD, "shape": [2**31 - 1, SIDE, SIDE, 3]}]}, 400),
        ({"inputs": [{**GOOD, "shape": [-1]}]}, 400),
        ({"inputs": [{**GOOD, "shape": [SIDE * SIDE * 3]}]}, 400),
        ({"inputs": [{**GOOD, "data": "text"}]}, 400),
        ({"inputs": [{**GOOD, "data": [None]}]}, 400),
        ({"inputs": [{**GOOD, "data": [1e39] * (SIDE * SIDE * 3)}]}, 400),
        ({"inputs": [{**GOOD, "datatype": "INT64"}]}, 415),
        ({"inputs": [{**GOOD, "parameters": {"binary_data_size": 5}}]}, 400),
        ({"inputs": [{**GOOD, "parameters": []}]}, 400),
        ({"inputs": [GOOD], "outputs": [{"name": "other"}]}, 400),
        ({"inputs": [GOOD], "outputs": [{}]}, 400),
        ({"inputs": [GOOD], "id": 7}, 400),
        ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["aGVsbG8="]}]}, 400),
        ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [2], "data": ["aGVsbG8="]}]}, 400),
        ({"inputs": [tensor_input(TENSOR[[0] * 5], data=TENSOR[[0] * 5].tolist())]}, 413),
    ],
)
async def test_what_is_wrong_is_refused_with_an_error(served: Served, document: Any, status: int) -> None:
    response = await served.http.post(INFER, content=json.dumps(document))
    assert (response.status_code, list(response.json())) == (status, ["error"])


async def test_another_model_is_not_found(served: Served) -> None:
    response = await served.http.post("/v2/models/other/infer", json={"inputs": [GOOD]})
    assert response.status_code == 404


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
given_input = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("image") | json_values,
        "datatype": st.sampled_from(["FP32", "BYTES"]) | json_values,
        "shape": st.lists(st.integers(-1, 9), max_size=4) | json_values,
        "data": json_values,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": st.integers(-1, 9)}),
    },
)


@given(
    st.fixed_dictionaries({}, optional={"inputs": st.lists(given_input, max_size=2), "outputs": json_values}),
    st.binary(max_size=20),
    st.none() | st.integers(-1, 400),
)
def test_any_request_is_read_or_refused(document: dict[str, Any], tail: bytes, length: int | None) -> None:
    text = json.dumps(document).encode()
    header = str(len(text)) if length is None else str(length)
    with contextlib.suppress(SkerryError):
        request, found = parse_infer(text + tail, header)
        assert (found.floats is None) == (request.kind == "BYTES")
