"""Tensors of the Open Inference Protocol v2, as JSON and in its binary extension; bytes in, arrays out."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from skerry.errors import InvalidInput, Unsupported
from skerry.serve.predictor import FloatArray
from skerry.serve.protocol import Json, image_of_base64

# Where the JSON ends and the binary tensors begin.
LENGTH_HEADER = "inference-header-content-length"

FLOAT, TEXT = "FP32", "BYTES"
LITTLE_FLOAT = np.dtype("<f4")


Values: TypeAlias = NDArray[np.float32] | list[list[str]]
"""An output: numbers, or texts of the best classes, row by row."""


@dataclass(frozen=True, slots=True, eq=False)
class InferInput:
    """The one input: prepared images as float32, or image files as bytes."""

    floats: FloatArray | None
    files: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """One output as the caller wants it."""

    name: str
    binary: bool
    classes: int
    """This many best classes as ``score:index:label`` instead of the numbers; 0: the numbers."""


@dataclass(frozen=True, slots=True)
class InferRequest:
    """The JSON part of an inference request; the input's values come from ``read_input``."""

    id: str
    kind: str
    shape: tuple[int, ...]
    binary_size: int | None
    data: Json
    outputs: tuple[Asked, ...]
    """Empty: whatever the model gives."""
    binary: bool
    """Whether outputs are binary unless they say otherwise."""


def parse_infer(body: bytes, header_length: str | None) -> tuple[InferRequest, InferInput]:
    """Read a request; ``header_length`` is the extension's header. Raises InvalidInput, Unsupported."""
    length = len(body)
    if header_length is not None:
        if not header_length.isdecimal() or int(header_length) > len(body):
            raise InvalidInput("not the length of the JSON", field="Inference-Header-Content-Length")
        length = int(header_length)
    if length <= CACHED_BYTES_MAX and length < len(body):
        request = _parse_cached(body[:length])
    else:
        request = _parse(body[:length])
    return request, _read_input(request, memoryview(body)[length:])


def _parse(text: bytes) -> InferRequest:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidInput("the request is not JSON", field="body") from exc
    if not isinstance(document, dict):
        raise InvalidInput("the request is not a JSON object", field="body")
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise InvalidInput("the model takes one input", field="inputs")
    identifier = document.get("id", "")
    if not isinstance(identifier, str):
        raise InvalidInput("the id is not text", field="id")
    [given] = inputs
    shape, size = given.get("shape"), _parameters(given, "inputs[0].parameters").get("binary_data_size")
    if not isinstance(given.get("name"), str):
        raise InvalidInput("the input has no name", field="inputs[0].name")
    if not isinstance(shape, list) or not all(_is_size(each) for each in shape):
        raise InvalidInput("the shape is not a list of sizes", field="inputs[0].shape")
    if size is not None and not _is_size(size):
        raise InvalidInput("not a size", field="inputs[0].parameters.binary_data_size")
    return InferRequest(
        identifier,
        str(given.get("datatype"))[:20],
        tuple(shape),
        size,
        given.get("data"),
        tuple(_asked(each) for each in _list(document.get("outputs", []), "outputs")),
        _parameters(document, "parameters").get("binary_data_output") is True,
    )


# With binary tensors a client's JSON is the same from request to request.
CACHED_BYTES_MAX = 2048
_parse_cached = lru_cache(maxsize=32)(_parse)


def _read_input(request: InferRequest, tail: memoryview) -> InferInput:
    if (request.binary_size or 0) != len(tail):
        raise InvalidInput("not the size of the binary data", field="inputs[0].parameters.binary_data_size")
    data = None if request.binary_size is not None else request.data
    if request.kind == FLOAT:
        return InferInput(floats_of(request.shape, data, tail), ())
    if request.kind == TEXT:
        if data is None:
            return InferInput(None, files_of(request.shape, elements(bytes(tail))))
        texts = _list(data, "inputs[0].data")
        return InferInput(
            None, files_of(request.shape, [image_of_base64(x, "inputs[0].data") for x in texts])
        )
    raise unsupported(request.kind)


