"""Responses of the Open Inference Protocol v2 over REST: their one shape is written by hand."""

from __future__ import annotations

import json
from functools import lru_cache
from json.encoder import encode_basestring

import numpy as np

from skerry.serve.fronts.inference import VERSION, Inferred
from skerry.serve.fronts.tensors import FLOAT, TEXT, Rendered, raw_of


def infer_response(answer: Inferred, identifier: str) -> tuple[bytes, int | None]:
    """The response's body with its outputs, and the length of its JSON part if tensors follow."""
    used, tails = answer.used, list[bytes]()
    head = _head(used.package.name, used.package.digest, used.recipe_digest)
    named = f',"id":{encode_basestring(identifier)}' if identifier else ""
    outputs = ",".join([_output(each, tails) for each in answer.outputs])
    text = f'{head}{named},"outputs":[{outputs}]}}'.encode()
    return (text + b"".join(tails), len(text)) if tails else (text, None)


def _output(output: Rendered, tails: list[bytes]) -> str:
    """One output as JSON; its tensor goes to ``tails`` where it is binary."""
    values = output.values
    numbers = isinstance(values, np.ndarray)
    start = f"{_start(output.name, FLOAT if numbers else TEXT)}[{len(values)},{len(values[0])}]"
    if output.binary:
        tails.append(raw_of(values))
        return f'{start},"parameters":{{"binary_data_size":{len(tails[-1])}}}}}'
    if isinstance(values, np.ndarray):
        data = ",".join(map(repr, values.reshape(-1).tolist()))
    else:
        data = ",".join([encode_basestring(text) for row in values for text in row])
    return f'{start},"data":[{data}]}}'


@lru_cache(maxsize=8)
def _head(model: str, digest: str, recipe: str) -> str:
    parameters = json.dumps({"digest": digest, "recipe": recipe}, separators=(",", ":"))
    return f'{{"model_name":{encode_basestring(model)},"model_version":"{VERSION}","parameters":{parameters}'


@lru_cache(maxsize=64)
def _start(name: str, kind: str) -> str:
    return f'{{"name":{encode_basestring(name)},"datatype":"{kind}","shape":'
