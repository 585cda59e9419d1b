"""Starts a process that is ours to watch and that outlives us."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping, Sequence

# Descriptors a child is given get numbers from 3 on; ours are first moved out of their way.
OUT_OF_THE_WAY = 200


def spawn(argv: Sequence[str], env: Mapping[str, str], *, output: int, given: Mapping[int, int]) -> int:
    """Start ``argv`` in a session of its own; its process id. Raises OSError.

    Standard input is empty, both outputs go to ``output``; ``given`` maps numbers in the child to our
    descriptors. Nothing in this process holds the child (an asyncio transport would kill it when it is
    collected); whoever watches it has to ``reap`` it.
    """
    moved = {
        number: fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, OUT_OF_THE_WAY) for number, ours in given.items()
    }
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
        *((os.POSIX_SPAWN_DUP2, ours, number) for number, ours in moved.items()),
    ]
    try:
        return os.posix_spawnp(argv[0], list(argv), env, file_actions=actions, setsid=True)
    finally:
        for descriptor in moved.values():
            os.close(descriptor)


def reap(pid: int) -> int | None:
    """The exit code of our child (128 + signal when it was killed); None while it runs or is not ours."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    if not found:
        return None
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code
