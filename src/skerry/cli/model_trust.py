"""``skerry model keygen|sign|sbom|artifact``: what vouches for a package, and forms it travels in."""

from __future__ import annotations

from pathlib import Path

import click

from skerry.cli import output
from skerry.cli.model_package import PLACE
from skerry.errors import NotFound
from skerry.model.artifact import is_artifact, read_artifact, write_artifact
from skerry.model.inspect import opened
from skerry.model.sbom import image_sbom, package_sbom
from skerry.model.sign import generate_keys, sign_package
from skerry.oci.files import whole_file
from skerry.oci.layout import read_layout


@click.command()
@click.argument("key_file", type=click.Path(path_type=Path, dir_okay=False))
def keygen(key_file: Path) -> None:
    """Make an Ed25519 key pair: KEY_FILE for you alone (mode 0600), KEY_FILE.pub for everyone.

    Give the public file to whoever verifies; a device that is told to trust it (SKERRY_TRUSTED_KEYS) serves
    nothing else.
    """
    public, identifier = generate_keys(key_file)
    output.say(f"{identifier}: private key {key_file}, public key {public}")


@click.command()
@click.argument("package", type=PLACE)
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The private key file.",
)
def sign(package: Path, key: Path) -> None:
    """Sign the package folder PACKAGE, after checking that every file in it is whole.

    The signature is over the manifest, which names every other file by its digest. It lies beside it in
    signature.json; the package's digest stays the same.
    """
    output.say(f"{package} signed by {sign_package(package, key)}")


@click.command()
@click.argument("image", type=PLACE)
@click.option(
    "--to", "target", type=click.Path(path_type=Path, dir_okay=False), help="A file; else standard output."
)
def sbom(image: Path, target: Path | None) -> None:
    """List the parts of IMAGE (an image's OCI layout, or a package) as CycloneDX JSON.

    Debian packages, Python wheels, Skerry and the model with the digest of each of its files, as found in the
    image.
    """
    document = _sbom(image)
    if target is None:
        output.raw(document)
        return
    with whole_file(target) as file:
        file.write(document + b"\n")
    output.note(f"wrote {target}")


def _sbom(place: Path) -> bytes:
    if not (place / "index.json").is_file() or is_artifact(place):
        with opened(place) as package:
            return package_sbom(package)
    read_layout(place)
    try:
        with opened(place) as package:
            return image_sbom(place, package)
    except NotFound:
        # An image of another kind, such as the camera's.
        return image_sbom(place, None)


@click.command()
@click.argument("package", type=PLACE)
@click.option(
    "--to", "target", required=True, type=click.Path(path_type=Path, file_okay=False), help="The folder."
)
@click.option("--name", default="model:latest", show_default=True, help="What registries call it.")
@click.option(
    "--extract", is_flag=True, help="The other way: PACKAGE is an artifact, --to becomes a package."
)
def artifact(package: Path, target: Path, name: str, extract: bool) -> None:
    """Write PACKAGE as an OCI artifact (an OCI layout), or --extract one.

    Any registry stores it and any OCI client moves it; docs/package.md has the media types. Equal packages
    give equal digests.
    """
    if extract:
        made = read_artifact(package, target)
        output.say(f"package {made.name} {made.digest} in {target}")
        return
    output.say(f"artifact {name} {write_artifact(package, target, name)} in {target}")
