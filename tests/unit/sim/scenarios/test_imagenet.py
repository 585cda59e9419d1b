"""The ImageNet scenario with its real weights and photos, which come from the package index."""

from __future__ import annotations

import json

import numpy as np
import pytest

from skerry.model import keras_runtime
from skerry.model.build import BuildRequest, build
from skerry.model.graph import read_network
from skerry.model.onnx_session import OnnxSession
from skerry.model.reference import predict
from skerry.package.manifest import Package
from skerry.package.postprocess import top_k
from skerry.package.preprocess import prepare_batch
from skerry.sim.scenarios import imagenet
from skerry.sim.scenarios.scenario import Scenario

pytestmark = pytest.mark.system
# What the published network says, measured with an independent torch implementation of it.
TOP1 = {
    "chelsea": ("a cat having a striped coat", 0.408),
    "coffee": ("espresso", 0.951),
    "camera": ("tripod", 0.937),
    "motorcycle": ("moped", 0.506),
    "rocket": ("missile", 0.242),
    "china": ("palace", 0.280),
    "flower": ("daisy", 0.321),
    "astronaut": ("football helmet", 0.161),
    "coins": ("bubble", 0.126),
    "moon": ("nematode", 0.469),
    "page": ("brass memorial plaque", 0.157),
    "brick": ("maze", 0.201),
}


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    folder = tmp_path_factory.mktemp("imagenet")
    return imagenet.prepare(folder / "work", folder / "cache", lambda _: None, frames=500)


@pytest.fixture(scope="module")
def package(scenario: Scenario) -> Package:
    output = scenario.model_path.parent / "package"
    model, labels, samples = scenario.model_path, scenario.labels_path, scenario.samples_dir
    request = BuildRequest(model, labels, samples, output, reference="numpy", **scenario.recipe)
    build(request, lambda _: None)
    return Package.open(output)


def test_the_photos_are_seen_as_the_published_network_sees_them(scenario: Scenario, package: Package) -> None:
    session = OnnxSession(package.model_path.read_bytes())
    for photo in sorted(scenario.samples_dir.iterdir()):
        output = session.run(prepare_batch([photo.read_bytes()], package.recipe))[0]
        best = top_k(output, package.recipe, 1)[0]
        assert (best.label, round(best.score, 3)) == TOP1[photo.stem]


def test_real_keras_loads_the_file_and_predicts_the_same(scenario: Scenario, package: Package) -> None:
    photos = [path.read_bytes() for path in sorted(scenario.samples_dir.iterdir())]
    batch = prepare_batch(photos, package.recipe)
    answer = keras_runtime.predict(scenario.model_path, batch)
    assert np.abs(answer.outputs - predict(read_network(scenario.model_path), batch)).max() <= 1e-5


def test_every_frame_has_a_truth_that_is_a_label_or_a_photo(scenario: Scenario) -> None:
    frames = {path.name for path in scenario.frames_dir.iterdir()}
    assert len(frames) == 500
    assert set(scenario.truth) == frames
    names = {name for _, name in json.loads(scenario.labels_path.read_text()).values()}
    assert set(scenario.truth.values()) - names == {"astronaut", "coins", "moon", "page", "brick"}


def test_most_frames_with_a_true_label_are_recognised(scenario: Scenario, package: Package) -> None:
    session = OnnxSession(package.model_path.read_bytes())
    names = {label.name for label in package.recipe.output.labels}
    known = [(name, truth) for name, truth in sorted(scenario.truth.items()) if truth in names][:70]
    right = 0
    for name, truth in known:
        output = session.run(prepare_batch([(scenario.frames_dir / name).read_bytes()], package.recipe))[0]
        right += truth in {p.label for p in top_k(output, package.recipe, 5)}
    assert right / len(known) >= 0.85
