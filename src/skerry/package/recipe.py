"""The recipe: how an image becomes the model's input, and what the model's output means."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from skerry.errors import InvalidInput
from skerry.package.document import Reader, canonical_json
from skerry.package.framing import Crop, Fit, crop_json, read_crop

COLOURS = ("RGB", "BGR", "L")
METHODS = ("nearest", "bilinear", "bicubic", "lanczos")
# Regression gives numbers as they are; each has a name among the labels.
KINDS = ("softmax", "sigmoid", "binary", "binary-logit", "logits", "regression")
# One number, two labels.
BINARY = ("binary", "binary-logit")
# What each library's resize can do, as (method, antialias). Pillow's filters widen when they shrink
# (antialias), its nearest cannot; "tensorflow" is tf.image.resize / keras.layers.Resizing.
RESIZES = {
    "pillow": {("nearest", False), ("bilinear", True), ("bicubic", True), ("lanczos", True)},
    "tensorflow": {
        ("nearest", False),
        *(
            (method, antialias)
            for method in ("bilinear", "bicubic", "lanczos")
            for antialias in (False, True)
        ),
    },
}
# No CNN input we know is larger; it bounds what one request may make us allocate (4096^2 x 4 x 4 B = 268 MB).
INPUT_SIDE_MAX = 4096
CHANNELS = (1, 3)
# More pixels than this for each of the input's and a reduced JPEG is hardly smaller.
REDUCED_MAX = 16
# ImageNet-21k, the largest common label set, has 21,843 classes.
LABELS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The tensor the model takes: [batch, height, width, channels], float32."""

    name: str
    height: int
    width: int
    channels: int
    layout: str = "NHWC"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.channels not in CHANNELS:
            raise InvalidInput(
                f"images with {self.channels} channels are not known",
                path="input.channels",
                value=self.channels,
            )
        for side in (self.height, self.width):
            if not 1 <= side <= INPUT_SIDE_MAX:
                raise InvalidInput(
                    f"an input side must be 1 to {INPUT_SIDE_MAX} pixels", path="input", value=side
                )
        if (self.layout, self.dtype) != ("NHWC", "float32"):
            raise InvalidInput(
                "only NHWC float32 inputs are known", path="input", value=[self.layout, self.dtype]
            )


@dataclass(frozen=True, slots=True)
class Decode:
    """How the file becomes pixels; BGR is the channel order of Caffe-trained networks.

    ``reduced``: a JPEG may be decoded at a half, a quarter or an eighth of its size as long as this many
    pixels are left for each that the input takes, in both directions; 0: never. Only where the build has
    shown that the answers stay the same (``model/reduce.py``).
    """

    colour: str = "RGB"
    exif_orientation: bool = False
    reduced: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.reduced <= REDUCED_MAX:
            raise InvalidInput(
                f"decode.reduced must be 0 to {REDUCED_MAX}", path="decode.reduced", value=self.reduced
            )
        if self.colour not in COLOURS:
            raise InvalidInput(
                f"decode.colour must be one of {', '.join(COLOURS)}", path="decode.colour", value=self.colour
            )


@dataclass(frozen=True, slots=True)
class Resize:
    """The exact resize function of the training; the default is Pillow's bilinear."""

    method: str = "bilinear"
    antialias: bool = True
    library: str = "pillow"

    def __post_init__(self) -> None:
        if self.library not in RESIZES:
            raise InvalidInput(
                f"resize.library must be one of {', '.join(RESIZES)}",
                path="resize.library",
                value=self.library,
            )
        known = RESIZES[self.library]
        if (self.method, self.antialias) not in known:
            choices = ", ".join(f"{m}{' with' if a else ' without'} antialias" for m, a in sorted(known))
            raise InvalidInput(
                f"{self.library} cannot resize {self.method!r} with antialias={self.antialias}",
                hint=f"it knows {choices}",
                path="resize",
                value=[self.method, self.antialias],
            )

    @classmethod
    def of(cls, method: str, library: str = "pillow") -> Resize:
        """The resize of this name, with the antialias setting the library's function has."""
        return cls(method, library == "pillow" and method != "nearest", library)


