"""Image bytes become predictions that can be traced back, in batches, within bounds."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import numpy as np
import pytest

from skerry.errors import Damaged, InvalidInput, Throttled
from skerry.serve.answer import Settings
from skerry.serve.backends.onnx import OnnxPredictor
from tests.unit.serve.support import (
    BLUE,
    GREEN,
    RECIPE,
    RED,
    SIDE,
    colour_model,
    expected,
    make_scorer,
    picture,
)


async def test_an_image_gets_its_label_with_provenance(tmp_path: Path) -> None:
    scorer = make_scorer(tmp_path / "model")
    image = picture(GREEN, kind="JPEG")
    [found] = await scorer.score([image])
    await scorer.close()
    probabilities = expected(image)
    assert found.predictions[0].label == "green"
    assert found.predictions[0].score == pytest.approx(float(probabilities[1]), abs=1e-6)
    assert found.input == "sha256:" + hashlib.sha256(image).hexdigest()
    assert (found.model, found.recipe) == (scorer.package.digest, RECIPE.digest)
    assert found.margin == pytest.approx(float(np.diff(np.sort(probabilities))[-1]), abs=1e-6)
    assert 0 < found.latency.infer <= found.latency.total


async def test_equal_bytes_give_equal_digests_and_other_bytes_others(tmp_path: Path) -> None:
    scorer = make_scorer(tmp_path / "model")
    first, second, other = await scorer.score([picture(RED), picture(RED), picture(BLUE)])
    await scorer.close()
    assert first.probabilities == second.probabilities != other.probabilities


async def test_many_callers_get_their_own_answers_and_share_batches(tmp_path: Path) -> None:
    scorer = make_scorer(tmp_path / "model")
    colours = [RED, GREEN, BLUE] * 10
    answers = await asyncio.gather(*(scorer.score([picture(colour)]) for colour in colours))
    await scorer.close()
    labels = [answer[0].predictions[0].label for answer in answers]
    assert labels == ["red", "green", "blue"] * 10
    assert max(answer[0].batch for answer in answers) > 1


async def test_a_full_queue_refuses_at_once_and_recovers(tmp_path: Path) -> None:
    scorer = make_scorer(tmp_path / "model", admitted_max=2)
    running = [asyncio.create_task(scorer.score([picture(RED)])) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Throttled):
        await scorer.score([picture(RED)])
    await asyncio.gather(*running)
    assert len(await scorer.score([picture(RED)])) == 1
    assert (scorer.refused, scorer.waiting) == (1, 0)
    await scorer.close()


async def test_bytes_that_are_not_an_image_are_refused_by_position(tmp_path: Path) -> None:
    scorer = make_scorer(tmp_path / "model")
    with pytest.raises(InvalidInput) as caught:
        await scorer.score([picture(RED), b"hello"])
    await scorer.close()
    assert caught.value.fields["index"] == 1
    assert scorer.waiting == 0


async def test_a_caller_that_gives_up_leaves_the_others_their_answers(tmp_path: Path) -> None:
    scorer = make_scorer(tmp_path / "model")
    impatient = asyncio.create_task(scorer.score([picture(RED)]))
    patient = asyncio.create_task(scorer.score([picture(BLUE)]))
    await asyncio.sleep(0)
    impatient.cancel()
    [found] = await patient
    await scorer.close()
    assert found.predictions[0].label == "blue"
    assert scorer.waiting == 0


async def test_settings_cut_the_answer(tmp_path: Path) -> None:
    scorer = make_scorer(tmp_path / "model")
    scorer.settings = Settings(top_k=2, threshold=0.0)
    [two] = await scorer.score([picture(RED)])
    scorer.settings = Settings(top_k=3, threshold=0.999999)
    [none] = await scorer.score([picture(RED)])
    await scorer.close()
    assert ([each.id for each in two.predictions], none.predictions) == (["c0", "c1"], ())


@pytest.mark.parametrize(
    ("top_k", "threshold"), [(0, 0.5), (True, 0.5), (3, 1.5), (3, -0.1), (3, float("nan"))]
)
def test_settings_that_make_no_sense_are_refused(top_k: int, threshold: float) -> None:
    with pytest.raises(InvalidInput):
        Settings(top_k=top_k, threshold=threshold)


def test_a_model_with_a_fixed_batch_takes_fewer_images_too(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(colour_model(batch=4))
    predictor = OnnxPredictor.open(path, threads=1)
    found = predictor.infer(np.ones((2, SIDE, SIDE, 3), np.float32))
    predictor.close()
    assert (predictor.batch_max, found.shape) == (4, (2, 3))


def test_a_file_that_is_no_model_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(Damaged, match="does not load"):
        OnnxPredictor.open(path, threads=1)


def test_an_input_of_another_shape_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(colour_model())
    predictor = OnnxPredictor.open(path, threads=1)
    with pytest.raises(Damaged, match="does not run"):
        predictor.infer(np.ones((1, SIDE + 1, SIDE, 3), np.float32))
    predictor.close()
