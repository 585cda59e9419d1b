"""Which images a device fetches, and from whom it never does."""

from pathlib import Path

import pytest

from skerry.clock import ManualClock
from skerry.edge.engine.pulled import PulledImages
from skerry.edge.engine.registries import Registries
from tests.support.shell_image import write_shell_image


@pytest.mark.parametrize(
    ("image", "elsewhere"),
    [
        ("hub.plant:8443/cnn:1", True),
        ("docker.io/library/debian:12", True),
        ("cnn:1", False),
        ("team/cnn:1", False),
        ("localhost/given:1", False),
    ],
)
def test_only_a_name_with_a_registry_is_asked_for_elsewhere(
    tmp_path: Path, image: str, elsewhere: bool
) -> None:
    write_shell_image(tmp_path / "images", "localhost/given:1", script="true")
    pulled = PulledImages(tmp_path / "pulled", Registries(clock=ManualClock(), jitter=lambda: 0.0))
    assert pulled.is_elsewhere(image, tmp_path / "images") is elsewhere
    assert pulled.layout(image) is None
