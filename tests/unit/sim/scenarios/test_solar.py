"""The solar scenario's decisions; the training itself is run by the demo."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skerry.errors import Unavailable
from skerry.model.build import BuildRequest, build
from skerry.sim.scenarios import solar
from skerry.sim.scenarios.lite0 import write_lite0
from skerry.sim.scenarios.solar import Cell, split
from tests.unit.model.lite0_random import random_tensors, torch_file

CELLS = [Cell(f"cell{i:04}.png", i % 3 == 0, "mono" if i % 2 else "poly") for i in range(240)]


def test_the_split_is_stratified_and_complete() -> None:
    training, held_out = split(CELLS, 1)
    assert sorted(c.member for c in [*training, *held_out]) == [c.member for c in CELLS]
    for defective in (True, False):
        for kind in ("mono", "poly"):
            group = [c for c in CELLS if (c.defective, c.kind) == (defective, kind)]
            assert sum(c in held_out for c in group) == len(group) // 4


def test_equal_seeds_split_equally() -> None:
    assert split(CELLS, 3) == split(CELLS[::-1], 3)
    assert split(CELLS, 3) != split(CELLS, 4)


@pytest.mark.system
def test_the_training_program_saves_a_model_that_builds(tmp_path: Path) -> None:
    """On random weights and noise: the program, its model and the conversion, not the accuracy."""
    random = np.random.default_rng(0)
    write_lite0(torch_file(random_tensors()), tmp_path / "base.keras", solar.SIDE)
    images = random.integers(0, 256, (12, solar.SIDE, solar.SIDE), np.uint8)
    np.savez(tmp_path / "train.npz", images=images, labels=np.arange(12) % 2)
    command = [sys.executable, "-P", str(solar.CHILD), str(tmp_path), "1"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for i, image in enumerate(images):
        path = tmp_path / "samples" / solar.CLASSES[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    (tmp_path / "labels.txt").write_text("good\ndefective\n")
    request = BuildRequest(
        tmp_path / "solar.keras",
        tmp_path / "labels.txt",
        tmp_path / "samples",
        tmp_path / "package",
        reference="numpy",
        **solar.RECIPE,
    )
    report = build(request, lambda _: None)
    assert report.max_abs_difference <= 1e-4
    assert report.dropped_layers == ("head/drop",)
    assert report.accuracy is not None


def test_without_keras_the_way_to_get_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "tensorflow" else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(Unavailable, match="needs tensorflow") as caught:
        solar.prepare(tmp_path / "work", tmp_path / "cache", lambda _: None)
    assert "skerry[keras]" in caught.value.hint
    assert not (tmp_path / "work").exists()
