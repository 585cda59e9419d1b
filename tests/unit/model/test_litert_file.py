"""Models that are LiteRT already: carried as they are, run by LiteRT, refused where the ends do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from skerry.errors import InvalidInput, NotFound, Unsupported
from skerry.model.build import BuildRequest, build
from skerry.model.candidates import NAMES
from skerry.model.litert_file import read_litert
from skerry.model.litert_session import LiteRtSession
from skerry.model.offer import Wish
from skerry.package.manifest import Package
from skerry.serve.activation import score_golden
from skerry.serve.backends.engines import open_candidate
from tests.unit.package.builders import pixels, png

VECTORS = Path(__file__).parents[2] / "vectors"


@pytest.fixture
def request_(tmp_path: Path) -> BuildRequest:
    for i in range(6):
        path = tmp_path / "samples" / "abc"[i % 3] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(pixels(20, 24, seed=i)))
    return BuildRequest(
        VECTORS / "tiny.tflite", None, tmp_path / "samples", tmp_path / "package", golden_count=4
    )


def test_a_file_predicts_what_the_model_predicted_that_it_was_made_of() -> None:
    network = read_litert(VECTORS / "tiny.tflite")
    assert (network.shape, len(network.heads)) == ((16, 16, 3), 1)
    assert network.nodes[0].config == {"activation": "softmax", "units": 3}
    with np.load(VECTORS / "tiny_jax.npz") as data:
        x, y = data["x"].astype(np.float32), data["y"]
    for plain in (False, True):
        session = LiteRtSession((VECTORS / "tiny.tflite").read_bytes(), plain=plain)
        assert np.abs(session.run(x) - y).max() <= 1e-5
        assert np.abs(session.run(x[:1]) - y[:1]).max() <= 1e-5


def test_the_package_holds_the_file_itself_and_serves(request_: BuildRequest) -> None:
    report = build(request_, lambda _: None)
    package = Package.open(report.package)
    assert (package.chosen.name, report.chosen) == ("litert-fp32", "litert-fp32")
    assert report.reference.endswith("reference kernels")
    assert (package.directory / "model.tflite").read_bytes() == (VECTORS / "tiny.tflite").read_bytes()
    predictor = open_candidate(package.chosen, package.directory, threads=1)
    golden = score_golden(package, predictor, 4, package.chosen.tolerance)
    predictor.close()
    assert (golden.passed, golden.same_best) == (True, 4)


def test_engines_that_need_layers_are_rows_with_the_reason(request_: BuildRequest) -> None:
    report = build(replace(request_, wish=Wish(NAMES, seconds=0.01)), lambda _: None)
    reasons = {name: text for name, text in report.objections.items() if name != "litert-fp32"}
    assert report.chosen == "litert-fp32"
    assert len(reasons) == len(NAMES) - 1
    assert all("no layers to make ONNX of" in text for text in reasons.values())


def test_quantised_ends_are_refused_by_name() -> None:
    with pytest.raises(Unsupported, match=r"input .* of tiny_uint8\.tflite is uint8, not float32"):
        read_litert(VECTORS / "tiny_uint8.tflite")


def test_another_main_output_is_refused() -> None:
    with pytest.raises(Unsupported, match="main output of a LiteRT file is its first"):
        read_litert(VECTORS / "tiny.tflite", head="other")


def test_what_is_no_litert_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_litert(tmp_path / "none.tflite")
    (tmp_path / "junk.tflite").write_bytes(b"a model, honestly")
    with pytest.raises(InvalidInput, match=r"junk\.tflite is no LiteRT model"):
        read_litert(tmp_path / "junk.tflite")
    whole = (VECTORS / "tiny.tflite").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidInput, match=r"cut\.tflite"):
        read_litert(tmp_path / "cut.tflite")
