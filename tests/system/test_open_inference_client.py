"""The public client of the Open Inference Protocol against the module's process, over gRPC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc.aio as triton
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
