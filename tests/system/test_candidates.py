"""Every candidate of a CNN trained here, on photos it has not seen: what int8 costs, what a budget does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from skerry.cli.main import skerry_command
from skerry.model.choose import BudgetMissed
from skerry.package.manifest import Package
from skerry.package.trust import read_public_keys
from skerry.serve.environment import Environment
from skerry.serve.loading import load
from skerry.serve.update.settings import UpdateSettings
from skerry.sim.scenarios.wheels import SCIKIT_IMAGE, fetch, read_member

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

POINT = 0.01


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with textures.keras and heldout/{brick,grass,gravel}/*.png."""
    folder = tmp_path_factory.mktemp("textures")
    wheel = fetch(SCIKIT_IMAGE, Path("build/cache"), lambda _: None)
    for name in ("brick", "grass", "gravel"):
        (folder / f"{name}.png").write_bytes(read_member(wheel, f"skimage/data/{name}.png"))
    program = Path(__file__).with_name("textures.py")
    command = [sys.executable, "-P", str(program), str(folder), str(folder / "textures.keras")]
    done = subprocess.run(
        [*command, str(folder / "heldout")], check=False, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def build(trained: Path, package: Path, *words: str) -> Any:
    """The build's report."""
    asked = [
        str(trained / "textures.keras"),
        "--samples",
        str(trained / "heldout"),
        "--package",
        str(package),
    ]
    command = ["model", "build", *asked, "--output", "json", *words]
    done = CliRunner().invoke(skerry_command, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_every_candidate_keeps_the_accuracy_of_a_trained_cnn(trained: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "skerry", "model", "keygen", str(tmp_path / "k")],
        check=True,
        capture_output=True,
    )
    words = ("--candidates", "all", "--ship", "all", "--sign", str(tmp_path / "k"))
    report = build(trained, tmp_path / "p", *words)
    rows = {row["name"]: row for row in report["candidates"]}
    # What this CPU cannot do is a row with its reason; the others are there.
    assert {n for n, row in rows.items() if not row["available"]} <= {"openvino-bf16"}
    assert 0.8 < report["accuracy"] < 1
    for name in ("onnx-int8", "openvino-int8"):
        assert rows[name]["accuracy"] >= report["accuracy"] - 0.5 * POINT, rows[name]
        assert rows[name]["bytes"] < rows["onnx-fp32"]["bytes"]
    for name in ("onnx-fp32", "openvino-fp32", "litert-fp32"):
        assert rows[name]["passes"], rows[name]
        assert rows[name]["maxAbsDifference"] < 1e-5
    package = Package.open(tmp_path / "p", trusted_keys=read_public_keys(tmp_path / "k.pub"))
    assert package.chosen.name == report["chosen"]
    assert {c.name for c in package.candidates} == {n for n, row in rows.items() if row.get("passes")}
    done = CliRunner().invoke(
        skerry_command, ["model", "verify", str(tmp_path / "p")], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    # What the build measured is what a module serves, each with its own tolerance.
    for name in {c.name for c in package.candidates}:
        activated = load(Environment(threads=1, candidate=name), tmp_path / "p")
        activated.predictor.close()
        assert activated.selection.ways[0].candidate.name == name
        assert activated.golden.passed
    state = UpdateSettings(tmp_path / "state")
    measured = load(Environment(threads=2, update=state), tmp_path / "p")
    measured.predictor.close()
    assert measured.selection.source == "measured"
    assert {t.name for t in measured.selection.timings} == {c.name for c in package.candidates}


def test_a_size_budget_takes_int8_and_an_impossible_one_is_explained(trained: Path, tmp_path: Path) -> None:
    words = ("--candidates", "onnx-int8", "--agreement", "0.95")
    with pytest.raises(BudgetMissed, match=r"onnx-fp32: latency is .* ms, allowed are 0\.0001 ms"):
        build(trained, tmp_path / "none", *words, "--budget", "latency=0.0001ms")
    assert not (tmp_path / "none").exists()
    report = build(trained, tmp_path / "p", *words, "--budget", "size=45kB")
    assert report["chosen"] == "onnx-int8"
    assert [p.name for p in (tmp_path / "p").glob("*.onnx")] == ["model.int8.onnx"]


def test_builds_with_the_same_candidates_are_equal(trained: Path, tmp_path: Path) -> None:
    words = ("--candidates", "onnx-int8", "--engine", "onnx-int8", "--agreement", "0.95")
    first = build(trained, tmp_path / "a", *words)
    assert build(trained, tmp_path / "b", *words)["digest"] == first["digest"]
