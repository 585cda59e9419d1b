"""What a process module may use, and what it is refused."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from skerry.edge.engine.abilities import Abilities
from skerry.edge.engine.limits import ControlGroups, Limits, limits_of, rlimit_argv
from skerry.edge.engine.seccomp import ARCHITECTURES, REFUSED, program
from skerry.edge.engine.space import check_room, plain_bytes, size
from skerry.errors import InvalidInput, StorageFull, Unsupported

EVERYTHING, NOTHING = Abilities(sandbox=True, groups=True), Abilities(sandbox=False, groups=False)


def test_docker_limits_are_read() -> None:
    host = {
        "Memory": 1024,
        "CpuQuota": 50_000,
        "PidsLimit": 9,
        "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
    }
    assert limits_of(host) == Limits(1024, 0.5, 9, (("nofile", 1, 2),))
    assert limits_of({"Memory": 0, "PidsLimit": -1, "NanoCpus": 0}) == Limits()
    assert not Limits().needs_cgroup
    with pytest.raises(InvalidInput, match="open files"):
        limits_of({"Ulimits": [{"Name": "open files"}]})


def test_a_command_runs_with_its_rlimits() -> None:
    argv = rlimit_argv(Limits(rlimits=[("nofile", 77, 88)]))
    ran = subprocess.run([*argv, "sh", "-c", "ulimit -Sn; ulimit -Hn"], capture_output=True, check=True)
    assert ran.stdout.split() == [b"77", b"88"]
    assert rlimit_argv(Limits()) == []


def test_where_no_group_may_be_made_a_limit_is_unsupported(tmp_path: Path) -> None:
    groups = ControlGroups("x", tmp_path)
    assert not groups.usable
    assert groups.create("cnn", Limits()) == []
    with pytest.raises(Unsupported):
        groups.create("cnn", Limits(memory_bytes=1))


def test_groups_of_version_2_are_filled(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    groups = ControlGroups("x", tmp_path)
    assert groups.usable
    (procs,) = groups.create("cnn", Limits(1024, 1.5, 9))
    assert procs == tmp_path / "skerry/x-cnn/cgroup.procs"
    values = {path.name: path.read_text() for path in procs.parent.iterdir()}
    assert values == {"memory.max": "1024", "cpu.max": "150000 100000", "pids.max": "9"}
    (procs.parent / "memory.events").write_text("low 0\noom_kill 2\n")
    assert groups.out_of_memory("cnn")


def test_what_a_process_cannot_be_given_is_listed_and_what_asks_for_nothing_is_not() -> None:
    options = {
        "Env": ["A=1"],
        "Tty": False,
        "User": "1000",
        "HostConfig": {
            "Privileged": True,
            "Memory": 1024,
            "CpuShares": 0,
            "Binds": ["/a:/b"],
            "Devices": [{"PathOnHost": "/dev/video0"}],
            "NetworkMode": "none",
            "IpcMode": "host",
            "Runtime": "nvidia",
            "PortBindings": {
                "5001/tcp": [{"HostPort": "5001"}],
                "80/tcp": [{"HostPort": "8080"}],
                "81/tcp": [{}],
            },
        },
    }
    always = [
        "HostConfig.IpcMode",
        "HostConfig.PortBindings.80/tcp",
        "HostConfig.Privileged",
        "HostConfig.Runtime",
    ]
    assert EVERYTHING.cannot(options) == always
    sandboxed = ["HostConfig.Devices", "HostConfig.Memory", "HostConfig.NetworkMode", "User"]
    assert NOTHING.cannot(options) == sorted([*always, *sandboxed])
    assert NOTHING.cannot({"HostConfig": {"NetworkMode": "host", "IpcMode": "private"}}) == []


def interpret(code: bytes, machine: int, number: int) -> int:
    """What a filter answers, by the rules of classic BPF (Documentation/networking/filter.rst)."""
    steps = [
        (int.from_bytes(c[:2], "little"), c[2], c[3], int.from_bytes(c[4:], "little"))
        for c in (code[i : i + 8] for i in range(0, len(code), 8))
    ]
    at, value = 0, 0
    while True:
        kind, yes, no, operand = steps[at]
        at += 1
        if kind == 0x20:
            value = machine if operand == 4 else number
        elif kind == 0x06:
            return operand
        else:
            at += yes if (value == operand if kind == 0x15 else value >= operand) else no


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_filter_refuses_its_list_and_nothing_else(name: str) -> None:
    code, machine = program(name), ARCHITECTURES[name]
    assert code is not None
    column = list(ARCHITECTURES).index(name)
    refused = {pair[column] for pair in REFUSED.values()} - {-1}
    for number in range(460):
        answer = interpret(code, machine, number)
        assert (answer == 0x00050001) == (number in refused)
        assert (answer == 0x7FFF0000) == (number not in refused)
    assert interpret(code, machine, 0x40000000 + 1) == 0x00050001
    assert interpret(code, 0x40000003, 1) == 0x80000000
    assert program("vax") is None


def test_this_machines_numbers_are_right() -> None:
    """Python knows a few of them from the C library's headers."""
    if platform.machine() == "x86_64" and sys.platform == "linux":
        header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
        known = header.read_text() if header.exists() else "#define __NR_mount 165\n"
        for line in known.splitlines():
            words = line.split()
            if len(words) == 3 and words[1].removeprefix("__NR_") in REFUSED:
                assert REFUSED[words[1].removeprefix("__NR_")][0] == int(words[2])


def test_room_is_checked_with_numbers(tmp_path: Path) -> None:
    check_room("cnn:1", 1, tmp_path)
    with pytest.raises(StorageFull, match=r"cnn:1 needs 1024\.0 GiB"):
        check_room("cnn:1", 2**40, tmp_path / "not" / "there")
    assert [size(900), size(3 * 2**20), size(3 * 2**29)] == ["900 bytes", "3.0 MiB", "1.5 GiB"]


def test_the_size_of_a_layer_is_known_before_it_is_unpacked(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(os.urandom(100))
    assert plain_bytes(blob) in (100, 300)
    subprocess.run(["sh", "-c", f"head -c 5000000 /dev/zero | gzip >{blob}"], check=True)
    assert plain_bytes(blob) == 5_000_000
    assert plain_bytes(tmp_path / "none") == 0
