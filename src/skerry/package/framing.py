"""Which part of an image the model sees: all of it stretched, a centred box, or all of it on a ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from skerry.errors import InvalidInput
from skerry.package.document import Reader


@dataclass(frozen=True, slots=True)
class CentreCrop:
    """The largest centred box of the input's aspect ratio, shrunk to ``fraction`` (sides rounded down)."""

    fraction: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.fraction <= 1.0:
            raise InvalidInput(
                "crop.fraction must be above 0 and at most 1", path="crop.fraction", value=self.fraction
            )


@dataclass(frozen=True, slots=True)
class Fit:
    """The largest centred box of the input's aspect ratio, to parts of a pixel, as Pillow's ImageOps.fit."""


@dataclass(frozen=True, slots=True)
class Pad:
    """The whole image, made to fit, centred on a ground of ``value`` (0..255).

    As Pillow's ImageOps.pad, or with ``tensorflow`` as tf.image.resize_with_pad: they round differently.
    """

    value: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 255:
            raise InvalidInput("crop.value must be from 0 to 255", path="crop.value", value=self.value)


Crop = CentreCrop | Fit | Pad


def crop_json(crop: Crop | None) -> dict[str, object] | None:
    """The document of ``crop``."""
    match crop:
        case None:
            return None
        case CentreCrop(fraction):
            return {"kind": "centre", "fraction": fraction}
        case Fit():
            return {"kind": "fit"}
        case Pad(value):
            return {"kind": "pad", "value": value}
    assert_never(crop)


def read_crop(root: Reader) -> Crop | None:
    """The reverse of ``crop_json``; InvalidInput names what is wrong."""
    if root.get("crop") is None:
        return None
    crop = root.child("crop")
    match crop.choice("kind", ("centre", "fit", "pad"), "centre"):
        case "fit":
            return Fit()
        case "pad":
            return Pad(crop.whole("value", 0, 255))
    return CentreCrop(crop.number("fraction"))
