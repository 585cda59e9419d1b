"""The deployment the demo makes: camera → CNN → hub, in Azure's manifest format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CAMERA, CNN = "camera", "cnn"
CAMERA_IMAGE, CNN_IMAGE = "skerry-demo/camera:1", "skerry-demo/cnn:1"
# A plant camera's rate, and one that two small cores keep up with.
FRAMES_PER_SECOND = 25


# Where the modules have the folder that holds what is too large for a message.
CLAIMS_PATH = "/var/lib/skerry/claims"


def deployment(camera_image: str, cnn_image: str, claims: Path | None = None) -> dict[str, Any]:
    """Schema 1.1: two modules, two routes; the camera waits to be told to send.

    ``claims``: a folder of the device that both modules share, for frames too large for a message.
    """
    return {
        "modulesContent": {
            "$edgeAgent": {
                "properties.desired": {
                    "schemaVersion": "1.1",
                    "runtime": {"type": "docker", "settings": {"minDockerVersion": "v1.25"}},
                    "systemModules": {
                        "edgeAgent": {
                            "type": "docker",
                            "settings": {"image": "skerry", "createOptions": "{}"},
                        },
                        "edgeHub": {
                            "type": "docker",
                            "status": "running",
                            "restartPolicy": "always",
                            "settings": {"image": "skerry", "createOptions": "{}"},
                        },
                    },
                    "modules": {
                        CNN: _module(cnn_image, startup_order=1, claims=claims),
                        # It waits to be told how many to send.
                        CAMERA: _module(
                            camera_image,
                            startup_order=2,
                            claims=claims,
                            env={"SKERRY_FRAMES_PER_SECOND": FRAMES_PER_SECOND, "SKERRY_COUNT": 0},
                        ),
                    },
                }
            },
            "$edgeHub": {
                "properties.desired": {
                    "schemaVersion": "1.1",
                    "routes": {
                        "cameraToCnn": f"FROM /messages/modules/{CAMERA}/outputs/image "
                        f'INTO BrokeredEndpoint("/modules/{CNN}/inputs/amlInput")',
                        "cnnToHub": f"FROM /messages/modules/{CNN}/outputs/amlOutput INTO $upstream",
                    },
                    "storeAndForwardConfiguration": {"timeToLiveSecs": 7200},
                }
            },
            CNN: {"properties.desired": {"topK": 3}},
        }
    }


def _module(
    image: str, *, startup_order: int, claims: Path | None, env: Mapping[str, int] | None = None
) -> dict[str, Any]:
    variables: dict[str, int | str] = dict(env or {})
    options: dict[str, Any] = {}
    if claims is not None:
        variables["SKERRY_CLAIMS_DIR"] = CLAIMS_PATH
        options["HostConfig"] = {"Binds": [f"{claims.resolve()}:{CLAIMS_PATH}"]}
    return {
        "type": "docker",
        "version": "1.0",
        "status": "running",
        "restartPolicy": "always",
        "startupOrder": startup_order,
        "env": {name: {"value": value} for name, value in variables.items()},
        "settings": {"image": image, "createOptions": json.dumps(options)},
    }
