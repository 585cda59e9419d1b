"""What was measured decides: speed first, then exactness, then threads left for others."""

from __future__ import annotations

from skerry.package.candidate import Candidate
from skerry.serve.choice.rule import ranked, thread_counts
from skerry.serve.choice.selection import Timed, Way

ONNX = Candidate("onnx-fp32", "onnxruntime", "fp32", "model.onnx", 1e-4)
INT8 = Candidate("onnx-int8", "onnxruntime", "int8", "model.int8.onnx", 0.1)
VINO = Candidate("openvino-fp32", "openvino", "fp32", "model.onnx", 1e-4)
ALL = (ONNX, INT8, VINO)


def test_the_fastest_is_first_and_the_others_follow_by_speed() -> None:
    timings = [Timed("onnx-fp32", 2, 9.0), Timed("onnx-int8", 2, 3.0), Timed("openvino-fp32", 2, 5.0)]
    assert ranked(ALL, timings) == (Way(INT8, 2), Way(VINO, 2), Way(ONNX, 2))


def test_within_a_tenth_the_more_exact_and_the_plainer_is_taken() -> None:
    timings = [Timed("onnx-fp32", 2, 3.2), Timed("onnx-int8", 2, 3.0), Timed("openvino-fp32", 2, 3.1)]
    assert ranked(ALL, timings)[0] == Way(ONNX, 2)


def test_more_threads_have_to_win_by_a_tenth() -> None:
    assert ranked([ONNX], [Timed("onnx-fp32", 4, 1.95), Timed("onnx-fp32", 1, 2.0)]) == (Way(ONNX, 1),)
    assert ranked([ONNX], [Timed("onnx-fp32", 4, 1.2), Timed("onnx-fp32", 1, 2.0)]) == (Way(ONNX, 4),)


def test_what_was_not_measured_is_not_ranked() -> None:
    assert ranked(ALL, [Timed("onnx-int8", 1, 1.0)]) == (Way(INT8, 1),)
    assert ranked(ALL, []) == ()


def test_threads_to_try_are_all_half_and_one() -> None:
    assert [thread_counts(cpus) for cpus in (1, 2, 3, 8)] == [(1,), (2, 1), (3, 1), (8, 4, 1)]
