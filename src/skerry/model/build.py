"""The build: a trained Keras file and a few of its images become a verified model package."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skerry.errors import InvalidInput
from skerry.model import keras_runtime, reference
from skerry.model.convert import Converted, convert
from skerry.model.golden import choose_golden
from skerry.model.graph import Network, read_network
from skerry.model.keras_file import F32
from skerry.model.labels import fitting, read_labels
from skerry.model.onnx_session import OnnxSession
from skerry.model.recipe_options import RecipeOptions, make_recipe, scaling_doubt
from skerry.model.samples import Sample, class_folders, prepare_samples, read_samples, samples_bound
from skerry.model.verify import Thresholds, Verification, compare, require
from skerry.package.manifest import GoldenSample, write_package
from skerry.package.postprocess import scores
from skerry.package.recipe import Label, Recipe

Progress = Callable[[str], None]
# A batch like the one the server forms; agreement is checked at 1 and at this size.
BATCH = 8
REFERENCES = ("auto", "keras", "numpy")


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build: a ``.keras`` file, its labels, images like the device's, and where the package goes.

    Without ``labels``, the sample sub-folders name the classes if they are as many. ``size`` (height,
    width) is needed for models with an open input size only.
    """

    model: Path
    labels: Path | None
    samples: Path
    output: Path
    crop: float | None = None
    resize: str = "pillow:bilinear"
    scaling: str = "none"
    colour: str | None = None
    top_k: int = 5
    golden_count: int = 32
    max_abs: float = 1e-4
    agreement: float = 1.0
    reference: str = "auto"
    size: tuple[int, int] | None = None

    @property
    def options(self) -> RecipeOptions:
        return RecipeOptions(self.crop, self.resize, self.scaling, self.colour, self.top_k)


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What was built, and how it was proven; ``accuracy`` where the sample folders name the labels."""

    package: Path
    digest: str
    layers: int
    parameters: int
    onnx_bytes: int
    reference: str
    max_abs_difference: float
    top1_agreement: float
    topk_agreement: float
    accuracy: float | None
    samples: int
    golden: int
    dropped_layers: tuple[str, ...]
    seconds: float


def build(request: BuildRequest, progress: Progress) -> BuildReport:
    """Convert, verify and write the package; same inputs, same digest.

    InvalidInput and Unsupported say what in the inputs is wrong; VerificationFailed names the samples on
    which the conversion differs. After an error there is no new package.
    """
    started = time.perf_counter()
    _check(request)
    progress(f"reading {request.model.name}")
    network = read_network(request.model, request.size)
    progress(f"converting {network.layers} layers with {network.parameters:,} parameters")
    converted = convert(network)
    if converted.dropped:
        progress(f"left out, as they only act in training: {', '.join(converted.dropped)}")
    recipe = make_recipe(
        network, (converted.input, converted.output), _labels(request, converted.outputs), request.options
    )
    if doubt := scaling_doubt(network, request.options):
        progress(doubt)
    samples = read_samples(request.samples, samples_bound(recipe))
    progress(f"preparing {len(samples)} samples")
    inputs = prepare_samples(samples, recipe)
    expected, witness = _reference(request, network, inputs, progress)
    singles, batches = _run(converted, inputs)
    verification = compare(
        expected, [singles, batches], [s.name for s in samples], request.top_k, request.max_abs
    )
    require(verification, Thresholds(request.max_abs, request.agreement))
    progress(f"agrees with {witness} to {verification.max_abs_difference:.1e} on {len(samples)} samples")
    # What travels is the verified engine's own answer: it repeats to the bit, so equal builds are equal.
    golden = [GoldenSample(samples[i].data, singles[i]) for i in choose_golden(singles, request.golden_count)]
    digest = write_package(
        request.output,
        name=request.model.stem,
        model=converted.onnx,
        recipe=recipe,
        golden=golden,
        certificate=_certificate(request, verification, witness, len(samples), converted),
        source={"file": request.model.name, "sha256": _sha256(request.model), "keras": network.keras_version},
    )
    return BuildReport(
        package=request.output,
        digest=digest,
        layers=network.layers,
        parameters=network.parameters,
        onnx_bytes=len(converted.onnx),
        reference=witness,
        max_abs_difference=verification.max_abs_difference,
        top1_agreement=verification.top1_agreement,
        topk_agreement=verification.topk_agreement,
        accuracy=_accuracy(samples, singles, recipe),
        samples=len(samples),
        golden=len(golden),
        dropped_layers=converted.dropped,
        seconds=time.perf_counter() - started,
    )


def _check(request: BuildRequest) -> None:
    if request.reference not in REFERENCES:
        raise InvalidInput(
            f"reference {request.reference!r} is not known", hint=f"one of {', '.join(REFERENCES)}"
        )
    if request.golden_count < 1:
        raise InvalidInput("a package needs at least one golden sample", value=request.golden_count)


def _labels(request: BuildRequest, outputs: int) -> tuple[Label, ...]:
    if request.labels is not None:
        return read_labels(request.labels, outputs)
    folders = class_folders(request.samples) if request.samples.is_dir() else []
    labels = tuple(Label(str(i), name) for i, name in enumerate(folders))
    return fitting(labels, outputs, f"{request.samples.name}/ (no label file given)")


def _reference(request: BuildRequest, network: Network, inputs: F32, progress: Progress) -> tuple[F32, str]:
    """The original's outputs and the name of the witness."""
    chosen = request.reference
    if chosen == "auto":
        chosen = "keras" if keras_runtime.is_installed() else "numpy"
    progress(f"asking {chosen} for the original's answers")
    if chosen == "numpy":
        parts = [reference.predict(network, inputs[i : i + BATCH]) for i in range(0, len(inputs), BATCH)]
        return np.concatenate(parts), "numpy"
    answer = keras_runtime.predict(request.model, inputs)
    return answer.outputs, f"keras {answer.version}"


def _run(converted: Converted, inputs: F32) -> tuple[F32, F32]:
    session = OnnxSession(converted.onnx)
    singles = [session.run(inputs[i : i + 1]) for i in range(len(inputs))]
    batches = [session.run(inputs[i : i + BATCH]) for i in range(0, len(inputs), BATCH)]
    return np.concatenate(singles), np.concatenate(batches)


def _certificate(
    request: BuildRequest, verification: Verification, witness: str, samples: int, converted: Converted
) -> dict[str, object]:
    return {
        "reference": witness,
        "engine": "onnxruntime fp32",
        "samples": samples,
        "batches": [1, BATCH],
        "maxAbsDifference": _rounded_up(verification.max_abs_difference),
        "top1Agreement": verification.top1_agreement,
        "topKAgreement": verification.topk_agreement,
        "allowed": {"maxAbsDifference": request.max_abs, "top1Agreement": request.agreement},
        "droppedLayers": list(converted.dropped),
    }


def _rounded_up(value: float) -> float:
    """To one digit: the last bits of a reference differ between machines and say nothing."""
    if value <= 0 or not math.isfinite(value):
        return value
    unit = 10.0 ** math.floor(math.log10(value))
    return float(f"{math.ceil(value / unit) * unit:.0e}")


def _accuracy(samples: list[Sample], outputs: F32, recipe: Recipe) -> float | None:
    names = {label.name: i for i, label in enumerate(recipe.output.labels)}
    known = [(i, names[s.label]) for i, s in enumerate(samples) if s.label in names]
    if not known:
        return None
    return sum(int(scores(outputs[i], recipe).argmax()) == label for i, label in known) / len(known)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
