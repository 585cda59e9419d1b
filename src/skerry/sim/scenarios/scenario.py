"""What a scenario hands to the build, and to the simulated camera."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Scenario:
    """A trained model with its images, on this machine.

    ``recipe`` holds the fields of a BuildRequest that the model's training implies (``crop``,
    ``resize``, ``scaling``, ``colour``). ``truth`` says for a frame, by its path under ``frames_dir``, what
    it shows: a label of ``labels_path`` where one is right, else the name of the photo.
    """

    name: str
    model_path: Path
    labels_path: Path
    samples_dir: Path
    frames_dir: Path
    recipe: Mapping[str, Any] = field(default_factory=dict)
    truth: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
