"""The part of a Python package that an image needs, as layer entries."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from skerry.errors import NotFound
from skerry.oci.layer import File


def source_entries(package: Path, parts: Iterable[str], site: str) -> list[File]:
    """The files of ``parts`` of the package at ``package``, below ``site``.

    A part is a dotted name inside the package: of a module, or of a sub-package, which comes whole with its
    data files. The ``__init__`` of every parent comes along. ``NotFound`` names a part that is not there.
    """
    chosen: set[Path] = set()
    for part in parts:
        chosen.update(_files(package, part))
        chosen.update(_parents(package, part))
    return [
        File(f"{site}/{package.name}/{path.relative_to(package).as_posix()}", path.read_bytes())
        for path in sorted(chosen)
    ]


def import_closure(package: Path, modules: Iterable[str]) -> list[str]:
    """``modules`` and every module of the package that they import, directly or not, sorted.

    A sub-package that is imported stands as ``name.__init__``: it does not bring its other modules along.
    Found in the text, so an import by a computed name is not seen.
    """
    todo, seen = list(modules), set[str]()
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            todo.extend(_imports(package, module))
            todo.extend(_enclosing(package, module))
    return sorted(seen)


def _files(package: Path, part: str) -> Iterator[Path]:
    place = package.joinpath(*part.split("."))
    if place.with_suffix(".py").is_file():
        yield place.with_suffix(".py")
    elif place.is_dir():
        yield from (p for p in place.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    else:
        raise NotFound(f"the package has no part {part!r}", path=str(place))


def _parents(package: Path, part: str) -> Iterator[Path]:
    names = part.split(".")
    for depth in range(len(names)):
        init = package.joinpath(*names[:depth], "__init__.py")
        if init.is_file():
            yield init


def _imports(package: Path, module: str) -> Iterator[str]:
    path = _module_file(package, module)
    if path is None:
        raise NotFound(f"the package has no module {module!r}", path=str(package))
    holder = [package.name, *path.relative_to(package).parts[:-1]]
    for name in _imported_names(ast.parse(path.read_bytes()), holder):
        inner = name.removeprefix(f"{package.name}.")
        if inner != name and (found := _module_file(package, inner)) is not None:
            yield f"{inner}.__init__" if found.name == "__init__.py" else inner


def _imported_names(tree: ast.Module, holder: list[str]) -> Iterator[str]:
    """Absolute names of everything a module in the package ``holder`` imports, modules or not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = holder[: len(holder) - node.level + 1] if node.level else []
            stem = ".".join([*base, *filter(None, [node.module])])
            yield stem
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def _enclosing(package: Path, module: str) -> Iterator[str]:
    names = module.split(".")[:-1]
    for depth in range(1, len(names) + 1):
        init = ".".join([*names[:depth], "__init__"])
        if _module_file(package, init) is not None:
            yield init


def _module_file(package: Path, module: str) -> Path | None:
    place = package.joinpath(*module.split("."))
    return next((p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file()), None)
