"""JSON text from strangers, read within bounds."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from skerry.errors import InvalidInput, TooLarge

Json = Any
# Nothing in the contract nests deeper; recursion over it stays far from the interpreter's limit.
JSON_DEPTH_MAX = 64
# For callers with no smaller bound of their own: above any manifest, twin or method payload.
JSON_BYTES_MAX = 4 * 1024 * 1024


def parse_json(
    data: bytes | str, *, bytes_max: int = JSON_BYTES_MAX, depth_max: int = JSON_DEPTH_MAX
) -> Json:
    """The JSON value in ``data`` (UTF-8); InvalidInput for anything else, NaN too; or TooLarge."""
    if len(data) > bytes_max:
        raise TooLarge("JSON text is too large", bytes=len(data), bytes_max=bytes_max)
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
        value = json.loads(text, parse_constant=_refuse_constant)
    except UnicodeDecodeError as exc:
        raise InvalidInput("JSON text is not UTF-8", position=exc.start) from exc
    except json.JSONDecodeError as exc:
        raise InvalidInput(f"not JSON: {exc.msg}", position=exc.pos) from exc
    except RecursionError as exc:
        raise InvalidInput("JSON is nested too deeply", depth_max=depth_max) from exc
    except ValueError as exc:  # an integer of thousands of digits
        raise InvalidInput("JSON holds a number out of range") from exc
    check_depth(value, depth_max)
    return value


def check_depth(value: Json, depth_max: int = JSON_DEPTH_MAX) -> None:
    """Raise InvalidInput when ``value`` nests objects and arrays deeper than ``depth_max``."""
    level = [value]
    for _ in range(depth_max + 1):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise InvalidInput("JSON is nested too deeply", depth_max=depth_max)


def compact(value: Json) -> str:
    """``value`` as JSON without spaces, as the size limits count it; InvalidInput when it is not JSON."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidInput("value cannot be written as JSON") from exc


def _children(value: Json) -> list[Json]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidInput(f"not JSON: {name} is not a JSON number", value=name)
