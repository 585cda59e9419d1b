"""The inference engines as layers of a module image: what each needs of its wheel, and nothing else of it.

What is dropped was found by running without it; tests/system/test_candidates.py runs every engine out of an
image made like this.
"""

from __future__ import annotations

from collections.abc import Iterable

from skerry.errors import Unsupported
from skerry.oci.wheels import WheelGroup
from skerry.package.candidate import Candidate

# The Python module holds the engine itself; the C library and the offline tools are for others.
ONNXRUNTIME = WheelGroup(
    "onnxruntime",
    ("onnxruntime",),
    drop=r"onnxruntime/capi/libonnxruntime\.so.*"
    r"|onnxruntime/(?:transformers|quantization|tools|datasets|backend)/.*",
)
# The CPU plugin, and the readers of ONNX and of its own format; no GPU, no NPU, no other framework's formats.
OPENVINO = WheelGroup(
    "openvino",
    ("openvino",),
    drop=r"openvino/libs/libopenvino_(?:intel_gpu|intel_npu|auto|auto_batch|hetero)_plugin\.so"
    r"|openvino/libs/libopenvino_(?:pytorch|paddle|jax|gguf|tensorflow|tensorflow_lite)_frontend\.so.*"
    r"|openvino/libs/(?:libopenvino_c\.so.*|cache\.json)"
    r"|openvino/frontend/(?:pytorch|paddle|jax|tensorflow)/.*"
    r"|openvino/(?:include|cmake|tools|torch|test_utils|experimental_cli)/.*",
)
# The interpreter and its kernels; no accelerators, no compilers for them, no converter.
LITERT = WheelGroup(
    "litert",
    ("ai-edge-litert",),
    drop=r"ai_edge_litert/(?:libLiteRtWebGpuAccelerator\.so|libLiteRt\.so)"
    r"|ai_edge_litert/(?:tools|vendors|aot|tflite)/.*"
    r"|ai_edge_litert/(?:schema_py_generated|[a-z]+_pb2)\.py",
)
GROUPS = {"onnxruntime": ONNXRUNTIME, "openvino": OPENVINO, "litert": LITERT}


def engine_wheels(candidates: Iterable[Candidate]) -> list[WheelGroup]:
    """One group for each engine among ``candidates``, in an order that does not depend on theirs.

    Unsupported names an engine that images cannot have.
    """
    engines = {candidate.engine for candidate in candidates}
    unknown = sorted(engines - GROUPS.keys())
    if unknown:
        raise Unsupported(
            f"there are no wheels for the engine {unknown[0]}", hint=f"engines: {', '.join(GROUPS)}"
        )
    return [group for engine, group in GROUPS.items() if engine in engines]
