"""The build, from files to a package that opens."""

from __future__ import annotations

import importlib.util
import io
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from skerry.errors import InvalidInput, StorageFull, Unavailable
from skerry.model import keras_runtime
from skerry.model.build import BuildRequest, build
from skerry.model.convert import convert
from skerry.model.graph import read_network
from skerry.model.onnx_session import OnnxSession
from skerry.model.outputs import output_specs
from skerry.model.recipe_options import RecipeOptions, make_recipe, scaling_doubt
from skerry.model.samples import read_samples
from skerry.model.verify import VerificationFailed
from skerry.package.manifest import Package
from skerry.package.preprocess import prepare
from skerry.package.recipe import Label, Scaling
from tests.unit.model.test_keras_file import repacked
from tests.unit.package.builders import pixels, png


@pytest.fixture
def request_(zoo: Path, tmp_path: Path) -> BuildRequest:
    """The transfer model (3 classes) with eight samples in two class folders."""
    for i in range(8):
        path = tmp_path / "samples" / ("cat" if i % 2 else "dog") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(pixels(70, 80, seed=i)))
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\nfish\n")
    return BuildRequest(
        zoo / "transfer.keras",
        labels,
        tmp_path / "samples",
        tmp_path / "package",
        reference="numpy",
        golden_count=5,
    )


def test_a_build_gives_a_verified_package(request_: BuildRequest) -> None:
    said: list[str] = []
    report = build(request_, said.append)
    package = Package.open(report.package)
    assert (report.digest, report.reference, report.samples, report.golden) == (package.digest, "numpy", 8, 5)
    assert report.max_abs_difference <= 3e-5
    assert (report.top1_agreement, report.topk_agreement) == (1, 1)
    assert len(report.dropped_layers) == 3
    assert report.accuracy is not None
    assert report.model_bytes == package.model_path.stat().st_size
    assert any("left out" in line for line in said)
    assert package.certificate["reference"] == "numpy"
    session = OnnxSession(package.model_path.read_bytes())
    for sample in package.golden:
        made = session.run(prepare(sample.image_bytes, package.recipe)[None])[0]
        assert np.abs(made - sample.expected).max() <= report.max_abs_difference + 1e-7


def test_equal_inputs_give_an_equal_digest(request_: BuildRequest, tmp_path: Path) -> None:
    first = build(request_, lambda _: None)
    again = build(replace(request_, output=tmp_path / "again"), lambda _: None)
    other = build(replace(request_, output=tmp_path / "other", crop=0.9), lambda _: None)
    assert first.digest == again.digest != other.digest


def test_real_keras_is_the_witness_where_it_is_installed(request_: BuildRequest) -> None:
    assert keras_runtime.is_installed()
    report = build(replace(request_, reference="auto"), lambda _: None)
    assert report.reference.startswith("keras 3.")
    assert report.max_abs_difference <= 1e-4


def test_a_failed_verification_names_samples_and_leaves_no_package(request_: BuildRequest) -> None:
    with pytest.raises(VerificationFailed, match=r"(cat|dog)/\d\.png differs by") as caught:
        build(replace(request_, max_abs=-1.0), lambda _: None)
    assert "no package was written" in caught.value.hint
    assert not request_.output.exists()


def test_a_failed_build_keeps_the_package_that_was_there(request_: BuildRequest) -> None:
    digest = build(request_, lambda _: None).digest
    with pytest.raises(VerificationFailed):
        build(replace(request_, max_abs=-1.0), lambda _: None)
    assert Package.open(request_.output).digest == digest


def test_the_golden_set_carries_what_the_original_answers(request_: BuildRequest) -> None:
    report = build(replace(request_, reference="auto"), lambda _: None)
    package = Package.open(report.package)
    inputs = np.stack([prepare(sample.image_bytes, package.recipe) for sample in package.golden])
    expected = np.stack([sample.expected for sample in package.golden])
    assert np.abs(keras_runtime.predict(request_.model, inputs).outputs - expected).max() <= 1e-6
    allowed = package.certificate["allowed"]
    assert isinstance(allowed, dict)
    assert np.abs(OnnxSession(package.model_path.read_bytes()).run(inputs) - expected).max() <= float(
        allowed["maxAbsDifference"]
    )


def test_a_model_that_answers_nan_is_refused(request_: BuildRequest, tmp_path: Path) -> None:
    def poisoned(members: dict[str, bytes]) -> None:
        buffer = io.BytesIO(members["model.weights.h5"])
        with h5py.File(buffer, "r+") as file:
            file["layers/dense/vars/1"][0] = np.nan
        members["model.weights.h5"] = buffer.getvalue()

    path = repacked(request_.model, tmp_path / "nan.keras", poisoned)
    with pytest.raises(InvalidInput, match=r"answers 8 of 8 samples with NaN: cat/1\.png"):
        build(replace(request_, model=path), lambda _: None)
    assert not request_.output.exists()


