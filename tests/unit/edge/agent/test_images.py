"""Which login belongs to which image."""

from __future__ import annotations

import pytest

from skerry.contract.manifest import RegistryCredentials
from skerry.edge.agent.images import credentials_for

LOGINS = [
    RegistryCredentials(address, address, "secret")
    for address in ("acr.azurecr.io", "acr.azurecr.io/team", "localhost:5000", "https://index.docker.io/v1/")
]


@pytest.mark.parametrize(
    ("reference", "address"),
    [
        ("acr.azurecr.io/cnn:1", "acr.azurecr.io"),
        ("ACR.azurecr.io/cnn:1", "acr.azurecr.io"),
        ("acr.azurecr.io/team/cnn:1", "acr.azurecr.io/team"),
        ("acr.azurecr.io/teamwork/cnn:1", "acr.azurecr.io"),
        ("localhost:5000/cnn", "localhost:5000"),
        ("someone/cnn:1", "https://index.docker.io/v1/"),
        ("cnn", "https://index.docker.io/v1/"),
        ("docker.io/library/cnn", "https://index.docker.io/v1/"),
        ("other.io/acr.azurecr.io/cnn", None),
    ],
)
def test_the_nearest_address_is_used(reference: str, address: str | None) -> None:
    found = credentials_for(reference, LOGINS)
    assert (found.username if found else None) == address
