"""The runtime's own last log lines, for support bundles."""

from __future__ import annotations

import logging
from collections import deque
from contextlib import AsyncExitStack

from skerry.service.log import Plain

# About a day of a quiet device.
LINES_MAX = 5000


class RecentLog(logging.Handler):
    """Keeps the last lines in memory, with secrets taken out."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(Plain())
        self._lines: deque[tuple[float, str]] = deque(maxlen=LINES_MAX)

    @classmethod
    def install(cls, stack: AsyncExitStack) -> RecentLog:
        """Listen to everything in this process until the stack is closed."""
        handler = cls()
        root = logging.getLogger()
        root.addHandler(handler)
        stack.callback(root.removeHandler, handler)
        return handler

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append((record.created, self.format(record)))

    def text(self, since: float | None, until: float | None) -> str:
        """The lines between two moments (unix seconds)."""
        return "".join(
            f"{line}\n"
            for at, line in list(self._lines)
            if (since is None or at >= since) and (until is None or at <= until)
        )
