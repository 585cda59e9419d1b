"""Requests of the gRPC service as ours, and our answers as the service's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skerry.errors import InvalidInput
from skerry.serve.fronts.inference import VERSION
from skerry.serve.fronts.tensors import (
    FLOAT,
    TEXT,
    Asked,
    InferInput,
    Rendered,
    elements,
    files_of,
    floats_of,
    raw_of,
    unsupported,
)
from skerry.serve.rpc.schema import CLASSES, Message

# No tensor of ours has more; a shape is a caller's text.
DIMENSIONS_MAX = 8


def input_of(request: Message) -> InferInput:
    """The one input, raw or typed. Raises InvalidInput, Unsupported."""
    if len(request.inputs) != 1:
        raise InvalidInput("the model takes one input", field="inputs")
    [given] = request.inputs
    raws = list(request.raw_input_contents)
    if len(raws) > 1:
        raise InvalidInput("more raw contents than inputs", field="raw_input_contents")
    shape = list(given.shape)
    if len(shape) > DIMENSIONS_MAX or any(not 0 <= side < 2**31 for side in shape):
        raise InvalidInput("the shape is not a list of sizes", field="inputs[0].shape")
    if given.datatype == FLOAT:
        data = None if raws else np.asarray(given.contents.fp32_contents, np.float32)
        return InferInput(floats_of(shape, data, raws[0] if raws else b""), ())
    if given.datatype == TEXT:
        files = elements(raws[0]) if raws else list(given.contents.bytes_contents)
        return InferInput(None, files_of(shape, files))
    raise unsupported(given.datatype[:20])


def outputs_of(request: Message) -> tuple[Asked, ...]:
    """The outputs asked for, each raw if the input was. Raises InvalidInput."""
    found = []
    for output in request.outputs:
        classes = 0
        if "classification" in output.parameters:
            classes = output.parameters["classification"].int64_param
            if not 0 < classes < 2**31:
                raise InvalidInput("classification is not a number", field="outputs[].parameters")
        found.append(Asked(output.name, bool(request.raw_input_contents), classes))
    return tuple(found)


def infer_response(request: Message, outputs: Sequence[Rendered], provenance: dict[str, str]) -> Message:
    """The answer: raw contents for who sent raw ones, else typed."""
    response = CLASSES["ModelInferResponse"](
        model_name=request.model_name, model_version=VERSION, id=request.id
    )
    for name, text in provenance.items():
        response.parameters[name].string_param = text
    for output in outputs:
        values = output.values
        numbers = isinstance(values, np.ndarray)
        shape = values.shape if isinstance(values, np.ndarray) else (len(values), len(values[0]))
        tensor = response.outputs.add(name=output.name, datatype=FLOAT if numbers else TEXT, shape=shape)
        if output.binary:
            response.raw_output_contents.append(raw_of(values))
        elif isinstance(values, np.ndarray):
            tensor.contents.fp32_contents.extend(values.ravel().tolist())
        else:
            tensor.contents.bytes_contents.extend(text.encode() for row in values for text in row)
    return response