def unsupported(kind: str) -> Unsupported:
    """The error for an input of another type than ours."""
    return Unsupported(
        f"inputs of type {kind}", hint="send FP32 tensors, or image files as BYTES", field="datatype"
    )


def floats_of(shape: Sequence[int], data: Json, tail: bytes | memoryview) -> FloatArray:
    """An FP32 tensor from ``data`` (numbers, nested or flat), or in place from ``tail`` when that is None."""
    try:
        values = (_from_binary(tail) if data is None else _from_json(data)).reshape(shape)
    except (ValueError, TypeError, OverflowError, RecursionError) as exc:
        raise InvalidInput("the data does not have the shape", field="inputs[0].data") from exc
    if not all_finite(values):
        raise InvalidInput("the data holds what is not a number", field="inputs[0].data")
    return values


def _from_binary(tail: bytes | memoryview) -> FloatArray:
    # Copies on a big-endian machine only.
    return np.frombuffer(tail, LITTLE_FLOAT).astype(np.float32, copy=False)


def _from_json(data: Json) -> FloatArray:
    with np.errstate(over="ignore"):
        return np.asarray(data, np.float32).reshape(-1)


# A dot product is quicker than looking at each number; beyond this size it would wake numpy's own threads.
DOT_MAX = 8192


def all_finite(values: FloatArray) -> bool:
    """Whether there is no NaN and no infinity."""
    if values.size <= DOT_MAX:
        flat = values.reshape(-1)
        # A sum of squares is infinite also where it only overflows: then each number is looked at.
        if isfinite(flat.dot(flat)):
            return True
    return bool(np.isfinite(values).all())


def elements(tail: bytes) -> list[bytes]:
    """The elements of a binary BYTES tensor, each after its length. Raises InvalidInput."""
    found, position = list[bytes](), 0
    while position < len(tail):
        if position + 4 > len(tail):
            raise InvalidInput("a length is cut off", field="inputs[0].data")
        (length,) = struct.unpack_from("<I", tail, position)
        found.append(tail[position + 4 : position + 4 + length])
        position += 4 + length
    if position != len(tail):
        raise InvalidInput("an element is cut off", field="inputs[0].data")
    return found


def files_of(shape: Sequence[int], files: Sequence[bytes]) -> tuple[bytes, ...]:
    """The image files of a BYTES tensor. Raises InvalidInput when they are not as many as the shape says."""
    count = int(np.prod(shape, dtype=np.float64)) if shape else 1
    if count != len(files) or not files:
        raise InvalidInput("the data does not have the shape", field="inputs[0].data")
    return tuple(files)


def _asked(document: Json) -> Asked:
    if not isinstance(document, dict) or not isinstance(document.get("name"), str):
        raise InvalidInput("an output has no name", field="outputs")
    parameters = _parameters(document, "outputs[].parameters")
    classes = parameters.get("classification", 0)
    if not _is_size(classes):
        raise InvalidInput("classification is not a number", field="outputs[].parameters.classification")
    return Asked(document["name"], parameters.get("binary_data") is True, classes)


def _parameters(document: Mapping[str, Json], field: str) -> dict[str, Json]:
    found = document.get("parameters", {})
    if not isinstance(found, dict):
        raise InvalidInput("the parameters are not an object", field=field)
    return found


def _list(value: Json, field: str) -> list[Json]:
    if not isinstance(value, list):
        raise InvalidInput("not a list", field=field)
    return value


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """One output of the answer: its numbers, or its best classes as text."""

    name: str
    values: Values
    binary: bool


def raw_of(values: Values) -> bytes:
    """The output as a binary tensor."""
    if isinstance(values, np.ndarray):
        return values.astype("<f4").tobytes()
    texts = [text.encode() for row in values for text in row]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)
