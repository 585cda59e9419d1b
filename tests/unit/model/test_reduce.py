"""Decoding at reduced size is chosen where the answers stay the same, and refused where they do not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from skerry.model.keras_file import F32
from skerry.model.reduce import SAMPLES_MIN, choose_reduction
from skerry.model.sample_arrays import Sample
from skerry.package.candidate import Candidate
from skerry.package.preprocess import prepare
from tests.unit.package.test_reduced import EXACT, noise, smooth

SAMPLES = [Sample(f"{i}.jpg", smooth(600 + 8 * i, 400)) for i in range(SAMPLES_MIN)]
SMALL = [Sample(f"{i}.jpg", smooth(90, 60)) for i in range(SAMPLES_MIN)]


def calm(batch: F32) -> F32:
    """Scores that follow the mean shade."""
    share = batch.mean(axis=(1, 2, 3)) / 255
    return np.stack([share, 1 - share], axis=1).astype(np.float32)


def nervous(batch: F32) -> F32:
    """Scores that hang on the last bits of single pixels."""
    share = np.abs(np.sin(batch[:, 5, 7, 1] * 40))
    return np.stack([share, 1 - share], axis=1).astype(np.float32)


def expected(run: Callable[[F32], F32], samples: list[Sample]) -> F32:
    return np.concatenate([run(prepare(each.data, EXACT)[None]) for each in samples])


def test_a_model_whose_answers_stay_gets_the_quickest_way() -> None:
    found = choose_reduction(SAMPLES, expected(calm, SAMPLES), EXACT, calm, 1e-2)
    assert (found.least, found.samples) == (1, SAMPLES_MIN)
    assert 0 < found.difference <= 1e-2


def test_a_tighter_tolerance_asks_for_more_pixels() -> None:
    answers = expected(calm, SAMPLES)
    loose = choose_reduction(SAMPLES, answers, EXACT, calm, 1e-2)
    tight = choose_reduction(SAMPLES, answers, EXACT, calm, loose.difference / 1.5)
    assert tight.least != 1
    assert tight.difference < loose.difference


def test_a_model_whose_answers_change_keeps_the_exact_path() -> None:
    noisy = [Sample(f"{i}.jpg", noise(600 + 8 * i, 400)) for i in range(SAMPLES_MIN)]
    found = choose_reduction(noisy, expected(nervous, noisy), EXACT, nervous, 1e-3)
    assert found.least == 0
    assert found.samples
    assert found.to_json()["why"]


@pytest.mark.parametrize("samples", [SMALL, SAMPLES[:-1], [*SMALL, *SAMPLES[:-1]]])
def test_too_few_large_samples_show_nothing(samples: list[Sample]) -> None:
    found = choose_reduction(samples, expected(calm, samples), EXACT, calm, 1e-2)
    assert (found.least, found.samples) == (0, 0)
    assert "fewer than" in found.why


def test_what_fp32_shows_does_not_count_for_less() -> None:
    candidate = Candidate("int8", "onnxruntime", "int8", "model.int8.onnx", 0.05)
    found = choose_reduction(SAMPLES, expected(calm, SAMPLES), EXACT, calm, 1e-2, [candidate])
    assert found.least == 0
    assert "fp32" in found.why
