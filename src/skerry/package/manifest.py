"""The package on disk: a folder whose manifest names every file with its SHA-256."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from skerry.errors import AlreadyExists, Damaged, InvalidInput, NotFound
from skerry.package.candidate import Candidate, read_candidates
from skerry.package.document import Reader, canonical_json, parse_json
from skerry.package.recipe import Recipe, labels_json, parse_labels
from skerry.package.signature import SIGNATURE, require_signature

SCHEMA = "skerry.package/1"
MANIFEST, MODEL, RECIPE, LABELS = "manifest.json", "model.onnx", "recipe.json", "labels.json"
CERTIFICATE, EXPECTED = "certificate.json", "golden/expected.npy"
# For a package that says nothing: two fp32 engines differ by rounding, some 1e-6.
TOLERANCE_DEFAULT = 1e-3
_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png"}


@dataclass(frozen=True, slots=True, eq=False)
class GoldenSample:
    """An image with what the reference gave for it, float32: all outputs' numbers, the main one first."""

    image_bytes: bytes
    expected: NDArray[np.float32]
    name: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Package:
    """A verified package; ``digest`` is the SHA-256 of its manifest, hence of everything in it.

    ``candidates`` are the ways to run it that passed the build's checks, the chosen one first; ``model_path``
    is that one's file. ``signed_by`` is the id of the trusted key that signed it, where one was asked for.
    """

    directory: Path
    manifest: Mapping[str, object]
    recipe: Recipe
    model_path: Path
    golden: list[GoldenSample]
    certificate: Mapping[str, object]
    digest: str
    candidates: tuple[Candidate, ...]
    signed_by: str | None = None

    @property
    def chosen(self) -> Candidate:
        """The candidate that the build chose."""
        return self.candidates[0]

    @property
    def name(self) -> str:
        """What the model is called, from the Keras file's name."""
        return str(self.manifest["name"])

    @classmethod
    def open(cls, directory: Path, *, trusted_keys: Sequence[bytes] | None = None) -> Package:
        """The package in ``directory``, every file checked.

        With ``trusted_keys`` (raw Ed25519 public keys) it must be signed by one of them: NotAllowed when it
        is not. NotFound without a manifest, InvalidInput for a manifest of another kind, Damaged for a file
        that is missing or differs.
        """
        try:
            raw = (directory / MANIFEST).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise NotFound(
                f"no model package in {directory}",
                hint="make one with: skerry model build",
                path=str(directory),
            ) from exc
        signed_by = None
        if trusted_keys is not None:
            signed_by = require_signature(raw, _signature(directory), trusted_keys)
        manifest = Reader(parse_json(raw, MANIFEST))
        manifest.choice("schema", (SCHEMA,))
        manifest.text("name")
        order = manifest.items("order")
        contents = _verified(directory, manifest.child("files"), order)
        labels = parse_labels(parse_json(contents[LABELS], LABELS))
        certificate = parse_json(contents[CERTIFICATE], CERTIFICATE)
        document = parse_json(raw, MANIFEST)
        if not isinstance(certificate, dict) or not isinstance(document, dict):
            raise Damaged(f"{CERTIFICATE} is not an object", path=CERTIFICATE)
        default = Candidate("onnx-fp32", "onnxruntime", "fp32", MODEL, _tolerance(certificate))
        candidates = read_candidates(manifest, order, default)
        if candidates[0].file not in contents:
            raise InvalidInput(f"the manifest names no {MODEL}", path="files", value=[MODEL])
        return cls(
            directory=directory,
            manifest=document,
            recipe=Recipe.from_json(parse_json(contents[RECIPE], RECIPE), labels),
            model_path=directory / candidates[0].file,
            golden=_golden(contents),
            certificate=certificate,
            digest="sha256:" + hashlib.sha256(raw).hexdigest(),
            candidates=candidates,
            signed_by=signed_by,
        )


