"""A package serves only when it is whole and gives its recorded answers on this device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skerry.errors import Damaged, NotFound, PreconditionFailed
from skerry.package.candidate import Candidate
from skerry.package.manifest import GoldenSample, write_package
from skerry.serve.activation import activate
from tests.unit.serve.support import (
    BLUE,
    GREEN,
    RECIPE,
    RED,
    colour_model,
    expected,
    make_package,
    open_predictor,
    picture,
)


def test_a_good_package_activates_and_reports_its_golden_set(tmp_path: Path) -> None:
    digest = make_package(tmp_path / "model")
    activated = activate(tmp_path / "model", open_predictor)
    activated.predictor.close()
    report = activated.golden
    assert activated.package.digest == digest
    assert (report.passed, report.scored, report.recorded, report.same_best) == (True, 3, 3, 3)
    assert report.difference < 1e-6


def test_wrong_answers_are_refused_with_the_measured_difference(tmp_path: Path) -> None:
    swapped = [GoldenSample(picture(RED), expected(picture(BLUE)))]
    make_package(tmp_path / "model", golden=swapped)
    with pytest.raises(PreconditionFailed, match=r"differ from the recorded ones by 0\.99") as caught:
        activate(tmp_path / "model", open_predictor)
    golden = caught.value.fields["golden"]
    assert isinstance(golden, dict)
    assert (golden["passed"], golden["sameBest"]) == (False, 0)


def test_the_certificates_tolerance_decides(tmp_path: Path) -> None:
    image = picture(GREEN)
    off = GoldenSample(image, np.asarray(expected(image) + np.float32(0.02), np.float32))
    make_package(tmp_path / "wide", golden=[off], certificate={"allowed": {"maxAbsDifference": 0.05}})
    make_package(tmp_path / "narrow", golden=[off], certificate={"allowed": {"maxAbsDifference": 0.01}})
    activate(tmp_path / "wide", open_predictor).predictor.close()
    with pytest.raises(PreconditionFailed):
        activate(tmp_path / "narrow", open_predictor)


def test_a_long_golden_set_is_sampled_over_its_whole_length(tmp_path: Path) -> None:
    good = [GoldenSample(picture(RED), expected(picture(RED))) for _ in range(9)]
    bad = [GoldenSample(picture(RED), expected(picture(BLUE))) for _ in range(9)]
    make_package(tmp_path / "model", golden=[*good, *bad])
    with pytest.raises(PreconditionFailed) as caught:
        activate(tmp_path / "model", open_predictor, golden_max=4)
    golden = caught.value.fields["golden"]
    assert isinstance(golden, dict)
    assert (golden["scored"], golden["recorded"], golden["sameBest"]) == (4, 18, 2)


@pytest.mark.parametrize("golden_max", [0, 8])
def test_without_golden_images_there_is_nothing_to_refuse(tmp_path: Path, golden_max: int) -> None:
    make_package(tmp_path / "model", golden=[])
    activated = activate(tmp_path / "model", open_predictor, golden_max=golden_max)
    activated.predictor.close()
    assert (activated.golden.passed, activated.golden.scored) == (True, 0)


def test_each_candidate_is_held_to_its_own_tolerance(tmp_path: Path) -> None:
    image = picture(GREEN)
    off = GoldenSample(image, np.asarray(expected(image) + np.float32(0.02), np.float32))
    exact = Candidate("onnx-fp32", "onnxruntime", "fp32", "model.onnx", 1e-3)
    rough = Candidate("openvino-fp32", "openvino", "fp32", "model.onnx", 0.05)
    write_package(
        tmp_path / "model",
        name="colours",
        model={"model.onnx": colour_model()},
        recipe=RECIPE,
        golden=[off],
        certificate={},
        candidates=[exact, rough],
    )
    activated = activate(tmp_path / "model", open_predictor)
    activated.predictor.close()
    # The first one answers differently here: it is passed over, and said so.
    assert activated.predictor.engine.startswith("openvino ")
    assert [way.candidate for way in activated.selection.ways] == [rough]
    assert "differ from the recorded ones by 0.02" in activated.selection.refused["onnx-fp32"]


def test_a_changed_file_is_damaged(tmp_path: Path) -> None:
    make_package(tmp_path / "model")
    model = tmp_path / "model" / "model.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(Damaged, match=r"model\.onnx"):
        activate(tmp_path / "model", open_predictor)


def test_a_model_that_is_no_model_is_damaged(tmp_path: Path) -> None:
    make_package(tmp_path / "model", model=b"nonsense")
    with pytest.raises(Damaged, match="does not load"):
        activate(tmp_path / "model", open_predictor)


def test_no_package_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        activate(tmp_path / "nothing", open_predictor)
