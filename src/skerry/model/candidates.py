"""The ways a model may run, tried one after the other; what does not work is a row with its reason."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from skerry.errors import InvalidInput, SkerryError, Unsupported
from skerry.model.benchmark import SECONDS, Measurement, try_model
from skerry.model.keras_file import F32
from skerry.model.litert import convert_to_litert
from skerry.model.verify import Verification, compare
from skerry.package.recipe import Recipe

Progress = Callable[[str], None]
# The ranges of activations settle within some tens of images; each costs a run in fp32.
CALIBRATION_MAX = 64
DEFAULT, LITERT = "onnx-fp32", "litert-fp32"


@dataclass(frozen=True, slots=True)
class Kind:
    """A candidate before it is made. Kinds with the same ``file`` share one conversion and its bytes."""

    name: str
    engine: str
    precision: str
    file: str


# OpenVINO reads the ONNX files: nothing more to store, and int8 is the same network in both engines. (nncf
# makes a faster OpenVINO int8 for some models; it brings 150 MB to the build.)
KINDS = (
    Kind(DEFAULT, "onnxruntime", "fp32", "model.onnx"),
    Kind("onnx-int8", "onnxruntime", "int8", "model.int8.onnx"),
    Kind("openvino-fp32", "openvino", "fp32", "model.onnx"),
    Kind("openvino-bf16", "openvino", "bf16", "model.onnx"),
    Kind("openvino-int8", "openvino", "int8", "model.int8.onnx"),
    Kind("litert-fp32", "litert", "fp32", "model.tflite"),
)
NAMES = tuple(kind.name for kind in KINDS)


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """A candidate that ran: its file, its answers one by one, how they compare, and what it costs here."""

    kind: Kind
    data: bytes
    singles: F32
    verification: Verification
    accuracy: float | None
    measurement: Measurement


@dataclass(frozen=True, slots=True)
class NotTried:
    """A candidate that there is none of, and why."""

    kind: Kind
    reason: str
    hint: str = ""


Row = Tried | NotTried


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """The model all candidates are made of, the prepared samples, and what the original answers to them.

    ``onnx`` is None for a model that came as ``litert``. ``heads`` are the names of the outputs where there
    are several. ``calibration``: prepared images for int8, the samples themselves where it is None.
    ``accuracy`` gives the share of right answers among outputs [n, outputs], None where no labels are known.
    """

    file: Path
    onnx: bytes | None
    inputs: F32
    expected: F32
    names: Sequence[str]
    recipe: Recipe
    tie: float
    batch: int
    accuracy: Callable[[F32], float | None]
    heads: tuple[str, ...] = ()
    litert: bytes | None = None
    calibration: F32 | None = None


def parse_names(text: str) -> tuple[str, ...]:
    """``all`` or names separated by commas; onnx-fp32 is always among them, first. InvalidInput otherwise."""
    asked = (
        NAMES if text.strip() == "all" else tuple(part.strip() for part in text.split(",") if part.strip())
    )
    for name in asked:
        if name not in NAMES:
            raise InvalidInput(
                f"no candidate {name!r}", hint=f"all, or some of {', '.join(NAMES)}", field="candidates"
            )
    return tuple(name for name in NAMES if name == DEFAULT or name in asked)


def try_candidates(
    subject: Subject, names: Sequence[str], progress: Progress, *, seconds: float = SECONDS
) -> list[Row]:
    """One row per name, in the order of KINDS; an error of ours in one leaves the others alone."""
    make = functools.cache(lambda file: _make(subject, file))
    rows: list[Row] = []
    for kind in KINDS:
        if kind.name not in names:
            continue
        progress(f"trying {kind.name}")
        try:
            rows.append(_try(subject, kind, make(kind.file), seconds))
        except SkerryError as error:
            progress(f"{kind.name} is not available: {error.what}")
            rows.append(NotTried(kind, error.what, error.hint))
    return rows


def _make(subject: Subject, file: str) -> bytes:
    """The candidate's file. A failure is raised again for each kind that shares it."""
    if file.endswith(".tflite") and subject.litert is not None:
        return subject.litert
    if subject.onnx is None:
        raise Unsupported("the model is a LiteRT file, and no layers to make ONNX of")
    if file.endswith(".int8.onnx"):
        # Imported here: the quantiser takes half a second that most builds do without.
        from skerry.model.quantise import quantise

        others = subject.calibration
        return quantise(subject.onnx, subject.inputs if others is None else others)
    if file.endswith(".tflite"):
        return convert_to_litert(subject.file, subject.heads)
    return subject.onnx


def _try(subject: Subject, kind: Kind, data: bytes, seconds: float) -> Tried:
    trial = try_model(
        kind.engine,
        kind.precision,
        data,
        Path(kind.file).suffix,
        subject.inputs,
        batch=subject.batch,
        seconds=seconds,
    )
    verification = compare(
        subject.expected,
        [trial.singles, trial.batches],
        subject.names,
        subject.recipe,
        subject.recipe.output.top_k,
        subject.tie,
    )
    return Tried(kind, data, trial.singles, verification, subject.accuracy(trial.singles), trial.measurement)
