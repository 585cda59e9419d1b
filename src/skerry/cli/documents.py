"""JSON documents that a user gives, in a file or as text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from skerry.errors import InvalidInput


def read_json_file(path: Path) -> Any:
    """The document in ``path``; InvalidInput says where it is not JSON."""
    try:
        return parse_json(path.read_text(), str(path))
    except OSError as exc:
        raise InvalidInput(f"cannot read {path}: {exc.strerror}", path=str(path)) from exc


def parse_json(text: str, name: str) -> Any:
    """``text`` as JSON; ``name`` is what to call it in the error."""
    try:
        return json.loads(text)
    except ValueError as exc:
        raise InvalidInput(f"{name} is not JSON: {exc}", hint="check quotes and commas") from exc
