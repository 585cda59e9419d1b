"""JSON documents that a user gives, in a file or as text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from skerry.contract import json_text
from skerry.errors import InvalidInput, TooLarge


def read_json_file(path: Path) -> Any:
    """The document in ``path``; InvalidInput says where it is not JSON."""
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise InvalidInput(
            f"cannot read {path}: {exc.strerror}", hint="give a readable file", path=str(path)
        ) from exc
    return parse_json(data, str(path))


def parse_json(text: str | bytes, name: str) -> Any:
    """``text`` as JSON; ``name`` is what to call it in the error."""
    try:
        return json_text.parse_json(text)
    except (InvalidInput, TooLarge) as exc:
        cause = exc.__cause__
        place = ""
        if isinstance(cause, json.JSONDecodeError):
            place = f", line {cause.lineno} column {cause.colno}"
        raise InvalidInput(f"{name}: {exc.what}{place}", hint="check quotes and commas") from exc
