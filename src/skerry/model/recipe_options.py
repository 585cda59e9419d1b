"""From a few words on the command line, and the model itself, to a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skerry.errors import InvalidInput
from skerry.model.network import Network
from skerry.package.framing import CentreCrop
from skerry.package.recipe import METHODS, RESIZES, Decode, InputSpec, OutputSpec, Recipe, Resize, Scaling

_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
# keras.applications.imagenet_utils.preprocess_input, by mode; "caffe" also reverses the channels.
SCALINGS = {
    "none": Scaling(),
    "unit": Scaling((1 / 255,), (0.0,)),
    "tf": Scaling((1 / 127.5,), (-1.0,)),
    "torch": Scaling.mean_std(_MEAN, _STD),
    "caffe": Scaling((1.0,), (-103.939, -116.779, -123.68)),
}
_RESCALING = ("Rescaling", "Normalization")


@dataclass(frozen=True, slots=True)
class RecipeOptions:
    """How the training prepared its images, in words.

    ``crop``: central share of the shorter side, None for the whole image. ``resize``: ``library:method``
    such as ``pillow:bicubic`` or ``tensorflow:bilinear`` (image_dataset_from_directory). ``scaling``: a name
    of SCALINGS, applied before the model's own Rescaling. ``colour``: RGB, BGR or L; None follows the
    model's channels.
    """

    crop: float | None = None
    resize: str = "pillow:bilinear"
    scaling: str = "none"
    colour: str | None = None
    top_k: int = 5


def make_recipe(
    network: Network, input_name: str, outputs: Sequence[OutputSpec], options: RecipeOptions
) -> Recipe:
    """The recipe for a model with these outputs, the main one first."""
    height, width, channels = network.shape
    if options.scaling not in SCALINGS:
        raise InvalidInput(
            f"scaling {options.scaling!r} is not known",
            hint=f"one of {', '.join(SCALINGS)}",
            value=options.scaling,
        )
    colour = options.colour or ("BGR" if options.scaling == "caffe" else "RGB" if channels == 3 else "L")
    return Recipe(
        input=InputSpec(input_name, height, width, channels),
        output=outputs[0],
        decode=Decode(colour),
        crop=None if options.crop is None else CentreCrop(options.crop),
        resize=_resize(options.resize),
        scaling=SCALINGS[options.scaling],
        others=tuple(outputs[1:]),
    )


def scaling_doubt(network: Network, options: RecipeOptions) -> str:
    """A sentence when the scaling looks forgotten or done twice, else nothing."""
    inside = any(node.kind in _RESCALING or node.kind.startswith("ops.") for node in network.nodes[:6])
    if inside and options.scaling != "none":
        return f"the model rescales its input itself, and scaling is {options.scaling!r} too: is that meant?"
    if not inside and options.scaling == "none":
        return "the model does not rescale its input and scaling is 'none': it gets pixels of 0..255"
    return ""


def _resize(text: str) -> Resize:
    library, colon, method = text.partition(":")
    if not colon:
        library, method = "pillow", text
    if library not in RESIZES or method not in METHODS:
        known = ", ".join(f"{lib}:{m}" for lib, kinds in RESIZES.items() for m, _ in sorted(kinds))
        raise InvalidInput(f"resize {text!r} is not known", hint=f"one of {known}", value=text)
    return Resize.of(method, library)
