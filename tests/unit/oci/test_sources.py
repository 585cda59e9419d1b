from pathlib import Path

import pytest

from skerry.errors import NotFound
from skerry.oci.sources import import_closure, source_entries

FILES = {
    "__init__.py": "",
    "a.py": "import json\nfrom .sub import one\n",
    "b.py": "import pkg.a\n",
    "sub/__init__.py": "from pkg import c\n",
    "sub/one.py": "def f():\n    from .two import x\n",
    "sub/two.py": "from pkg import missing_name\nfrom .. import e\n",
    "sub/three.py": "",
    "sub/data.json": "{}",
    "sub/__pycache__/one.cpython-311.pyc": "",
    "c.py": "",
    "d.py": "",
    "e.py": "",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "pkg" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "pkg"


def paths(package: Path, parts: list[str]) -> list[str]:
    return [file.path for file in source_entries(package, parts, "site")]


def test_sub_package_comes_whole_and_a_module_alone(package: Path) -> None:
    assert paths(package, ["sub", "d"]) == [
        "site/pkg/__init__.py",
        "site/pkg/d.py",
        "site/pkg/sub/__init__.py",
        "site/pkg/sub/data.json",
        "site/pkg/sub/one.py",
        "site/pkg/sub/three.py",
        "site/pkg/sub/two.py",
    ]


def test_closure_is_what_is_imported_and_no_more(package: Path) -> None:
    closure = import_closure(package, ["b"])
    assert closure == ["a", "b", "c", "e", "sub.__init__", "sub.one", "sub.two"]
    assert paths(package, closure) == [
        f"site/pkg/{name}"
        for name in (
            "__init__.py",
            "a.py",
            "b.py",
            "c.py",
            "e.py",
            "sub/__init__.py",
            "sub/one.py",
            "sub/two.py",
        )
    ]


def test_part_that_is_not_there_is_named(package: Path) -> None:
    with pytest.raises(NotFound, match="nothing"):
        source_entries(package, ["nothing"], "site")
    with pytest.raises(NotFound, match="nothing"):
        import_closure(package, ["nothing"])
