"""Who computes, in which batches, and that nobody waits for company."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from skerry.clock import SystemClock
from skerry.errors import Damaged, SkerryError
from skerry.serve.inference import Inference, LoopInference, ThreadInference
from skerry.serve.predictor import FloatArray
from skerry.serve.probe import IN_LOOP_BELOW_S, fits_the_loop, seconds_per_image
from skerry.serve.scoring import Scorer
from skerry.serve.work import Work, computed
from tests.unit.serve.support import BLUE, GREEN, RECIPE, RED, activated_package, picture


class Sums:
    """A predictor whose output is the sum of its input; it remembers its batches and who ran them."""

    engine = "sums"
    batch_max = 4

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.threads: set[str] = set()
        self.may_run = threading.Event()
        self.may_run.set()
        self.broken = False

    def infer(self, batch: FloatArray) -> FloatArray:
        assert self.may_run.wait(5)
        self.batches.append(len(batch))
        self.threads.add(threading.current_thread().name)
        if self.broken:
            raise Damaged("broken")
        return np.asarray(batch.reshape(len(batch), -1).sum(axis=1, keepdims=True), np.float32)

    def close(self) -> None:
        """Nothing to free."""


def arrays(*values: float) -> list[FloatArray]:
    return [np.full((1,), value, np.float32) for value in values]


MODES = pytest.mark.parametrize("mode", [LoopInference, ThreadInference])


@MODES
async def test_answers_come_to_who_asked_in_batches_within_the_bound(mode: type[Inference]) -> None:
    predictor = Sums()
    inference = LoopInference(predictor) if mode is LoopInference else ThreadInference(predictor)
    answers = await computed(inference, arrays(*range(10)))
    await inference.close()
    assert [float(answer.row[0]) for answer in answers] == list(range(10))
    assert sum(predictor.batches) == 10
    assert max(predictor.batches) <= 4
    assert all(answer.begun <= answer.ended for answer in answers)
    in_loop = threading.main_thread().name in predictor.threads
    assert in_loop == (mode is LoopInference) == inference.in_loop


@MODES
async def test_a_lone_image_is_computed_without_any_timer(
    mode: type[Inference], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Sums()
    inference = LoopInference(predictor) if mode is LoopInference else ThreadInference(predictor)
    loop = asyncio.get_running_loop()

    def no_timer(*_: object, **__: object) -> asyncio.TimerHandle:
        raise AssertionError("somebody waits for the clock")

    monkeypatch.setattr(loop, "call_later", no_timer)
    monkeypatch.setattr(loop, "call_at", no_timer)
    [answer] = await computed(inference, arrays(7))
    assert answer.batch == 1
    monkeypatch.undo()
    await inference.close()


async def test_what_comes_in_one_turn_of_the_loop_is_one_batch() -> None:
    inference = LoopInference(predictor := Sums())

    async def one(value: float) -> int:
        [answer] = await computed(inference, arrays(value))
        return answer.batch

    assert list(await asyncio.gather(one(1), one(2), one(3))) == [3, 3, 3]
    assert predictor.batches == [3]


async def test_closing_computes_what_was_submitted() -> None:
    inference = LoopInference(Sums())
    done: list[Work] = []
    inference.submit([Work(array, done.append) for array in arrays(*range(9))])
    await inference.close()
    assert sorted(float(work.row[0]) for work in done) == list(range(9))


async def test_who_fails_to_take_an_answer_keeps_nobody_else_from_theirs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inference = LoopInference(Sums())
    taken: list[Work] = []

    def fails(_work: Work) -> None:
        raise RuntimeError("gone")

    inference.submit([Work(arrays(1)[0], fails), Work(arrays(2)[0], taken.append)])
    await inference.close()
    assert [float(work.row[0]) for work in taken] == [2]
    assert "gone" in caplog.text


@MODES
async def test_a_mistake_in_the_engine_is_an_answer_too(
    mode: type[Inference], caplog: pytest.LogCaptureFixture
) -> None:
    predictor = Sums()
    inference = LoopInference(predictor) if mode is LoopInference else ThreadInference(predictor)
    with pytest.raises(SkerryError, match="the engine failed"):
        await computed(inference, [np.ones((3,), np.float32), np.ones((2,), np.float32)])
    assert "could not broadcast" in caplog.text
    await inference.close()


async def test_what_comes_during_a_batch_makes_the_next_one() -> None:
    inference = ThreadInference(predictor := Sums())
    predictor.may_run.clear()
    callers = [asyncio.create_task(computed(inference, arrays(1)))]
    await asyncio.sleep(0.02)
    callers += [asyncio.create_task(computed(inference, arrays(value))) for value in (2, 3)]
    await asyncio.sleep(0)
    predictor.may_run.set()
    await asyncio.gather(*callers)
    await inference.close()
    assert predictor.batches == [1, 2]


@MODES
async def test_an_engine_that_fails_fails_its_batch_only(mode: type[Inference]) -> None:
    predictor = Sums()
    inference = LoopInference(predictor) if mode is LoopInference else ThreadInference(predictor)
    predictor.broken = True
    failed: list[Work] = []
    inference.submit([Work(array, failed.append) for array in arrays(1, 2)])
    while len(failed) < 2:
        await asyncio.sleep(0.001)
    predictor.broken = False
    [after] = await computed(inference, arrays(3))
    assert [type(each.error) for each in failed] == [Damaged, Damaged]
    assert float(after.row[0]) == 3
    await inference.close()


@pytest.mark.parametrize("in_loop", [True, False])
async def test_both_ways_give_the_same_answers(tmp_path: Path, in_loop: bool) -> None:
    activated = activated_package(tmp_path / "model")
    scorer = Scorer(activated.package, activated.predictor, clock=SystemClock(), in_loop=in_loop)
    images = [picture(colour) for colour in (RED, GREEN, BLUE)] + [picture(RED, (900, 700))]
    answers = await asyncio.gather(*(scorer.score([image]) for image in images))
    await scorer.close()
    assert [each[0].predictions[0].label for each in answers] == ["red", "green", "blue", "red"]
    assert all(each[0].latency.decode > 0 and each[0].latency.post > 0 for each in answers)


class Waits(Sums):
    """As slow as a large net."""

    def infer(self, batch: FloatArray) -> FloatArray:
        threading.Event().wait(0.02)
        return super().infer(batch)


def test_the_probe_puts_a_quick_model_in_the_loop_and_asks_a_slow_one_twice() -> None:
    assert fits_the_loop(Sums(), RECIPE)
    slow = Waits()
    assert seconds_per_image(slow, RECIPE) > IN_LOOP_BELOW_S
    assert slow.batches == [1, 1]
