"""One model of every family in keras.applications: what a build takes, how its candidates compare with Keras.

Weights are random, seeded and made lively (``tests/system/families.py``), images are textures: speeds are
those of the networks, accuracies are not to be had. Ratios are the chosen engine's against ``model.predict``.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from tests.system.families import CLASSES, FAMILIES, images

from benchmarks.report import Report, Row, Side
from benchmarks.rounds import Options
from skerry.model.build import BuildReport, BuildRequest, build
from skerry.model.candidates import NAMES, NotTried
from skerry.model.choose import Gate
from skerry.model.offer import Wish

# As most of them were published; the quick run takes the smallest that each allows.
SIDE, LARGER = 224, {"InceptionV3": 299, "InceptionResNetV2": 299, "Xception": 299}
# Some run several seconds per image in a slow engine on two cores.
SECONDS, QUICK_SECONDS = 1.5, 0.02
QUICK, QUICK_NAMES = ("MobileNetV2",), ("onnx-fp32", "openvino-fp32")


async def run(options: Options) -> Report:
    """Every family, one after the other; several rounds time Keras again, the build once."""
    rows: list[Row] = []
    notes = ["max abs: of ten probabilities; with random weights agreement below fp32 says little"]
    for name in QUICK if options.quick else FAMILIES:
        side = FAMILIES[name] if options.quick else LARGER.get(name, SIDE)
        made = _family(name, side, options)
        rows.append(made[0])
        notes += made[1]
        # All of them take a while: what is known is said at once.
        row = made[0]
        times = f"{row.ours.value:.3g} ms in {row.ours.name}, model.predict {row.other.value:.3g} ms"
        sys.stderr.write("\n".join([f"{name}: {times}", *made[1]]) + "\n")
        sys.stderr.flush()
    return Report("families", rows, notes)


def _family(name: str, side: int, options: Options) -> tuple[Row, list[str]]:
    work = options.work / name
    (work / "samples").mkdir(parents=True)
    for i, picture in enumerate(images(side, 1)):
        buffer = io.BytesIO()
        Image.fromarray(picture.round().astype(np.uint8)).save(buffer, "PNG")
        (work / "samples" / f"{i}.png").write_bytes(buffer.getvalue())
    (work / "labels.txt").write_text("\n".join(f"class {i}" for i in range(CLASSES)))
    seconds = QUICK_SECONDS if options.quick else SECONDS
    keras, scaling = _keras(name, side, work, seconds, options.rounds)
    wish = Wish(QUICK_NAMES if options.quick else NAMES, Gate(), ship="all", seconds=seconds)
    request = BuildRequest(
        work / f"{name}.keras",
        work / "labels.txt",
        work / "samples",
        work / "package",
        wish=wish,
        golden_count=4,
        scaling=scaling,
    )
    report = build(request, lambda _: None)
    best = next(c for c in report.candidates if c.kind.name == report.chosen)
    assert not isinstance(best, NotTried)
    timing = best.measurement.best
    assert timing is not None
    ours = Side(f"{report.chosen}", [timing.p50_ms] * len(keras), {"p99 ms": timing.p99_ms})
    row = Row(f"{name} {side} p50", "ms", ours, Side("model.predict", keras), "<=")
    return row, [f"{name}: {_steps(report)}", *(f"{name}: {line}" for line in _candidates(report))]


def _keras(name: str, side: int, work: Path, seconds: float, rounds: int) -> tuple[list[float], str]:
    """Write the model; the median milliseconds of ``model.predict`` by round, and the scaling it wants."""
    command = [sys.executable, "-m", "benchmarks.families_child", name, str(side), str(work)]
    done = subprocess.run([*command, str(seconds), str(rounds)], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return found["ms"], found["scaling"]


def _steps(report: BuildReport) -> str:
    parts = ", ".join(f"{step} {seconds:.1f}" for step, seconds in report.steps.items())
    return f"{report.layers} layers, {report.parameters / 1e6:.1f} M parameters; seconds: {parts}"


def _candidates(report: BuildReport) -> list[str]:
    lines = []
    for row in report.candidates:
        if isinstance(row, NotTried):
            lines.append(f"{row.kind.name}: not available: {row.reason}")
            continue
        made, found = row.measurement, row.verification
        best, one = made.timings[0], made.timings[-1]
        lines.append(
            f"{row.kind.name}: max abs {found.max_abs_difference:.1e}, agrees {found.top1_agreement:.0%}, "
            f"p50 {best.p50_ms:.3g} ms, one thread {one.p50_ms:.3g} ms, "
            f"{best.images_per_second:.3g} images/s, load {made.load_s:.2g} s, "
            f"{made.rss_bytes / 1e6:.0f} MB, file {len(row.data) / 1e6:.1f} MB"
            f"{'' if row.kind.name not in report.objections else ': ' + report.objections[row.kind.name]}"
        )
    return lines
