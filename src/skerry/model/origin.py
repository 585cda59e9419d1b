"""Where a model comes from: the file, and what the user allows to be run to read it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skerry.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Origin:
    """A model file or SavedModel folder, and how to read it.

    ``weights`` belong to a JSON architecture. ``architecture`` is the user's function ``arch.py:build``
    that makes the model whose weights alone are in ``model``. ``custom`` names modules with the user's
    layers (``module:name``), ``trust`` lets code inside the file run. ``head`` names the main output.
    """

    model: Path
    weights: Path | None = None
    architecture: str | None = None
    custom: tuple[str, ...] = ()
    trust: bool = False
    head: str | None = None
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for option, text in (("--model-from", self.architecture), *(("--custom", c) for c in self.custom)):
            if text is not None and not all(text.rpartition(":")[::2]):
                raise InvalidInput(
                    f"{option} {text!r} is not of the form file.py:name or module:name", value=text
                )

    @property
    def runs_code(self) -> bool:
        """Whether the user allowed code of his own, or of the file's, to run."""
        return self.trust or bool(self.custom) or self.architecture is not None

    def sha256(self) -> str:
        """Of the file; of a folder, over the names and digests of all files in it."""
        if self.model.is_file():
            return _sha256(self.model)
        lines = [
            f"{path.relative_to(self.model).as_posix()} {_sha256(path)}\n"
            for path in sorted(self.model.rglob("*"))
            if path.is_file()
        ]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def job(self, task: str) -> Mapping[str, object]:
        """What the Keras process is told."""
        return {
            "task": task,
            "model": str(self.model.resolve()),
            "weights": None if self.weights is None else str(self.weights.resolve()),
            "architecture": self.architecture,
            "custom": list(self.custom),
            "trust": self.trust,
            "head": self.head,
            "size": self.size,
        }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
