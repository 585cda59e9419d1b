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
# A link chain longer than this is a loop (Linux: MAXSYMLINKS).
LINKS_MAX = 40
# Writes the child's id and its exit code into the file $0, in the two lines bubblewrap writes too.
PLAIN_SHIM = (
    '"$@" & child=$!; echo "{ \\"child-pid\\": $child }" >>"$0"; '
    'wait $child; code=$?; echo "{ \\"exit-code\\": $code }" >>"$0"'
)


@dataclass(frozen=True)
class Program:
    """What to run: the image's command with the module's settings merged in."""

    root: Path
    argv: Sequence[str]
    env: Mapping[str, str]
    working_dir: str
    user: int | None
    mounts: Sequence[tuple[str, str, bool]]
    hosts: Mapping[str, str]
    hostname: str


def bubblewrap_argv(bwrap: str, program: Program, *, status_fd: int, hosts_fd: int) -> list[str]:
    """``bwrap … -- argv``; the status arrives as JSON lines on ``status_fd`` (``bwrap(1)``)."""
    argv = [bwrap, "--unshare-all", "--share-net", "--new-session", "--as-pid-1", "--cap-drop", "ALL"]
    argv += ["--hostname", program.hostname, "--json-status-fd", str(status_fd)]
    if program.user is not None:
        argv += ["--uid", str(program.user), "--gid", str(program.user)]
    argv += ["--ro-bind", str(program.root), "/", "--proc", "/proc", "--dev", "/dev"]
    for scratch in SCRATCH:
        if (program.root / scratch.lstrip("/")).is_dir():
            argv += ["--tmpfs", scratch]
    argv += ["--ro-bind-data", str(hosts_fd), "/etc/hosts"]
    for name in ("/etc/resolv.conf",):
        if os.path.exists(name):
            argv += ["--ro-bind", os.path.realpath(name), name]
    for source, target, read_only in program.mounts:
        argv += ["--ro-bind" if read_only else "--bind", source, inside(program.root, target)]
    argv += ["--chdir", program.working_dir or "/", "--clearenv"]
    for name, value in program.env.items():
        argv += ["--setenv", name, value]
    return [*argv, "--", *program.argv]


def plain_argv(program: Program, *, status_file: Path) -> list[str]:
    """The program from its unpacked root by its own loader, reporting like bubblewrap does."""
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
    command = [str(loader), "--library-path", path, str(executable), *arguments]
    return ["/bin/sh", "-c", PLAIN_SHIM, str(status_file), *command]


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
