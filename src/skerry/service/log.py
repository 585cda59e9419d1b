"""Log lines for people or for machines, with secrets taken out."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from skerry.clock import iso
from skerry.errors import InvalidInput

LEVELS = ("debug", "info", "warning", "error", "critical")
HIDDEN = "***"

# Connection strings (SharedAccessKey=…;), SAS tokens (sig=…&) and passwords, in their plain, JSON and URL
# forms. The value goes up to the separator of that form.
_VALUE = r"[^\s;&\"',)}]+"
_PATTERNS = (
    re.compile(rf"(?i)(\bSharedAccessKey[\"']?\s*[=:]\s*[\"']?){_VALUE}"),
    re.compile(rf"(?i)(\bsig(?:nature)?\s*=\s*){_VALUE}"),
    re.compile(
        rf"(?i)(\b(?:pass(?:word|wd)?|pwd|secret|primaryKey|secondaryKey)[\"']?\s*[=:]\s*[\"']?){_VALUE}"
    ),
    re.compile(rf"(?i)(\bAuthorization[\"']?\s*[=:]\s*[\"']?(?:Basic|Bearer)\s+){_VALUE}"),
    re.compile(r"(\w://[^/\s:@]+:)[^/\s@]+(?=@)"),
    re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)[\s\S]*?(?=-----END|\Z)"),
)


def redact(text: str) -> str:
    """The text with what looks like a secret replaced by ``***``."""
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1{HIDDEN}", text)
    return text


class Plain(logging.Formatter):
    """``2026-01-01T12:00:00.000000Z INFO hub.twins: text``."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_time(record)} {record.levelname} {_short(record.name)}: {record.getMessage()}"
        trace = _trace(self, record)
        return redact(f"{line}\n{trace}" if trace else line)


class Json(logging.Formatter):
    """One object per line: ``time``, ``level``, ``logger``, ``message``, perhaps ``trace``."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": _short(record.name),
            "message": redact(record.getMessage()),
        }
        trace = _trace(self, record)
        if trace:
            fields["trace"] = redact(trace)
        return json.dumps(fields, ensure_ascii=False)


def configure(level: str = "info", json: bool = False, *, stream: TextIO | None = None) -> Callable[[], None]:
    """Send every log line of the process to ``stream`` (standard error); calling the result undoes it.

    Raises InvalidInput for an unknown level.
    """
    checked = _checked(level)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Json() if json else Plain())
    root = logging.getLogger()
    before, level_before = root.handlers[:], root.level
    root.handlers[:] = [handler]
    root.setLevel(checked)
    # One line per request of ours says nothing that the world changed.
    logging.getLogger("httpx").setLevel(max(logging.WARNING, root.level))

    def restore() -> None:
        root.handlers[:] = before
        root.setLevel(level_before)

    return restore


def set_level(level: str) -> None:
    """From now on. Raises InvalidInput for an unknown level."""
    logging.getLogger().setLevel(_checked(level))


def _checked(level: str) -> str:
    if level.lower() not in LEVELS:
        raise InvalidInput(f"unknown log level {level!r}", hint=f"one of {', '.join(LEVELS)}", value=level)
    return level.upper()


def _time(record: logging.LogRecord) -> str:
    return iso(datetime.fromtimestamp(record.created, UTC))


def _short(name: str) -> str:
    return name.removeprefix("skerry.")


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info and record.exc_info[0] is not None:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)
