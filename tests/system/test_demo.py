"""``skerry demo`` as a newcomer runs it: it adds up, and it leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

DEMO_TIMEOUT_S = 300


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """The demo with its downloads shared between tests, in a folder of its own."""
    (folder / "cache").parent.mkdir(parents=True, exist_ok=True)
    shared = Path("build/cache").absolute()
    shared.mkdir(parents=True, exist_ok=True)
    (folder / "cache").symlink_to(shared)
    return subprocess.Popen(
        [sys.executable, "-m", "skerry", "demo", "--dir", str(folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def processes_of(folder: Path) -> list[str]:
    """Command lines of everything that still runs out of ``folder``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(folder) in line and int(entry.name) != os.getpid():
                found.append(line)
    return found


def containers() -> str:
    listed = subprocess.run(
        ["docker", "ps", "-a", "--filter", "name=skerry-demo-", "--format", "{{.Names}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.strip()


@pytest.mark.parametrize("engine", ["process", "docker"])
def test_the_demo_adds_up_and_leaves_nothing_behind(engine: str, tmp_path: Path) -> None:
    child = start(tmp_path / "d", "--engine", engine)
    try:
        text, _ = child.communicate(timeout=DEMO_TIMEOUT_S)
    finally:
        child.kill()
    assert child.returncode == 0, text
    assert "WRONG" not in text
    for claim in ("lost 0, out of order 0", "predicted with the link cut", "topK 3 → 1"):
        assert claim in text, text
    assert "SharedAccessKey" not in text
    assert processes_of(tmp_path) == []
    if engine == "docker":
        assert containers() == ""


def test_ctrl_c_takes_everything_down(tmp_path: Path) -> None:
    child = start(tmp_path / "d", "--engine", "process")
    try:
        assert child.stdout is not None
        deadline = time.monotonic() + DEMO_TIMEOUT_S
        for line in child.stdout:
            assert time.monotonic() < deadline
            if line.startswith("[5/8]"):
                break
        assert processes_of(tmp_path) != []
        child.send_signal(signal.SIGINT)
        rest, _ = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130, rest
    assert "interrupted, cleaning up" in rest
    assert "Traceback" not in rest
    assert processes_of(tmp_path) == []
