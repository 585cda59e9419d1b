"""Files of Keras 2, which Keras 3 mostly cannot load: read as data, equal to tf_keras."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from skerry.errors import Damaged, InvalidInput, NotFound, SkerryError
from skerry.model import keras_runtime
from skerry.model.convert import convert
from skerry.model.graph import read_network
from skerry.model.keras2 import modernised
from skerry.model.onnx_session import OnnxSession
from skerry.model.reference import predict_all
from tests.unit.model.keras2_zoo import shapes

DIFFERENCE = 2e-5


@pytest.mark.parametrize("case", shapes(None))
@pytest.mark.parametrize("form", ["h5", "keras", "json"])
def test_predicts_what_tf_keras_predicts(keras2_zoo: Path, case: str, form: str) -> None:
    if case == "functions" and form != "h5":
        return
    weights = keras2_zoo / f"{case}_weights.h5" if form == "json" else None
    if (case, form) == ("functional_in_functional_twice", "keras"):
        with pytest.raises(Damaged, match="needs 4 arrays, the file has 0"):
            convert(read_network(keras2_zoo / f"{case}.keras"))
        return
    network = read_network(keras2_zoo / f"{case}.{form}", weights=weights)
    with np.load(keras2_zoo / f"{case}.npz") as data:
        x, y = data["x"], data["y"]
    assert np.abs(y[0] - y[1]).max() > 1e-3, "outputs that do not depend on the input prove nothing"
    scale = max(1.0, float(np.abs(y).max()))
    session = OnnxSession(convert(network).onnx)
    assert np.abs(session.run_all(x)[0] - y).max() / scale <= DIFFERENCE
    assert np.abs(session.run_all(x[:1])[0] - y[:1]).max() / scale <= DIFFERENCE
    assert np.abs(predict_all(network, x)[0] - y).max() / scale <= DIFFERENCE
    assert network.keras_version.startswith("2.")


def test_the_witness_for_keras_2_files_is_tf_keras(keras2_zoo: Path) -> None:
    with np.load(keras2_zoo / "base_in_sequential.npz") as data:
        answer = keras_runtime.predict(keras2_zoo / "base_in_sequential.h5", data["x"])
        assert np.abs(answer.outputs - data["y"]).max() <= 1e-6
    assert answer.version.startswith("2.")


def test_weights_alone_ask_for_the_architecture(keras2_zoo: Path) -> None:
    with pytest.raises(InvalidInput, match="holds weights alone") as caught:
        read_network(keras2_zoo / "flat_sequential_weights.h5")
    assert "--model-from" in caught.value.hint


def test_json_alone_asks_for_the_weights(keras2_zoo: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="the architecture alone") as caught:
        read_network(keras2_zoo / "flat_sequential.json")
    assert "--weights" in caught.value.hint
    with pytest.raises(NotFound, match="no weights file"):
        read_network(keras2_zoo / "flat_sequential.json", weights=tmp_path / "none.h5")
    (tmp_path / "labels.json").write_text('{"0": "cat"}')
    with pytest.raises(InvalidInput, match="no Keras model"):
        read_network(tmp_path / "labels.json")


def test_weights_of_another_model_are_refused(keras2_zoo: Path) -> None:
    with pytest.raises(SkerryError, match=r"arrays|cannot be read"):
        convert(
            read_network(
                keras2_zoo / "base_in_sequential.json",
                weights=keras2_zoo / "sequential_in_sequential_weights.h5",
            )
        )


def test_a_truncated_h5_file_is_refused_at_every_length(keras2_zoo: Path, tmp_path: Path) -> None:
    whole = (keras2_zoo / "flat_sequential.h5").read_bytes()
    path = tmp_path / "cut.h5"
    for length in range(8, len(whole) - 1, 1511):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidInput):
            read_network(path)


def test_damaged_documents_are_refused(keras2_zoo: Path, tmp_path: Path) -> None:
    source = keras2_zoo / "base_called_in_functional.h5"
    with h5py.File(source) as file:
        config = file.attrs["model_config"]
    for broken in (
        "{",
        "[]",
        '{"class_name": "Functional", "config": {}}',
        config.replace("layers", "lawyers"),
    ):
        path = tmp_path / "broken.h5"
        shutil.copy(source, path)
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = broken
        with pytest.raises(InvalidInput):
            read_network(path)


def test_an_early_sequential_was_a_bare_list() -> None:
    layers = [
        {"class_name": "Dense", "config": {"name": "d", "batch_input_shape": [None, 4], "dtype": "float32"}}
    ]
    modern = modernised({"class_name": "Sequential", "config": layers})
    assert [layer["class_name"] for layer in modern["config"]["layers"]] == ["InputLayer", "Dense"]
    assert modern["config"]["layers"][0]["config"]["batch_shape"] == [None, 4]


def test_hard_sigmoid_keeps_its_old_meaning(keras2_zoo: Path) -> None:
    nodes = read_network(keras2_zoo / "flat_sequential.h5").nodes
    assert json.loads(json.dumps(nodes[0].config))["activation"] == "keras2_hard_sigmoid"
