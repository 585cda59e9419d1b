"""``skerry model`` on packages: inspect, verify, bench, run, keys, artifact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from skerry.cli.main import skerry_command
from skerry.errors import Damaged, InvalidInput, NotAllowed, PreconditionFailed
from skerry.model.artifact import write_artifact
from skerry.model.image import model_files
from skerry.oci.layer import File
from skerry.oci.layout import blob_path
from tests.unit.model.small_package import write_small_package
from tests.unit.oci.builders import stored, write_image
from tests.unit.package.builders import pixels, png


def skerry(*words: object) -> str:
    """Standard output of ``skerry model WORDS``; errors come through as raised."""
    done = CliRunner().invoke(skerry_command, ["model", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def document(*words: object) -> Any:
    return json.loads(skerry(*words, "--output", "json"))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    write_small_package(tmp_path / "p")
    return tmp_path / "p"


def test_inspect_shows_what_is_in_a_package(package: Path) -> None:
    shown = skerry("inspect", package)
    assert "onnx-int8" in shown
    assert "12 x 12 x 3, RGB" in shown
    about = document("inspect", package)
    assert (about["name"], about["chosen"], about["labels"], about["golden"]) == ("tiny", "onnx-fp32", 3, 6)


def test_verify_runs_every_candidate_on_the_golden_set(package: Path) -> None:
    rows = {row["name"]: row for row in document("verify", package)["candidates"]}
    assert set(rows) == {"onnx-fp32", "onnx-int8", "openvino-fp32"}
    assert all(row["passed"] for row in rows.values())
    assert rows["onnx-fp32"]["sameBest"] == rows["onnx-fp32"]["images"] == 6
    assert "is whole" in skerry("verify", package)


def test_verify_names_the_tampered_file(package: Path) -> None:
    with (package / "model.onnx").open("r+b") as file:
        file.seek(40)
        file.write(b"x")
    with pytest.raises(Damaged, match=r"model\.onnx is not what") as caught:
        skerry("verify", package)
    assert caught.value.fields["path"] == "model.onnx"


def test_verify_names_a_file_that_was_put_in(package: Path) -> None:
    (package / "payload.so").write_bytes(b"x")
    with pytest.raises(Damaged, match=r"payload\.so is not in the package's manifest"):
        skerry("verify", package)


def module_image(place: Path, files: tuple[File, ...]) -> list[Path]:
    """A layout at ``place`` with a base and these files above it; where its two layers lie."""
    blobs = place.parent / "blobs"
    layers = [stored(blobs, [File("usr/bin/python3", b"elf")]), stored(blobs, list(files))]
    write_image(place, blobs, layers)
    return [blob_path(place, layer.descriptor.digest) for layer in layers]


def test_verify_reads_every_layer_of_an_image_and_names_the_tampered_one(
    package: Path, tmp_path: Path
) -> None:
    base, model = module_image(tmp_path / "image", model_files(package))
    assert "is whole" in skerry("verify", tmp_path / "image")
    for path in (base, model):
        whole = path.read_bytes()
        path.unlink()
        path.write_bytes(whole[:-1] + b"x")
        with pytest.raises(Damaged, match=f"{path.name} is not what its name says"):
            skerry("verify", tmp_path / "image")
        path.write_bytes(whole)


def test_verify_names_the_model_of_an_image_that_was_put_together_again_around_it(
    package: Path, tmp_path: Path
) -> None:
    files = tuple(
        replace(file, data=file.data[:-1] + b"x") if file.path.endswith("model.onnx") else file
        for file in model_files(package)
    )
    module_image(tmp_path / "image", files)
    with pytest.raises(Damaged, match=r"model\.onnx is not what"):
        skerry("verify", tmp_path / "image")


def test_verify_names_the_tampered_file_of_an_artifact(package: Path, tmp_path: Path) -> None:
    write_artifact(package, tmp_path / "artifact", "models/solar:1")
    assert "is whole" in skerry("verify", tmp_path / "artifact")
    largest = max((tmp_path / "artifact/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1] + b"x")
    with pytest.raises(Damaged, match=f"{largest.name} is not what its name says"):
        skerry("verify", tmp_path / "artifact")


def test_verify_refuses_answers_that_differ_from_the_golden_set(tmp_path: Path) -> None:
    write_small_package(tmp_path / "p", shift=0.3)
    with pytest.raises(PreconditionFailed, match=r"onnx-fp32 differs from the golden set by 0\.3 here"):
        skerry("verify", tmp_path / "p")


def test_keys_are_made_and_asked_for(package: Path, tmp_path: Path) -> None:
    skerry("keygen", tmp_path / "k")
    with pytest.raises(NotAllowed, match="is not signed"):
        skerry("verify", package, "--key", tmp_path / "k.pub")
    identifier = skerry("sign", package, "--key", tmp_path / "k").split()[-1]
    assert f"signed by {identifier}" in skerry("verify", package, "--key", tmp_path / "k.pub")
    assert document("inspect", package)["signedBy"] == [identifier]


def test_bench_times_one_candidate_or_all(package: Path) -> None:
    made = document("bench", package, "--candidate", "openvino-fp32", "--seconds", 0.05)
    [row] = made["candidates"]
    timing = row["measured"]["timings"][0]
    assert 0 < timing["p50Ms"] <= timing["p99Ms"]
    assert timing["imagesPerSecond"] > 0
    with pytest.raises(InvalidInput, match="no candidate 'tpu'"):
        skerry("bench", package, "--candidate", "tpu")


def test_run_predicts_pictures_and_writes_a_page(package: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for i in range(2):
        (tmp_path / "in" / f"{i} <b>.png").write_bytes(png(pixels(20, 24, seed=i)))
    page = tmp_path / "out.html"
    made = document("run", package, tmp_path / "in", "--report", page)
    assert [len(image["predictions"]) for image in made["images"]] == [2, 2]
    scores = [p["score"] for p in made["images"][0]["predictions"]]
    assert scores == sorted(scores, reverse=True)
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 2
    assert "&lt;kind " in text
    assert "0 &lt;b&gt;.png" in text
    assert "<kind" not in text
    assert "http" not in text
    other = document("run", package, tmp_path / "in", "--candidate", "openvino-fp32", "--top-k", 1)
    assert other["engine"].startswith("openvino")
    assert [i["predictions"][0]["id"] for i in other["images"]] == [
        i["predictions"][0]["id"] for i in made["images"]
    ]


@pytest.mark.parametrize(
    "words", [("run", "{p}", "{p}/manifest.json"), ("run", "{p}", "{p}/model.onnx", "--top-k", "1")]
)
def test_run_refuses_what_is_no_picture(package: Path, words: Sequence[str]) -> None:
    with pytest.raises(InvalidInput, match="image"):
        skerry(*(word.format(p=package) for word in words))


def test_an_artifact_goes_there_and_back(package: Path, tmp_path: Path) -> None:
    said = skerry("artifact", package, "--to", tmp_path / "a", "--name", "models/tiny:1")
    assert "sha256:" in said
    assert document("inspect", tmp_path / "a")["digest"] == document("inspect", package)["digest"]
    skerry("artifact", tmp_path / "a", "--to", tmp_path / "back", "--extract")
    assert "is whole" in skerry("verify", tmp_path / "back")
