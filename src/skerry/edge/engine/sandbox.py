"""The command line that runs an unpacked image as a local process: in bubblewrap, or plainly.

bubblewrap gives the module its own root, process ids and IPC, no capabilities and no new privileges; the
network is the host's. The plain form is for machines without bubblewrap: it isolates nothing, and says so.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skerry.errors import Unsupported

# Written over by tmpfs: what a module may write to, gone when it ends.
SCRATCH = ("/tmp", "/var/tmp", "/run")
# Where a 64-bit Linux image keeps its dynamic loader, per architecture.
LOADERS = ("lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1", "lib/ld-linux-armhf.so.3")
RESOLVER = "/etc/resolv.conf"
# A link chain longer than this is a loop (Linux: MAXSYMLINKS).
LINKS_MAX = 40
# Writes the child's id and its exit code into the file $0, in the two lines bubblewrap writes too.
PLAIN_SHIM = (
    'cd /; "$@" & child=$!; echo "{ \\"child-pid\\": $child }" >>"$0"; '
    'wait $child; code=$?; echo "{ \\"exit-code\\": $code }" >>"$0"'
)


@dataclass(frozen=True)
class Program:
    """What to run: the image's command with the module's settings merged in.

    ``mounts`` are source, target, read only; ``devices`` source, target; ``hosts_file`` becomes /etc/hosts.
    """

    root: Path
    argv: Sequence[str]
    env: Mapping[str, str]
    working_dir: str
    user: int | None
    mounts: Sequence[tuple[str, str, bool]]
    hosts_file: Path
    hostname: str
    group: int | None = None
    devices: Sequence[tuple[str, str]] = ()
    scratch: Sequence[str] = ()
    network: bool = True


def bubblewrap_argv(
    bwrap: str, program: Program, *, status_fd: int, environment_fd: int, seccomp_fd: int | None = None
) -> list[str]:
    """``bwrap … -- argv``; the status arrives as JSON lines on ``status_fd`` (``bwrap(1)``).

    The environment is read from ``environment_fd``: every user of a machine can read a command line.
    """
    argv = [bwrap, "--unshare-all", "--new-session", "--as-pid-1", "--cap-drop", "ALL"]
    argv += ["--share-net"] if program.network else []
    argv += ["--hostname", program.hostname, "--json-status-fd", str(status_fd)]
    argv += ["--seccomp", str(seccomp_fd)] if seccomp_fd is not None else []
    if program.user is not None:
        group = program.user if program.group is None else program.group
        argv += ["--uid", str(program.user), "--gid", str(group)]
    argv += ["--ro-bind", str(program.root), "/", "--proc", "/proc", "--dev", "/dev"]
    for scratch in SCRATCH:
        if (program.root / scratch.lstrip("/")).is_dir():
            argv += ["--tmpfs", scratch]
    for scratch in program.scratch:
        argv += ["--tmpfs", inside(program.root, scratch)]
    argv += ["--ro-bind", str(program.hosts_file), "/etc/hosts"]
    if os.path.exists(RESOLVER):
        argv += ["--ro-bind", os.path.realpath(RESOLVER), RESOLVER]
    for source, target, read_only in program.mounts:
        argv += ["--ro-bind" if read_only else "--bind", source, inside(program.root, target)]
    for source, target in program.devices:
        argv += ["--dev-bind", source, target]
    # In a folder of its own (/tmp, /run) it is not there yet.
    argv += ["--dir", inside(program.root, program.working_dir)] if program.working_dir != "/" else []
    argv += ["--chdir", program.working_dir or "/", "--clearenv"]
    return [*argv, "--args", str(environment_fd), "--", *program.argv]


def bubblewrap_environment(program: Program) -> bytes:
    """What is to be read from ``environment_fd``: options, each ended by a zero byte."""
    options = [part for name, value in program.env.items() for part in ("--setenv", name, value)]
    return b"".join(os.fsencode(option) + b"\0" for option in options)


def plain_argv(program: Program, *, status_file: Path) -> list[str]:
    """The program from its unpacked root by its own loader, reporting like bubblewrap does."""
    return ["/bin/sh", "-c", PLAIN_SHIM, str(status_file), *plain_command(program)]


def plain_command(program: Program) -> list[str]:
    """The program from its unpacked root by its own loader."""
    executable = find_executable(program.root, program.argv[0], program.env.get("PATH", ""))
    loader = next((program.root / one for one in LOADERS if (program.root / one).exists()), None)
    if loader is None:
        raise Unsupported(
            "the image has no dynamic loader we know, so it cannot run without bubblewrap",
            hint="install bubblewrap, or use the Docker engine",
        )
    libraries = [program.root / "lib", program.root / "usr/lib"]
    libraries += [one for base in libraries for one in sorted(base.glob("*-linux-gnu*"))]
    path = ":".join(str(one) for one in libraries)
    arguments = [_outside_path(program, one) for one in program.argv[1:]]
    return [str(loader), "--library-path", path, str(executable), *arguments]


def enter_argv(pid: int, argv: Sequence[str], *, nsenter: str, own_users: bool) -> list[str]:
    """``argv`` run in the namespaces of the process ``pid``, as ``nsenter(1)`` does it."""
    spaces = ["--mount", "--pid", "--ipc", "--uts", "--net"]
    spaces += ["--user", "--preserve-credentials"] if own_users else []
    return [nsenter, "--target", str(pid), *spaces, "--root", "--wd", "--", *argv]


def plain_env(program: Program) -> dict[str, str]:
    """The environment with paths of the image and of the mounts turned into the host's."""
    return {name: _outside(program, value) for name, value in program.env.items()}


def inside(root: Path, target: str) -> str:
    """``target`` with the image's links followed (``/var/run`` → ``/run``), as a path inside it."""
    resolved = resolve(root, target)
    return "/" + str(resolved.relative_to(root)) if resolved != root else "/"


def resolve(root: Path, path: str) -> Path:
    """The host path of ``path`` inside ``root``; links are followed but never lead out of ``root``."""
    todo = [part for part in path.split("/") if part not in ("", ".")]
    here, links = root, 0
    while todo:
        part = todo.pop(0)
        if part == "..":
            here = here.parent if here != root else root
            continue
        step = here / part
        if step.is_symlink():
            links += 1
            if links > LINKS_MAX:
                raise Unsupported(f"{path} in the image is a loop of links", path=path)
            target = os.readlink(step)
            if target.startswith("/"):
                here = root
            todo = [one for one in target.split("/") if one not in ("", ".")] + todo
        else:
            here = step
    return here


def find_executable(root: Path, name: str, search: str) -> Path:
    """The program ``name`` in the image, searched in its ``PATH`` when it is a bare name."""
    folders = [""] if "/" in name else (search or "/usr/local/bin:/usr/bin:/bin").split(":")
    for folder in folders:
        found = resolve(root, f"{folder}/{name}")
        if found.is_file():
            return found
    raise Unsupported(f"the image has no program {name}", hint="check Entrypoint and Cmd", program=name)


def _outside(program: Program, value: str) -> str:
    scheme, mark, rest = value.partition("://")
    if mark and scheme == "unix":
        return f"unix://{_outside_path(program, rest)}"
    return ":".join(_outside_path(program, part) for part in value.split(":"))


def _outside_path(program: Program, path: str) -> str:
    if not path.startswith("/") or path == "/":
        return path
    for source, target, _ in program.mounts:
        if path == target or path.startswith(target.rstrip("/") + "/"):
            return source + path[len(target.rstrip("/")) :]
    found = resolve(program.root, path)
    return str(found) if found.exists() else path
