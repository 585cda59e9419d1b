"""Python sources compiled ahead: a module starts from a read-only file system that caches nothing.

The .pyc files are of the unchecked kind (PEP 552), so no time stamp is in them. They are compiled in a
fresh interpreter: what a long-lived one has interned would show in the marshalled bytes.
"""

from __future__ import annotations

import importlib.util
import marshal
import os
import subprocess
import sys
from collections.abc import Sequence

from skerry.errors import Damaged
from skerry.oci.layer import File

# Of the interpreter in the base layer. Another one's bytecode would be ignored there.
IMAGE_PYTHON = (3, 11)
COMPILE_TIMEOUT_S = 300
# PEP 552: hash-based (bit 0), not checked against the source (bit 1).
UNCHECKED_HASH = (1).to_bytes(4, "little")
# Marshal format 2 has no back references, whose presence depends on reference counts.
COMPILER = """
import marshal, sys
done = []
for path, source in marshal.load(sys.stdin.buffer):
    try:
        done.append(marshal.dumps(compile(source, "/" + path, "exec", dont_inherit=True, optimize=0), 2))
    except (SyntaxError, ValueError):
        done.append(b"")
marshal.dump(done, sys.stdout.buffer)
"""


def can_compile() -> bool:
    """Whether the running interpreter makes bytecode that the image's interpreter takes."""
    return sys.version_info[:2] == IMAGE_PYTHON


def compiled(entries: Sequence[File]) -> list[File]:
    """A .pyc beside every source among ``entries`` that compiles; nothing when ``can_compile`` is false."""
    sources = sorted((entry.path, entry.data) for entry in entries if entry.path.endswith(".py"))
    if not sources or not can_compile():
        return []
    result = subprocess.run(
        [sys.executable, "-S", "-s", "-W", "ignore", "-c", COMPILER],
        input=marshal.dumps(sources),
        capture_output=True,
        timeout=COMPILE_TIMEOUT_S,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        check=False,
    )
    if result.returncode != 0:
        raise Damaged("the sources for the image do not compile", detail=result.stderr.decode()[-500:])
    codes = marshal.loads(result.stdout)
    header = importlib.util.MAGIC_NUMBER + UNCHECKED_HASH
    return [
        File(_cache_path(path), header + importlib.util.source_hash(source) + code)
        for (path, source), code in zip(sources, codes, strict=True)
        if code
    ]


def _cache_path(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/__pycache__/{name.removesuffix('.py')}.cpython-311.pyc"
