"""Several outputs, and outputs that are no softmax: what they mean, how they are verified and packed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from skerry.cli.model import model
from skerry.errors import InvalidInput
from skerry.model.build import BuildRequest, build
from skerry.model.convert import convert
from skerry.model.golden import choose_golden
from skerry.model.graph import read_network
from skerry.model.offer import Wish
from skerry.model.outputs import OutputOptions, output_specs
from skerry.model.verify import compare
from skerry.package.manifest import Package
from skerry.package.preprocess import prepare
from skerry.package.recipe import InputSpec, Label, OutputSpec, Recipe
from skerry.serve.backends.engines import open_candidate
from tests.unit.package.builders import pixels, png

LABELS = tuple(Label(str(i), name) for i, name in enumerate(("cat", "dog", "fish")))


@pytest.fixture
def request_(zoo: Path, tmp_path: Path) -> BuildRequest:
    """Kind (softmax of 3), tags (sigmoid of 4) and age (one number in the tens) of one picture."""
    (tmp_path / "samples").mkdir()
    for i in range(10):
        (tmp_path / "samples" / f"{i}.png").write_bytes(png(pixels(20, 24, seed=i)))
    (tmp_path / "labels.txt").write_text("cat\ndog\nfish\n")
    return BuildRequest(
        zoo / "three_outputs.keras",
        tmp_path / "labels.txt",
        tmp_path / "samples",
        tmp_path / "package",
        scaling="tf",
        golden_count=6,
    )


def test_every_output_reaches_the_package_by_name_and_kind(request_: BuildRequest) -> None:
    said: list[str] = []
    tags = tuple(Label(name, name) for name in ("wet", "old", "red", "big"))
    outputs = {"tags": OutputOptions(labels=tags, top_k=2, threshold=0.5)}
    wish = Wish(("onnx-fp32", "onnx-int8", "openvino-fp32"), ship="all", seconds=0.01)
    report = build(replace(request_, outputs=outputs, wish=wish, agreement=0), said.append)
    assert report.reference.startswith("keras 3.")
    package = Package.open(report.package)
    found = [(s.name, s.kind, len(s.labels), s.top_k, s.threshold) for s in package.recipe.outputs]
    assert found == [
        ("kind", "softmax", 3, 3, 0.0), ("tags", "sigmoid", 4, 2, 0.5), ("age", "regression", 1, 1, 0.0)
    ]  # fmt: skip
    assert "'age' gives regression of 1: age" in said[2]
    inputs = np.stack([prepare(sample.image_bytes, package.recipe) for sample in package.golden])
    expected = np.stack([sample.expected for sample in package.golden])
    assert expected.shape == (6, 8)
    for candidate in package.candidates:
        predictor = open_candidate(candidate, package.directory, threads=1)
        made = predictor.infer(inputs)
        assert made.shape == expected.shape
        limit = 1e-4 if candidate.precision == "fp32" else 1.0
        assert np.abs(made - expected).max() <= limit * max(1, np.abs(expected).max())
        predictor.close()
    picture, page = next(request_.samples.iterdir()), request_.output.parent / "page.html"
    words = ["run", str(package.directory), str(picture), "--candidate", "onnx-fp32"]
    shown = CliRunner().invoke(model, [*words, "--report", str(page)])
    assert shown.exit_code == 0, shown.output
    assert re.search(r"age +age +\d", shown.stdout)
    told = json.loads(CliRunner().invoke(model, [*words, "--output", "json"]).stdout)["images"][0]
    assert list(told["outputs"]) == ["tags", "age"]
    assert f"<b>age</b> {told['outputs']['age'][0]['score']:.5g}" in page.read_text()
    certified = package.certificate["outputs"]
    assert isinstance(certified, dict)
    assert {name: part["kind"] for name, part in certified.items()} == {
        "kind": "softmax", "tags": "sigmoid", "age": "regression"
    }  # fmt: skip
    assert all(part["agreement"] == 1 for part in certified.values())


def test_the_named_head_comes_first_and_gets_the_labels(request_: BuildRequest, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("wet\nold\nred\nbig\n")
    recipe = Package.open(build(replace(request_, head="tags"), lambda _: None).package).recipe
    assert [spec.name for spec in recipe.outputs] == ["tags", "kind", "age"]
    assert [label.name for label in recipe.output.labels] == ["wet", "old", "red", "big"]


def test_a_regression_needs_no_labels(request_: BuildRequest) -> None:
    report = build(replace(request_, head="age", labels=None), lambda _: None)
    spec = Package.open(report.package).recipe.output
    assert (spec.kind, [label.name for label in spec.labels]) == ("regression", ["age"])
    assert (report.accuracy, report.top1_agreement) == (None, 1)


def test_classes_need_labels(request_: BuildRequest) -> None:
    with pytest.raises(InvalidInput, match=r"no label file given\) has 0 labels, the model gives 3"):
        build(replace(request_, labels=None), lambda _: None)


def test_options_for_an_output_that_is_not_there_are_refused(request_: BuildRequest) -> None:
    with pytest.raises(InvalidInput, match=r"no output 'colour'") as caught:
        build(replace(request_, outputs={"colour": OutputOptions()}), lambda _: None)
    assert "kind, tags, age" in caught.value.hint


def test_two_labels_for_one_linear_number_are_a_binary_logit(zoo: Path) -> None:
    network = read_network(zoo / "three_outputs.keras", head="age")
    [age, *_] = output_specs(network, convert(network), lambda _: LABELS[:2], {})
    assert (age.kind, age.size) == ("binary-logit", 1)


KIND = OutputSpec("kind", "softmax", LABELS)
AGE = OutputSpec("age", "regression", (Label("0", "years"),))
SICK = OutputSpec("sick", "binary", LABELS[:2])
RECIPE = Recipe(InputSpec("image", 8, 8, 3), KIND, others=(AGE, SICK))
EXPECTED = np.array(
    [[0.7, 0.2, 0.1, 20, 0.9], [0.1, 0.8, 0.1, 70, 0.2], [0.3, 0.3, 0.4, 45, 0.6]], np.float32
)
NAMES = ["a.png", "b.png", "c.png"]


def compared(change: list[list[float]]) -> tuple[float, dict[str, float], str]:
    made = compare(EXPECTED, [EXPECTED, EXPECTED + np.array(change, np.float32)], NAMES, RECIPE, 1, 1e-4)
    return made.top1_agreement, {part.name: part.agreement for part in made.outputs}, str(made.worst[0])


def test_each_output_is_verified_by_what_it_means() -> None:
    third = pytest.approx(1 / 3)
    agreement, outputs, worst = compared([[0, 0, 0, 3.0, 0], [0, 0, 0, 0.5, 0], [0, 0, 0, 0, -0.2]])
    assert agreement == third
    assert outputs == {"kind": 1, "age": pytest.approx(2 / 3), "sick": pytest.approx(2 / 3)}
    assert worst == "c.png differs by 0.2, kind fish, age 45, sick dog became kind fish, age 45, sick cat"


def test_a_regression_is_measured_in_its_own_size() -> None:
    made = compare(EXPECTED, [EXPECTED + np.array([0, 0, 0, 7e-3, 0], np.float32)], NAMES, RECIPE, 1, 1e-4)
    assert made.max_abs_difference == pytest.approx(7e-3 / 20, rel=1e-3)


def test_nan_in_any_output_never_agrees() -> None:
    for column in range(5):
        broken = EXPECTED.copy()
        broken[1, column] = np.nan
        made = compare(EXPECTED, [broken], NAMES, RECIPE, 1, 1e-4)
        assert (made.max_abs_difference, made.worst[0].name) == (np.inf, "b.png")
        assert made.top1_agreement < 1


def test_golden_samples_cover_both_sides_of_a_binary_and_the_range_of_a_regression() -> None:
    sick = np.array([[0.99], [0.98], [0.97], [0.01], [0.96], [0.55]], np.float32)
    assert {0, 3} <= set(choose_golden(sick, 3, SICK))
    ages = np.arange(32, dtype=np.float32)[:, None]
    assert {int(age) // 4 for age in choose_golden(ages, 16, AGE)} == set(range(8))
