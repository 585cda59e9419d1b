"""``skerry model inspect|verify|bench|run``: what a package or an image holds and does on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import click

from skerry.cli import output
from skerry.errors import InvalidInput, NotFound, PreconditionFailed
from skerry.model.benchmark import SECONDS
from skerry.model.check import Checked, NotChecked, check, refuse_strangers
from skerry.model.inspect import opened, summary
from skerry.model.report import Predicted, predictions_page
from skerry.oci.whole import check_whole
from skerry.package.candidate import Candidate
from skerry.package.manifest import Package
from skerry.package.postprocess import Prediction, checked, further_answers, top_k
from skerry.package.preprocess import prepare
from skerry.package.trust import read_public_keys
from skerry.serve.backends.engines import open_candidate

PLACE = click.Path(path_type=Path, exists=True, file_okay=False)
output_option = click.option(
    "--output",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="For people, or for scripts.",
)
key_option = click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A public key file; the package must be signed by one of those given.",
)


def trusted(keys: tuple[Path, ...]) -> tuple[bytes, ...] | None:
    """The raw keys in the files, None when no file was given."""
    return tuple(key for path in keys for key in read_public_keys(path)) if keys else None


@click.command()
@click.argument("package", type=PLACE)
@key_option
@output_option
def inspect(package: Path, keys: tuple[Path, ...], form: str) -> None:
    """Show what is in PACKAGE.

    PACKAGE is a package's folder, or the OCI layout of an artifact or of a module image. Every file is
    checked against the manifest on the way.
    """
    with opened(package, trusted(keys)) as found:
        about = summary(found)
    if form == "json":
        output.dump(about)
        return
    certificate = found.certificate
    size = found.recipe.input
    rows = [
        ("name", found.name),
        ("digest", found.digest),
        ("signed by", ", ".join(str(key) for key in _listed(about["signedBy"])) or "nobody"),
        ("input", f"{size.height} x {size.width} x {size.channels}, {found.recipe.decode.colour}"),
        *(
            ("output", f"{spec.name}: {spec.kind}, {len(spec.labels)} labels")
            for spec in found.recipe.outputs
        ),
        ("golden set", f"{len(found.golden)} images"),
        ("reference", certificate.get("reference", "")),
        ("largest difference", certificate.get("maxAbsDifference", "")),
        ("top-1 agreement", certificate.get("top1Agreement", "")),
        ("chosen", found.chosen.name),
    ]
    output.say(output.table(["WHAT", "VALUE"], rows))
    output.say()
    offered = [(c.name, c.engine, c.precision, c.file, f"{c.tolerance:g}") for c in found.candidates]
    output.say(output.table(["CANDIDATE", "ENGINE", "PRECISION", "FILE", "TOLERANCE"], offered))


@click.command()
@click.argument("package", type=PLACE)
@key_option
@output_option
def verify(package: Path, keys: tuple[Path, ...], form: str) -> None:
    """Prove PACKAGE whole, signed (with --key), and equal to its golden set on this machine.

    PACKAGE is a package's folder, or the OCI layout of an artifact or of a module image, of which every layer
    is read. A file that is not what the manifest names is refused and named; so is one that the manifest does
    not know. Every engine the package offers is then run on the golden images. Exit code 10 means a damaged
    package, 5 one without a trusted signature, 6 one that answers differently here.
    """
    if (package / "index.json").is_file():
        check_whole(package)
    with opened(package, trusted(keys)) as found:
        refuse_strangers(found)
        rows = check(found, output.note)
        _show(found, rows, form)
        _require(found, rows)
    if form == "table":
        signed = f", signed by {found.signed_by}" if found.signed_by else ""
        output.say(f"{found.name} {found.digest} is whole{signed}")


@click.command()
@click.argument("package", type=PLACE)
@click.option("--candidate", help="Only this one, e.g. onnx-fp32.")
@click.option(
    "--seconds",
    type=float,
    default=SECONDS,
    show_default=True,
    help="For each of the timings of a candidate.",
)
@output_option
def bench(package: Path, candidate: str | None, seconds: float, form: str) -> None:
    """Time the candidates of PACKAGE on this machine.

    Latency of one image (p50, p99) on all threads and on one, images per second in batches, load time and
    memory, each engine in a process of its own.
    """
    if seconds <= 0:
        raise InvalidInput("--seconds must be above 0", field="seconds", value=seconds)
    with opened(package) as found:
        _show(found, check(found, output.note, seconds=seconds, only=candidate), form)


@click.command()
@click.argument("package", type=PLACE)
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--candidate", help="Run this one instead of the chosen, e.g. openvino-fp32.")
@click.option("--top-k", "k", type=click.IntRange(1), help="How many labels; the package's own by default.")
@click.option("--threshold", type=float, help="Leave out lower scores; the package's own by default.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write an HTML page with the pictures.",
)
@output_option
def run(
    package: Path,
    images: tuple[Path, ...],
    candidate: str | None,
    k: int | None,
    threshold: float | None,
    threads: int,
    report: Path | None,
    form: str,
) -> None:
    """Predict IMAGES (files, or folders of them) with PACKAGE, as a device would."""
    files = _files(images)
    with opened(package) as found:
        engine, rows = _predict(found, _candidate(found, candidate), files, k, threshold, threads)
    if report is not None:
        report.write_text(predictions_page(found.name, found.digest, engine, rows), "utf-8")
        output.note(f"wrote {report}")
    if form == "json":
        output.dump({"model": found.name, "digest": found.digest, "engine": engine, "images": _json(rows)})
        return
    lines = []
    for row in rows:
        parts = [("", best) for best in row.best]
        parts += [(answer.name, each) for answer in row.further for each in answer.predictions]
        for place, (name, best) in enumerate(parts):
            lines.append((row.name if place == 0 else "", name, best.label, f"{best.score:.4f}"))
    if any(row.further for row in rows):
        output.say(output.table(["IMAGE", "OUTPUT", "LABEL", "SCORE"], lines))
    else:
        output.say(output.table(["IMAGE", "LABEL", "SCORE"], [(a, c, d) for a, _, c, d in lines]))


def _predict(
    package: Package,
    candidate: Candidate,
    files: list[Path],
    k: int | None,
    threshold: float | None,
    threads: int,
) -> tuple[str, list[Predicted]]:
    predictor = open_candidate(candidate, package.directory, threads=threads)
    rows = []
    for path in files:
        data = path.read_bytes()
        image = prepare(data, package.recipe)
        begun = perf_counter()
        [outputs] = predictor.infer(image[None])
        took = (perf_counter() - begun) * 1e3
        more = further_answers(checked(outputs, package.recipe), package.recipe)
        rows.append(Predicted(path.name, data, top_k(outputs, package.recipe, k, threshold), took, more))
    predictor.close()
    return predictor.engine, rows


def _json(rows: list[Predicted]) -> list[dict[str, object]]:
    return [
        {
            "image": row.name,
            "milliseconds": round(row.milliseconds, 3),
            "predictions": _predictions(row.best),
            **(
                {"outputs": {a.name: _predictions(a.predictions) for a in row.further}} if row.further else {}
            ),
        }
        for row in rows
    ]


def _predictions(found: Sequence[Prediction]) -> list[dict[str, object]]:
    return [{"id": p.id, "label": p.label, "score": p.score} for p in found]


def _files(images: tuple[Path, ...]) -> list[Path]:
    found = [
        path
        for image in images
        for path in (sorted(p for p in image.rglob("*") if p.is_file()) if image.is_dir() else [image])
        if not path.name.startswith(".")
    ]
    if not found:
        raise NotFound("there are no images", hint="name image files, or folders that hold some")
    return found


def _candidate(package: Package, name: str | None) -> Candidate:
    for candidate in package.candidates:
        if name in (None, candidate.name):
            return candidate
    names = ", ".join(candidate.name for candidate in package.candidates)
    raise InvalidInput(f"the package has no candidate {name!r}", hint=f"it has {names}")


def _show(package: Package, rows: list[Checked | NotChecked], form: str) -> None:
    if form == "json":
        output.dump(
            {"name": package.name, "digest": package.digest, "candidates": [_row_json(r) for r in rows]}
        )
        return
    output.say(output.table(HEADERS, [_row(row) for row in rows]))


HEADERS = [
    "CANDIDATE",
    "GOLDEN",
    "DIFFERENCE",
    "P50 MS",
    "P99 MS",
    "1 THREAD",
    "IMAGES/S",
    "LOAD S",
    "RSS MB",
]


def _row(row: Checked | NotChecked) -> list[object]:
    if isinstance(row, NotChecked):
        return [row.candidate.name, f"not available: {row.reason}", "", "", "", "", "", "", ""]
    made = row.measurement
    timings = made.timings
    first: list[object] = ["", "", "", ""]
    if timings:
        best, one = timings[0], timings[-1]
        first = [
            f"{best.p50_ms:.3g}",
            f"{best.p99_ms:.3g}",
            f"{one.p50_ms:.3g}",
            f"{best.images_per_second:.4g}",
        ]
    golden = f"{row.same_best}/{row.images}" + ("" if row.passed else " FAILED")
    memory = f"{made.rss_bytes / 1e6:.0f}"
    return [row.candidate.name, golden, f"{row.difference:.1e}", *first, f"{made.load_s:.3g}", memory]


def _row_json(row: Checked | NotChecked) -> dict[str, object]:
    if isinstance(row, NotChecked):
        return {"name": row.candidate.name, "available": False, "reason": row.reason}
    return {
        "name": row.candidate.name,
        "available": True,
        "passed": row.passed,
        "difference": row.difference,
        "tolerance": row.candidate.tolerance,
        "sameBest": row.same_best,
        "images": row.images,
        "measured": row.measurement.to_json(),
    }


def _require(package: Package, rows: list[Checked | NotChecked]) -> None:
    for row in rows:
        if isinstance(row, Checked) and not row.passed:
            raise PreconditionFailed(
                f"{row.candidate.name} differs from the golden set by {row.difference:.2g} here",
                hint=f"at most {row.candidate.tolerance:.2g} is allowed; rebuild it for this machine",
            )
    if not any(isinstance(row, Checked) for row in rows):
        reasons = "; ".join(
            f"{row.candidate.name}: {row.reason}" for row in rows if isinstance(row, NotChecked)
        )
        raise PreconditionFailed(f"no engine of {package.name} runs here: {reasons}")


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []
