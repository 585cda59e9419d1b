"""``skerry model``: from a trained Keras file to a proven package and a container image."""

from __future__ import annotations

from pathlib import Path

import click

from skerry.cli import output
from skerry.model.build import BuildRequest, build
from skerry.model.image import build_module_image
from skerry.oci.reference import parse_reference

DEFAULT_CACHE = Path.home() / ".cache" / "skerry"

cache_option = click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SKERRY_CACHE",
    default=DEFAULT_CACHE,
    show_default=True,
    help="Where downloads and compressed layers are kept.",
)


@click.group()
def model() -> None:
    """Build a trained Keras model into a package and an image."""


@model.command(name="build")
@click.argument("model_file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--samples", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--labels", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--package", type=click.Path(path_type=Path, file_okay=False), default=Path("package"))
@click.option(
    "--max-abs", type=float, default=1e-4, show_default=True, help="Largest output difference allowed."
)
@click.option(
    "--agreement", type=float, default=1.0, show_default=True, help="Least top-1 agreement allowed."
)
@click.option("--reference", type=click.Choice(["auto", "keras", "numpy"]), default="auto", show_default=True)
@click.option("--top-k", type=int, default=5, show_default=True)
@click.option("--golden", "golden_count", type=int, default=32, show_default=True)
@click.option("--image", help="Also build an image of this name, e.g. defects:1.")
@click.option("--images", type=click.Path(path_type=Path, file_okay=False), default=Path("images"))
@cache_option
def build_command(
    model_file: Path,
    samples: Path,
    labels: Path | None,
    package: Path,
    max_abs: float,
    agreement: float,
    reference: str,
    top_k: int,
    golden_count: int,
    image: str | None,
    images: Path,
    cache: Path,
) -> None:
    """Convert MODEL_FILE, prove it equal on the samples, package it."""
    # Checked first: a build takes a while.
    target = None if image is None else parse_reference(image)
    request = BuildRequest(
        model=model_file,
        labels=labels,
        samples=samples,
        output=package,
        top_k=top_k,
        golden_count=golden_count,
        max_abs=max_abs,
        agreement=agreement,
        reference=reference,
    )
    report = build(request, output.note)
    output.say(
        output.table(
            ["WHAT", "VALUE"],
            [
                ("package", report.package),
                ("digest", report.digest),
                ("reference", report.reference),
                ("largest difference", f"{report.max_abs_difference:.2e}"),
                ("top-1 agreement", f"{report.top1_agreement:.4f} on {report.samples} images"),
                ("ONNX", f"{report.onnx_bytes / 1e6:.1f} MB, {report.layers} layers"),
                ("golden set", f"{report.golden} images"),
            ],
        )
    )
    if target is not None:
        made = build_module_image(
            report.package,
            name=target.name,
            tag=target.tag or "latest",
            output=images,
            cache=cache,
            progress=output.note,
        )
        size = sum(bytes_ for _, bytes_ in made.layers)
        output.say(f"image {made.reference}: {size / 1e6:.1f} MB in {len(made.layers)} layers, {made.layout}")
