"""A model over the memory at hand is refused with figures, before anything is read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skerry.errors import StorageFull
from skerry.model import build as building
from skerry.model.build import BuildRequest, build
from skerry.model.memory import MB, check_memory, needed_bytes
from tests.unit.model.test_settings import request_

__all__ = ["request_"]


def test_what_is_needed_grows_with_the_model_and_with_keras() -> None:
    assert needed_bytes(95 * MB, keras=False) > 826 * MB  # Measured: ResNet50.
    assert needed_bytes(10 * MB, keras=True) > needed_bytes(10 * MB, keras=False) + 600 * MB
    check_memory(5, 5)


def test_a_model_over_the_memory_at_hand_is_refused_with_figures(
    request_: BuildRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "free_bytes", lambda: 150 * MB)
    said: list[str] = []
    with pytest.raises(StorageFull, match="takes some 200 MB of memory, 150 MB are free") as caught:
        build(replace(request_, reference="numpy"), said.append)
    assert caught.value.fields["free"] == 150 * MB
    assert "larger machine" in caught.value.hint
    assert said == []
    assert not request_.output.exists()
