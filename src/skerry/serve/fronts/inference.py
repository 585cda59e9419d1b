"""What the Open Inference Protocol v2 asks of a model, whichever transport asks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skerry.errors import InvalidInput, NotFound, SkerryError
from skerry.package.postprocess import scores_of
from skerry.package.recipe import OutputSpec, Recipe
from skerry.serve.fronts.answers import Plane
from skerry.serve.fronts.tensors import FLOAT, Asked, InferInput, Rendered, Values
from skerry.serve.loaded import LoadedModel
from skerry.serve.predictor import FloatArray
from skerry.serve.protocol import Json

VERSION = "1"
EXTENSIONS = ("binary_tensor_data", "classification")


class ModelVerbs:
    """The protocol's verbs over the data plane, counted under ``front``."""

    def __init__(self, plane: Plane, front: str) -> None:
        self._plane = plane
        self._scorer = plane.scorer
        self._front = front

    def check(self, model: str, version: str) -> None:
        """Raise NotFound for another model or version than the one that serves."""
        known: Json = self._scorer.package.name
        if model != known or version not in ("", VERSION):
            raise NotFound(f"there is no model {model[:100]}", hint=f"there is {known}, version {VERSION}")

    def metadata(self) -> dict[str, Json]:
        """The model's metadata, as the protocol names it."""
        package, recipe = self._scorer.package, self._scorer.package.recipe
        sides = [recipe.input.height, recipe.input.width, recipe.input.channels]
        return {
            "name": package.name,
            "versions": [VERSION],
            "platform": "onnx_onnxv1",
            "inputs": [{"name": recipe.input.name, "datatype": FLOAT, "shape": [-1, *sides]}],
            "outputs": [
                {"name": spec.name, "datatype": FLOAT, "shape": [-1, spec.size]} for spec in recipe.outputs
            ],
        }

    def provenance(self) -> dict[str, str]:
        """The digests of package and preprocessing that an answer is traced back by."""
        return {"digest": self._scorer.package.digest, "recipe": self._scorer.package.recipe.digest}

    async def infer(
        self, asked: Sequence[Asked], given: InferInput, *, binary: bool
    ) -> tuple[list[Rendered], dict[str, str]]:
        """The outputs asked for, all where none is named, and the digests of what gave them.

        Raises InvalidInput for another shape or output than the model's, and as the scorer does.
        """
        # One model for the whole answer: another may be switched to while this one computes.
        used, provenance = self._scorer.model, self.provenance()
        wanted = _wanted(used.recipe, asked, binary)
        found = await self._outputs(used, given)
        if not np.isfinite(found).all():
            raise InvalidInput("the model gives no number for this input", field="inputs[0].data")
        return [
            Rendered(each.name, _values(used.recipe, found, each), each.binary) for each in wanted
        ], provenance

    async def _outputs(self, used: LoadedModel, given: InferInput) -> FloatArray:
        try:
            if given.floats is None:
                found = await self._scorer.outputs(given.files, used)
            else:
                found = await self._scorer.infer(_shaped(used.recipe, given.floats), used)
        except SkerryError as exc:
            self._plane.measures.refused(self._front, exc)
            raise
        self._plane.measures.inferred(self._front, len(found))
        return found


def _shaped(recipe: Recipe, floats: FloatArray) -> FloatArray:
    spec = recipe.input
    wanted = (spec.height, spec.width, spec.channels)
    if floats.ndim != 4 or floats.shape[1:] != wanted or not len(floats):
        raise InvalidInput(f"the model takes [N, {', '.join(map(str, wanted))}]", field="inputs[0].shape")
    return floats


def _wanted(recipe: Recipe, asked: Sequence[Asked], binary: bool) -> list[Asked]:
    """The outputs to answer with: those asked for, else all."""
    names = [spec.name for spec in recipe.outputs]
    if not asked:
        return [Asked(name, binary, 0) for name in names]
    given = [output.name for output in asked]
    if not set(given) <= set(names) or len(set(given)) < len(given):
        known = "one output is" if len(names) == 1 else "outputs are"
        raise InvalidInput(f"the model's {known} {', '.join(names)}", field="outputs")
    return [Asked(each.name, each.binary or binary, each.classes) for each in asked]


def _values(recipe: Recipe, found: FloatArray, wanted: Asked) -> Values:
    spec, place = next(part for part in recipe.parts if part[0].name == wanted.name)
    rows = found[:, place]
    if wanted.classes and spec.kind == "regression":
        raise InvalidInput(f"{spec.name} gives numbers, not classes", field="outputs")
    return _classes(spec, rows, wanted.classes) if wanted.classes else rows


def _classes(spec: OutputSpec, found: FloatArray, count: int) -> list[list[str]]:
    labels, texts = spec.labels, list[list[str]]()
    for row in found:
        values = scores_of(row, spec)
        places = np.argsort(-values, kind="stable")[:count]
        ranked = zip(places.tolist(), values[places].tolist(), strict=True)
        texts.append([f"{score:.6f}:{place}:{labels[place].name}" for place, score in ranked])
    return texts
