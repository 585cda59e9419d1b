"""The Open Inference Protocol over gRPC: the public client's messages, each error's code, fuzz."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from skerry.errors import SkerryError, Unavailable
from skerry.serve.fronts.answers import Plane
from skerry.serve.measures import Measures
from skerry.serve.rpc.messages import input_of, outputs_of
from skerry.serve.rpc.schema import CLASSES, MESSAGES, SERVICE
from skerry.serve.rpc.server import RpcListener
from skerry.serve.scoring import Scorer
from tests.unit.serve.fronts.test_open_inference import ANSWER, IMAGES, TENSOR
from tests.unit.serve.pictures import bomb
from tests.unit.serve.support import SIDE, make_scorer

Message = Any


class Called:
    """A channel, and a call by the name of its method with the public client's own messages."""

    def __init__(self, channel: grpc.aio.Channel, scorer: Scorer) -> None:
        self.channel = channel
        self.scorer = scorer

    async def __call__(self, name: str, request: Message | None = None) -> Message:
        kinds = getattr(service_pb2, f"{name}Request"), getattr(service_pb2, f"{name}Response")
        call = self.channel.unary_unary(
            f"/{SERVICE}/{name}",
            request_serializer=kinds[0].SerializeToString,
            response_deserializer=kinds[1].FromString,
        )
        return await call(kinds[0]() if request is None else request)

    async def refused(self, request: Message) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self("ModelInfer", request)
        return caught.value.code(), str(caught.value.details())


@pytest_asyncio.fixture
async def call(tmp_path: Path) -> AsyncIterator[Called]:
    scorer = make_scorer(tmp_path / "model", admitted_max=4)
    listener = await RpcListener.start(Plane(scorer, Measures()))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{listener.port}") as channel:
        yield Called(channel, scorer)
    await listener.close()
    await scorer.close()


def question(kind: str = "FP32", shape: tuple[int, ...] = TENSOR.shape, *raw: bytes) -> Message:
    request = service_pb2.ModelInferRequest(model_name="colours", id="7")
    request.inputs.add(name="image", datatype=kind, shape=shape)
    request.raw_input_contents.extend(raw)
    return request


def test_our_table_is_the_public_clients_schema() -> None:
    for name, fields in MESSAGES.items():
        theirs: Any = service_pb2
        for part in name.split("."):
            theirs = getattr(theirs, part)
        for field, (number, _) in fields.items():
            assert theirs.DESCRIPTOR.fields_by_name[field].number == number, f"{name}.{field}"


async def test_server_and_model_describe_themselves(call: Called) -> None:
    assert (await call("ServerLive")).live
    assert (await call("ServerReady")).ready
    assert (await call("ModelReady", service_pb2.ModelReadyRequest(name="colours"))).ready
    assert "binary_tensor_data" in (await call("ServerMetadata")).extensions
    model = await call("ModelMetadata", service_pb2.ModelMetadataRequest(name="colours", version="1"))
    assert (list(model.inputs[0].shape), list(model.outputs[0].shape)) == ([-1, SIDE, SIDE, 3], [-1, 3])


async def test_raw_and_typed_tensors_get_the_models_output_in_kind(call: Called) -> None:
    raw = await call("ModelInfer", question("FP32", TENSOR.shape, TENSOR.tobytes()))
    found = np.frombuffer(raw.raw_output_contents[0], "<f4").reshape(raw.outputs[0].shape)
    np.testing.assert_allclose(found, ANSWER, atol=1e-5)
    request = question()
    request.inputs[0].contents.fp32_contents.extend(TENSOR.ravel().tolist())
    typed = await call("ModelInfer", request)
    np.testing.assert_allclose(typed.outputs[0].contents.fp32_contents, ANSWER.ravel(), atol=1e-5)
    assert (typed.id, len(typed.raw_output_contents)) == ("7", 0)
    assert typed.parameters["digest"].string_param == call.scorer.package.digest


async def test_image_files_get_classes(call: Called) -> None:
    request = question("BYTES", (3,))
    request.inputs[0].contents.bytes_contents.extend(IMAGES)
    output = request.outputs.add(name="probabilities")
    output.parameters["classification"].int64_param = 1
    answer = await call("ModelInfer", request)
    texts = [text.decode() for text in answer.outputs[0].contents.bytes_contents]
    assert [text.split(":", 1)[1] for text in texts] == ["0:red", "1:green", "2:blue"]


async def test_every_refusal_has_its_code(call: Called) -> None:
    codes = grpc.StatusCode
    whole = TENSOR.tobytes()
    wrong_model = question("FP32", TENSOR.shape, whole)
    wrong_model.model_name = "other"
    wrong_output = question("FP32", TENSOR.shape, whole)
    wrong_output.outputs.add(name="other")
    hostile = question("BYTES", (1,))
    hostile.inputs[0].contents.bytes_contents.append(bomb())
    cases = {
        "no model": (wrong_model, codes.NOT_FOUND),
        "no output": (wrong_output, codes.INVALID_ARGUMENT),
        "cut off": (question("FP32", TENSOR.shape, whole[:-1]), codes.INVALID_ARGUMENT),
        "another shape": (question("FP32", (1, 2), bytes(8)), codes.INVALID_ARGUMENT),
        "negative": (question("FP32", (-1,), bytes(4)), codes.INVALID_ARGUMENT),
        "two raw": (question("FP32", TENSOR.shape, whole, whole), codes.INVALID_ARGUMENT),
        "no input": (service_pb2.ModelInferRequest(model_name="colours"), codes.INVALID_ARGUMENT),
        "type": (question("INT64", (1,), bytes(8)), codes.UNIMPLEMENTED),
        "bomb": (hostile, codes.OUT_OF_RANGE),
        "too many": (question("FP32", (5, SIDE, SIDE, 3), bytes(5 * SIDE * SIDE * 12)), codes.OUT_OF_RANGE),
    }
    for name, (request, code) in cases.items():
        found, details = await call.refused(request)
        assert (found, bool(details)) == (code, True), name
    assert call.scorer.waiting == 0


async def test_a_full_queue_is_said(call: Called) -> None:
    call.scorer._admission.admit(4)
    code, _ = await call.refused(question("FP32", TENSOR.shape, TENSOR.tobytes()))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    scorer = make_scorer(tmp_path / "model")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Unavailable, match="gRPC"):
        await RpcListener.start(Plane(scorer, Measures()), port=taken.getsockname()[1])
    await scorer.close()


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(["FP32", "BYTES", "INT8", ""]),
    shape=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=10),
    raw=st.lists(st.binary(max_size=40), max_size=2),
    classes=st.integers(-(2**63), 2**63 - 1),
)
def test_anything_is_a_request_or_refused(
    kind: str, shape: list[int], raw: list[bytes], classes: int
) -> None:
    request = CLASSES["ModelInferRequest"](model_name="colours", raw_input_contents=raw)
    request.inputs.add(name="image", datatype=kind, shape=shape)
    request.outputs.add(name="x").parameters["classification"].int64_param = classes
    for read in (input_of, outputs_of):
        with contextlib.suppress(SkerryError):
            read(request)