@dataclass(frozen=True, slots=True)
class Scaling:
    """``pixel * scale + offset`` in float32 on 0..255 values; one number for all channels or one each."""

    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        if not self.scale or not self.offset:
            raise InvalidInput("scaling needs a scale and an offset", path="scaling", value=[])

    @classmethod
    def mean_std(cls, mean: Sequence[float], std: Sequence[float]) -> Scaling:
        """``(pixel - mean) / std``, with mean and standard deviation in 0..255 units."""
        if not std or any(s == 0 for s in std):
            raise InvalidInput("scaling.std must not be 0", path="scaling.std", value=list(std))
        deviations = std if len(std) == len(mean) else [*std] * len(mean)
        return cls(tuple(1 / s for s in std), tuple(-m / s for m, s in zip(mean, deviations, strict=True)))

    @property
    def is_identity(self) -> bool:
        return set(self.scale) == {1.0} and set(self.offset) == {0.0}


@dataclass(frozen=True, slots=True)
class Label:
    """One class: ``id`` is what programs keep (WordNet id, index), ``name`` what people read."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """The tensor the model gives, [batch, outputs]: softmax/sigmoid/logits have one output per label.

    ``binary`` is one sigmoid output with two labels: its value is the score of the second (of
    ``binary-logit``, before the sigmoid). ``regression``
    gives one number per label, none of them a score. Labels below ``threshold`` are left out of answers.
    """

    name: str
    kind: str
    labels: tuple[Label, ...]
    top_k: int = 5
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidInput(
                f"output.kind must be one of {', '.join(KINDS)}", path="output.kind", value=self.kind
            )
        if not 1 <= len(self.labels) <= LABELS_MAX:
            raise InvalidInput(
                "output.labels must not be empty", path="output.labels", value=len(self.labels)
            )
        if self.kind in BINARY and len(self.labels) != 2:
            raise InvalidInput("a binary output has two labels", path="output.labels", value=len(self.labels))
        if self.top_k < 1:
            raise InvalidInput("output.top_k must be at least 1", path="output.top_k", value=self.top_k)
        if not 0 <= self.threshold <= 1:
            raise InvalidInput(
                "output.threshold must be from 0 to 1", path="output.threshold", value=self.threshold
            )

    @property
    def size(self) -> int:
        """How many numbers the model gives for one image."""
        return 1 if self.kind in BINARY else len(self.labels)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything between an image file and a named prediction, except the network itself.

    ``others`` are the model's further outputs, behind ``output`` in the vector that an engine gives.
    """

    input: InputSpec
    output: OutputSpec
    decode: Decode = field(default_factory=Decode)
    crop: Crop | None = None
    resize: Resize = field(default_factory=Resize)
    scaling: Scaling = field(default_factory=Scaling)
    others: tuple[OutputSpec, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.crop, Fit) and self.resize.library != "pillow":
            raise InvalidInput(
                "only pillow resizes a box cut to parts of a pixel",
                hint='crop = 1.0, or resize = "pillow:…"',
                path="crop.kind",
                value="fit",
            )
        names = [spec.name for spec in self.outputs]
        if len(set(names)) != len(names):
            raise InvalidInput("two outputs have one name", path="others", value=names)
        channels = 1 if self.decode.colour == "L" else 3
        if channels != self.input.channels:
            raise InvalidInput(
                f"{self.decode.colour} has {channels} channels, the model takes {self.input.channels}",
                path="decode.colour",
                value=self.decode.colour,
            )
        for key, values in (("scale", self.scaling.scale), ("offset", self.scaling.offset)):
            if len(values) not in (1, channels):
                raise InvalidInput(
                    f"scaling.{key} must have 1 or {channels} numbers",
                    path=f"scaling.{key}",
                    value=list(values),
                )

    @property
    def outputs(self) -> tuple[OutputSpec, ...]:
        """All outputs, the main one first."""
        return (self.output, *self.others)

    @property
    def numbers(self) -> int:
        """How many numbers an engine gives for one image: those of all outputs, one after the other."""
        return sum(spec.size for spec in self.outputs)

    @property
    def parts(self) -> tuple[tuple[OutputSpec, slice], ...]:
        """Each output with its place among those numbers."""
        ends = list(accumulate(spec.size for spec in self.outputs))
        return tuple(
            (spec, slice(end - spec.size, end)) for spec, end in zip(self.outputs, ends, strict=True)
        )

    @property
    def digest(self) -> str:
        """``sha256:…`` of the canonical document: equal recipes prepare images equally."""
        return "sha256:" + hashlib.sha256(canonical_json(self.to_json())).hexdigest()

    def to_json(self, *, labels: bool = True) -> dict[str, object]:
        """The document; without ``labels`` where they are kept in a file of their own."""
        others = [_output_json(spec, labels=True) for spec in self.others]
        return {
            "input": {
                "name": self.input.name,
                "height": self.input.height,
                "width": self.input.width,
                "channels": self.input.channels,
                "layout": self.input.layout,
                "dtype": self.input.dtype,
            },
            "decode": {
                "colour": self.decode.colour,
                "exifOrientation": self.decode.exif_orientation,
                **({"reduced": self.decode.reduced} if self.decode.reduced else {}),
            },
            "crop": crop_json(self.crop),
            "resize": {
                "method": self.resize.method,
                "antialias": self.resize.antialias,
                "library": self.resize.library,
            },
            "scaling": {"scale": list(self.scaling.scale), "offset": list(self.scaling.offset)},
            "output": _output_json(self.output, labels=labels),
            **({"others": others} if others else {}),
        }

    @classmethod
    def from_json(cls, document: object, labels: Sequence[Label] | None = None) -> Recipe:
        """The recipe in ``document``; InvalidInput names the path and value of the first mistake.

        Scaling may be written as ``{"scale", "offset"}`` or as ``{"mean", "std"}``.
        """
        root = Reader(document)
        given, decode = root.child("input"), root.child("decode")
        others = root.items("others") if root.get("others") is not None else ()
        return cls(
            input=InputSpec(
                name=given.text("name"),
                height=given.whole("height", 1, INPUT_SIDE_MAX),
                width=given.whole("width", 1, INPUT_SIDE_MAX),
                channels=given.whole("channels", 1, 4),
                layout=given.text("layout", "NHWC"),
                dtype=given.text("dtype", "float32"),
            ),
            decode=Decode(
                decode.choice("colour", COLOURS, "RGB"),
                decode.flag("exifOrientation", False),
                0 if decode.get("reduced") is None else decode.whole("reduced", 0, REDUCED_MAX),
            ),
            crop=read_crop(root),
            resize=_resize(root.child("resize")),
            scaling=_scaling(root),
            output=_output(root.child("output"), labels),
            others=tuple(_output(Reader(item, f"others[{i}]"), None) for i, item in enumerate(others)),
        )


