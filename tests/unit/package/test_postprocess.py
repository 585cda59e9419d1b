"""Numbers become named predictions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.errors import Damaged
from skerry.package.postprocess import Prediction, scores, top_k
from tests.unit.package.builders import recipe


def test_the_best_come_first_and_equals_keep_label_order() -> None:
    best = top_k(np.array([0.1, 0.4, 0.1, 0.4], np.float32), recipe(), 3)
    assert [p.index for p in best] == [1, 3, 0]
    assert best[0] == Prediction("n1", "thing 1", float(np.float32(0.4)), 1)


def test_the_threshold_cuts_and_the_recipe_gives_k() -> None:
    output = np.array([0.5, 0.3, 0.15, 0.05], np.float32)
    assert len(top_k(output, recipe())) == 3
    assert [p.id for p in top_k(output, recipe(), threshold=0.2)] == ["n0", "n1"]


def test_a_binary_output_scores_both_labels() -> None:
    best = top_k(np.array([0.25], np.float32), recipe(kind="binary", labels=2))
    assert [(p.id, p.score) for p in best] == [("n0", 0.75), ("n1", 0.25)]


@given(st.lists(st.floats(-500, 500), min_size=4, max_size=4))
def test_logits_become_probabilities(values: list[float]) -> None:
    made = scores(np.array(values, np.float32), recipe(kind="logits"))
    assert made.sum() == pytest.approx(1, abs=1e-5)
    assert made[np.array(values, np.float32).argmax()] == made.max()


def test_wrong_size_and_nan_are_damage() -> None:
    with pytest.raises(Damaged, match="gave 3 numbers, the recipe expects 4"):
        top_k(np.zeros(3, np.float32), recipe())
    with pytest.raises(Damaged, match="not a number"):
        top_k(np.array([0, np.nan, 0, 0], np.float32), recipe())
