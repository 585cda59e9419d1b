"""The Keras file we write ourselves; tests/unit/model/test_layers.py has real Keras load it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skerry.errors import InvalidInput
from skerry.model.graph import read_network
from skerry.sim.scenarios.lite0 import PARAMETERS, write_lite0
from tests.unit.model.lite0_random import random_tensors, torch_file


def test_equal_weights_give_equal_files(tmp_path: Path) -> None:
    weights = torch_file(random_tensors())
    write_lite0(weights, tmp_path / "a.keras")
    write_lite0(weights, tmp_path / "b.keras")
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()


def test_the_architecture_has_the_published_size_at_any_side(tmp_path: Path) -> None:
    write_lite0(torch_file(random_tensors()), tmp_path / "a.keras", side=96)
    network = read_network(tmp_path / "a.keras")
    assert (network.shape, network.parameters) == ((96, 96, 3), PARAMETERS)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    tensors = {**random_tensors(), "_fc.extra": np.zeros(3, np.float32)}
    with pytest.raises(InvalidInput, match=r"_fc\.extra"):
        write_lite0(torch_file(tensors), tmp_path / "a.keras")
    assert not (tmp_path / "a.keras").exists()
