"""What the Open Inference Protocol v2 asks of a model, whichever transport asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from skerry.errors import InvalidInput, NotFound, SkerryError
from skerry.package.postprocess import ranked, scores_of
from skerry.package.recipe import OutputSpec, Recipe
from skerry.serve.fronts.answers import Plane
from skerry.serve.fronts.tensors import FLOAT, Asked, InferInput, Rendered, all_finite
from skerry.serve.loaded import LoadedModel
from skerry.serve.predictor import FloatArray
from skerry.serve.protocol import Json
from skerry.serve.work import Work

VERSION = "1"
EXTENSIONS = ("binary_tensor_data", "classification")


# Combinations of outputs whose places are remembered.
KNOWN_MAX = 32


@dataclass(frozen=True, slots=True)
class Wanted:
    """An output as asked for, and where the model gives it."""

    asked: Asked
    spec: OutputSpec
    place: slice


Known: TypeAlias = dict[tuple[tuple[Asked, ...], bool], Sequence[Wanted]]


@dataclass(slots=True, eq=False)
class Inferred:
    """An answer: the model that gave it, and its outputs."""

    used: LoadedModel
    outputs: list[Rendered]

    @property
    def provenance(self) -> dict[str, str]:
        """The digests of package and preprocessing that it is traced back by."""
        return {"digest": self.used.package.digest, "recipe": self.used.recipe_digest}


class ModelVerbs:
    """The protocol's verbs over the data plane, counted under ``front``."""

    def __init__(self, plane: Plane, front: str) -> None:
        self._plane = plane
        self._scorer = plane.scorer
        self._front = front
        self._known: tuple[LoadedModel | None, dict[tuple[tuple[Asked, ...], bool], Sequence[Wanted]]] = (
            None,
            {},
        )

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

    async def infer(self, asked: tuple[Asked, ...], given: InferInput, *, binary: bool) -> Inferred:
        """The outputs asked for, all where none is named.

        Raises InvalidInput for another shape or output than the model's, and as the scorer does.
        """
        # One model for the whole answer: another may be switched to while this one computes.
        used = self._scorer.model
        wanted = self._wanted(used, asked, binary)
        return _inferred(used, wanted, await self._outputs(used, given))

    def infer_soon(
        self,
        asked: tuple[Asked, ...],
        floats: FloatArray,
        done: Callable[[Inferred | SkerryError], None],
        *,
        binary: bool,
    ) -> None:
        """As ``infer`` for one prepared image, without a task; ``done`` may be called before this returns."""
        used = self._scorer.model
        wanted = self._wanted(used, asked, binary)
        image = _shaped(used.recipe, floats)[0]

        def ended(work: Work) -> None:
            done(self._ended(used, wanted, work))

        try:
            self._scorer.infer_soon(image, used, ended)
        except SkerryError as exc:
            self._plane.measures.refused(self._front, exc)
            raise

    def _ended(self, used: LoadedModel, wanted: Sequence[Wanted], work: Work) -> Inferred | SkerryError:
        if work.error is not None:
            self._plane.measures.refused(self._front, work.error)
            return work.error
        self._plane.measures.inferred(self._front, 1)
        try:
            return _inferred(used, wanted, work.row[None])
        except SkerryError as exc:
            return exc

    def _wanted(self, used: LoadedModel, asked: tuple[Asked, ...], binary: bool) -> Sequence[Wanted]:
        """What to answer with; remembered, as clients ask for the same again and again."""
        if self._known[0] is not used or len(self._known[1]) >= KNOWN_MAX:
            self._known = (used, {})
        found = self._known[1].get((asked, binary))
        if found is None:
            found = self._known[1][asked, binary] = _wanted(used.recipe, asked, binary)
        return found

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


def _wanted(recipe: Recipe, asked: Sequence[Asked], binary: bool) -> tuple[Wanted, ...]:
    """The outputs to answer with: those asked for, else all."""
    parts = {spec.name: (spec, place) for spec, place in recipe.parts}
    given = asked or [Asked(name, binary, 0) for name in parts]
    names = [output.name for output in given]
    if not set(names) <= set(parts) or len(set(names)) < len(names):
        known = "one output is" if len(parts) == 1 else "outputs are"
        raise InvalidInput(f"the model's {known} {', '.join(parts)}", field="outputs")
    for each in given:
        if each.classes and parts[each.name][0].kind == "regression":
            raise InvalidInput(f"{each.name} gives numbers, not classes", field="outputs")
    return tuple(
        Wanted(Asked(each.name, each.binary or binary, each.classes), *parts[each.name]) for each in given
    )


def _inferred(used: LoadedModel, wanted: Sequence[Wanted], found: FloatArray) -> Inferred:
    if not all_finite(found):
        raise InvalidInput("the model gives no number for this input", field="inputs[0].data")
    outputs = []
    for each in wanted:
        rows, count = found[:, each.place], each.asked.classes
        values = _classes(each.spec, rows, count) if count else rows
        outputs.append(Rendered(each.asked.name, values, each.asked.binary))
    return Inferred(used, outputs)


def _classes(spec: OutputSpec, found: FloatArray, count: int) -> list[list[str]]:
    labels, texts = spec.labels, list[list[str]]()
    for row in found:
        values = scores_of(row, spec)
        texts.append([f"{score:.6f}:{place}:{labels[place].name}" for place, score in ranked(values, count)])
    return texts
