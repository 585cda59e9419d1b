"""What serves, and how this device loads what is to serve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from skerry.serve.activation import Activated, GoldenReport
from skerry.serve.choice.selection import Selection
from skerry.serve.loaded import LoadedModel
from skerry.serve.update.shelf import Kept


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A loaded model, how the record names it, its golden set's result here, and how it is run."""

    kept: Kept
    model: LoadedModel
    golden: GoldenReport
    selection: Selection


@dataclass(frozen=True, slots=True)
class Loading:
    """How this device loads: ``load`` is ``activate`` with a check of memory, ``in_loop`` who computes."""

    own: Path
    load: Callable[[Path], Activated]
    in_loop: Callable[[Activated], bool]
