"""A second model is loaded only into memory that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.errors import StorageFull
from skerry.serve.update.memory import FIXED_BYTES, UNLIMITED, check_fits, free_bytes, needed_bytes

MB = 1024 * 1024


def test_a_model_over_the_budget_is_refused_with_the_numbers(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(bytes(MB))
    needed = needed_bytes(model)
    check_fits(model, needed)
    with pytest.raises(StorageFull, match=rf"needs {needed // MB} MB .* 5 MB are allowed"):
        check_fits(model, 5 * MB)
    assert needed > FIXED_BYTES


def test_the_containers_limit_counts(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    4096 kB\n")
    assert free_bytes(tmp_path, tmp_path) == 4 * MB
    (tmp_path / "memory.max").write_text(f"{3 * MB}\n")
    (tmp_path / "memory.current").write_text(f"{2 * MB}\n")
    assert free_bytes(tmp_path, tmp_path) == MB
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes(tmp_path, tmp_path) == 4 * MB
    assert free_bytes(tmp_path / "none", tmp_path / "none") == UNLIMITED
