"""``skerry model diff|patch``: an update that sends only what changed."""

from __future__ import annotations

from pathlib import Path

import click

from skerry.cli import output
from skerry.cli.model_package import PLACE, output_option
from skerry.model.diff import Diff, diff, patched, write_patch
from skerry.model.inspect import opened


@click.command(name="diff")
@click.argument("old", type=PLACE)
@click.argument("new", type=PLACE)
@click.option(
    "--to", "target", type=click.Path(path_type=Path, dir_okay=False), help="Write the patch to this file."
)
@output_option
def diff_command(old: Path, new: Path, target: Path | None, form: str) -> None:
    """Say what a device that has package OLD needs for package NEW, and write it as a patch.

    Equal files are not sent; a model file is sent as its difference, tensor by tensor. The patch is applied
    once here and must give NEW to the byte. Where it saves less than a tenth of the package itself (packed),
    it is not written: weights that were all trained again have little in common.

    A module takes the patch where it takes an archive (twin: model.url), when it has OLD.

    \b
    skerry model diff defects-1/ defects-2/ --to defects-1-2.patch
    """
    with opened(old) as before, opened(new) as after:
        output.note(f"comparing {before.digest[:19]} with {after.digest[:19]}")
        found = diff(before, after)
    if target is not None and found.is_smaller:
        write_patch(found, target)
    if form == "json":
        output.dump(_json(found, target))
        return
    rows = [(c.name, c.how, f"{c.size / 1e6:.3f}", f"{c.sent / 1e6:.3f}") for c in found.changes]
    output.say(output.table(["FILE", "HOW", "MB", "SENT MB"], rows))
    output.say()
    sizes = f"{len(found.patch) / 1e6:.3f} MB, the package {found.whole / 1e6:.3f} MB packed"
    if not found.is_smaller:
        output.say(f"the patch would have {sizes}: send the package; nothing was written")
    else:
        written = f", written to {target}" if target is not None else ""
        output.say(f"the patch has {sizes}{written}")


@click.command()
@click.argument("old", type=PLACE)
@click.argument("patch_file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The package folder to write.",
)
def patch(old: Path, patch_file: Path, target: Path) -> None:
    """Make the package that PATCH_FILE leads to from package OLD; every file of it is checked."""
    with opened(old) as before:
        made = patched(before, patch_file.read_bytes(), target)
    output.say(f"{made.name} {made.digest} in {target}")


def _json(found: Diff, target: Path | None) -> dict[str, object]:
    return {
        "from": found.old,
        "to": found.new,
        "smaller": found.is_smaller,
        "patchBytes": len(found.patch),
        "packageBytes": found.whole,
        "written": str(target) if target is not None and found.is_smaller else None,
        "files": [{"name": c.name, "how": c.how, "bytes": c.size, "sent": c.sent} for c in found.changes],
    }
