"""The shapes of requests and answers, the same for HTTP and for messages."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from json.encoder import encode_basestring
from math import isfinite
from typing import Any

from skerry.clock import iso
from skerry.errors import InvalidInput, Unsupported
from skerry.serve.answer import Scored

Json = Any
Images = dict[str, bytes]

# The field name of an image that came without one: the one Microsoft's tutorial uses.
UNNAMED = "image"

_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_kind(content_type: str) -> str:
    """``multipart``, ``json`` or ``image``; Unsupported for what cannot hold an image.

    No type at all counts as an image: the bytes say what they are.
    """
    essence = content_type.split(";")[0].strip().lower()
    if essence == "multipart/form-data":
        return "multipart"
    if essence == "application/json":
        return "json"
    if not essence or essence.startswith("image/") or essence == "application/octet-stream":
        return "image"
    raise Unsupported(
        f"cannot read an image from {essence}",
        hint="send image/jpeg, image/png, multipart/form-data, or JSON with base64",
        field="Content-Type",
        value=essence[:100],
    )


def images_of_json(body: bytes) -> Images:
    """The images of ``{"image": "<base64>"}``, of ``{"images": {name: "<base64>"}}``, or of either
    under ``"input"`` (as an object or as a JSON string, as the tutorial's first versions sent it).

    Raises InvalidInput naming the field.
    """
    document = _loads(body, "body")
    if isinstance(document, dict) and "input" in document:
        document = document["input"]
        if isinstance(document, str):
            document = _loads(document.encode(), "input")
    if isinstance(document, dict) and isinstance(document.get("images"), dict) and document["images"]:
        return {name: image_of_base64(text, f"images.{name}") for name, text in document["images"].items()}
    if isinstance(document, dict) and "image" in document:
        return {UNNAMED: image_of_base64(document["image"], "image")}
    raise InvalidInput("no image in the JSON", hint='send {"image": "<base64>"}', field="image")


def image_of_base64(text: object, field: str) -> bytes:
    """The bytes of base64 text, which may be quoted or a ``data:`` URL; InvalidInput otherwise."""
    if not isinstance(text, str) or not text:
        raise InvalidInput(f"{field} is not base64 text", field=field)
    encoded = text.strip().strip('"')
    if encoded.startswith("data:"):
        encoded = encoded.partition(",")[2]
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidInput(f"{field} is not base64 text", field=field) from exc


def tutorial_answer(results: Mapping[str, Scored], total_ms: float) -> Json:
    """What the tutorial's driver returned: ``[{field: [[id, label, score], …]}, "Computed in X ms"]``."""
    best = {
        name: [[each.id, each.label, each.score] for each in scored.predictions]
        for name, scored in results.items()
    }
    return [best, f"Computed in {total_ms:.2f} ms"]


def prediction_document(scored: Scored) -> dict[str, Json]:
    """One answer with its provenance: the body of ``amlOutput`` and of ``/score`` for a raw image.

    ``label`` and ``score`` repeat the best prediction so that a route can test ``$body.label``; both
    are null when nothing reached the threshold. ``outputs`` has the model's other outputs by name, where
    there are several.
    """
    best = scored.predictions[0] if scored.predictions else None
    return {
        "label": best.label if best else None,
        "score": best.score if best else None,
        "margin": scored.margin,
        "predictions": [
            {"id": each.id, "label": each.label, "score": each.score} for each in scored.predictions
        ],
        "probabilities": scored.probabilities,
        "input": scored.input,
        "model": scored.model,
        "recipe": scored.recipe,
        "latencyMs": {
            "prepare": round(scored.latency.prepare, 3),
            "queue": round(scored.latency.queue, 3),
            "infer": round(scored.latency.infer, 3),
            "total": round(scored.latency.total, 3),
        },
        "batch": scored.batch,
        "time": iso(scored.at),
        **({"outputs": _further(scored)} if scored.further else {}),
    }


def prediction_json(scored: Scored) -> bytes:
    """``encode(prediction_document(scored))``, written by hand, as a small net takes less time than that."""
    # With an infinite number among those of the model the margin is none.
    if scored.further or not isfinite(scored.margin):
        return encode(prediction_document(scored))
    ranked = [
        f'{{"id":{encode_basestring(each.id)},"label":{encode_basestring(each.label)},"score":{each.score!r}}}'
        for each in scored.predictions
    ]
    best, latency = (scored.predictions[0] if ranked else None), scored.latency
    label = encode_basestring(best.label) if best else "null"
    return (
        f'{{"label":{label},"score":{best.score if best else "null"},"margin":{scored.margin!r},'
        f'"predictions":[{",".join(ranked)}],"probabilities":"{scored.probabilities}",'
        f'"input":"{scored.input}","model":"{scored.model}","recipe":"{scored.recipe}",'
        f'"latencyMs":{{"prepare":{round(latency.prepare, 3)!r},"queue":{round(latency.queue, 3)!r},'
        f'"infer":{round(latency.infer, 3)!r},"total":{round(latency.total, 3)!r}}},'
        f'"batch":{scored.batch},"time":"{iso(scored.at)}"}}'
    ).encode()


def _further(scored: Scored) -> dict[str, Json]:
    """The model's other outputs by name: labels with scores, or a regression's numbers by what they are."""
    return {
        answer.name: {"kind": answer.kind, "values": {each.label: each.score for each in answer.predictions}}
        if answer.kind == "regression"
        else {
            "kind": answer.kind,
            "predictions": [
                {"id": each.id, "label": each.label, "score": each.score} for each in answer.predictions
            ],
        }
        for answer in scored.further
    }


def answer_document(results: Mapping[str, Scored]) -> dict[str, Json]:
    """The prediction document of one image, or ``{"results": {name: document}}`` of several."""
    if len(results) == 1:
        return prediction_document(next(iter(results.values())))
    return {"results": {name: prediction_document(scored) for name, scored in results.items()}}


def encode(document: Json) -> bytes:
    """Compact JSON in UTF-8."""
    return _ENCODER.encode(document).encode()


def _loads(text: bytes, field: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidInput(f"{field} is not JSON", field=field) from exc
