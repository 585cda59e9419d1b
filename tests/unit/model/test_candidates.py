"""Candidates, tried for real on a tiny network."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from skerry.errors import InvalidInput, SkerryError, TimedOut, Unsupported
from skerry.model import benchmark
from skerry.model.benchmark import try_model
from skerry.model.candidates import NAMES, NotTried, Row, Subject, Tried, parse_names, try_candidates
from skerry.model.keras_file import F32
from skerry.model.offer import Wish, make_offer, plain_offer, rows_json
from skerry.model.quantise import quantise
from skerry.model.verify import VerificationFailed
from tests.unit.model.conv_model import conv_model, conv_outputs
from tests.unit.model.small_package import RECIPE

SAMPLES = 12


def inputs() -> F32:
    return np.random.default_rng(1).uniform(0, 1, (SAMPLES, 12, 12, 3)).astype(np.float32)


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    return Subject(
        file=tmp_path / "missing.keras",
        onnx=conv_model(),
        inputs=inputs(),
        expected=conv_outputs(inputs()),
        names=[f"{i}.png" for i in range(SAMPLES)],
        recipe=RECIPE,
        tie=1e-4,
        batch=8,
        accuracy=lambda outputs: float((outputs.argmax(1) == conv_outputs(inputs()).argmax(1)).mean()),
    )


def silent(_: str) -> None:
    """Progress that nobody reads."""


def by_name(rows: list[Row]) -> dict[str, Row]:
    return {row.kind.name: row for row in rows}


def test_every_engine_gives_the_same_answers_or_says_why_not(subject: Subject) -> None:
    said: list[str] = []
    rows = by_name(try_candidates(subject, NAMES, said.append, seconds=0.01))
    assert tuple(rows) == NAMES
    for name in ("onnx-fp32", "openvino-fp32"):
        row = rows[name]
        assert isinstance(row, Tried), row
        assert row.verification.max_abs_difference < 1e-5
        assert row.measurement.engine.endswith("cpu fp32")
        assert row.measurement.rss_bytes > 10_000_000
        assert {t.threads for t in row.measurement.timings} == {benchmark.cores(), 1}
    for name in ("onnx-int8", "openvino-int8"):
        row = rows[name]
        assert isinstance(row, Tried), row
        # Quantised for real: not equal, but close.
        assert 1e-5 < row.verification.max_abs_difference < 0.1
        assert row.measurement.engine.endswith("cpu int8")
    lite = rows["litert-fp32"]
    assert isinstance(lite, NotTried)
    assert "LiteRT's converter refuses the model" in lite.reason
    assert any("litert-fp32 is not available" in line for line in said)


def test_a_file_that_is_no_model_is_a_row_and_the_build_goes_on(subject: Subject) -> None:
    broken = replace(subject, onnx=b"nothing")
    rows = by_name(try_candidates(broken, ("onnx-fp32", "onnx-int8", "openvino-fp32"), silent, seconds=0))
    assert {name: type(row) for name, row in rows.items()} == {
        "onnx-fp32": NotTried,
        "onnx-int8": NotTried,
        "openvino-fp32": NotTried,
    }


def test_a_conversion_that_gives_nan_is_refused(subject: Subject) -> None:
    broken = replace(subject, onnx=conv_model(bias=np.nan))
    with pytest.raises(VerificationFailed, match="gives values that are no numbers"):
        make_offer(broken, subject.expected, Wish(("onnx-fp32",), seconds=0.01), silent)


def test_equal_samples_quantise_to_equal_bytes() -> None:
    first, again = quantise(conv_model(), inputs()), quantise(conv_model(), inputs())
    assert first == again
    kinds = {node.op_type for node in onnx.load_from_string(first).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    # The clipping lies in the scale now.
    assert "Relu" not in kinds


def test_without_samples_there_is_no_int8() -> None:
    with pytest.raises(InvalidInput, match="samples"):
        quantise(conv_model(), inputs()[:0])


def test_names_are_checked_and_the_default_is_always_there() -> None:
    assert parse_names("all") == NAMES
    assert parse_names("openvino-fp32, onnx-int8") == ("onnx-fp32", "onnx-int8", "openvino-fp32")
    with pytest.raises(InvalidInput, match="no candidate 'onnx'"):
        parse_names("onnx")


@pytest.mark.parametrize(
    ("program", "kind", "message"),
    [
        ("import os\nos.abort()\n", Unsupported, "crashed with signal 6"),
        ("import time\ntime.sleep(60)\n", TimedOut, "did not finish"),
        ("raise SystemExit('no such luck')\n", Unsupported, "no such luck"),
    ],
)
def test_an_engine_that_crashes_or_hangs_is_a_reason(
    program: str,
    kind: type[SkerryError],
    message: str,
    subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "troubled.py").write_text(program)
    launcher = tmp_path / "python"
    launcher.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    launcher.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(launcher))
    monkeypatch.setattr(benchmark, "CHILD_MODULE", "troubled")
    with pytest.raises(kind, match=message):
        try_model("openvino", "fp32", conv_model(), ".onnx", inputs(), batch=8, timeout_s=3)


def test_the_offer_ships_the_chosen_or_all_that_pass(subject: Subject) -> None:
    wish = Wish(("onnx-fp32", "onnx-int8", "openvino-fp32"), engine="onnx-fp32", seconds=0.01)
    wish = replace(wish, gate=replace(wish.gate, agreement=0.5, accuracy_drop=1))
    golden = conv_outputs(inputs())
    lone = make_offer(subject, golden, wish, silent)
    assert ([c.name for c in lone.candidates], list(lone.models)) == (["onnx-fp32"], ["model.onnx"])
    # Timings differ between two builds, so they are not in what is signed.
    assert "p50Ms" not in str(lone.certificate)
    every = make_offer(subject, golden, replace(wish, ship="all", certify_timings=True), silent)
    assert "p50Ms" in str(every.certificate)
    assert [c.name for c in every.candidates] == ["onnx-fp32", "onnx-int8", "openvino-fp32"]
    assert sorted(every.models) == ["model.int8.onnx", "model.onnx"]
    tolerances = {c.name: c.tolerance for c in every.candidates}
    assert tolerances["onnx-fp32"] == tolerances["openvino-fp32"] == 1e-4
    assert tolerances["onnx-int8"] >= 1e-3
    assert rows_json(every.rows, every.objections)[0]["passes"] is True


def test_the_plain_wish_offers_what_the_build_has_verified_itself() -> None:
    assert Wish().is_plain
    assert not Wish(engine="openvino").is_plain
    assert not Wish(("onnx-fp32", "onnx-int8")).is_plain
    assert plain_offer(b"onnx", 1e-4).models == {"model.onnx": b"onnx"}
    with pytest.raises(InvalidInput, match="ship"):
        Wish(ship="some")
