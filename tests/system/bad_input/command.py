"""The ``skerry`` command as a user runs it: once and to the end, or beside the test until it is stopped."""

from __future__ import annotations

import os
import queue
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

COMMAND_TIMEOUT_S = 60
# A hub or a runtime is up within a second; the bound is for a machine under heavy load.
EVENT_TIMEOUT_S = 40
FILE_BYTES_SOFT_LIMIT = 'ulimit -S -f "$0"; exec "$@"'
ULIMIT_BLOCK = 512


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit code, results on standard output, the rest on standard error."""

    code: int
    out: str
    err: str

    def failed(self, code: int, *said: str) -> Outcome:
        """Check that it failed as documented: this exit code, these words, no traceback, no result."""
        assert self.code == code, self
        assert "Traceback" not in self.err, self.err
        for text in said:
            assert text in self.err, f"{text!r} is not in:\n{self.err}"
        return self

    def succeeded(self) -> Outcome:
        assert self.code == 0, self
        return self


@dataclass
class Outputs:
    """Everything that any command printed or logged, to look through for secrets at the end."""

    texts: list[str] = field(default_factory=list)

    def holding(self, secret: str) -> list[str]:
        """The lines that hold it."""
        return [line for text in self.texts for line in text.splitlines() if secret in line]


SEEN = Outputs()


def skerry(
    *arguments: str | Path,
    text_in: str = "",
    env: Mapping[str, str] | None = None,
    file_bytes_max: int | None = None,
    prints_secret: bool = False,
) -> Outcome:
    """Run ``skerry`` to its end; ``file_bytes_max`` makes the disk full at that size of a file.

    ``prints_secret``: the command is one that was asked for a secret.
    """
    done = subprocess.run(
        _command(arguments, file_bytes_max),
        input=text_in,
        capture_output=True,
        text=True,
        env=_environment(env),
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    SEEN.texts.append(done.stderr if prints_secret else done.stdout + done.stderr)
    return Outcome(done.returncode, done.stdout, done.stderr)


class Running:
    """A ``skerry`` command that serves; as a context it is stopped at the end."""

    def __init__(self, *arguments: str | Path) -> None:
        self._child = subprocess.Popen(
            _command(arguments, None),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=_environment(None),
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.log: list[str] = []

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def text(self) -> str:
        return "".join(self.log)

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    def wait_for(self, text: str) -> str:
        """The next line that holds ``text``; fails with the log when the process ends or it does not come."""
        while True:
            try:
                line = self._lines.get(timeout=EVENT_TIMEOUT_S)
            except queue.Empty:
                raise AssertionError(f"{text!r} did not come:\n{self.text}") from None
            assert line is not None, f"ended before {text!r} came:\n{self.text}"
            self.log.append(line)
            if text in line:
                return line

    def limit_files(self, bytes_max: int | None) -> None:
        """From now on its disk is full for files beyond ``bytes_max``; None: there is room again."""
        soft = resource.RLIM_INFINITY if bytes_max is None else bytes_max
        resource.prlimit(self._child.pid, resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))

    def stop(self) -> int:
        """Ask it to end; its exit code. Fine when it has ended."""
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(EVENT_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        self._reader.join()
        while not self._lines.empty():
            self.log.append(self._lines.get() or "")
        if self._child.stdout is not None and not self._child.stdout.closed:
            self._child.stdout.close()
            SEEN.texts.append(self.text)
        return self._child.returncode

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self._lines.put(line)
        self._lines.put(None)


def until(condition: Callable[[], bool], what: str, tries: int = 40) -> None:
    """Ask again, each time with a command that itself takes a moment, until it holds."""
    assert any(condition() for _ in range(tries)), what


def size_of_largest(folder: Path) -> int:
    """Bytes of the largest file below ``folder``."""
    return max(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _command(arguments: tuple[str | Path, ...], file_bytes_max: int | None) -> list[str]:
    command = [sys.executable, "-m", "skerry", *map(str, arguments)]
    if file_bytes_max is None:
        return command
    return ["sh", "-c", FILE_BYTES_SOFT_LIMIT, str(file_bytes_max // ULIMIT_BLOCK), *command]


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    # What the machine of the test is set to must not answer for the user.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SKERRY_")}
    return {**kept, **(more or {})}
