"""Places in an unpacked image: to mount over, to work in."""

from __future__ import annotations

import os
from pathlib import Path

from skerry.edge.engine.sandbox import Program, resolve


def make_mount_points(program: Program, isolated: bool) -> None:
    """Have something at each target in the unpacked image to mount over; scratch folders make their own."""
    for source, target, _ in program.mounts:
        if not os.path.exists(source):
            # As Docker does for Binds; the other kinds of mistake show when it starts.
            Path(source).mkdir(parents=True)
        _mount_point(program.root, target, folder=os.path.isdir(source))
    # Docker makes a WorkingDir that the image has not.
    _mount_point(program.root, program.working_dir, folder=True)
    for target in program.scratch if isolated else ():
        _mount_point(program.root, target, folder=True)
    for file in ("/etc/hosts", "/etc/resolv.conf") if isolated else ():
        _mount_point(program.root, file, folder=False)


def _mount_point(root: Path, target: str, *, folder: bool) -> None:
    place = resolve(root, target)
    if place.exists() or str(place.relative_to(root)).split("/")[0] in ("run", "tmp"):
        return
    if folder:
        place.mkdir(parents=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
