"""``skerry model push``: an image or a package into a registry."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from skerry.cli import output
from skerry.cli.model_package import PLACE, output_option
from skerry.cli.registry_login import registry_session
from skerry.clock import SystemClock
from skerry.errors import InvalidInput
from skerry.model.artifact import write_artifact
from skerry.oci.digest import Digest
from skerry.oci.reference import Reference, parse_reference
from skerry.oci.registry.place import Place, place_of
from skerry.oci.registry.push import Pushed
from skerry.oci.registry.push import push as push_layouts
from skerry.oci.registry.transfer import Moved
from skerry.package.manifest import MANIFEST

# A blob over this says how far it is, at each quarter.
TOLD_BYTES_MIN = 4_000_000
QUARTERS = 4


@click.command()
@click.argument("places", nargs=-1, required=True, type=PLACE)
@click.argument("reference")
@click.option(
    "--hub-dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SKERRY_HUB_DIR",
    help="Data folder of the hub on this machine that is the registry: log in as its owner.",
)
@click.option(
    "--ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="PEM file of the CA that signed the registry's certificate.",
)
@click.option("--insecure", is_flag=True, help="Take plain HTTP, or any certificate.")
@click.option("--mount-from", default="", help="A repository of the same registry to take layers from.")
@output_option
def push(
    places: tuple[Path, ...],
    reference: str,
    hub_dir: Path | None,
    ca: Path | None,
    insecure: bool,
    mount_from: str,
    form: str,
) -> None:
    """Push an image or a package to a registry, e.g. hub.plant:8443/defects:2.

    PLACES are a package's folder, or OCI layouts of an image or an artifact as the build writes them
    (images/NAME/TAG); several images of one model for several platforms become one index. REFERENCE names
    registry, repository and tag.

    Logins are those of docker login. What the registry has is not sent again: after a new model that is
    everything but the package's own layer. A push that is cut goes on where it was.
    """
    target = _target(reference)
    place = place_of(target)
    progress = _Progress()

    async def work(layouts: list[Path]) -> Pushed:
        async with registry_session(
            place.host, SystemClock(), hub_dir=hub_dir, ca=ca, insecure=insecure
        ) as registry:
            return await push_layouts(
                registry, place.repository, place.reference, layouts, mount_from=mount_from, watch=progress
            )

    with ExitStack() as stack:
        done = asyncio.run(work([_layout(one, target, stack) for one in places]))
    _show(place, done, form)


def _target(text: str) -> Reference:
    found = parse_reference(text)
    if found.registry is None:
        raise InvalidInput(
            f"{text} names no registry", hint=f"for example hub.plant:8443/{text}", field="reference"
        )
    if found.digest is not None:
        raise InvalidInput("a push gives its own digest", hint="name a tag", field="reference")
    return found


def _layout(place: Path, target: Reference, stack: ExitStack) -> Path:
    """The layout at ``place``; of a package, one that is made and thrown away afterwards."""
    if not (place / MANIFEST).is_file():
        return place
    scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="skerry-push-"))
    layout = Path(scratch, "layout")
    write_artifact(place, layout, str(target))
    return layout


def _show(place: Place, done: Pushed, form: str) -> None:
    pinned = f"{place.host}/{place.repository}@{done.digest}"
    tally = done.tally
    if form == "json":
        output.dump(
            {
                "reference": str(place),
                "pinned": pinned,
                "digest": done.digest,
                "mediaType": done.media_type,
                "bytesPushed": tally.bytes_moved,
                "bytesSkipped": tally.bytes_skipped,
                "blobsPushed": tally.blobs_moved,
                "blobsSkipped": tally.blobs_skipped,
            }
        )
        return
    output.say(f"pushed {place}")
    output.say(
        f"{tally.bytes_moved:,} bytes in {tally.blobs_moved} blobs sent,"
        f" {tally.bytes_skipped:,} bytes in {tally.blobs_skipped} were there"
    )
    output.say(f"deploy it as {pinned}")


class _Progress:
    """A line for each blob that arrived or was there; for a large one also for each quarter."""

    def __init__(self) -> None:
        self._told: dict[Digest, int] = {}

    def __call__(self, moved: Moved) -> None:
        size = f"{moved.total / 1e6:.1f} MB"
        if moved.skipped:
            output.note(f"{moved.digest[:19]} {size} is there")
            return
        quarter = QUARTERS if moved.total == 0 else moved.done * QUARTERS // moved.total
        told = self._told.get(moved.digest, 0)
        if quarter > told and (quarter == QUARTERS or moved.total >= TOLD_BYTES_MIN):
            self._told[moved.digest] = quarter
            output.note(f"{moved.digest[:19]} {100 * quarter // QUARTERS} % of {size}")