def labels_json(labels: Sequence[Label]) -> list[dict[str, str]]:
    """The labels as a list of objects, in the order of the outputs."""
    return [{"id": label.id, "name": label.name} for label in labels]


def parse_labels(items: object) -> tuple[Label, ...]:
    """The reverse of ``labels_json``."""
    if not isinstance(items, list | tuple):
        raise InvalidInput("labels must be a list", path="labels", value=items)
    readers = (Reader(item, f"labels[{i}]") for i, item in enumerate(items))
    return tuple(Label(reader.text("id"), reader.text("name")) for reader in readers)


def _output_json(spec: OutputSpec, *, labels: bool) -> dict[str, object]:
    document: dict[str, object] = {"name": spec.name, "kind": spec.kind, "topK": spec.top_k}
    if spec.threshold:
        document["threshold"] = spec.threshold
    return {**document, "labels": labels_json(spec.labels)} if labels else document


def _output(reader: Reader, labels: Sequence[Label] | None) -> OutputSpec:
    return OutputSpec(
        name=reader.text("name"),
        kind=reader.choice("kind", KINDS),
        labels=tuple(labels) if labels is not None else parse_labels(reader.items("labels")),
        top_k=reader.whole("topK", 1, LABELS_MAX),
        threshold=0.0 if reader.get("threshold") is None else reader.number("threshold"),
    )


def _resize(reader: Reader) -> Resize:
    return Resize(
        reader.choice("method", METHODS),
        reader.flag("antialias", True),
        reader.choice("library", tuple(RESIZES), "pillow"),
    )


def _scaling(root: Reader) -> Scaling:
    if root.get("scaling") is None:
        return Scaling()
    scaling = root.child("scaling")
    if scaling.get("mean") is not None:
        return Scaling.mean_std(scaling.numbers("mean"), scaling.numbers("std"))
    return Scaling(scaling.numbers("scale"), scaling.numbers("offset"))
