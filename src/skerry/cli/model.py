"""``skerry model``: from a trained Keras file to a proven package and a container image."""

from __future__ import annotations

from pathlib import Path

import click

from skerry.cli import output
from skerry.cli.manual import Manual
from skerry.cli.model_base import base_option
from skerry.cli.model_delta import diff_command, patch
from skerry.cli.model_image import (
    architectures,
    cache_option,
    documents,
    image,
    images_option,
    load,
    make_images,
    platform_option,
    show,
    trusted_key_option,
)
from skerry.cli.model_package import bench, inspect, output_option, run, verify
from skerry.cli.model_push import push
from skerry.cli.model_trust import artifact, keygen, sbom, sign
from skerry.model.benchmark import SECONDS
from skerry.model.build import BuildReport, BuildRequest, build
from skerry.model.candidates import DEFAULT, NotTried, Row, parse_names
from skerry.model.choose import ACCURACY_DROP, Gate, parse_budget
from skerry.model.offer import SHIP, Wish, rows_json
from skerry.model.sign import package_signer
from skerry.oci.python_image import machine_architecture
from skerry.oci.reference import parse_reference


@click.group()
def model() -> None:
    """Build a trained Keras model into a package and an image."""


for command in (image, inspect, verify, bench, run, diff_command, patch, keygen, sign, sbom, artifact, push):
    model.add_command(command)


HEADINGS = {
    "The model": ("--weights", "--model-from", "--custom", "--trust", "--head"),
    "Samples and labels": ("--samples", "--labels", "--golden"),
    "As in training": ("--settings", "--crop", "--resize", "--scaling", "--colour", "--top-k"),
    "What may differ from the original": ("--reference", "--max-abs", "--agreement", "--accuracy-drop"),
    "Engines": ("--candidates", "--calibration", "--budget", "--engine", "--ship", "--certify-timings"),
    "The package": ("--package", "--sign"),
    "The image": ("--image", "--platform", "--base", "--trusted-key", "--images"),
}
NOTES = {
    "Files": [
        ("model.toml", "beside the model: preprocessing, outputs, labels, thresholds (docs/package.md)"),
        (
            "package/",
            "model, recipe, labels, golden set, certificate, manifest (docs/package.md)",
        ),
    ],
    "Exit codes": [
        ("0", "built and proven"),
        ("3", "an input breaks a rule: the file, labels, samples, a setting"),
        ("4", "a file is not there"),
        ("8", "no room on the disk, or too little memory for this model"),
        ("9", "no way to carry the model: a layer without a rule, or it answers differently"),
        ("10", "a damaged file"),
    ],
    "See also": [
        ("skerry model run", "predict pictures with the package"),
        ("skerry model verify", "prove it on another machine"),
        ("skerry model diff", "what an update sends"),
        ("skerry model push", "bring it to a registry"),
    ],
}


