"""The program that runs a model in real Keras; it is started as a file, in a Python that has Keras.

Arguments: model file, inputs (.npz with ``x``), outputs (.npz). Imports nothing of ours.
"""

from __future__ import annotations

import os
import sys


def main(model_path: str, inputs_path: str, outputs_path: str) -> int:
    """Predict and save; exit code 3 when Keras or its backend is not installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    try:
        import keras
        import numpy as np
    except ImportError as exc:
        sys.stderr.write(f"{exc}\n")
        return 3
    model = keras.saving.load_model(model_path, compile=False)
    x = np.load(inputs_path)["x"]
    outputs = [np.asarray(model(x[i : i + 8], training=False)) for i in range(0, len(x), 8)]
    np.savez(outputs_path, y=np.concatenate(outputs), version=np.array(keras.__version__))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
