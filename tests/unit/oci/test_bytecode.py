import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from skerry.oci.bytecode import compiled
from skerry.oci.layer import File

SOURCE = b'NAMES = {"b", "a"}\ndef f(x): return x in {"p", "q", 1.5, None}\nprint("ran", f("p"))\n'


def test_bytecode_lies_where_the_interpreter_looks_and_is_not_checked(tmp_path: Path) -> None:
    (made,) = compiled([File("app/mod.py", SOURCE), File("app/data.txt", b"")])
    assert made.path == "app/__pycache__/mod.cpython-311.pyc"
    assert made.data[:8] == importlib.util.MAGIC_NUMBER + b"\1\0\0\0"
    # Run it beside a source that says something else: unchecked means that the source is not looked at.
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "mod.cpython-311.pyc").write_bytes(made.data)
    (tmp_path / "mod.py").write_text("print('source')")
    ran = subprocess.run(
        [sys.executable, "-B", "-c", "import mod"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONSAFEPATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "ran True\n"


def test_bytecode_is_the_same_twice_in_any_order() -> None:
    files = [File(f"app/m{n}.py", SOURCE + f"N = {n}\n".encode()) for n in range(20)]
    assert compiled(files) == compiled(list(reversed(files)))


def test_source_that_does_not_compile_is_left_alone() -> None:
    made = compiled([File("a.py", b"def (:\n"), File("b/b.py", b"x = 1\n"), File("c/c.py", b"\0")])
    assert [file.path for file in made] == ["b/__pycache__/b.cpython-311.pyc"]
