"""The zoo of real Keras models, made once per test run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.model.lite0_random import write_random_lite0


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``<case>.keras`` and ``<case>.npz`` (x, y), written and predicted by real Keras."""
    folder = tmp_path_factory.mktemp("zoo")
    lite0 = folder / "lite0.keras"
    write_random_lite0(lite0)
    run("zoo.py", str(folder), str(lite0))
    return folder


@pytest.fixture(scope="session")
def keras2_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``<case>.h5``, ``.keras``, ``.json`` with ``_weights.h5``, and ``.npz``, by tf_keras."""
    folder = tmp_path_factory.mktemp("keras2")
    run("keras2_zoo.py", str(folder))
    return folder


@pytest.fixture(scope="session")
def foreign_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models that hold somebody's code, in the forms people have them."""
    folder = tmp_path_factory.mktemp("foreign")
    run("foreign_zoo.py", str(folder))
    return folder


def run(program: str, *arguments: str) -> None:
    """A program beside this file, where TensorFlow may be loaded."""
    root = str(Path(__file__).parents[3])
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    environment = {**os.environ, **quiet, "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-P", str(Path(__file__).with_name(program)), *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
