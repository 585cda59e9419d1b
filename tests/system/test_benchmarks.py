"""The benchmarks run, and their reports are whole; how fast anything was is not judged here."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ROWS = {
    "edge_hub": [
        "publish → route → subscribe, QoS 1, 256 B, window 100, no store",
        "publish → route → subscribe, QoS 1, 256 B, window 100, durable",
        "durable PUBACK, 20 devices, one in flight each",
        "durable PUBACK, 20 devices, one in flight each, no store to compare",
        "durable PUBACK, one serial publisher",
        "durable PUBACK, one serial publisher, its disk alone to compare",
        "durable append, groups of 128 × 256 B",
    ],
    "backlog": ["opening a backlog, after an orderly end", "opening a backlog, after a crash"],
    "module": [
        "small, 16 connections",
        "small, 1 connection, p50",
        "small, exec → first answer",
        "small, RSS",
        "small, batch 1",
    ],
    "decode": [
        f"{size}, at least {least} ×" for size in ("640 × 480", "12 megapixels") for least in (1, 2, 4)
    ],
    "message_path": ["input → prediction → output, 16 in flight", "exec → first message answered"],
    "model_update": ["3 updates, longest time without an answer", "p99 while updating"],
    "endurance": ["RSS after 200 requests", "RSS after 200 requests, against its start"],
    "deploy": ["deploy → all modules running, seen at the hub", "deploy → first prediction at the hub"],
    "power_cycle": ["power cycle without a network → all modules predicting"],
    "families": ["MobileNetV2 48 p50"],
    "hub_connections": [
        "RSS with 100 TLS connections",
        "CPU per connection: handshake and CONNECT",
        "a QoS 1 message from each at once, ours durable",
        "CPU per message, ours durable",
    ],
    "hub_verbs": [
        "durable twin patches, 256 callers",
        "query for one device",
        "query over all: a reported property",
    ],
    "registry": ["push of a layer over TLS", "pull of a layer over TLS"],
    "memory": ["PSS of daemon + agent + edge hub, idle, 3 modules"],
}

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.mark.parametrize("name", ROWS)
def test_a_benchmark_runs_and_reports_every_row(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--out", str(tmp_path), name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads((tmp_path / f"{name}.json").read_text())
    assert report["quick"]
    assert [row["what"] for row in report["rows"]] == ROWS[name]
    for row in report["rows"]:
        assert row["ratio"] > 0, row
        assert row["met"] in (True, False, None), row
        assert row["what"] in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.json"]
