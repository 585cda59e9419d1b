"""An image gets the engines its package needs, and of their wheels what runs."""

from __future__ import annotations

import re

import pytest

from skerry.errors import Unsupported
from skerry.model.engine_wheels import GROUPS, LITERT, ONNXRUNTIME, OPENVINO, engine_wheels
from skerry.oci.wheels import WheelGroup
from skerry.package.candidate import ENGINES, Candidate


def of(*engines: str) -> list[Candidate]:
    return [Candidate(engine, engine, "fp32", "model", 1e-4) for engine in engines]


def test_an_image_has_an_engine_for_each_candidate_and_no_other() -> None:
    assert engine_wheels(of("onnxruntime", "onnxruntime")) == [ONNXRUNTIME]
    assert engine_wheels(of("litert", "onnxruntime")) == [ONNXRUNTIME, LITERT]
    assert engine_wheels(of("openvino")) == [OPENVINO]
    assert sorted(GROUPS) == sorted(ENGINES)


def test_an_engine_that_images_cannot_have_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="no wheels for the engine npu"):
        engine_wheels(of("onnxruntime", "npu"))


@pytest.mark.parametrize(
    ("group", "kept", "dropped"),
    [
        (
            ONNXRUNTIME,
            [
                "onnxruntime/capi/onnxruntime_pybind11_state.cpython-311-x86_64-linux-gnu.so",
                "onnxruntime/capi/libonnxruntime_providers_shared.so",
            ],
            ["onnxruntime/capi/libonnxruntime.so.1.23.2", "onnxruntime/transformers/models/llama.py"],
        ),
        (
            OPENVINO,
            [
                "openvino/libs/libopenvino_intel_cpu_plugin.so",
                "openvino/libs/libopenvino_arm_cpu_plugin.so",
                "openvino/libs/libopenvino_onnx_frontend.so.2641",
                "openvino/libs/libopenvino_ir_frontend.so.2641",
                "openvino/libs/libtbb.so.12",
                "openvino/frontend/frontend.py",
            ],
            [
                "openvino/libs/libopenvino_intel_gpu_plugin.so",
                "openvino/libs/libopenvino_tensorflow_frontend.so.2641",
                "openvino/frontend/pytorch/fx_decoder.py",
                "openvino/tools/ovc/convert.py",
            ],
        ),
        (
            LITERT,
            [
                "ai_edge_litert/interpreter.py",
                "ai_edge_litert/libpywrap_litert_common.so",
                "ai_edge_litert/_pywrap_litert_interpreter_wrapper.so",
            ],
            ["ai_edge_litert/libLiteRtWebGpuAccelerator.so", "ai_edge_litert/vendors/qualcomm/x.so"],
        ),
    ],
)
def test_of_a_wheel_stays_what_runs(group: WheelGroup, kept: list[str], dropped: list[str]) -> None:
    pattern = re.compile(group.drop)
    assert [path for path in kept if pattern.fullmatch(path)] == []
    assert [path for path in dropped if not pattern.fullmatch(path)] == []
