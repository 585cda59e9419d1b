"""The label file: what each output of the model means."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from skerry.errors import InvalidInput, NotFound
from skerry.package.recipe import Label


def read_labels(path: Path, outputs: int) -> tuple[Label, ...]:
    """As ``read_label_file``; InvalidInput naming both counts when they are not as many as the outputs."""
    return fitting(read_label_file(path), outputs, path.name)


def read_label_file(path: Path) -> tuple[Label, ...]:
    """The labels in ``path``, in output order.

    A text file has one name per line; JSON has a list of names or ``[id, name]`` pairs, or a dict by
    index (``{"0": ["n01440764", "tench"]}``, ``{"0": "tench"}``) or by name (``{"tench": 0}``, Keras'
    class_indices). InvalidInput names what is wrong.
    """
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError as exc:
        raise NotFound(f"no label file {path}", path=str(path)) from exc
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"{path.name} is not UTF-8 text", path=str(path)) from exc
    return _from_json(text, path) if text.lstrip()[:1] in ("[", "{") else _from_lines(text, path)


def label_list(items: Sequence[object], source: str) -> tuple[Label, ...]:
    """Labels from a list of names or ``[id, name]`` pairs in ``source``; InvalidInput names the odd one."""
    return tuple(_label(i, item, source) for i, item in enumerate(items))


def fitting(labels: tuple[Label, ...], outputs: int, source: str) -> tuple[Label, ...]:
    """The labels, when they are as many as the outputs; one sigmoid output takes two labels."""
    if len(labels) != outputs and (outputs, len(labels)) != (1, 2):
        raise InvalidInput(
            f"{source} has {len(labels)} labels, the model gives {outputs} numbers",
            hint="the label file must name every output, in the order of the training",
            labels=len(labels),
            outputs=outputs,
        )
    return labels


def _from_lines(text: str, path: Path) -> tuple[Label, ...]:
    lines = [line.strip() for line in text.rstrip().splitlines()]
    for number, line in enumerate(lines, 1):
        if not line:
            raise InvalidInput(f"{path.name} line {number} is empty", path=str(path), line=number)
    return tuple(Label(str(i), line) for i, line in enumerate(lines))


def _from_json(text: str, path: Path) -> tuple[Label, ...]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidInput(f"{path.name} is not JSON: {exc}", path=str(path)) from exc
    if isinstance(document, list):
        return label_list(document, path.name)
    if document and all(isinstance(value, int) for value in document.values()):
        document = {str(index): name for name, index in document.items()}
    expected = {str(i) for i in range(len(document))}
    if set(document) != expected:
        odd = sorted(set(document) ^ expected)[0]
        raise InvalidInput(
            f"{path.name} must have the indices 0 to {len(document) - 1}; {odd!r} does not fit",
            path=str(path),
        )
    return label_list([document[str(i)] for i in range(len(document))], path.name)


def _label(index: int, item: object, source: str) -> Label:
    match item:
        case str() if item:
            return Label(str(index), item)
        case [str() as identifier, str() as name] if identifier and name:
            return Label(identifier, name)
        case {"id": str() as identifier, "name": str() as name} if identifier and name:
            return Label(identifier, name)
    raise InvalidInput(
        f"{source}: label {index} is {item!r}",
        hint="a name, or an [id, name] pair",
        path=source,
        index=index,
    )
