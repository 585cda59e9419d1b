"""What a probe found, kept in the state folder: a restart measures nothing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from skerry.errors import SkerryError
from skerry.serve.choice.selection import Timed
from skerry.serve.update.disk import disk_errors, write_whole

SCHEMA = 1
# Packages come and go, machines hardly; a kilobyte each.
KEPT_MAX = 16


@dataclass(frozen=True, slots=True)
class Found:
    """``complete`` is false from the begin of a probe to its end: the module may have died of it."""

    timings: tuple[Timed, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)
    complete: bool = True


class ProbeRecord:
    """The results below ``state/probes``, by machine and package. Blocks."""

    def __init__(self, state: Path, machine: str, package: str) -> None:
        self._folder = state / "probes"
        self._path = self._folder / f"{package.removeprefix('sha256:')[:32]}-{machine[:16]}.json"

    def read(self) -> Found | None:
        """What was found, None when nothing was or when it does not read back."""
        try:
            document: Any = json.loads(self._path.read_bytes())
            if document["schema"] != SCHEMA:
                return None
            timings = tuple(
                Timed(str(row["name"]), int(row["threads"]), float(row["p50_ms"]))
                for row in document["timings"]
            )
            refused = {str(name): str(why) for name, why in dict(document["refused"]).items()}
            return Found(timings, refused, bool(document["complete"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, found: Found) -> None:
        """Keep it, durably. Raises StorageFull or Unavailable."""
        document = {"schema": SCHEMA, **asdict(found)}
        with disk_errors("the probe's result"):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, json.dumps(document).encode())
            _keep_newest(self._folder, KEPT_MAX)

    def forget(self) -> None:
        """As if no probe had begun; where that cannot be written, the next start makes none."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def writable(self) -> str:
        """Note that a probe begins; why that cannot be written, empty when it can."""
        try:
            self.write(Found(complete=False))
        except SkerryError as exc:
            return " ".join(str(exc).split())
        return ""


def _keep_newest(folder: Path, count: int) -> None:
    by_age: Sequence[Path] = sorted(
        folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True
    )
    for path in by_age[count:]:
        path.unlink(missing_ok=True)