@model.command(name="build", cls=Manual, headings=HEADINGS, notes=NOTES)
@click.argument("model_file", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--weights",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Weights that belong to an architecture in JSON.",
)
@click.option(
    "--model-from", "architecture", help="Your function for a weights-only file, arch.py:build; runs."
)
@click.option("--custom", multiple=True, help="Module with your own layers, module:name; it is run.")
@click.option("--trust", is_flag=True, help="Let code inside the model file (Lambda) run.")
@click.option("--head", help="The output that classifies, when the model has several.")
@click.option(
    "--samples",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="Images like the device's: a folder (sub-folders name classes), or .npz with images, labels.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A name per line, or JSON. Default: the sample sub-folders.",
)
@click.option(
    "--package",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("package"),
    show_default=True,
    help="The folder to write.",
)
@click.option(
    "--max-abs", type=float, help="Largest output difference allowed. Default: 1e-4 in fp32, any below."
)
@click.option(
    "--agreement",
    type=click.FloatRange(0, 1),
    help="Least share of equal best labels. Default: 1 in fp32, 0.98 below.",
)
@click.option(
    "--accuracy-drop",
    type=click.FloatRange(0, 1),
    default=ACCURACY_DROP,
    show_default=True,
    help="Accuracy that a candidate may lose, where samples have labels; 0.005 is half a point.",
)
@click.option(
    "--candidates",
    default=DEFAULT,
    show_default=True,
    help="all, or some of onnx-fp32,onnx-int8,openvino-fp32,openvino-bf16,openvino-int8,litert-fp32.",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path, exists=True),
    help="Images for int8 that are not among the samples, as --samples. Default: the samples.",
)
@click.option("--budget", help="What the chosen one must keep, e.g. latency=20ms,size=30MB,memory=200MB.")
@click.option("--engine", help="Take this candidate or engine instead of the fastest, e.g. openvino.")
@click.option(
    "--ship",
    type=click.Choice(SHIP),
    help="The chosen candidate (default), or all that pass (default with --platform for another machine).",
)
@click.option(
    "--sign",
    "key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Sign with this private key (skerry model keygen).",
)
@trusted_key_option
@click.option(
    "--certify-timings", is_flag=True, help="Put timings into the certificate; no two builds are equal then."
)
@click.option(
    "--reference",
    type=click.Choice(["auto", "keras", "numpy"]),
    default="auto",
    show_default=True,
    help="Who says what the original answers: real Keras where it is installed, else our numpy runner.",
)
@click.option(
    "--settings",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What training knew, as data. Default: model.toml beside the model.",
)
@click.option("--crop", help="Central square of this share of the shorter side (0.875), fit, pad or none.")
@click.option("--resize", help="As in training: library:method[:antialias]. Default: pillow:bilinear.")
@click.option(
    "--scaling",
    type=click.Choice(["none", "unit", "tf", "torch", "caffe"]),
    help="Default: told from the model, and printed.",
)
@click.option("--colour", type=click.Choice(["RGB", "BGR", "L"]), help="Default: by the model's channels.")
@click.option("--top-k", type=click.IntRange(1), help="Labels in an answer. Default: 5.")
@click.option(
    "--golden", "golden_count", type=int, default=32, show_default=True, help="Samples that travel along."
)
@click.option("--image", "image_name", help="Also build an image of this name, e.g. defects:1.")
@platform_option
@base_option
@images_option
@cache_option
@output_option
def build_command(
    model_file: Path,
    weights: Path | None,
    architecture: str | None,
    custom: tuple[str, ...],
    trust: bool,
    head: str | None,
    samples: Path,
    labels: Path | None,
    package: Path,
    max_abs: float | None,
    agreement: float | None,
    accuracy_drop: float,
    candidates: str,
    calibration: Path | None,
    budget: str | None,
    engine: str | None,
    ship: str | None,
    key: Path | None,
    trusted_key: Path | None,
    certify_timings: bool,
    reference: str,
    settings: Path | None,
    crop: str | None,
    resize: str | None,
    scaling: str | None,
    colour: str | None,
    top_k: int | None,
    golden_count: int,
    image_name: str | None,
    platform: str | None,
    base_name: str | None,
    images: Path,
    cache: Path,
    form: str,
) -> None:
    """Convert MODEL_FILE, prove it equal on the samples, package it.

    The file is read as data and becomes ONNX in fp32. Its answers on the samples are compared with the
    original's (real Keras where it is installed), one by one and in batches; the build fails, naming the
    worst samples, when they differ. The package holds the model, the preprocessing, the labels, and a golden
    set on which every device checks itself.

    With --candidates more ways to run it are made, compared and timed on this machine. Of those that pass
    (--agreement, --max-abs, --accuracy-drop) and keep the --budget, the fastest on one image with all threads
    is chosen; within a tenth, the more exact and plainer one. One that cannot be made is a row with its
    reason.

    A .keras or .h5 file of Keras 2 or 3, JSON with --weights and ONNX are read as data; a .tflite file is
    carried as it is. A SavedModel folder,
    --model-from, --custom and --trust go through real Keras in a process of its own.

    \b
    skerry model build defects.keras --labels labels.txt --samples val/
    skerry model build defects.keras --samples val/ --candidates all --budget latency=20ms,size=30MB
    skerry model build defects.keras --samples val/ --sign release.key --image defects:1
    skerry model build defects.keras --samples val/ --candidates all --image defects:1 --platform linux/arm64
    """
    # Checked first: a build takes a while.
    target = None if image_name is None else parse_reference(image_name)
    wanted = architectures(platform)
    request = BuildRequest(
        model=model_file,
        labels=labels,
        samples=samples,
        output=package,
        crop=crop,
        resize=resize,
        scaling=scaling,
        colour=colour,
        top_k=top_k,
        golden_count=golden_count,
        max_abs=max_abs,
        agreement=agreement,
        reference=reference,
        weights=weights,
        architecture=architecture,
        custom=custom,
        trust=trust,
        head=head,
        settings=settings,
        calibration=calibration,
        wish=Wish(
            parse_names(candidates),
            Gate(accuracy_drop=accuracy_drop),
            parse_budget(budget) if budget else (),
            engine,
            ship or ("chosen" if set(wanted) <= {machine_architecture()} else "all"),
            SECONDS,
            certify_timings,
        ),
        sign=None if key is None else package_signer(key),
    )
    report = build(request, output.note)
    if form == "table":
        _show(report)
    made = {}
    if target is not None:
        made = make_images(
            report.package,
            target,
            wanted,
            images=images,
            cache=cache,
            trusted_key=trusted_key,
            base=base_name,
        )
    if form == "json":
        output.dump({**_document(report), "images": documents(made)})
    elif made:
        output.say()
        show(made)
    if target is not None and load(made, target):
        output.note(f"{target} loaded into Docker")


