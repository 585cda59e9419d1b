"""Agreement between the original and the converted model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.model.golden import choose_golden
from skerry.model.verify import Thresholds, VerificationFailed, compare, require
from skerry.package.recipe import InputSpec, Label, OutputSpec, Recipe

KIND = OutputSpec("kind", "softmax", tuple(Label(name, name) for name in ("cat", "dog", "fish")))
RECIPE = Recipe(InputSpec("image", 8, 8, 3), KIND)
NAMES = ["a.png", "b.png", "c.png"]
REFERENCE = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.4, 0.35, 0.25]], np.float32)


def test_equal_outputs_agree() -> None:
    made = compare(REFERENCE, [REFERENCE, REFERENCE], NAMES, RECIPE, 2, 1e-4)
    assert (made.max_abs_difference, made.top1_agreement, made.topk_agreement) == (0, 1, 1)
    require(made, Thresholds())


def test_a_changed_class_fails_and_names_the_sample_first() -> None:
    other = REFERENCE.copy()
    other[0] += [0.01, -0.005, -0.005]
    other[2] = [0.35, 0.4, 0.25]
    made = compare(REFERENCE, [REFERENCE, other], NAMES, RECIPE, 1, 1e-4)
    assert made.top1_agreement == pytest.approx(2 / 3)
    assert (made.worst[0].name, made.worst[0].reference, made.worst[0].converted) == ("c.png", "cat", "dog")
    with pytest.raises(VerificationFailed, match=r"c\.png differs by 0\.05, cat became dog") as caught:
        require(made, Thresholds(max_abs=1))
    worst = caught.value.fields["worst"]
    assert isinstance(worst, list)
    assert worst[0] == "c.png"


def test_a_difference_above_the_limit_fails_even_with_equal_classes() -> None:
    made = compare(REFERENCE, [REFERENCE + np.float32(2e-4)], NAMES, RECIPE, 1, 1e-4)
    assert made.top1_agreement == 1
    with pytest.raises(VerificationFailed):
        require(made, Thresholds())
    require(made, Thresholds(max_abs=1e-3))


def test_nan_fails() -> None:
    other = REFERENCE.copy()
    other[1, 1] = np.nan
    made = compare(REFERENCE, [other], NAMES, RECIPE, 1, 1e-4)
    assert made.max_abs_difference == np.inf
    assert made.top1_agreement < 1
    with pytest.raises(VerificationFailed, match=r"b\.png"):
        require(made, Thresholds())


def test_a_tie_within_the_tolerance_is_no_disagreement() -> None:
    tied = np.array([[0.5, 0.49999, 0.00001]], np.float32)
    made = compare(tied, [tied[:, [1, 0, 2]]], NAMES[:1], RECIPE, 1, 1e-4)
    assert (made.top1_agreement, made.topk_agreement) == (1, 1)


@given(
    st.lists(st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3), min_size=1, max_size=40),
    st.integers(1, 12),
)
def test_golden_samples_are_different_and_as_many_as_asked(rows: list[list[float]], count: int) -> None:
    chosen = choose_golden(np.array(rows, np.float32), count, KIND)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, len(rows))


def test_golden_samples_cover_classes_and_close_calls() -> None:
    outputs = np.array([[0.9, 0.1], [0.99, 0.01], [0.2, 0.8], [0.51, 0.49], [0.95, 0.05]], np.float32)
    assert choose_golden(outputs, 4, KIND) == [0, 1, 2, 3]  # sure ones 1 and 2, closest 3 and 2→0
    assert choose_golden(outputs, 2, KIND) == [1, 3]
