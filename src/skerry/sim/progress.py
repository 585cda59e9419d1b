"""How far a camera's messages are acknowledged, kept so that numbering goes on after a restart."""

from __future__ import annotations

import os
import re
from pathlib import Path

from skerry.errors import Damaged


class Progress:
    """Numbers of messages from 1 on, and which of them are acknowledged.

    What is kept is the last number before which nothing is missing. After a crash numbering goes on
    there: messages that were under way go out again under their old number, as duplicates, and no
    number is lost or stands for another message.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.acknowledged = _read(path) if path is not None else 0
        """All messages up to this number are acknowledged."""
        self.sent = self.acknowledged
        """The last number given out."""
        self._kept = self.acknowledged
        self._ahead: set[int] = set()

    def take(self) -> int:
        """The number of the next message."""
        self.sent += 1
        return self.sent

    def acknowledge(self, number: int) -> None:
        """Enter that the message with this number is acknowledged."""
        self._ahead.add(number)
        while self.acknowledged + 1 in self._ahead:
            self.acknowledged += 1
            self._ahead.remove(self.acknowledged)

    def keep(self) -> None:
        """Put the state on disk, if it changed; blocks for one fsync."""
        if self._path is not None and self._kept != self.acknowledged:
            _write(self._path, self.acknowledged)
            self._kept = self.acknowledged


def _read(path: Path) -> int:
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return 0
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise Damaged(
            f"{path} does not hold a number", hint="remove it to start from 1 again", path=str(path)
        )
    return int(text)


def _write(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    with fresh.open("w") as file:
        file.write(f"{number}\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
