"""LiteRT in the build's own process: a ``.tflite`` file as it is, or with its plain reference kernels."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skerry.errors import Damaged, Unavailable
from skerry.model.keras_file import F32

HINT = "install it with: pip install 'skerry[litert]'"


class LiteRtSession:
    """A loaded model; ``plain`` computes with the reference kernels, nothing fused or delegated."""

    def __init__(self, model: bytes, *, plain: bool = False) -> None:
        try:
            runtime = importlib.import_module("ai_edge_litert.interpreter")
        except ImportError as exc:
            raise Unavailable("LiteRT is not installed", hint=HINT) from exc
        kernels = runtime.OpResolverType.BUILTIN_REF if plain else runtime.OpResolverType.AUTO
        try:
            self._interpreter = runtime.Interpreter(
                model_content=model, num_threads=1, experimental_op_resolver_type=kernels
            )
            self.inputs: Sequence[Mapping[str, Any]] = self._interpreter.get_input_details()
            self.outputs: Sequence[Mapping[str, Any]] = self._interpreter.get_output_details()
            self.tensors: Sequence[Mapping[str, Any]] = self._interpreter.get_tensor_details()
            # What the operations are is told by nothing else in the interpreter.
            self.operations: Sequence[Mapping[str, Any]] = self._interpreter._get_ops_details()
        except (RuntimeError, ValueError) as exc:
            raise Damaged(f"LiteRT cannot load the model: {_first_line(exc)}") from exc
        self._shape: tuple[int, ...] = ()

    @property
    def version(self) -> str:
        return importlib.metadata.version("ai-edge-litert")

    @property
    def fixed_batch(self) -> int | None:
        """How many images the file insists on; None for any number."""
        first = int(self.inputs[0]["shape_signature"][0])
        return first if first > 0 else None

    def run(self, batch: F32) -> F32:
        """The numbers of all outputs, one after the other, [n, numbers] for [n, height, width, channels]."""
        step = self.fixed_batch or len(batch)
        parts = [np.concatenate(self.run_all(batch[i : i + step]), 1) for i in range(0, len(batch), step)]
        return np.concatenate(parts)

    def run_all(self, batch: F32) -> list[F32]:
        """As ``run``, output by output, of at most a fixed batch; Damaged when the model refuses it."""
        size = len(batch)
        if self.fixed_batch is not None and size < self.fixed_batch:
            batch = np.concatenate([batch, np.zeros((self.fixed_batch - size, *batch.shape[1:]), np.float32)])
        given = int(self.inputs[0]["index"])
        try:
            if batch.shape != self._shape:
                self._interpreter.resize_tensor_input(given, list(batch.shape))
                self._interpreter.allocate_tensors()
                self._shape = batch.shape
            self._interpreter.set_tensor(given, np.ascontiguousarray(batch, np.float32))
            self._interpreter.invoke()
            made = [self._interpreter.get_tensor(int(each["index"])) for each in self.outputs]
        except (RuntimeError, ValueError) as exc:
            raise Damaged(f"LiteRT cannot run the model: {_first_line(exc)}") from exc
        return [np.array(output, np.float32)[:size].reshape(size, -1) for output in made]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