def test_a_full_disk_leaves_nothing_half_written(request_: BuildRequest, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # The ONNX file is over 1 MB.
    try:
        with pytest.raises(StorageFull, match="no room to write"):
            build(request_, lambda _: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(tmp_path.iterdir()) == before


def test_a_keras_2_file_is_proven_by_tf_keras(
    keras2_zoo: Path, request_: BuildRequest, tmp_path: Path
) -> None:
    (tmp_path / "four.txt").write_text("a\nb\nc\nd\n")
    request = replace(
        request_,
        model=keras2_zoo / "base_called_in_functional.h5",
        labels=tmp_path / "four.txt",
        scaling="unit",
        size=(16, 16),
        reference="auto",
    )
    report = build(request, lambda _: None)
    assert report.reference.startswith("keras 2.")
    source = Package.open(report.package).manifest["source"]
    assert isinstance(source, dict)
    assert source["keras"].startswith("2.")


def test_labels_that_do_not_fit_are_refused(request_: BuildRequest) -> None:
    with pytest.raises(InvalidInput, match=r"no label file given\) has 2 labels, the model gives 3"):
        build(replace(request_, labels=None), lambda _: None)


def test_class_folders_name_the_labels_when_they_are_as_many(request_: BuildRequest) -> None:
    (request_.samples / "ant").mkdir()
    build(replace(request_, labels=None), lambda _: None)
    names = [label.name for label in Package.open(request_.output).recipe.output.labels]
    assert names == ["ant", "cat", "dog"]


def test_a_sample_that_is_no_image_is_named(request_: BuildRequest) -> None:
    (request_.samples / "cat" / "notes.txt").write_text("to do")
    with pytest.raises(InvalidInput, match=r"sample cat/notes\.txt: not an image"):
        build(request_, lambda _: None)


def test_no_samples_are_refused(request_: BuildRequest, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="holds no images"):
        build(replace(request_, samples=tmp_path / "empty"), lambda _: None)


def test_samples_are_taken_from_every_class_in_turn(request_: BuildRequest) -> None:
    (request_.samples / ".hidden").write_text("x")
    taken = read_samples(request_.samples, 5)
    assert [s.label for s in taken].count("cat") == 3
    assert [s.name for s in taken] == sorted(s.name for s in taken)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scaling": "imagenet"}, "scaling 'imagenet' is not known"),
        ({"resize": "area"}, "resize 'area' is not known"),
        ({"colour": "L"}, "L has 1 channels"),
        ({"crop": 2.0}, "crop.fraction"),
        ({"reference": "torch"}, "reference 'torch'"),
        ({"golden_count": 0}, "golden"),
        ({"size": (5, 5)}, "is 64 x 64"),
    ],
)
def test_wrong_options_are_refused(request_: BuildRequest, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        build(replace(request_, **change), lambda _: None)


def test_caffe_scaling_reverses_the_channels(zoo: Path) -> None:
    network = read_network(zoo / "resnet50.keras")
    labels = tuple(Label(str(i), str(i)) for i in range(7))
    converted = convert(network)
    outputs = output_specs(network, converted, lambda _: labels, {})
    options = RecipeOptions(scaling="caffe", resize="tensorflow:bilinear")
    recipe = make_recipe(network, converted.input, outputs, options)
    assert (recipe.decode.colour, recipe.scaling) == ("BGR", Scaling((1.0,), (-103.939, -116.779, -123.68)))
    assert (recipe.resize.library, recipe.output.kind, recipe.output.top_k) == ("tensorflow", "logits", 5)


def test_doubtful_scalings_are_mentioned(zoo: Path) -> None:
    transfer, plain = read_network(zoo / "transfer.keras"), read_network(zoo / "mobilenet_v2.keras")
    assert "twice" not in scaling_doubt(transfer, RecipeOptions())
    assert scaling_doubt(transfer, RecipeOptions()) == scaling_doubt(plain, RecipeOptions(scaling="tf")) == ""
    assert "itself" in scaling_doubt(transfer, RecipeOptions(scaling="tf"))
    assert "0..255" in scaling_doubt(plain, RecipeOptions(scaling="none"))
    assert scaling_doubt(plain, RecipeOptions()) == ""  # Told from its name.


def test_a_python_without_keras_is_reported_cleanly(zoo: Path, tmp_path: Path) -> None:
    without = tmp_path / "python"
    without.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    without.chmod(0o755)
    batch = np.zeros((1, 13, 10, 3), np.float32)
    with pytest.raises(Unavailable, match="Keras is not installed") as caught:
        keras_runtime.predict(zoo / "conv.keras", batch, python=str(without))
    assert "skerry[keras]" in caught.value.hint
    with pytest.raises(Unavailable, match="no Python at"):
        keras_runtime.predict(zoo / "conv.keras", batch, python=str(tmp_path / "none"))


def test_a_model_keras_cannot_load_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "bad.keras").write_bytes(b"nothing")
    with pytest.raises(InvalidInput, match=r"Keras cannot run bad\.keras"):
        keras_runtime.predict(tmp_path / "bad.keras", np.zeros((1, 4, 4, 3), np.float32))


def test_our_process_never_loads_keras(request_: BuildRequest) -> None:
    build(request_, lambda _: None)
    assert importlib.util.find_spec("keras") is not None
    assert not {"keras", "tensorflow"} & set(sys.modules)