def _show(report: BuildReport) -> None:
    output.say(
        output.table(
            ["WHAT", "VALUE"],
            [
                ("package", report.package),
                ("digest", report.digest),
                ("reference", report.reference),
                ("largest difference", f"{report.max_abs_difference:.2e}"),
                ("agreement", f"{report.top1_agreement:.4f} on {report.samples} images"),
                *(
                    (f"  {part.name}", f"{part.kind}: {part.max_abs_difference:.2e}, {part.agreement:.4f}")
                    for part in report.outputs
                    if len(report.outputs) > 1
                ),
                ("model", f"{report.model_bytes / 1e6:.1f} MB, {report.layers} layers"),
                ("golden set", f"{report.golden} images"),
                ("chosen", report.why),
                ("time", ", ".join(f"{step} {s:.1f} s" for step, s in report.steps.items() if s >= 0.05)),
            ],
        )
    )
    if report.candidates:
        output.say()
        rows = [_row(row, report.objections.get(row.kind.name)) for row in report.candidates]
        output.say(output.table(HEADERS, rows))


HEADERS = [
    "CANDIDATE", "MAX ABS", "TOP-1", "TOP-K", "ACCURACY",
    "P50 MS", "P99 MS", "1 THREAD", "IMAGES/S", "LOAD S", "RSS MB", "MB", "",
]  # fmt: skip


def _row(row: Row, objection: str | None) -> list[object]:
    if isinstance(row, NotTried):
        return [row.kind.name, *[""] * (len(HEADERS) - 2), f"not available: {row.reason}"]
    found, made = row.verification, row.measurement
    best, one = made.timings[0], made.timings[-1]
    return [
        row.kind.name,
        f"{found.max_abs_difference:.1e}",
        f"{found.top1_agreement:.4f}",
        f"{found.topk_agreement:.4f}",
        "" if row.accuracy is None else f"{row.accuracy:.4f}",
        f"{best.p50_ms:.3g}",
        f"{best.p99_ms:.3g}",
        f"{one.p50_ms:.3g}",
        f"{best.images_per_second:.4g}",
        f"{made.load_s:.3g}",
        f"{made.rss_bytes / 1e6:.0f}",
        f"{len(row.data) / 1e6:.1f}",
        objection or "passes",
    ]


def _document(report: BuildReport) -> dict[str, object]:
    return {
        "package": str(report.package),
        "digest": report.digest,
        "reference": report.reference,
        "maxAbsDifference": report.max_abs_difference,
        "top1Agreement": report.top1_agreement,
        "topKAgreement": report.topk_agreement,
        "accuracy": report.accuracy,
        "outputs": [
            {
                "name": part.name,
                "kind": part.kind,
                "maxAbsDifference": part.max_abs_difference,
                "agreement": part.agreement,
            }
            for part in report.outputs
        ],
        "samples": report.samples,
        "golden": report.golden,
        "layers": report.layers,
        "parameters": report.parameters,
        "droppedLayers": list(report.dropped_layers),
        "seconds": round(report.seconds, 3),
        "steps": {step: round(seconds, 3) for step, seconds in report.steps.items()},
        "chosen": report.chosen,
        "why": report.why,
        "candidates": rows_json(report.candidates, report.objections),
    }
