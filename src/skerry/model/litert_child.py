"""The program that turns a Keras model into a LiteRT file; started as a file, in a Python with Keras.

Arguments: model file, .tflite to write, the outputs' names where there are several. Imports nothing of
ours. Exit code 3 without Keras or TensorFlow.
"""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any


def main(model_path: str, output_path: str, *heads: str) -> int:
    """Convert through an export archive: other ways leave augmentation on, or give NaN without an error."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    try:
        import keras
        import tensorflow as tf
    except ImportError as exc:
        sys.stderr.write(f"{exc}\n")
        return 3
    model = keras.saving.load_model(model_path, compile=False)
    shape = [None, *model.inputs[0].shape[1:]]
    if len(model.inputs) != 1 or None in shape[1:]:
        sys.stderr.write(f"LiteRT needs one input of a fixed size, this one has {shape}\n")
        return 1
    archive = keras.export.ExportArchive()
    archive.track(model)

    def serve(x: Any) -> Any:
        made = model(x, training=False)
        if len(heads) < 2:
            return made
        named = made if isinstance(made, dict) else dict(zip(model.output_names, made, strict=True))
        return tf.concat([named[head] for head in heads], axis=1)

    archive.add_endpoint("serve", serve, input_signature=[tf.TensorSpec(shape, tf.float32)])
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converted = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    with open(output_path, "wb") as file:
        file.write(converted)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
