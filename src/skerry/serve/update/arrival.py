"""A downloaded archive becomes a package on the shelf, or an error and nothing."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from skerry.errors import Damaged, NotFound
from skerry.package.manifest import Package
from skerry.package.patch import base_of, complete, is_patch, package_digest
from skerry.serve.update.disk import disk_errors
from skerry.serve.update.download import verify_archive
from skerry.serve.update.shelf import Shelf
from skerry.serve.update.unpack import unpack
from skerry.serve.update.wish import Wish


def part_of(shelf: Shelf, wish: Wish) -> Path:
    """Where the wish's archive is downloaded to: the same place after a restart or with a new address."""
    return shelf.incoming / f"{hashlib.sha256(wish.key.encode()).hexdigest()[:32]}.part"


def clear_other_parts(shelf: Shelf, part: Path) -> None:
    """Remove what other downloads left."""
    with disk_errors("the download"):
        for path in shelf.incoming.iterdir():
            if path.is_file() and path.stem != part.stem:
                path.unlink()


def remove_part(part: Path) -> None:
    """Remove a download."""
    part.unlink(missing_ok=True)
    part.with_suffix(".etag").unlink(missing_ok=True)


def take_in(
    shelf: Shelf,
    wish: Wish,
    part: Path,
    *,
    bytes_max: int,
    trusted_keys: Sequence[bytes] | None,
    own: Path | None = None,
) -> str:
    """Check the archive, unpack it, check the package, keep it: its digest. Blocks.

    A patch is completed from the package it is for, which is on the shelf or the image's ``own``.
    Whatever comes of it, the archive is gone. Raises what ``unpack`` and ``Package.open`` do, and Damaged
    when it is not the archive or package that was wished for.
    """
    scratch = part.with_suffix(".unpacked")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        problem = verify_archive(part, wish.digest, wish.md5)
        if problem is not None:
            raise Damaged(problem, hint="the address holds something else, or the download was disturbed")
        folder = unpack(part, scratch, bytes_max=bytes_max)
        if is_patch(folder):
            _complete(folder, shelf, own, bytes_max)
        package = Package.open(folder, trusted_keys=trusted_keys)
        if wish.package not in (None, package.digest):
            raise Damaged(f"the archive holds {package.digest}, not {wish.package}")
        shelf.keep(folder, package.digest)
        return package.digest
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        remove_part(part)


def _complete(folder: Path, shelf: Shelf, own: Path | None, bytes_max: int) -> None:
    wanted = base_of(folder)
    for base in (shelf.directory(wanted), own):
        if base is not None and package_digest(base) == wanted:
            with disk_errors("the patched package"):
                complete(folder, base, bytes_max=bytes_max)
            return
    raise NotFound(
        f"the patch is for {wanted}, which is not on this device",
        hint="give the url of the whole package",
    )
