"""What every peer does with a request: the same engine, decoder and ranking. It runs there."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

TOP = 5
# Where the job is written: model, shape, scale, offset, kind, threads.
VARIABLE = "PEER_JOB"


def handler() -> Callable[[bytes], list[list[float]]]:
    """The five best classes with their scores, for a raw tensor or an image file."""
    job: dict[str, Any] = json.loads(Path(os.environ[VARIABLE]).read_text())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    session = onnxruntime.InferenceSession(job["model"], options, providers=["CPUExecutionProvider"])
    name, shape = session.get_inputs()[0].name, job["shape"]
    scale, offset = np.asarray(job["scale"], np.float32), np.asarray(job["offset"], np.float32)

    def pixels(body: bytes) -> Any:
        image = Image.open(io.BytesIO(body)).convert("RGB")
        image = image.resize((shape[2], shape[1]), Image.Resampling.BILINEAR)
        return (np.asarray(image, np.float32) * scale + offset)[None]

    def tensor(body: bytes) -> Any:
        return np.frombuffer(body, np.float32).reshape(shape)

    prepare = tensor if job["kind"] == "tensor" else pixels

    def handle(body: bytes) -> list[list[float]]:
        scores = session.run(None, {name: prepare(body)})[0][0]
        return [[int(place), float(scores[place])] for place in np.argsort(-scores)[:TOP]]

    return handle
