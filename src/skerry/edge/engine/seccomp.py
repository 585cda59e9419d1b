"""A seccomp filter for modules in bubblewrap: calls with which a process could leave its sandbox fail.

A list of what is refused and not, as Docker's, of what is allowed: short enough to be read here. Source of
the choice: docs.docker.com/engine/security/seccomp, "Significant syscalls blocked by the default profile".
"""

from __future__ import annotations

import errno
import os
import platform
import struct

# linux/audit.h
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# name: (x86_64, aarch64); -1 where the architecture has no such call (arch/*/…/unistd, syscall_64.tbl).
REFUSED = {
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "init_module": (175, 105),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "iopl": (172, -1),
    "ioperm": (173, -1),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "open_by_handle_at": (304, 265),
    "process_vm_writev": (311, 271),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
}
# linux/bpf_common.h, linux/seccomp.h
LOAD_WORD, JUMP_EQUAL, JUMP_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, KILL, FAIL = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM
NUMBER_AT, ARCHITECTURE_AT = 0, 4
# On x86_64, calls of the x32 ABI have this bit and other numbers; nothing we run uses them.
X32_BIT = 0x40000000


def program(machine: str) -> bytes | None:
    """The filter as the kernel takes it (``struct sock_filter[]``); None for a machine we do not know."""
    if machine not in ARCHITECTURES:
        return None
    column = list(ARCHITECTURES).index(machine)
    numbers = sorted(pair[column] for pair in REFUSED.values() if pair[column] >= 0)
    code = [
        _step(LOAD_WORD, 0, 0, ARCHITECTURE_AT),
        _step(JUMP_EQUAL, 1, 0, ARCHITECTURES[machine]),
        _step(RETURN, 0, 0, KILL),
        _step(LOAD_WORD, 0, 0, NUMBER_AT),
        _step(JUMP_AT_LEAST, len(numbers) + 1, 0, X32_BIT),
    ]
    for index, number in enumerate(numbers):
        # Jumps count from the next step: over the remaining comparisons and the "allow" after them.
        code.append(_step(JUMP_EQUAL, len(numbers) - index, 0, number))
    code += [_step(RETURN, 0, 0, ALLOW), _step(RETURN, 0, 0, FAIL)]
    return b"".join(code)


def filter_fd() -> int | None:
    """An open descriptor with the filter of this machine, to be closed by the caller."""
    data = program(platform.machine())
    if data is None:
        return None
    descriptor = os.memfd_create("seccomp")
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _step(code: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
