"""Which model to serve after a start: the one that was active, or the image's own and why."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from skerry.errors import Damaged, SkerryError
from skerry.package.manifest import Package
from skerry.serve.activation import Activated
from skerry.serve.update.disk import disk_errors, foreseen
from skerry.serve.update.shelf import Kept, Record, Shelf

log = logging.getLogger(__name__)

Load = Callable[[Path], Activated]


@dataclass(frozen=True, slots=True, eq=False)
class Restored:
    """What to serve, what the record says from now on, and what went wrong (empty: nothing)."""

    activated: Activated
    record: Record
    reason: str = ""

    @property
    def kept(self) -> Kept:
        """The model that serves."""
        assert self.record.active is not None
        return self.record.active


def restore(shelf: Shelf, own: Path, load: Load) -> Restored:
    """The active model, loaded; else the image's ``own``; else, when that fails too, the one before.

    ``load`` is ``activate`` on a folder. Blocks. Raises what it raises for the image's own model when nothing
    can be served.
    """
    try:
        record, reason = shelf.read(), ""
    except Damaged as exc:
        log.error("%s", exc)
        record, reason = Record(), _line(exc)
    else:
        _sweep(shelf, record)
    if record.active is not None and not record.active.own:
        try:
            return Restored(_kept(shelf, record.active, load), record, reason)
        except SkerryError as exc:
            reason = f"{record.active.package} was active and cannot be served: {_line(exc)}"
            log.error("%s", reason)
            # Not handled: the twin's wish is fulfilled again once it can be read.
            record = replace(record, active=None, handled="")
    try:
        activated = load(own)
    except SkerryError as exc:
        return _before(shelf, record, load, exc)
    return Restored(activated, replace(record, active=own_kept(activated.package)), reason)


def own_kept(package: Package) -> Kept:
    """The image's own model as the record names it."""
    return Kept(package.digest, package.name, own=True)


def _before(shelf: Shelf, record: Record, load: Load, problem: SkerryError) -> Restored:
    before = record.previous
    if before is None or before.own:
        raise problem
    try:
        activated = _kept(shelf, before, load)
    except SkerryError as exc:
        raise problem from exc
    return Restored(activated, Record(active=before), f"the image's own model: {_line(problem)}")


def _kept(shelf: Shelf, kept: Kept, load: Load) -> Activated:
    with foreseen(kept.package):
        activated = load(shelf.directory(kept.package))
    if activated.package.digest != kept.package:
        activated.predictor.close()
        raise Damaged(f"the package is {activated.package.digest}")
    return activated


def _sweep(shelf: Shelf, record: Record) -> None:
    try:
        with disk_errors("the model state"):
            shelf.sweep(record)
    except SkerryError as exc:
        log.warning("%s", exc)


def _line(error: SkerryError) -> str:
    return " ".join(str(error).split())
