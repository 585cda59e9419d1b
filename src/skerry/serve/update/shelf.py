"""The packages kept on disk, and the record of which one is active and which was before.

Layout: ``record.json``; ``packages/HEX/`` whole packages by digest; ``incoming/`` what is under way, which
means nothing after a restart but for downloads that can go on. A package is on the shelf before the record
names it and leaves only when the record does not, so a cut at any point leaves a record whose packages are
there.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from skerry.errors import Damaged
from skerry.serve.update.disk import disk_errors, sync_folder, sync_tree, write_whole

log = logging.getLogger(__name__)

Json = Any

SCHEMA = 1
RECORD = "record.json"
# Which wish is being tried, and how often that was begun and not ended.
TRIAL = "trial.json"
# Once may have been a power cut; a package that ends the module again would do so for ever.
DEATHS_MAX = 2


@dataclass(frozen=True, slots=True)
class Kept:
    """A package that served: digest, name, whether it is the image's own, the key of the wish for it."""

    package: str
    name: str
    own: bool = False
    key: str = ""

    def to_json(self) -> Json:
        """For reports."""
        return {"package": self.package, "name": self.name, "source": "image" if self.own else "update"}


@dataclass(frozen=True, slots=True)
class Record:
    """``handled`` is the key of the twin's wish that was fulfilled last: it is not acted on again."""

    active: Kept | None = None
    previous: Kept | None = None
    handled: str = ""


class Shelf:
    """The state folder; made when missing. Every method blocks; those that write raise StorageFull."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._packages = root / "packages"
        self.incoming = root / "incoming"
        with disk_errors("the model state"):
            self._packages.mkdir(parents=True, exist_ok=True)
            self.incoming.mkdir(exist_ok=True)

    def read(self) -> Record:
        """The record; an empty one when nothing was ever updated. Raises Damaged."""
        path = self._root / RECORD
        try:
            document = json.loads(path.read_bytes())
            if document["schema"] != SCHEMA:
                raise Damaged(f"{RECORD} is of another version", path=str(path))
            return Record(_kept(document["active"]), _kept(document["previous"]), str(document["handled"]))
        except FileNotFoundError:
            return Record()
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise Damaged(
                f"the record of the active model cannot be read: {type(exc).__name__}", path=str(path)
            ) from exc

    def write(self, record: Record) -> None:
        """Make it the record, durably, at once or not at all."""
        document = {"schema": SCHEMA, **asdict(record)}
        with disk_errors("the record of the active model"):
            write_whole(self._root / RECORD, json.dumps(document, indent=1).encode())

    def directory(self, package: str) -> Path:
        """Where a package of this digest lies, or would."""
        return self._packages / package.removeprefix("sha256:")

    def holds(self, package: str) -> bool:
        """Whether there is something under this digest; opening it tells whether it is whole."""
        return self.directory(package).is_dir()

    def keep(self, unpacked: Path, package: str) -> Path:
        """Move a verified package onto the shelf, durably; one already there is replaced."""
        place = self.directory(package)
        with disk_errors("the package"):
            sync_tree(unpacked)
            if place.exists():
                shutil.rmtree(place)
            os.replace(unpacked, place)
            sync_folder(self._packages)
        return place

    def begin_trial(self, key: str) -> None:
        """From here to ``end_trial`` the process may die of the package that is loaded."""
        document = {"key": key, "begun": self.deaths(key) + 1}
        with disk_errors("the model state"):
            write_whole(self._root / TRIAL, json.dumps(document).encode())

    def end_trial(self) -> None:
        """The process survived, whatever came of the package."""
        with disk_errors("the model state"):
            (self._root / TRIAL).unlink(missing_ok=True)

    def deaths(self, key: str) -> int:
        """How often the process died while it tried this wish's package, since another was tried."""
        try:
            document = json.loads((self._root / TRIAL).read_bytes())
            return int(document["begun"]) if document["key"] == key else 0
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def sweep(self, record: Record, *, downloads: bool = False) -> None:
        """Remove packages the record does not name and leftovers; with ``downloads`` also unfinished ones."""
        named = {kept.package.removeprefix("sha256:") for kept in (record.active, record.previous) if kept}
        for path in self._packages.iterdir():
            if path.name not in named:
                log.info("removing the package %s", path.name)
                _remove(path)
        for path in self.incoming.iterdir():
            if downloads or path.is_dir():
                _remove(path)
        (self._root / f"{RECORD}.new").unlink(missing_ok=True)


def _kept(document: Json) -> Kept | None:
    if document is None:
        return None
    if not isinstance(document, Mapping):
        raise TypeError("not an object")
    return Kept(
        package=str(document["package"]),
        name=str(document["name"]),
        own=bool(document["own"]),
        key=str(document["key"]),
    )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
