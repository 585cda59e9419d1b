"""The peers, and the setting that each one's documentation gives for throughput on a CPU."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.peers.peer import HERE, ROOT, Peer
from benchmarks.servers import free_port


def _mlserver_files(work: Path, port: int, workers: int) -> None:
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        # Its worker processes answer the protocol's own routes only.
        "parallel_workers": 0,
        "debug": False,
    }
    (work / "settings.json").write_text(json.dumps(settings))
    model = {"name": "peer", "implementation": "benchmarks.peers.mlserver_runtime.Runtime"}
    (work / "model-settings.json").write_text(json.dumps(model))


PEERS = (
    Peer(
        "azureml",
        ("azureml-inference-server-http",),
        lambda port, workers: (
            *("azmlinfsrv", "--entry_script", str(HERE / "azureml_score.py")),
            *("--port", str(port)),
        ),
        lambda port, workers: {"WORKER_COUNT": str(workers)},
    ),
    Peer("mlserver", ("mlserver",), lambda port, workers: ("mlserver", "start", "."), files=_mlserver_files),
    Peer(
        "bentoml",
        ("bentoml",),
        lambda port, workers: (
            *("bentoml", "serve", "benchmarks.peers.bentoml_service:Peer", "--working-dir", str(ROOT)),
            *("--host", "127.0.0.1", "--port", str(port)),
        ),
    ),
    Peer(
        "litserve",
        ("litserve",),
        lambda port, workers: ("python", str(HERE / "litserve_app.py"), str(port)),
        base64=True,
    ),
    Peer(
        "fastapi",
        ("fastapi", "uvicorn", "uvloop", "httptools"),
        lambda port, workers: (
            *("uvicorn", "benchmarks.peers.fastapi_app:app", "--port", str(port)),
            *("--workers", str(workers), "--log-level", "warning", "--loop", "uvloop", "--http", "httptools"),
        ),
    ),
)
