"""Models with code in them: refused unless the user says so, then equal to real Keras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skerry.errors import InvalidInput, Unsupported
from skerry.model.convert import convert
from skerry.model.graph import read_network
from skerry.model.onnx_session import OnnxSession
from skerry.model.origin import Origin
from skerry.model.reference import predict
from skerry.model.source import open_network
from skerry.model.traced import traced_network

DIFFERENCE = 1e-5


def origins(zoo: Path) -> dict[str, Origin]:
    """Every way to a model that holds code, by the name of its answers."""
    return {
        "weights and architecture": Origin(zoo / "scaled.weights.h5", architecture=f"{zoo}/arch.py:build"),
        "custom layer": Origin(zoo / "scaled.keras", custom=(f"{zoo}/arch.py:Scale",)),
        "saved model": Origin(zoo / "scaled_saved"),
        "lambda": Origin(zoo / "code.keras", trust=True),
        "rich saved model": Origin(zoo / "rich_saved"),
    }


@pytest.mark.parametrize(
    ("case", "answers"),
    [
        ("weights and architecture", "scaled"),
        ("custom layer", "scaled"),
        ("saved model", "scaled"),
        ("lambda", "code"),
        ("rich saved model", "rich"),
    ],
)
def test_predicts_what_keras_predicts(foreign_zoo: Path, case: str, answers: str) -> None:
    network = open_network(origins(foreign_zoo)[case], lambda _: None)
    with np.load(foreign_zoo / f"{answers}.npz") as data:
        x, y = data["x"], data["y"]
    assert np.abs(y[0] - y[1]).max() > 1e-3, "outputs that do not depend on the input prove nothing"
    session = OnnxSession(convert(network).onnx)
    assert np.abs(session.run(x) - y).max() <= DIFFERENCE
    assert np.abs(session.run(x[:1]) - y[:1]).max() <= DIFFERENCE
    assert np.abs(predict(network, x) - y).max() <= DIFFERENCE


def test_a_trace_repeats_to_the_byte(foreign_zoo: Path) -> None:
    origin = Origin(foreign_zoo / "scaled_saved")
    assert convert(traced_network(origin)).onnx == convert(traced_network(origin)).onnx


def test_a_custom_layer_is_refused_by_name_without_its_class(foreign_zoo: Path) -> None:
    with pytest.raises(Unsupported, match="is a Scale of arch") as caught:
        open_network(Origin(foreign_zoo / "scaled.keras"), lambda _: None)
    assert "--custom" in caught.value.hint


def test_code_in_a_file_runs_only_with_trust(foreign_zoo: Path) -> None:
    with pytest.raises(Unsupported, match="is a Lambda") as caught:
        open_network(Origin(foreign_zoo / "code.keras"), lambda _: None)
    assert "--trust" in caught.value.hint


def test_a_keras_layer_outside_the_table_goes_through_keras(zoo: Path) -> None:
    said: list[str] = []
    path = zoo / "refused axis=1.keras"
    with pytest.raises(Unsupported, match="axis=1"):
        convert(read_network(path))
    network = open_network(Origin(path), said.append)
    assert any("through real Keras" in line for line in said)
    x = np.random.default_rng(0).normal(size=(2, 13, 10, 3)).astype(np.float32)
    assert np.abs(OnnxSession(convert(network).onnx).run(x) - predict(network, x)).max() < 1e-5


@pytest.mark.parametrize("name", ["augmenting_saved", "live_saved"])
def test_augmentation_left_on_in_an_export_is_refused(foreign_zoo: Path, name: str) -> None:
    with pytest.raises((Unsupported, InvalidInput), match=r"random numbers|changes itself") as caught:
        open_network(Origin(foreign_zoo / name), lambda _: None)
    assert "training=False" in str(caught.value)


def test_an_architecture_that_is_not_there_is_named(foreign_zoo: Path) -> None:
    origin = Origin(foreign_zoo / "scaled.weights.h5", architecture=f"{foreign_zoo}/none.py:build")
    with pytest.raises(InvalidInput, match=r"none\.py"):
        open_network(origin, lambda _: None)


@pytest.mark.parametrize("text", ["arch.py", ":build", "arch.py:"])
def test_an_architecture_needs_a_file_and_a_name(text: str) -> None:
    with pytest.raises(InvalidInput, match="--model-from"):
        Origin(Path("m.h5"), architecture=text)


def test_a_folder_that_is_no_saved_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no SavedModel"):
        open_network(Origin(tmp_path), lambda _: None)
