"""The build: a trained Keras file and a few of its images become a verified model package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from skerry.errors import InvalidInput
from skerry.model import keras_runtime
from skerry.model import witness as witnesses
from skerry.model.candidates import CALIBRATION_MAX, DEFAULT, LITERT, Row, Subject
from skerry.model.choose import Gate
from skerry.model.convert import Converted, convert
from skerry.model.golden import choose_golden
from skerry.model.keras_file import F32
from skerry.model.labels import fitting, read_labels
from skerry.model.litert_session import LiteRtSession
from skerry.model.memory import check_memory, needed_bytes
from skerry.model.offer import Offer, Wish, compared, make_offer, plain_offer
from skerry.model.onnx_session import OnnxSession
from skerry.model.origin import Origin
from skerry.model.outputs import OutputOptions, output_specs
from skerry.model.recipe_options import RecipeOptions, make_recipe, preparation, scaling_doubt
from skerry.model.reduce import choose_reduction
from skerry.model.room import room_for
from skerry.model.sample_arrays import Sample
from skerry.model.samples import class_folders, prepare_samples, read_samples, samples_bound
from skerry.model.settings import ModelSettings, read_settings, settings_beside
from skerry.model.source import open_network
from skerry.model.steps import Steps
from skerry.model.verify import OutputAgreement, Verification, compare, require
from skerry.package.manifest import GoldenSample, write_package
from skerry.package.postprocess import scores
from skerry.package.recipe import Label, OutputSpec, Recipe
from skerry.service.memory import free_bytes

Progress = Callable[[str], None]
# A batch like the one the server forms; agreement is checked at 1 and at this size.
BATCH = 8
# Answers that differ by less are one answer: a network whose input is scaled wrongly gives the same to all.
SAME = 1e-6


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build: a model file, its labels, images like the device's, and where the package goes.

    Without ``labels``, the sample sub-folders name the classes if they are as many. ``size`` (height,
    width) is needed for models with an open input size only. ``wish``: the candidates to try beside the fp32
    ONNX; ``max_abs`` and ``agreement`` None take the limits that suit each precision. ``sign`` gives
    ``signature.json`` for the manifest's bytes. ``outputs`` says of an output, by its name, what the model
    does not tell. ``settings``: a ``model.toml``, the one beside the model without it; what is said here
    comes before it, and it before what the model tells. ``calibration``: images for int8 that are not among
    the samples, so that these say what int8 costs on images it has not seen.
    """

    model: Path
    labels: Path | None
    samples: Path
    output: Path
    crop: float | str | None = None
    resize: str | None = None
    scaling: str | None = None
    colour: str | None = None
    top_k: int | None = None
    golden_count: int = 32
    max_abs: float | None = None
    agreement: float | None = None
    reference: str = "auto"
    size: tuple[int, int] | None = None
    wish: Wish = field(default_factory=Wish)
    sign: Callable[[bytes], bytes] | None = None
    weights: Path | None = None
    architecture: str | None = None
    custom: tuple[str, ...] = ()
    trust: bool = False
    head: str | None = None
    outputs: Mapping[str, OutputOptions] = field(default_factory=dict)
    settings: Path | None = None
    calibration: Path | None = None

    @property
    def origin(self) -> Origin:
        return Origin(
            self.model, self.weights, self.architecture, self.custom, self.trust, self.head, self.size
        )

    @property
    def options(self) -> RecipeOptions:
        return RecipeOptions(self.crop, self.resize, self.scaling, self.colour)

    def with_settings(self, settings: ModelSettings) -> BuildRequest:
        """This request, where it says nothing what the settings say; ``options`` are merged apart."""
        return replace(
            self,
            head=self.head or settings.head,
            size=self.size or settings.size,
            outputs={**settings.outputs, **self.outputs},
        )


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What was built, and how it was proven; ``accuracy`` where the sample folders name the labels."""

    package: Path
    digest: str
    layers: int
    parameters: int
    model_bytes: int
    reference: str
    max_abs_difference: float
    top1_agreement: float
    topk_agreement: float
    accuracy: float | None
    outputs: tuple[OutputAgreement, ...]
    samples: int
    golden: int
    dropped_layers: tuple[str, ...]
    steps: Mapping[str, float]
    chosen: str
    why: str
    candidates: tuple[Row, ...]
    objections: Mapping[str, str]

    @property
    def seconds(self) -> float:
        """How long it all took; ``steps`` says what of it each step."""
        return sum(self.steps.values())


def build(request: BuildRequest, progress: Progress) -> BuildReport:
    """Convert, verify and write the package; same inputs, same digest.

    InvalidInput and Unsupported say what in the inputs is wrong; VerificationFailed names the samples on
    which the conversion differs. After an error there is no new package.
    """
    steps = Steps("read")
    _check(request)
    settings = _settings(request, progress)
    request = request.with_settings(settings)
    options = request.options.over(settings.options)
    # Before the first copy: the kernel would end the process, or another one, without a word.
    check_memory(_needed(request), free_bytes())
    progress(f"reading {request.model.name}")
    network = open_network(request.origin, progress)
    steps.begin("convert")
    progress(f"converting {network.layers} layers with {network.parameters:,} parameters")
    converted = convert(network)
    if network.precision != "float32":
        progress(f"it was trained in {network.precision}; converted and compared in float32")
    if converted.dropped:
        progress(f"left out, as they only act in training: {', '.join(converted.dropped)}")
    outputs = output_specs(
        network,
        converted,
        lambda size: None if request.labels is None else read_labels(request.labels, size),
        request.outputs,
        request.top_k,
        lambda size: _folder_labels(request.samples, size),
    )
    progress("; ".join(f"{spec.name!r} gives {_meaning(spec)}" for spec in outputs))
    recipe = make_recipe(network, converted.input, outputs, options)
    progress(preparation(network, options, recipe))
    if doubt := scaling_doubt(network, options):
        progress(doubt)
    steps.begin("prepare")
    samples = read_samples(request.samples, samples_bound(recipe))
    progress(f"preparing {len(samples)} samples")
    spec = recipe.input
    check_memory(4 * len(samples) * spec.height * spec.width * spec.channels, free_bytes())
    inputs = prepare_samples(samples, recipe)
    names = [s.name for s in samples]
    steps.begin("ask the original")
    answers = witnesses.ask(request.origin, network, inputs, request.reference, progress)
    witnesses.require_numbers(answers.outputs, names)
    expected, witness = answers.outputs, answers.name
    if len(expected) > 1 and np.ptp(expected, axis=0).max() < SAME:
        progress(
            "the original answers all samples alike, so agreement proves little: are they prepared rightly?"
        )
    steps.begin("verify")
    run = OnnxSession(converted.onnx).run if converted.litert is None else LiteRtSession(converted.litert).run
    singles, batches = _run(run, inputs)
    gate = replace(request.wish.gate, max_abs=request.max_abs, agreement=request.agreement)
    limits = gate.thresholds("fp32")
    verification = compare(expected, [singles, batches], names, recipe, recipe.output.top_k, limits.max_abs)
    require(verification, limits)
    progress(f"agrees with {witness} to {verification.max_abs_difference:.1e} on {len(samples)} samples")
    # What travels is the original's own answer: the device compares itself with training, not with us.
    chosen = choose_golden(expected[:, recipe.parts[0][1]], request.golden_count, recipe.output)
    golden = [GoldenSample(samples[i].data, expected[i]) for i in chosen]
    steps.begin("candidates")
    wish = replace(request.wish, gate=gate)
    if converted.litert is not None:
        wish = replace(wish, names=tuple(dict.fromkeys([*wish.names, LITERT])))
    if request.wish.is_plain:
        name = DEFAULT if converted.litert is None else LITERT
        offer = plain_offer(converted.litert or converted.onnx, limits.max_abs, name)
    else:
        subject = Subject(
            file=request.model,
            onnx=converted.onnx or None,
            litert=converted.litert,
            inputs=inputs,
            expected=expected,
            names=names,
            recipe=recipe,
            tie=limits.max_abs,
            batch=BATCH,
            accuracy=lambda outputs: _accuracy(samples, outputs, recipe),
            heads=network.heads,
            calibration=_calibration(request, recipe, progress),
        )
        offer = make_offer(subject, singles, wish, progress)
    steps.begin("decoding")
    reduced = choose_reduction(samples, expected, recipe, run, limits.max_abs, offer.candidates)
    if reduced.least:
        progress(f"large JPEG files are decoded at reduced size: {reduced.why}")
        recipe = replace(recipe, decode=replace(recipe.decode, reduced=reduced.least))
    steps.begin("package")
    with room_for(request.output):
        digest = write_package(
            request.output,
            name=request.model.stem,
            model=offer.models,
            recipe=recipe,
            golden=golden,
            certificate={
                **_certificate(gate, verification, witness, len(samples), converted, offer),
                "decoding": reduced.to_json(),
                **({"calibration": "images of its own"} if request.calibration is not None else {}),
            },
            source={
                "file": request.model.name,
                "sha256": request.origin.sha256(),
                "keras": network.keras_version,
            },
            candidates=offer.candidates,
            sign=request.sign,
        )
    return BuildReport(
        package=request.output,
        digest=digest,
        layers=network.layers,
        parameters=network.parameters,
        model_bytes=len(converted.litert or converted.onnx),
        reference=witness,
        max_abs_difference=verification.max_abs_difference,
        top1_agreement=verification.top1_agreement,
        topk_agreement=verification.topk_agreement,
        accuracy=_accuracy(samples, singles, recipe),
        outputs=verification.outputs,
        samples=len(samples),
        golden=len(golden),
        dropped_layers=converted.dropped,
        steps=steps.end(),
        chosen=offer.candidates[0].name,
        why=offer.why,
        candidates=offer.rows,
        objections=offer.objections,
    )


def _check(request: BuildRequest) -> None:
    if request.reference not in witnesses.KINDS:
        raise InvalidInput(
            f"reference {request.reference!r} is not known", hint=f"one of {', '.join(witnesses.KINDS)}"
        )
    if request.golden_count < 1:
        raise InvalidInput("a package needs at least one golden sample", value=request.golden_count)


def _calibration(request: BuildRequest, recipe: Recipe, progress: Progress) -> F32 | None:
    """Prepared images for int8 that are not the samples, where the user has some."""
    if not any("int8" in name for name in request.wish.names):
        return None
    if request.calibration is None:
        progress("int8 is calibrated on the samples that it is judged on; --calibration names other images")
        return None
    return prepare_samples(read_samples(request.calibration, CALIBRATION_MAX), recipe)


def _needed(request: BuildRequest) -> int:
    paths = [path for path in (request.model, request.weights) if path is not None]
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    size = sum(file.stat().st_size for file in files if file.is_file())
    ready = request.model.suffix in (".onnx", ".tflite")
    keras = request.reference != "numpy" and keras_runtime.is_installed() and not ready
    return needed_bytes(size, keras=keras)


def _settings(request: BuildRequest, progress: Progress) -> ModelSettings:
    path = request.settings or settings_beside(request.model)
    if path is None:
        return ModelSettings()
    progress(f"settings from {path}")
    return read_settings(path)


def _folder_labels(samples: Path, size: int) -> tuple[Label, ...] | None:
    """The sample folders' names; None without any."""
    folders = class_folders(samples) if samples.is_dir() else []
    labels = tuple(Label(str(i), name) for i, name in enumerate(folders))
    return fitting(labels, size, f"{samples.name}/ (no label file given)") if labels else None


