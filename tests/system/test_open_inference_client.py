"""The public clients of the Open Inference Protocol against the module's process, over gRPC and HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc.aio as triton
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from tests.system.test_serve_processes import module
from tests.unit.serve.fronts.test_open_inference import ANSWER, IMAGES, TENSOR
from tests.unit.serve.support import make_package
from tests.unit.serve.test_main import free_port

pytestmark = pytest.mark.system


async def test_the_public_grpc_client_infers_with_tensors_and_image_files(tmp_path: Path) -> None:
    make_package(tmp_path / "model")
    port = str(free_port())
    settings = {"SKERRY_MODEL_DIR": str(tmp_path / "model"), "SKERRY_GRPC_PORT": port}
    async with (
        module(**settings) as (http, _),
        triton.InferenceServerClient(f"127.0.0.1:{port}") as client,
    ):
        assert await client.is_server_live()
        assert await client.is_model_ready("colours")
        assert (await client.get_model_metadata("colours", as_json=True))["name"] == "colours"

        tensor = triton.InferInput("image", list(TENSOR.shape), "FP32")
        tensor.set_data_from_numpy(TENSOR)
        found = (await client.infer("colours", [tensor], request_id="7")).as_numpy("probabilities")
        np.testing.assert_allclose(found, ANSWER, atol=1e-5)

        files = triton.InferInput("image", [3], "BYTES")
        files.set_data_from_numpy(np.array(IMAGES, dtype=np.object_))
        best = triton.InferRequestedOutput("probabilities", class_count=1)
        classes = (await client.infer("colours", [files], outputs=[best])).as_numpy("probabilities")
        assert [text.decode().split(":")[2] for text in classes.ravel()] == ["red", "green", "blue"]

        with pytest.raises(InferenceServerException, match="no model other"):
            await client.infer("other", [tensor])
        metrics = (await http.get("/metrics")).text
        assert 'skerry_serve_images_scored_total{front="grpc"} 6.0' in metrics


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
async def test_the_public_http_client_infers_with_json_and_binary_tensors(
    binary_in: bool, binary_out: bool, tmp_path: Path
) -> None:
    make_package(tmp_path / "model")
    async with module(SKERRY_MODEL_DIR=str(tmp_path / "model")) as (http, _):
        found, classes = await asyncio.to_thread(
            _inferred, f"{http.base_url.host}:{http.base_url.port}", binary_in, binary_out
        )
    np.testing.assert_allclose(found, ANSWER, atol=1e-5)
    # The client gives bytes out of binary tensors, text out of JSON.
    words = [text if isinstance(text, str) else text.decode() for text in classes.ravel()]
    assert [word.split(":")[2] for word in words] == ["red", "green", "blue"]


def _inferred(address: str, binary_in: bool, binary_out: bool) -> tuple[Any, Any]:
    """Scores of the tensor, classes of the image files."""
    client = triton_http.InferenceServerClient(address)
    try:
        assert client.is_server_live()
        assert client.is_model_ready("colours")
        tensor = triton_http.InferInput("image", list(TENSOR.shape), "FP32")
        tensor.set_data_from_numpy(TENSOR, binary_data=binary_in)
        wanted = triton_http.InferRequestedOutput("probabilities", binary_data=binary_out)
        scores = client.infer("colours", [tensor], outputs=[wanted]).as_numpy("probabilities")
        files = triton_http.InferInput("image", [3], "BYTES")
        files.set_data_from_numpy(np.array(IMAGES, dtype=np.object_), binary_data=True)
        best = triton_http.InferRequestedOutput("probabilities", binary_data=binary_out, class_count=1)
        classes = client.infer("colours", [files], outputs=[best]).as_numpy("probabilities")
        return scores, classes
    finally:
        client.close()
