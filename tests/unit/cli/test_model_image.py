"""``skerry model image``: which platforms, what is written, what is said."""

from __future__ import annotations

import pytest

from skerry.cli.model_image import architectures
from skerry.errors import InvalidInput
from skerry.oci.python_image import machine_architecture


def test_platforms_are_read_as_docker_writes_them() -> None:
    assert architectures("linux/arm64") == ("arm64",)
    assert architectures("linux/amd64, linux/arm64,linux/amd64") == ("amd64", "arm64")
    assert architectures(None) == (machine_architecture(),)


@pytest.mark.parametrize("platform", ["arm64", "linux/arm/v7", "windows/amd64", "", "linux/amd64,"])
def test_a_platform_without_images_is_refused_by_name(platform: str) -> None:
    with pytest.raises(InvalidInput, match="no images for"):
        architectures(platform)
