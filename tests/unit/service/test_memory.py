"""Memory at hand: the machine's, or the container's where that is less."""

from __future__ import annotations

from pathlib import Path

from skerry.service.memory import UNLIMITED, free_bytes

MB = 1024 * 1024


def test_the_containers_limit_counts(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    4096 kB\n")
    assert free_bytes(tmp_path, tmp_path) == 4 * MB
    (tmp_path / "memory.max").write_text(f"{3 * MB}\n")
    (tmp_path / "memory.current").write_text(f"{2 * MB}\n")
    assert free_bytes(tmp_path, tmp_path) == MB
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes(tmp_path, tmp_path) == 4 * MB
    assert free_bytes(tmp_path / "none", tmp_path / "none") == UNLIMITED
