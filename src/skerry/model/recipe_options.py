"""From a few words on the command line, and the model itself, to a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import assert_never

from skerry.errors import InvalidInput
from skerry.model.guess import guess_scaling, rescales
from skerry.model.network import Network
from skerry.package.framing import CentreCrop, Crop, Fit, Pad
from skerry.package.recipe import METHODS, RESIZES, Decode, InputSpec, OutputSpec, Recipe, Resize, Scaling

RESIZE = "pillow:bilinear"
_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
# keras.applications.imagenet_utils.preprocess_input, by mode; "caffe" also reverses the channels.
SCALINGS = {
    "none": Scaling(),
    "unit": Scaling((1 / 255,), (0.0,)),
    "tf": Scaling((1 / 127.5,), (-1.0,)),
    "torch": Scaling.mean_std(_MEAN, _STD),
    "caffe": Scaling((1.0,), (-103.939, -116.779, -123.68)),
}
PADDED = "pad"


@dataclass(frozen=True, slots=True)
class RecipeOptions:
    """How the training prepared its images, in words; None where nobody has said it.

    ``crop``: central share of the shorter side, ``fit``, ``pad`` or ``none`` for the whole image stretched.
    ``resize``: ``library:method`` such as ``pillow:bicubic`` or ``tensorflow:bilinear``
    (image_dataset_from_directory), with ``:antialias`` behind it where TensorFlow did so. ``scaling``: a name
    of SCALINGS, or numbers, applied before the model's own Rescaling. ``colour``: RGB, BGR or L.
    """

    crop: float | str | None = None
    resize: str | None = None
    scaling: str | Scaling | None = None
    colour: str | None = None
    exif: bool | None = None
    pad_value: int | None = None

    def over(self, below: RecipeOptions) -> RecipeOptions:
        """These, and where they say nothing, those ``below``."""
        said = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        return replace(below, **said)


def make_recipe(
    network: Network, input_name: str, outputs: Sequence[OutputSpec], options: RecipeOptions
) -> Recipe:
    """The recipe for a model with these outputs, the main one first."""
    height, width, channels = network.shape
    scaling = options.scaling if options.scaling is not None else guess_scaling(network).scaling
    colour = options.colour or ("BGR" if scaling == "caffe" else "RGB" if channels == 3 else "L")
    return Recipe(
        input=InputSpec(input_name, height, width, channels),
        output=outputs[0],
        decode=Decode(colour, bool(options.exif)),
        crop=_crop(options),
        resize=_resize(options.resize or RESIZE),
        scaling=_scaling(scaling, channels),
        others=tuple(outputs[1:]),
    )


def preparation(network: Network, options: RecipeOptions, recipe: Recipe) -> str:
    """One line on what the recipe does to an image, and where each part comes from."""
    spec = recipe.input
    said = "" if options.scaling is not None else f" (guessed: {guess_scaling(network).why})"
    scaling = options.scaling if isinstance(options.scaling, str) else None
    name = scaling or (guess_scaling(network).scaling if options.scaling is None else "by numbers")
    method = f"{recipe.resize.library}:{recipe.resize.method}"
    upright = "turned by EXIF, " if recipe.decode.exif_orientation else ""
    return (
        f"inputs: {recipe.decode.colour}, {upright}{_frame(recipe.crop)}, {method} to {spec.height} x "
        f"{spec.width}{'' if options.resize else ' (default)'}, scaling {name}{said}"
    )


def _frame(crop: Crop | None) -> str:
    match crop:
        case None:
            return "the whole image stretched"
        case CentreCrop(fraction):
            return f"the middle {fraction:g}"
        case Fit():
            return "the middle as ImageOps.fit"
        case Pad(value):
            return f"the whole image on a ground of {value}"
    assert_never(crop)


def scaling_doubt(network: Network, options: RecipeOptions) -> str:
    """A sentence when the scaling looks forgotten or done twice, else nothing."""
    inside = rescales(network)
    if inside and options.scaling not in (None, "none"):
        return f"the model rescales its input itself, and scaling is {options.scaling!r} too: is that meant?"
    if (options.scaling == "none" and not inside) or (
        options.scaling is None and not guess_scaling(network).sure
    ):
        return "the model does not rescale its input and scaling is 'none': it gets pixels of 0..255"
    return ""


def _crop(options: RecipeOptions) -> Crop | None:
    if options.pad_value is not None and options.crop != PADDED:
        raise InvalidInput("pad_value needs crop = 'pad'", field="pad_value", value=options.pad_value)
    match options.crop:
        case None | "none":
            return None
        case "fit":
            return Fit()
        case "pad":
            return Pad(options.pad_value or 0)
    try:
        return CentreCrop(float(options.crop))
    except ValueError as exc:
        raise InvalidInput(
            f"crop {options.crop!r} is not known",
            hint="a share such as 0.875, fit, pad or none",
            field="crop",
        ) from exc


def _scaling(scaling: str | Scaling, channels: int) -> Scaling:
    if isinstance(scaling, Scaling):
        return scaling
    if scaling not in SCALINGS:
        raise InvalidInput(
            f"scaling {scaling!r} is not known", hint=f"one of {', '.join(SCALINGS)}", value=scaling
        )
    found = SCALINGS[scaling]
    if channels == 1 and len(found.offset) > 1:
        raise InvalidInput(f"scaling {scaling!r} is for three channels, the model takes one", value=scaling)
    return found


def _resize(text: str) -> Resize:
    antialias = text.endswith(":antialias")
    library, _, method = text.removesuffix(":antialias").rpartition(":")
    library = library or "pillow"
    if library not in RESIZES or method not in METHODS:
        known = ", ".join(
            f"{lib}:{m}{':antialias' if widened and lib != 'pillow' else ''}"
            for lib, kinds in RESIZES.items()
            for m, widened in sorted(kinds)
        )
        raise InvalidInput(f"resize {text!r} is not known", hint=f"one of {known}", value=text)
    return Resize(method, True, library) if antialias else Resize.of(method, library)
