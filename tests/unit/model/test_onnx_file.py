"""Models that are ONNX already."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from skerry.errors import InvalidInput, NotFound, Unsupported
from skerry.model.convert import convert
from skerry.model.graph import read_network
from skerry.model.onnx_file import read_onnx
from skerry.model.onnx_session import OnnxSession


def written(
    path: Path, *, shape: list[str | int | None], opset: int = 17, kind: int = TensorProto.FLOAT
) -> Path:
    """A channels-first classifier as other tools export it: convolution, mean, two outputs."""
    random = np.random.default_rng(0)
    kernel = numpy_helper.from_array(random.normal(size=(4, 3, 3, 3)).astype(np.float32), "kernel")
    nodes = [
        helper.make_node("Conv", ["pixels", "kernel"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["means"]),
        helper.make_node("Flatten", ["means"], ["logits"], axis=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("pixels", kind, shape)],
        [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, [shape[0], 4])
            for n in ("probabilities", "logits")
        ],
        [kernel],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("batch", [1, "batch"])
def test_channels_first_and_a_fixed_batch_become_ours(tmp_path: Path, batch: str | int) -> None:
    path = written(tmp_path / "m.onnx", shape=[batch, 3, 12, 10])
    converted = convert(read_onnx(path))
    assert (converted.input, [head.name for head in converted.heads]) == (
        "pixels_nhwc",
        ["probabilities", "logits"],
    )
    x = np.random.default_rng(1).normal(size=(5, 12, 10, 3)).astype(np.float32)
    probabilities, logits = OnnxSession(converted.onnx).run_all(x)
    kernel = numpy_helper.to_array(onnx.load(path).graph.initializer[0])
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))  # n, h, w, channels, 3, 3
    assert np.abs(np.einsum("nhwcij,ocij->no", windows, kernel) / 80 - logits).max() < 1e-5
    assert np.abs(probabilities.sum(1) - 1).max() < 1e-6


def test_the_named_output_comes_first(tmp_path: Path) -> None:
    path = written(tmp_path / "m.onnx", shape=["N", 3, 12, 10])
    network = read_onnx(path, head="logits")
    assert (network.output, network.others) == ("logits", ("probabilities",))
    with pytest.raises(InvalidInput, match="no output 'scores'"):
        read_onnx(path, head="scores")


def test_our_own_onnx_reads_back(zoo: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.onnx"
    made = convert(read_network(zoo / "conv_norm.keras"))
    path.write_bytes(made.onnx)
    again = convert(read_onnx(path))
    with np.load(zoo / "conv_norm.npz") as data:
        assert np.array_equal(OnnxSession(again.onnx).run(data["x"]), OnnxSession(made.onnx).run(data["x"]))


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_onnx(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("hello, this is no protobuf")
    with pytest.raises(InvalidInput, match="no valid ONNX"):
        read_onnx(tmp_path / "text.onnx")
    with pytest.raises(Unsupported, match="not float32"):
        read_onnx(written(tmp_path / "half.onnx", shape=["N", 3, 12, 10], kind=TensorProto.FLOAT16))
    with pytest.raises(Unsupported, match="opset 5"):
        read_onnx(written(tmp_path / "old.onnx", shape=["N", 3, 12, 10], opset=5))
    with pytest.raises(Unsupported, match="images are"):
        read_onnx(written(tmp_path / "flat.onnx", shape=["N", 30]))
    with pytest.raises(InvalidInput, match="open size"):
        read_onnx(written(tmp_path / "open.onnx", shape=["N", 3, "h", "w"]))


def test_an_open_size_is_settled_by_the_caller(tmp_path: Path) -> None:
    path = written(tmp_path / "open.onnx", shape=["N", 3, "h", "w"])
    assert read_onnx(path, (20, 16)).shape == (20, 16, 3)
