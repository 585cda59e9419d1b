"""The folder in which everything about a process module stands.

``spec.json`` (what to run), ``status.json`` (child process and exit code, written by bubblewrap or by a
two-line shell, never by us), ``log``, ``hosts``; so an agent that was killed finds its modules again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skerry.errors import NotFound

# In the environment of every process we start: tells our process from a later one with the same id.
MARK = "SKERRY_RUN"
# The log's marks say at what time it had what length; one per look is one per five seconds.
MARKS_MAX = 20_000


@dataclass(frozen=True)
class Run:
    """What ``status.json`` says of the latest start."""

    pid: int | None
    exit_code: int | None
    started_at: float | None
    finished_at: float | None


@dataclass(frozen=True)
class Line:
    """A line of the log; ``at`` is when it was first seen there, in unix seconds."""

    at: float
    text: bytes


class ModuleFolder:
    """Reads and writes the files of one module."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log"
        self.hosts = path / "hosts"
        self.status = path / "status.json"

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def exists(self) -> bool:
        return (self.path / "spec.json").exists()

    def read(self) -> dict[str, Any]:
        """What to run. NotFound."""
        try:
            return dict(json.loads((self.path / "spec.json").read_text()))
        except FileNotFoundError:
            raise NotFound(f"there is no module {self.name}", module=self.name) from None

    def write(self, document: Mapping[str, Any]) -> None:
        """0600: the environment may hold a secret the manifest gave."""
        _write_private(self.path / "spec.json", json.dumps(document))

    def run(self) -> Run:
        """What is known of the latest start."""
        try:
            text, stat = self.status.read_text(), self.status.stat()
        except FileNotFoundError:
            return Run(None, None, None, None)
        facts: dict[str, Any] = {}
        for line in text.splitlines():
            with contextlib.suppress(ValueError):  # a line is being written
                facts.update(json.loads(line))
        exited = "exit-code" in facts
        return Run(
            facts.get("child-pid"),
            facts.get("exit-code"),
            self.read().get("startedAt"),
            stat.st_mtime if exited else None,
        )

    def alive(self) -> int | None:
        """The module's process id while it runs, or has ended and its exit code is about to be written."""
        run, document = self.run(), self.read()
        if run.pid is None or run.exit_code is not None or not document["run"]:
            return None
        pids = (run.pid, document.get("monitor") or run.pid)
        return run.pid if any(has_mark(pid, document["run"]) for pid in pids) else None

    def write_hosts(self, lines: Mapping[str, str]) -> None:
        """The module's ``/etc/hosts``, in place: it is mounted into the module as a file."""
        text = "".join(f"{address} {name}\n" for name, address in lines.items())
        data = f"127.0.0.1 localhost\n{text}".encode()
        descriptor = os.open(self.hosts, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
        finally:
            os.close(descriptor)

    def mark_log(self, now: float) -> None:
        """Note how long the log is now, and keep it within its bound. Writers append, so cutting is safe."""
        if not self.log.exists():
            return
        size, marks = self.log.stat().st_size, self._marks()
        if not marks or marks[-1][0] != size:
            with (self.path / "log.marks").open("a") as file:
                file.write(f"[{size}, {now:.3f}]\n")
        bound = self.read()["logBytes"]
        if size > bound:
            self._cut(size, bound // 2)
        elif len(marks) > MARKS_MAX:
            self._rewrite_marks(marks[MARKS_MAX // 2 :])

    def lines(self) -> Iterator[Line]:
        """The whole log, each line with the time at which it was first seen."""
        text = self.log.read_bytes() if self.log.exists() else b""
        last = self.log.stat().st_mtime if self.log.exists() else 0.0
        marks, index, position = [*self._marks(), (len(text), last)], 0, 0
        for line in text.splitlines(keepends=True):
            position += len(line)
            while index < len(marks) - 1 and marks[index][0] < position:
                index += 1
            yield Line(marks[index][1], line.rstrip(b"\r\n"))

    def _cut(self, size: int, keep: int) -> None:
        with self.log.open("r+b") as file:
            file.seek(-keep, os.SEEK_END)
            kept = file.read().partition(b"\n")[2]
            file.seek(0)
            file.truncate()
            file.write(kept)
        gone = size - len(kept)
        self._rewrite_marks([(length - gone, at) for length, at in self._marks() if length > gone])

    def _marks(self) -> list[tuple[int, float]]:
        try:
            text = (self.path / "log.marks").read_text()
        except FileNotFoundError:
            return []
        marks = []
        for line in text.splitlines():
            with contextlib.suppress(ValueError):  # cut off by a crash
                length, at = json.loads(line)
                marks.append((int(length), float(at)))
        return marks

    def _rewrite_marks(self, marks: list[tuple[int, float]]) -> None:
        text = "".join(f"[{length}, {at:.3f}]\n" for length, at in marks)
        _write_private(self.path / "log.marks", text)


def has_mark(pid: int, mark: str) -> bool:
    """Whether the process is one of the run ``mark``, and not a zombie."""
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return state != "Z" and f"{MARK}={mark}".encode() in environ.split(b"\0")


def _write_private(path: Path, text: str) -> None:
    fresh = path.with_suffix(path.suffix + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
