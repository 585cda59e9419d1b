"""Every layer against real Keras: our ONNX and our numpy must give what Keras gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from skerry.errors import InvalidInput, SkerryError, Unsupported
from skerry.model import keras_runtime
from skerry.model.convert import convert
from skerry.model.graph import read_network
from skerry.model.layers.table import DROPPED, EMIT
from skerry.model.numpy_layers import RULES
from skerry.model.onnx_session import OnnxSession
from skerry.model.reference import predict, predict_all
from tests.unit.model.zoo import refused_structures, structures
from tests.unit.model.zoo_rows import LAYERS, REFUSED, TRAINING_ONLY

ONNX_DIFFERENCE, NUMPY_DIFFERENCE = 1e-4, 3e-5


def difference(made: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, in units of the largest output where that is above 1."""
    assert made.shape == expected.shape
    return float(np.abs(made - expected).max() / max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("case", [*LAYERS, *structures(None), "lite0"])
def test_predicts_what_keras_predicts(zoo: Path, case: str) -> None:
    network = read_network(zoo / f"{case}.keras")
    with np.load(zoo / f"{case}.npz") as data:
        x, y = data["x"], np.concatenate([data[key] for key in data.files if key != "x"], axis=1)
    assert np.abs(y[0] - y[1]).max() > 1e-3, "outputs that do not depend on the input prove nothing"
    assert difference(predict(network, x), y) <= NUMPY_DIFFERENCE
    session = OnnxSession(convert(network).onnx)
    assert difference(session.run(x), y) <= ONNX_DIFFERENCE
    assert difference(session.run(x[:1]), y[:1]) <= ONNX_DIFFERENCE


@pytest.mark.parametrize("case", [*REFUSED, *refused_structures(None)])
def test_what_has_no_rule_is_refused_by_name(zoo: Path, case: str) -> None:
    with pytest.raises((Unsupported, InvalidInput), match=case) as caught:
        convert(read_network(zoo / f"refused {case}.keras"))
    assert isinstance(caught.value, SkerryError)


def test_both_tables_know_the_same_layers_and_all_are_tried(zoo: Path) -> None:
    assert set(EMIT) == set(RULES)
    kinds = {
        node.kind for path in zoo.glob("*.keras") if "refused" not in path.name
        for node in read_network(path).nodes
    }  # fmt: skip
    # An older name of ops.TrueDivide, and what only graphs of TensorFlow's own have.
    assert set(EMIT) - kinds == {"ops.Divide", "ops.Erfc", "ops.SquaredDifference"}
    elsewhere = {"StochasticDepth", "RandomHeight", "RandomWidth"}  # In a structure; in Keras 2 alone.
    assert {kind for kind, _ in TRAINING_ONLY} == DROPPED - elsewhere


def test_further_outputs_are_there_by_name(zoo: Path) -> None:
    with np.load(zoo / "two_heads.npz") as data:
        x, kind, grade = data["x"], data["y"], data["y1"]
    network = read_network(zoo / "two_heads.keras")
    assert (network.output, network.others) == ("small", ("large",))
    for made in (OnnxSession(convert(network).onnx).run_all(x), predict_all(network, x)):
        assert difference(made[0], kind) <= ONNX_DIFFERENCE
        assert difference(made[1], grade) <= ONNX_DIFFERENCE
    graded = read_network(zoo / "two_heads.keras", head="grade")
    assert (graded.output, graded.others) == ("large", ("small",))
    assert [head.name for head in convert(graded).heads] == ["grade", "kind"]
    assert difference(OnnxSession(convert(graded).onnx).run_all(x)[0], grade) <= ONNX_DIFFERENCE
    with pytest.raises(InvalidInput, match=r"no output 'colour'.*kind, grade"):
        read_network(zoo / "two_heads.keras", head="colour")


def test_mixed_precision_is_compared_with_keras_in_float32(zoo: Path) -> None:
    path = zoo / "mixed_float16.keras"
    assert read_network(path).precision == "mixed_float16"
    with np.load(zoo / "mixed_float16.npz") as data:
        answer = keras_runtime.predict(path, data["x"])
        assert np.abs(answer.outputs - data["y"]).max() <= 1e-6
    assert answer.version.endswith(" in float32")


def test_training_layers_are_dropped_and_said_so(zoo: Path) -> None:
    converted = convert(read_network(zoo / "transfer.keras"))
    assert len(converted.dropped) == 3
    assert {name.split("/")[-1].rstrip("0123456789_") for name in converted.dropped} == {
        "random_flip", "random_rotation", "dropout"
    }  # fmt: skip


def test_an_open_input_size_is_settled_by_the_caller(zoo: Path) -> None:
    network = read_network(zoo / "refused open size.keras", (20, 30))
    assert network.shape == (20, 30, 3)
    x = np.random.default_rng(0).normal(size=(2, 20, 30, 3)).astype(np.float32)
    assert difference(OnnxSession(convert(network).onnx).run(x), x.mean((1, 2))) < 1e-6


def test_batch_normalisation_after_a_convolution_is_folded(zoo: Path) -> None:
    for case, left in (("conv_norm", 0), ("depthwise_norm", 0), ("active_conv_norm", 1), ("norm_first", 1)):
        model = onnx.load_model_from_string(convert(read_network(zoo / f"{case}.keras")).onnx)
        assert sum(node.op_type == "BatchNormalization" for node in model.graph.node) == left
