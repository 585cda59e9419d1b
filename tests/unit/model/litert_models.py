"""Writes the LiteRT files in ``tests/vectors``, of the CNN that is there as ``tiny_jax.keras``.

Run by hand with TensorFlow: ``python litert_models.py tests/vectors``. ``tiny.tflite`` is what it is,
``tiny_uint8.tflite`` takes and gives uint8. Written by TensorFlow 2.21.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np


def main(folder: Path) -> None:
    import keras
    import tensorflow as tf

    model = keras.saving.load_model(folder / "tiny_jax.keras", compile=False)
    archive = keras.export.ExportArchive()
    archive.track(model)
    spec = tf.TensorSpec([None, 16, 16, 3], tf.float32, name="image")
    archive.add_endpoint("serve", lambda image: model(image, training=False), input_signature=[spec])
    archive.write_out(str(folder / "saved"), verbose=False)

    def converter() -> Any:
        return tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))

    (folder / "tiny.tflite").write_bytes(converter().convert())
    whole = converter()
    whole.optimizations = [tf.lite.Optimize.DEFAULT]
    with np.load(folder / "tiny_jax.npz") as data:
        pictures = data["x"].astype(np.float32)
    whole.representative_dataset = lambda: ([picture[None]] for picture in pictures)
    whole.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    whole.inference_input_type = whole.inference_output_type = tf.uint8
    (folder / "tiny_uint8.tflite").write_bytes(whole.convert())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