def _meaning(spec: OutputSpec) -> str:
    names = ", ".join(label.name for label in spec.labels[:3]) + (", …" if len(spec.labels) > 3 else "")
    return f"{spec.kind} of {len(spec.labels)}: {names}"


def _run(run: Callable[[F32], F32], inputs: F32) -> tuple[F32, F32]:
    singles = [run(inputs[i : i + 1]) for i in range(len(inputs))]
    batches = [run(inputs[i : i + BATCH]) for i in range(0, len(inputs), BATCH)]
    return np.concatenate(singles), np.concatenate(batches)


def _certificate(
    gate: Gate, verification: Verification, witness: str, samples: int, converted: Converted, offer: Offer
) -> dict[str, object]:
    limits = gate.thresholds("fp32")
    return {
        "reference": witness,
        "engine": "onnxruntime fp32" if converted.litert is None else "litert",
        "samples": samples,
        "batches": [1, BATCH],
        **compared(verification),
        "allowed": {
            "maxAbsDifference": offer.candidates[0].tolerance,
            "top1Agreement": limits.agreement,
            "accuracyDrop": gate.accuracy_drop,
        },
        "droppedLayers": list(converted.dropped),
        **offer.certificate,
    }


def _accuracy(samples: list[Sample], outputs: F32, recipe: Recipe) -> float | None:
    if recipe.output.kind in ("regression", "sigmoid"):
        return None
    names: dict[str | int | None, int] = {label.name: i for i, label in enumerate(recipe.output.labels)}
    # Numbers are the labels' places.
    names |= {i: i for i in range(len(recipe.output.labels))}
    known = [(i, names[s.label]) for i, s in enumerate(samples) if s.label in names]
    if not known:
        return None
    return sum(int(scores(outputs[i], recipe).argmax()) == label for i, label in known) / len(known)
