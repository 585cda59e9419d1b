"""Files that are not what they should be."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from skerry.errors import Damaged, InvalidInput, NotFound, SkerryError, Unsupported
from skerry.model.convert import convert
from skerry.model.graph import read_network
from skerry.model.keras_file import WeightStore, read_saved

Members = dict[str, bytes]


def repacked(source: Path, target: Path, change: Callable[[Members], None]) -> Path:
    """A copy of a ``.keras`` file with its members changed."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no model file"):
        read_saved(tmp_path / "no.keras")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"hello", "no Keras model file"),
        (b"\x89HDF\r\n\x1a\nrest", "cannot be read"),
        (b"", "no Keras model"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match=message):
        read_saved(path)


def test_a_truncated_file_is_refused_at_every_length(zoo: Path, tmp_path: Path) -> None:
    whole = (zoo / "conv.keras").read_bytes()
    path = tmp_path / "cut.keras"
    for length in range(4, len(whole), 997):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidInput, match="truncated"):
            read_saved(path)


@pytest.mark.parametrize("member", ["config.json", "metadata.json", "model.weights.h5"])
def test_a_zip_without_a_member_is_no_keras_file(zoo: Path, tmp_path: Path, member: str) -> None:
    def without(members: Members) -> None:
        del members[member]

    with pytest.raises(InvalidInput, match=f"has no {member}"):
        read_saved(repacked(zoo / "conv.keras", tmp_path / "m.keras", without))


@pytest.mark.parametrize(
    ("member", "data"),
    [
        ("config.json", b"{"),
        ("config.json", b"[]"),
        ("config.json", b"{}"),
        ("config.json", b'{"class_name": "Functional", "config": {"layers": [{}]}}'),
        ("config.json", b'{"class_name": "Sequential", "config": {"layers": []}}'),
        ("model.weights.h5", b"not hdf5"),
        ("metadata.json", b'{"keras_version": "2.15.0"}'),
    ],
)
def test_damaged_members_are_refused(zoo: Path, tmp_path: Path, member: str, data: bytes) -> None:
    path = repacked(zoo / "conv.keras", tmp_path / "m.keras", lambda members: members.update({member: data}))
    with pytest.raises((InvalidInput, Unsupported)) as caught:
        read_network(path)
    assert isinstance(caught.value, SkerryError)


def test_weights_that_are_missing_are_damage(zoo: Path, tmp_path: Path) -> None:
    def emptied(members: Members) -> None:
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            file.create_group("layers")
        members["model.weights.h5"] = buffer.getvalue()

    with pytest.raises(Damaged, match="needs 2 arrays, the file has 0"):
        convert(read_network(repacked(zoo / "conv.keras", tmp_path / "m.keras", emptied)))


def test_files_without_layer_names_are_read_by_position(zoo: Path, tmp_path: Path) -> None:
    """As Keras before 3.6 wrote them."""

    def unnamed(members: Members) -> None:
        buffer = io.BytesIO(members["model.weights.h5"])
        with h5py.File(buffer, "r+") as file:
            file.visititems(lambda _, item: item.attrs.pop("name", None) and None)
        members["model.weights.h5"] = buffer.getvalue()

    for case in ("nested", "twins", "mobilenet_v2"):
        path = repacked(zoo / f"{case}.keras", tmp_path / "m.keras", unnamed)
        assert read_saved(path).weights.names == {}
        assert convert(read_network(path)).onnx == convert(read_network(zoo / f"{case}.keras")).onnx


def test_a_layer_name_is_found_in_its_own_container_only() -> None:
    arrays = {"layers/conv2d": (), "layers/functional/layers/conv2d": ()}
    names = {"layers/conv2d": "conv", "layers/functional/layers/conv2d": "conv"}
    store = WeightStore(arrays, names)
    assert store.find("", "conv", "x") == "layers/conv2d"
    assert store.find("layers/functional", "conv", "x") == "layers/functional/layers/conv2d"
    assert store.find("", "other", "dense_1") == "layers/dense_1"


def test_inputs_that_nothing_gives_are_named(zoo: Path, tmp_path: Path) -> None:
    def broken(members: Members) -> None:
        config: dict[str, Any] = json.loads(members["config.json"])
        args = config["config"]["layers"][1]["inbound_nodes"][0]["args"]
        args[0]["config"]["keras_history"][0] = "nobody"
        members["config.json"] = json.dumps(config).encode()

    with pytest.raises(InvalidInput, match="inputs that nothing gives"):
        read_network(repacked(zoo / "conv.keras", tmp_path / "m.keras", broken))


def test_reading_counts_layers_and_parameters(zoo: Path) -> None:
    network = read_network(zoo / "conv_norm.keras")
    assert (network.shape, network.layers, network.parameters) == ((13, 10, 3), 3, 3 * 3 * 3 * 4 + 4 + 16)
    assert read_network(zoo / "lite0.keras").parameters == 4_694_024
    assert np.isfinite(network.nodes[0].weights[0]).all()
