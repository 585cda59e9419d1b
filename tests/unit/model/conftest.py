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
    program = Path(__file__).with_name("zoo.py")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [sys.executable, "-P", str(program), str(folder), str(lite0)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder
