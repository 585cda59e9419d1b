"""One way of running a package's model: an engine, a precision, a file, and how close it has to come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skerry.errors import InvalidInput
from skerry.package.document import Reader

ENGINES = ("onnxruntime", "openvino", "litert")
# From the most exact down; the first that is fast enough is the better choice.
PRECISIONS = ("fp32", "bf16", "int8")


@dataclass(frozen=True, slots=True)
class Candidate:
    """``tolerance``: the largest difference from the golden outputs that counts as the same answer."""

    name: str
    engine: str
    precision: str
    file: str
    tolerance: float

    def to_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "engine": self.engine,
            "precision": self.precision,
            "file": self.file,
            "tolerance": self.tolerance,
        }

    @classmethod
    def from_json(cls, reader: Reader) -> Candidate:
        """The candidate; InvalidInput names path and value of the first mistake.

        Engine and precision may be ones that a later Skerry knows: a device skips those it cannot run.
        """
        tolerance = reader.number("tolerance")
        if tolerance <= 0:
            raise reader.wrong("tolerance", "above 0")
        return cls(
            reader.text("name"),
            reader.text("engine"),
            reader.text("precision"),
            reader.text("file"),
            tolerance,
        )


def read_candidates(manifest: Reader, files: Sequence[object], default: Candidate) -> tuple[Candidate, ...]:
    """The manifest's candidates, the chosen one first; ``default`` alone where it names none.

    InvalidInput when one runs a file that the manifest does not vouch for.
    """
    if manifest.get("candidates") is None:
        return (default,)
    items = manifest.items("candidates")
    if not items:
        raise manifest.wrong("candidates", "a list with at least one candidate")
    found = [Candidate.from_json(Reader(item, f"candidates[{i}]")) for i, item in enumerate(items)]
    for i, candidate in enumerate(found):
        if candidate.file not in files:
            raise InvalidInput(
                f"candidates[{i}].file is not among the package's files",
                path=f"candidates[{i}].file",
                value=candidate.file,
            )
    chosen = manifest.text("chosen")
    if chosen not in [candidate.name for candidate in found]:
        raise manifest.wrong("chosen", "the name of a candidate")
    return tuple(sorted(found, key=lambda candidate: candidate.name != chosen))
