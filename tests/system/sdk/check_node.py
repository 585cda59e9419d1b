"""Microsoft's Node SDK as a module against the edge hub, by ``ModuleClient.fromEnvironment``."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any
from unittest.mock import patch

from azure.iot.device import IoTHubModuleClient

from tests.support.stack import Edge, Hub, eventually
from tests.system.sdk import npm
from tests.system.sdk.clients import SDK_MARKS, message

pytestmark = SDK_MARKS

PROGRAM = Path(__file__).parent / "node" / "module.js"


class Program:
    """The Node module as a process; ``seen`` are its events by name."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.seen: dict[str, list[Any]] = {}
        self._process = subprocess.Popen(
            ["node", str(PROGRAM)],
            env={**os.environ, **environment, "NODE_PATH": str(npm.modules())},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait(self, event: str) -> Any:
        """The value of the first ``event``; TimeoutError when it does not come."""
        eventually(lambda: event in self.seen or self._process.poll() is not None)
        return self.seen[event][0]

    def close(self) -> int:
        """Ask it to end; its exit status."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()
            return self._process.wait(10)
        finally:
            self._process.kill()
            self._reader.join()
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            self.seen.setdefault(said["event"], []).append(said["value"])


def test_a_node_module_lives_on_the_edge_hub(hub: Hub, edge: Edge) -> None:
    program = Program(edge.environment("receiver"))
    try:
        assert program.wait("twin")["interval"] == 5
        program.wait("ready")
        with patch.dict(os.environ, edge.environment("sender")):
            sender = IoTHubModuleClient.create_from_edge_environment()
        sender.send_message_to_output(message("an image", {"level": "höher"}), "across")
        sender.shutdown()
        assert program.wait("input") == {"input": "in", "body": "an image", "level": "höher"}
        program.wait("sent")
        answer = hub.invoke("edge-1", "blink", {"times": 3}, "receiver")
        assert (answer.status, answer.payload) == (207, {"got": {"times": 3}})
        hub.call(lambda service: service.patch_twin("edge-1", "receiver", desired={"interval": 9}))
        eventually(lambda: 9 in program.seen.get("interval", []))
    finally:
        status = program.close()
    assert status == 0
    (event,) = hub.events(1)
    assert (event["moduleId"], event["body"]) == ("receiver", {"seen": "an image"})
    assert event["properties"]["from"] == "node"
    eventually(lambda: reported(hub).get("runsOn") == "node")


def reported(hub: Hub) -> dict[str, Any]:
    twin = hub.call(lambda service: service.twin("edge-1", "receiver"))
    document: dict[str, Any] = twin["properties"]["reported"]
    return document
