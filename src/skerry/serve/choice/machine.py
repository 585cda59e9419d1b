"""What of this machine decides how fast an engine is: the CPU's abilities and how many there are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

# proc_cpuinfo(5): x86 says "flags" and "model name", ARM says "Features" and "CPU part".
TELLING = ("flags", "Features", "model name", "CPU implementer", "CPU part")


def fingerprint(cpus: int, engines: Sequence[str], cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Equal on machines where a measurement of the same package by the same engines says the same."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    told = sorted({line for line in lines if line.split("\t")[0].strip(" :") in TELLING})
    return hashlib.sha256("\n".join([*told, str(cpus), *engines]).encode()).hexdigest()