def write_package(
    directory: Path,
    *,
    name: str,
    model: bytes | Mapping[str, bytes],
    recipe: Recipe,
    golden: Sequence[GoldenSample],
    certificate: Mapping[str, object],
    source: Mapping[str, object] | None = None,
    candidates: Sequence[Candidate] = (),
    sign: Callable[[bytes], bytes] | None = None,
) -> str:
    """Write the package to ``directory``, all of it or nothing, and return its digest.

    ``model`` is the ONNX file, or the model files by name that ``candidates`` (the chosen one first) run.
    ``sign`` gives ``signature.json`` for the manifest's bytes. Same arguments, same bytes. A package already
    there is replaced; AlreadyExists when the folder holds something else.
    """
    models = {MODEL: model} if isinstance(model, bytes) else model
    files = {**models, **_contents(recipe, golden, certificate)}
    offered: dict[str, object] = {}
    if candidates:
        offered = {"chosen": candidates[0].name, "candidates": [c.to_json() for c in candidates]}
    manifest = canonical_json(
        {
            **offered,
            "schema": SCHEMA,
            "name": name,
            "source": dict(source or {}),
            "recipe": recipe.digest,
            "order": sorted(files),
            "files": {
                path: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
                for path, data in files.items()
            },
        }
    )
    beside = {MANIFEST: manifest} if sign is None else {MANIFEST: manifest, SIGNATURE: sign(manifest)}
    _refuse_other_content(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.") as scratch:
        fresh = Path(scratch, "package")
        for path, data in {**files, **beside}.items():
            (fresh / path).parent.mkdir(parents=True, exist_ok=True)
            (fresh / path).write_bytes(data)
        if directory.exists():
            shutil.rmtree(directory)
        os.replace(fresh, directory)
    return "sha256:" + hashlib.sha256(manifest).hexdigest()


def _signature(directory: Path) -> bytes | None:
    path = directory / SIGNATURE
    return path.read_bytes() if path.is_file() else None


def _tolerance(certificate: Mapping[str, object]) -> float:
    """What the build allowed between its two engines is what it allows between two machines."""
    allowed = certificate.get("allowed")
    value = allowed.get("maxAbsDifference") if isinstance(allowed, Mapping) else None
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return float(value)
    return TOLERANCE_DEFAULT


def _contents(
    recipe: Recipe, golden: Sequence[GoldenSample], certificate: Mapping[str, object]
) -> dict[str, bytes]:
    expected = np.zeros((len(golden), recipe.numbers), "<f4")
    files = {
        RECIPE: canonical_json(recipe.to_json(labels=False)),
        LABELS: canonical_json(labels_json(recipe.output.labels)),
        CERTIFICATE: canonical_json(certificate),
    }
    for i, sample in enumerate(golden):
        expected[i] = sample.expected
        files[f"golden/{i:03}{_suffix(sample.image_bytes)}"] = sample.image_bytes
    buffer = io.BytesIO()
    np.save(buffer, expected, allow_pickle=False)
    files[EXPECTED] = buffer.getvalue()
    return files


def _suffix(image: bytes) -> str:
    return next((suffix for magic, suffix in _SUFFIXES.items() if image.startswith(magic)), ".img")


def _refuse_other_content(directory: Path) -> None:
    if directory.exists() and not (directory / MANIFEST).is_file():
        if directory.is_dir() and not any(directory.iterdir()):
            return
        raise AlreadyExists(
            f"{directory} exists and is no model package", hint="name another output", path=str(directory)
        )


def _verified(directory: Path, files: Reader, order: Sequence[object]) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    for path in order:
        if (
            not isinstance(path, str)
            or PurePosixPath(path).is_absolute()
            or ".." in PurePosixPath(path).parts
        ):
            raise InvalidInput("a package's files lie inside it", path="order", value=path)
        contents[path] = _checked(directory, path, files.child(path).text("sha256"))
    missing = {RECIPE, LABELS, CERTIFICATE, EXPECTED} - set(contents)
    if missing:
        raise InvalidInput(
            f"the manifest names no {', '.join(sorted(missing))}", path="files", value=sorted(missing)
        )
    return contents


def _checked(directory: Path, path: str, sha256: str) -> bytes:
    try:
        data = (directory / path).read_bytes()
    except FileNotFoundError as exc:
        raise Damaged(f"the package lacks {path}", hint="build or download it again", path=path) from exc
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Damaged(
            f"{path} is not what the package's manifest names", hint="build or download it again", path=path
        )
    return data


def _golden(contents: Mapping[str, bytes]) -> list[GoldenSample]:
    images = sorted(path for path in contents if path.startswith("golden/") and path != EXPECTED)
    try:
        expected = np.load(io.BytesIO(contents[EXPECTED]), allow_pickle=False)
    except ValueError as exc:
        raise Damaged(f"{EXPECTED} cannot be read: {exc}", path=EXPECTED) from exc
    if expected.ndim != 2 or len(expected) != len(images):
        raise Damaged(f"{EXPECTED} does not fit the {len(images)} golden images", path=EXPECTED)
    return [
        GoldenSample(contents[path], row.astype(np.float32), path)
        for path, row in zip(images, expected, strict=True)
    ]
