"""A second model is loaded only into memory that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.errors import StorageFull
from skerry.serve.update.memory import FIXED_BYTES, check_fits, needed_bytes

MB = 1024 * 1024


def test_a_model_over_the_budget_is_refused_with_the_numbers(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(bytes(MB))
    needed = needed_bytes(model)
    check_fits(model, needed)
    with pytest.raises(StorageFull, match=rf"needs {needed // MB} MB .* 5 MB are allowed"):
        check_fits(model, 5 * MB)
    assert needed > FIXED_BYTES
