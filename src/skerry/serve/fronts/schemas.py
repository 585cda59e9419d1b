"""JSON schemas of what the fronts take and give, for the descriptions."""

from __future__ import annotations

from skerry.serve.protocol import Json

TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "number"}
WHOLE: Json = {"type": "integer"}


def record(required: dict[str, Json], **optional: Json) -> Json:
    """An object with these members, the first of which must be there."""
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


def rows(items: Json, **bounds: int) -> Json:
    """A list."""
    return {"type": "array", "items": items, **bounds}


def mapping(values: Json, **bounds: int) -> Json:
    """An object with any names."""
    return {"type": "object", "additionalProperties": values, **bounds}


def error(name: str, kind: Json = TEXT, **more: Json) -> Json:
    """An error's body, by the member that tells it."""
    return record({name: kind}, **more)


OR_NULL = {"nullable": True}

PREDICTION: Json = record(
    {
        "label": {**TEXT, **OR_NULL},
        "score": {**NUMBER, **OR_NULL},
        "margin": NUMBER,
        "predictions": rows(record({"id": TEXT, "label": TEXT, "score": NUMBER})),
        "probabilities": TEXT,
        "input": TEXT,
        "model": TEXT,
        "recipe": TEXT,
        "latencyMs": mapping(NUMBER),
        "batch": WHOLE,
        "time": {**TEXT, "format": "date-time"},
    }
)

# ``[{field: [[id, label, score], …]}, "Computed in X ms"]``: OpenAPI 3.0 has no tuples.
TUTORIAL: Json = rows(
    {"oneOf": [mapping(rows(rows({"oneOf": [TEXT, NUMBER]}))), TEXT]}, minItems=2, maxItems=2
)

SCORED: Json = {"oneOf": [PREDICTION, record({"results": mapping(PREDICTION)}), TUTORIAL]}

BASE64: Json = {**TEXT, "format": "byte", "minLength": 1}

IMAGES: Json = {
    "oneOf": [
        record({"image": BASE64}),
        record({"images": mapping(BASE64, minProperties=1)}),
        record({"input": {"oneOf": [TEXT, record({"image": BASE64})]}}),
    ]
}

CUSTOM_VISION: Json = record(
    {
        "id": TEXT,
        "project": TEXT,
        "iteration": TEXT,
        "created": {**TEXT, "format": "date-time"},
        "predictions": rows(record({"probability": NUMBER, "tagId": TEXT, "tagName": TEXT})),
    }
)

INFERENCES: Json = record(
    {
        "inferences": rows(
            record(
                {
                    "type": TEXT,
                    "subtype": TEXT,
                    "classification": record({"tag": record({"value": TEXT, "confidence": NUMBER})}),
                }
            )
        )
    }
)

_TENSOR = {"name": TEXT, "datatype": TEXT, "shape": rows(WHOLE)}

MODEL: Json = record(
    {
        "name": TEXT,
        "versions": rows(TEXT),
        "platform": TEXT,
        "inputs": rows(record(_TENSOR)),
        "outputs": rows(record(_TENSOR)),
    },
    parameters=mapping(TEXT),
)

INFER_REQUEST: Json = record(
    {
        "inputs": rows(
            record(
                {**_TENSOR, "shape": rows({**WHOLE, "minimum": 0})}, data=rows({}), parameters=mapping({})
            ),
            minItems=1,
            maxItems=1,
        )
    },
    id=TEXT,
    parameters=mapping({}),
    outputs=rows(record({"name": TEXT}, parameters=mapping({}))),
)

INFER_RESPONSE: Json = record(
    {"model_name": TEXT, "model_version": TEXT, "outputs": rows(record({**_TENSOR, "data": rows({})}))},
    id=TEXT,
    parameters=mapping(TEXT),
)
