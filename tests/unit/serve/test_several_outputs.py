"""A model with several outputs as it answers: over HTTP, as a message, and by Open Inference."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
import pytest_asyncio
from onnx import TensorProto, helper, numpy_helper

from skerry.clock import SystemClock
from skerry.contract.message import Message
from skerry.package.manifest import GoldenSample, write_package
from skerry.package.preprocess import prepare
from skerry.package.recipe import InputSpec, Label, OutputSpec, Recipe, Scaling
from skerry.serve.activation import activate
from skerry.serve.http.listener import HttpListener
from skerry.serve.measures import Measures
from skerry.serve.module_messages import answer_message
from skerry.serve.scoring import Scorer
from skerry.serve.surface import http_handler
from tests.unit.serve.support import BLUE, GREEN, RED, SIDE, open_predictor, picture

COLOURS = tuple(Label(f"c{i}", name) for i, name in enumerate(("red", "green", "blue")))
RECIPE = Recipe(
    InputSpec("image", SIDE, SIDE, 3),
    OutputSpec("probabilities", "softmax", COLOURS, 2),
    scaling=Scaling((1 / 255,), (0.0,)),
    others=(
        OutputSpec("tags", "sigmoid", (Label("w", "warm"), Label("d", "dark")), 2, threshold=0.5),
        OutputSpec("brightness", "regression", (Label("0", "lux"),), 1),
    ),
)
TAGS = np.array([[8, 8], [-4, 0], [-4, 4]], np.float32)


def model() -> bytes:
    """Softmax of the mean colour, two tags of it, and its brightness in the hundreds."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["mean", "six"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("MatMul", ["mean", "to_tags"], ["raw"]),
        helper.make_node("Sigmoid", ["raw"], ["tags"]),
        helper.make_node("MatMul", ["mean", "to_lux"], ["brightness"]),
    ]
    ends = [("probabilities", 3), ("tags", 2), ("brightness", 1)]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size]) for name, size in ends],
        [
            numpy_helper.from_array(np.array(6, np.float32), "six"),
            numpy_helper.from_array(TAGS, "to_tags"),
            numpy_helper.from_array(np.array([[299], [587], [114]], np.float32), "to_lux"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    data: bytes = made.SerializeToString()
    onnx.checker.check_model(made)
    return data


def expected(image: bytes) -> np.ndarray:
    mean = prepare(image, RECIPE).mean(axis=(0, 1))
    raised = np.exp(mean * 6)
    tags = 1 / (1 + np.exp(-(mean @ TAGS)))
    return np.concatenate([raised / raised.sum(), tags, [mean @ [299, 587, 114]]]).astype(np.float32)


@pytest_asyncio.fixture
async def scorer(tmp_path: Path) -> AsyncIterator[Scorer]:
    golden = [GoldenSample(image, expected(image)) for image in map(picture, (RED, GREEN, BLUE))]
    write_package(
        tmp_path / "model", name="colours", model=model(), recipe=RECIPE, golden=golden, certificate={}
    )
    activated = activate(tmp_path / "model", open_predictor)
    assert (activated.golden.same_best, activated.golden.scored) == (3, 3)
    scorer = Scorer(activated.package, activated.predictor, clock=SystemClock())
    yield scorer
    await scorer.close()


@pytest_asyncio.fixture
async def http(scorer: Scorer) -> AsyncIterator[httpx.AsyncClient]:
    server = await HttpListener.start(http_handler(scorer, Measures()), clock=SystemClock())
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        yield client
    await server.close()


def has_all_outputs(document: dict[str, Any]) -> bool:
    """As a red picture is answered."""
    assert (document["label"], len(document["predictions"])) == ("red", 2)
    tags, brightness = document["outputs"]["tags"], document["outputs"]["brightness"]
    assert tags["kind"] == "sigmoid"
    assert [each["label"] for each in tags["predictions"]] == ["warm", "dark"]
    assert brightness == {"kind": "regression", "values": {"lux": pytest.approx(299)}}
    return True


async def test_score_answers_with_every_output_by_name(http: httpx.AsyncClient) -> None:
    assert has_all_outputs((await http.post("/score", content=picture(RED))).json())
    green = (await http.post("/score", content=picture(GREEN))).json()
    # "dark" is at one half, "warm" below its threshold.
    assert [each["label"] for each in green["outputs"]["tags"]["predictions"]] == ["dark"]


async def test_the_tutorials_answer_stays_as_it_was(http: httpx.AsyncClient) -> None:
    [results, _] = (await http.post("/score", files={"image": ("a.png", picture(RED))})).json()
    assert results["image"][0][:2] == ["c0", "red"]


async def test_a_message_answers_with_every_output(scorer: Scorer) -> None:
    [scored] = await scorer.score([picture(RED)])
    assert has_all_outputs(json.loads(answer_message(Message(b""), {"image": scored}).body))


async def test_open_inference_names_every_output_and_gives_those_asked_for(http: httpx.AsyncClient) -> None:
    described = (await http.get("/v2/models/colours")).json()["outputs"]
    assert [(each["name"], each["shape"]) for each in described] == [
        ("probabilities", [-1, 3]), ("tags", [-1, 2]), ("brightness", [-1, 1])
    ]  # fmt: skip
    values = prepare(picture(BLUE), RECIPE)[None]
    given = {
        "name": "image",
        "datatype": "FP32",
        "shape": list(values.shape),
        "data": values.ravel().tolist(),
    }
    made = (await http.post("/v2/models/colours/infer", json={"inputs": [given]})).json()["outputs"]
    assert [each["name"] for each in made] == ["probabilities", "tags", "brightness"]
    found = np.concatenate([each["data"] for each in made])
    assert found == pytest.approx(expected(picture(BLUE)), abs=1e-3)
    asked = [{"name": "brightness"}, {"name": "tags", "parameters": {"classification": 1}}]
    made = (await http.post("/v2/models/colours/infer", json={"inputs": [given], "outputs": asked})).json()
    assert made["outputs"][0]["data"] == pytest.approx([114])
    assert made["outputs"][1]["data"] == ["0.982014:1:dark"]
    for wrong in ([{"name": "smell"}], [{"name": "tags"}, {"name": "tags"}]):
        response = await http.post("/v2/models/colours/infer", json={"inputs": [given], "outputs": wrong})
        assert (response.status_code, "outputs are" in response.json()["error"]) == (400, True)
    classes = [{"name": "brightness", "parameters": {"classification": 1}}]
    response = await http.post("/v2/models/colours/infer", json={"inputs": [given], "outputs": classes})
    assert (response.status_code, "gives numbers" in response.json()["error"]) == (400, True)
