"""The rule by which one candidate is taken."""

from __future__ import annotations

import math

import numpy as np
import pytest

from skerry.errors import InvalidInput, NotFound, Unsupported
from skerry.model.benchmark import Measurement, Timing
from skerry.model.candidates import KINDS, NotTried, Tried
from skerry.model.choose import BudgetMissed, Gate, choose, parse_budget
from skerry.model.verify import Verification, VerificationFailed, Worst

BY_NAME = {kind.name: kind for kind in KINDS}
WORST = (Worst("cat/1.png", 0.2, "cat", "dog"),)


def tried(
    name: str,
    ms: float,
    *,
    difference: float = 1e-6,
    agreement: float = 1.0,
    accuracy: float | None = None,
    megabytes: float = 1.0,
) -> Tried:
    timing = Timing(2, ms, ms * 2, 8, 1000 / ms)
    return Tried(
        BY_NAME[name],
        bytes(int(megabytes * 1e6)),
        np.zeros((1, 2), np.float32),
        Verification(difference, agreement, agreement, WORST),
        accuracy,
        Measurement("engine", 0.5, 0.6, 100_000_000, (timing,)),
    )


def chosen(
    *rows: Tried | NotTried, budget: str = "", engine: str | None = None, gate: Gate | None = None
) -> str:
    bounds = parse_budget(budget) if budget else ()
    return choose(rows, gate or Gate(), bounds, 0.9, engine).chosen.kind.name


def test_the_fastest_is_chosen_and_the_reason_names_the_others() -> None:
    rows = [tried("onnx-fp32", 8), tried("openvino-fp32", 6)]
    made = choose(rows, Gate(), (), None)
    assert made.chosen.kind.name == "openvino-fp32"
    assert "6 ms on 2 threads" in made.why
    assert "onnx-fp32 8 ms" in made.why


def test_a_less_exact_one_must_be_a_tenth_faster() -> None:
    assert chosen(tried("onnx-fp32", 10), tried("onnx-int8", 9.5, difference=0.1)) == "onnx-fp32"
    assert chosen(tried("onnx-fp32", 10), tried("onnx-int8", 8.9, difference=0.1)) == "onnx-int8"


def test_of_equally_exact_ones_the_plainer_engine_wins_a_near_tie() -> None:
    assert chosen(tried("onnx-fp32", 10), tried("litert-fp32", 9.5)) == "onnx-fp32"
    assert chosen(tried("onnx-fp32", 10), tried("litert-fp32", 8.9)) == "litert-fp32"
    assert (
        chosen(tried("onnx-fp32", 10), tried("openvino-fp32", 9.5), tried("litert-fp32", 8.7))
        == "openvino-fp32"
    )


def test_answers_that_change_are_not_chosen_however_fast() -> None:
    slow, fast = tried("onnx-fp32", 10), tried("onnx-int8", 1, agreement=0.97)
    made = choose([slow, fast], Gate(), (), None)
    assert made.chosen is slow
    assert made.passing == (slow,)
    assert made.objections == {"onnx-int8": "agrees on 97.0% of the samples, required are 98.0%"}
    assert chosen(slow, fast, gate=Gate(agreement=0.95)) == "onnx-int8"


def test_half_a_point_of_accuracy_may_be_lost_and_no_more() -> None:
    assert chosen(tried("onnx-fp32", 10), tried("onnx-int8", 1, accuracy=0.895)) == "onnx-int8"
    lost = choose([tried("onnx-fp32", 10), tried("onnx-int8", 1, accuracy=0.88)], Gate(), (), 0.9)
    assert lost.objections["onnx-int8"] == "loses 2.0 points of accuracy, allowed are 0.5"


def test_values_that_are_no_numbers_never_pass() -> None:
    broken = tried("openvino-fp32", 1, difference=math.inf)
    gate = Gate(max_abs=math.inf, agreement=0)
    made = choose([tried("onnx-fp32", 10), broken], gate, (), None)
    assert made.objections == {"openvino-fp32": "gives values that are no numbers"}


def test_when_nothing_passes_the_worst_samples_are_named() -> None:
    with pytest.raises(VerificationFailed, match=r"onnx-fp32 differs by 0\.5.*cat/1\.png") as caught:
        chosen(tried("onnx-fp32", 10, difference=0.5))
    assert caught.value.fields["worst"] == ["cat/1.png"]


def test_the_budget_decides_among_those_that_pass() -> None:
    rows = [tried("onnx-fp32", 8, megabytes=20), tried("onnx-int8", 9, megabytes=5)]
    assert chosen(*rows, budget="size=10MB") == "onnx-int8"
    assert chosen(*rows, budget="latency=8.5ms, memory=1GB, load=1s") == "onnx-fp32"


def test_a_budget_nobody_keeps_is_an_error_that_says_by_how_much() -> None:
    rows = [tried("onnx-fp32", 8, megabytes=20), tried("onnx-int8", 1, agreement=0.5)]
    with pytest.raises(BudgetMissed) as caught:
        chosen(*rows, budget="latency=5ms,size=10MB")
    assert caught.value.what == (
        "no candidate keeps the budget (latency 5 ms, size 10 MB): "
        "onnx-fp32: latency is 8 ms, allowed are 5 ms; size is 20 MB, allowed are 10 MB"
    )
    assert "--candidates all" in caught.value.hint


def test_an_engine_asked_for_is_taken_though_slower() -> None:
    rows = [tried("onnx-fp32", 8), tried("openvino-fp32", 9), tried("openvino-int8", 2, agreement=0.5)]
    assert chosen(*rows, engine="openvino") == "openvino-fp32"
    assert chosen(*rows, engine="openvino-fp32") == "openvino-fp32"
    with pytest.raises(VerificationFailed):
        chosen(*rows, engine="openvino-int8")
    with pytest.raises(NotFound, match="litert"):
        chosen(*rows, engine="litert")


def test_an_engine_asked_for_that_is_not_there_says_why() -> None:
    missing = NotTried(BY_NAME["litert-fp32"], "Keras is not installed", "pip install 'skerry[keras]'")
    with pytest.raises(Unsupported, match="Keras is not installed"):
        chosen(tried("onnx-fp32", 8), missing, engine="litert")
    made = choose([tried("onnx-fp32", 8), missing], Gate(), (), None)
    assert made.objections == {"litert-fp32": "not available: Keras is not installed"}


@pytest.mark.parametrize(
    "text", ["latency=20", "latency=20MB", "size=3ms", "speed=3ms", "size", "", "size=-3MB"]
)
def test_a_budget_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not understood"):
        parse_budget(text)
