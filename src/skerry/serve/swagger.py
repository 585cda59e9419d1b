"""The description of the scoring interface that Azure ML's images give at /swagger.json."""

from __future__ import annotations

from typing import Any


def swagger_document(model: str) -> dict[str, Any]:
    """A Swagger 2.0 document for the model with this digest."""
    message = {"type": "object", "properties": {"message": {"type": "string"}}}
    failed = {
        code: {"description": text, "schema": message}
        for code, text in (
            ("400", "Not an image; the message names the field"),
            ("413", "Too large"),
            ("415", "Another content type"),
            ("503", "Too many images wait; try again after Retry-After seconds"),
        )
    }
    return {
        "swagger": "2.0",
        "info": {"title": "Skerry CNN module", "version": "1.0", "description": f"Model {model}"},
        "paths": {
            "/": {"get": {"responses": {"200": {"description": "Healthy"}}}},
            "/score": {
                "post": {
                    "operationId": "RunMLService",
                    "consumes": ["multipart/form-data", "image/jpeg", "image/png", "application/json"],
                    "produces": ["application/json"],
                    "parameters": [
                        {"name": "image", "in": "formData", "type": "file", "description": "JPEG or PNG"}
                    ],
                    "responses": {"200": {"description": "Labels with scores, best first"}, **failed},
                }
            },
        },
    }
