"""Who says what the original model answers: real Keras, the numpy runner, or the ONNX file itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from skerry.errors import InvalidInput
from skerry.model import keras_runtime, reference
from skerry.model.keras_file import F32
from skerry.model.litert_session import LiteRtSession
from skerry.model.network import Network
from skerry.model.onnx_session import OnnxSession
from skerry.model.origin import Origin

KINDS = ("auto", "keras", "numpy")
# Enough to keep two cores busy, few enough that a deep network's activations fit.
BATCH = 8


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What the original answers, float32 [n, numbers], and the name of the witness."""

    outputs: F32
    name: str


def ask(origin: Origin, network: Network, inputs: F32, kind: str, progress: Callable[[str], None]) -> Answers:
    """What the original answers to ``inputs`` [n, height, width, channels].

    ``auto`` is real Keras where it is installed and can load the file, else numpy; an ONNX or LiteRT file
    speaks for itself, run without any optimisation. InvalidInput when Keras was asked for and cannot run
    the model.
    """
    if network.onnx is not None:
        session = OnnxSession(network.onnx, plain=True)
        return Answers(_in_batches(session.run, inputs), "onnxruntime without optimisation")
    if network.litert is not None:
        plain = LiteRtSession(network.litert, plain=True)
        return Answers(_in_batches(plain.run, inputs), f"litert {plain.version}, reference kernels")
    if kind == "keras" or (kind == "auto" and keras_runtime.is_installed()):
        progress("asking keras for the original's answers")
        try:
            answer = keras_runtime.predict(origin, inputs, heads=network.heads)
        except InvalidInput as exc:
            if kind == "keras" or origin.runs_code or origin.model.is_dir():
                raise
            progress(f"{exc.what}: asking numpy instead")
        else:
            return Answers(answer.outputs, f"keras {answer.version}")
    else:
        progress("asking numpy for the original's answers")
    return Answers(_in_batches(lambda batch: reference.predict(network, batch), inputs), "numpy")


def require_numbers(outputs: F32, names: Sequence[str]) -> None:
    """InvalidInput naming the samples to which the original itself answers NaN or infinity."""
    odd = [name for name, row in zip(names, outputs, strict=True) if not np.isfinite(row).all()]
    if odd:
        raise InvalidInput(
            f"the model itself answers {len(odd)} of {len(names)} samples with NaN: {', '.join(odd[:3])}",
            hint="check the scaling of its inputs, or train it again with a smaller learning rate",
            samples=odd,
        )


def _in_batches(run: Callable[[F32], F32], inputs: F32) -> F32:
    return np.concatenate([run(inputs[i : i + BATCH]) for i in range(0, len(inputs), BATCH)])
