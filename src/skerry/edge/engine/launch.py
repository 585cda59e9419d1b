"""Starts a module's program on this machine: in bubblewrap or plainly, within its limits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from skerry.edge.engine.limits import Limits, rlimit_argv
from skerry.edge.engine.module_folder import MARK, ModuleFolder
from skerry.edge.engine.sandbox import Program, bubblewrap_argv, bubblewrap_environment, plain_argv, plain_env
from skerry.edge.engine.seccomp import filter_fd
from skerry.edge.engine.spawn import spawn
from skerry.errors import Unsupported

# Descriptors of the child.
STATUS_FD, ENVIRONMENT_FD, SECCOMP_FD = 3, 4, 5
# Writes its id into each file before it becomes the module: so the whole module is in its groups.
JOIN_GROUPS = (
    'n=$1; shift; while [ "$n" -gt 0 ]; do echo $$ >"$1" || exit 125; shift; n=$((n-1)); done; exec "$@"'
)


def launch(
    folder: ModuleFolder,
    program: Program,
    *,
    run: str,
    bwrap: str | None,
    limits: Limits,
    groups: Sequence[Path],
) -> int:
    """The process id of what was started; ``run`` marks its environment. Unsupported when it cannot be."""
    before = ["/bin/sh", "-c", JOIN_GROUPS, "sh", str(len(groups)), *map(str, groups)] if groups else []
    output = os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    given = {STATUS_FD: os.open(folder.status, flags, 0o600)}
    try:
        if bwrap is None:
            argv, env = plain_argv(program, status_file=folder.status), plain_env(program)
        else:
            given[ENVIRONMENT_FD] = _memory_file("environment", bubblewrap_environment(program))
            if (seccomp := filter_fd()) is not None:
                given[SECCOMP_FD] = seccomp
            argv = bubblewrap_argv(
                bwrap,
                program,
                status_fd=STATUS_FD,
                environment_fd=ENVIRONMENT_FD,
                seccomp_fd=None if seccomp is None else SECCOMP_FD,
            )
            env = {"PATH": os.environ.get("PATH", os.defpath)}
        env[MARK] = run
        return spawn([*before, *rlimit_argv(limits), *argv], env, output=output, given=given)
    except OSError as exc:
        raise Unsupported(f"cannot start {folder.name}: {exc}", module=folder.name) from exc
    finally:
        for descriptor in (output, *given.values()):
            os.close(descriptor)


def _memory_file(name: str, data: bytes) -> int:
    """An open descriptor from which ``data`` is read; to be closed by the caller."""
    descriptor = os.memfd_create(name)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
