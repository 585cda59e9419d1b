"""Every candidate of a CNN trained here, on photos it has not seen: what int8 costs, what a budget does."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from skerry.cli.main import skerry_command
from skerry.model.choose import BudgetMissed
from skerry.model.image import MODEL_DIRECTORY, build_module_image
from skerry.oci.unpack import unpack
from skerry.package.manifest import Package
from skerry.package.trust import read_public_keys
from skerry.serve.environment import Environment
from skerry.serve.loading import load
from skerry.serve.update.settings import UpdateSettings
from skerry.sim.scenarios.wheels import SCIKIT_IMAGE, fetch, read_member
from tests.system.test_images import CACHE, environment, note, python

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

POINT = 0.01
# Runs in the image's own interpreter: what a module does at its start, for one candidate after the other.
SERVE_EACH = """
import sys, json
from pathlib import Path
from skerry.package.manifest import Package
from skerry.serve.environment import Environment
from skerry.serve.loading import load
place, found = Path(sys.argv[1]), {}
for candidate in Package.open(place).candidates:
    activated = load(Environment(threads=1, candidate=candidate.name), place)
    found[candidate.name] = [activated.predictor.engine, activated.golden.scored, activated.golden.passed]
    activated.predictor.close()
maps = [line.split()[-1] for line in open("/proc/self/maps") if ".so" in line]
print(json.dumps([found, [path for path in maps if not path.startswith(sys.argv[2])]]))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with textures.keras, calibration.npz and heldout/{brick,grass,gravel}/*.png."""
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


@dataclass(frozen=True)
class Everything:
    """A signed package with every candidate that passes, its build's rows, and the accuracy in fp32."""

    package: Path
    rows: dict[str, Any]
    accuracy: float
    chosen: str


@pytest.fixture(scope="module")
def everything(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Everything:
    folder = tmp_path_factory.mktemp("everything")
    subprocess.run(
        [sys.executable, "-m", "skerry", "model", "keygen", str(folder / "k")],
        check=True,
        capture_output=True,
    )
    # int8 is calibrated on what was trained on, and judged on what nothing has seen.
    apart = ("--calibration", str(trained / "calibration.npz"))
    words = ("--candidates", "all", "--ship", "all", "--sign", str(folder / "k"), *apart)
    report = build(trained, folder / "p", *words)
    rows = {row["name"]: row for row in report["candidates"]}
    return Everything(folder / "p", rows, report["accuracy"], report["chosen"])


def test_every_candidate_keeps_the_accuracy_of_a_trained_cnn(everything: Everything) -> None:
    rows, accuracy = everything.rows, everything.accuracy
    # What this CPU cannot do is a row with its reason; the others are there.
    assert {n for n, row in rows.items() if not row["available"]} <= {"openvino-bf16"}
    assert 0.8 < accuracy < 1
    for name in ("onnx-int8", "openvino-int8"):
        assert rows[name]["accuracy"] >= accuracy - 0.5 * POINT, rows[name]
        assert rows[name]["bytes"] < rows["onnx-fp32"]["bytes"]
    for name in ("onnx-fp32", "openvino-fp32", "litert-fp32"):
        assert rows[name]["passes"], rows[name]
        assert rows[name]["maxAbsDifference"] < 1e-5
    key = read_public_keys(everything.package.with_name("k.pub"))
    package = Package.open(everything.package, trusted_keys=key)
    assert package.chosen.name == everything.chosen
    assert {c.name for c in package.candidates} == {n for n, row in rows.items() if row.get("passes")}
    done = CliRunner().invoke(
        skerry_command, ["model", "verify", str(everything.package)], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output


def test_a_device_measures_what_passed_at_the_build(everything: Everything, tmp_path: Path) -> None:
    state = UpdateSettings(tmp_path / "state")
    measured = load(Environment(threads=2, update=state), everything.package)
    measured.predictor.close()
    passed = {n for n, row in everything.rows.items() if row.get("passes")}
    assert measured.selection.source == "measured"
    assert {timed.name for timed in measured.selection.timings} == passed
    assert measured.golden.passed


def test_every_engine_runs_out_of_the_image_without_what_was_pruned(
    everything: Everything, tmp_path: Path
) -> None:
    image = build_module_image(
        everything.package, name="every/engine", tag="1", output=tmp_path / "out", cache=CACHE, progress=note
    )
    assert [label for label, _ in image.layers if label.startswith("wheels: ")] == [
        "wheels: numpy, pillow, network",
        "wheels: onnxruntime",
        "wheels: openvino",
        "wheels: litert",
        "wheels: web",
    ]
    unpack(image.layout, tmp_path / "root")
    place = tmp_path / "root" / MODEL_DIRECTORY
    ran = subprocess.run(
        python(tmp_path / "root", "-c", SERVE_EACH, str(place), str(tmp_path / "root")),
        env=environment(tmp_path / "root"),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    found, foreign = json.loads(ran.stdout.splitlines()[-1])
    assert found.keys() == {n for n, row in everything.rows.items() if row.get("passes")}
    assert all(passed for _, _, passed in found.values()), found
    assert foreign == []


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
