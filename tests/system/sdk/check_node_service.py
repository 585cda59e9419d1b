"""Microsoft's service SDK for Node, ``azure-iothub``: its main calls, over HTTPS and AMQP."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.support.stack import Hub
from tests.system.sdk import npm
from tests.system.sdk.clients import SDK_MARKS

pytestmark = SDK_MARKS

PROGRAM = Path(__file__).parent / "node" / "service.js"


def test_the_node_service_sdk_does_its_work(hub: Hub) -> None:
    environment = {
        "NODE_PATH": str(npm.modules()),
        "NODE_EXTRA_CA_CERTS": str(hub.ca_file),
        "SERVICE": hub.service_string,
    }
    done = subprocess.run(
        ["node", str(PROGRAM)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=35,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said.pop("key")
    assert said == {
        "got": "node",
        "reason": "looked at",
        "bulk": True,
        "listed": ["b1", "b2", "node"],
        "missing": "DeviceNotFoundError",
        "modules": ["mod"],
        "queried": [["node", 1]],
        "configurations": ["cool"],
        "statistics": 1,
        "method": [207, {"got": 3}],
        "message": "hello",
        "feedback": "Success",
        "job": "completed",
        "twin": "node",
        "command": [207, {"got": 4}],
    }
