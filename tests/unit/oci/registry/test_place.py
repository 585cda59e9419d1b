"""Where an image's registry is."""

import pytest

from skerry.oci.digest import digest_of
from skerry.oci.reference import parse_reference
from skerry.oci.registry.place import Place, is_loopback, place_of

DIGEST = digest_of(b"")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("debian", Place("registry-1.docker.io", "library/debian", "latest")),
        ("team/app:2", Place("registry-1.docker.io", "team/app", "2")),
        ("docker.io/debian:12", Place("registry-1.docker.io", "library/debian", "12")),
        ("hub.plant:8443/solar/cnn:1", Place("hub.plant:8443", "solar/cnn", "1")),
        (f"localhost/cnn:1@{DIGEST}", Place("localhost", "cnn", DIGEST)),
    ],
)
def test_a_reference_has_a_place(text: str, expected: Place) -> None:
    assert place_of(parse_reference(text)) == expected


def test_a_place_reads_as_people_write_it() -> None:
    assert str(Place("h:1", "a/b", "2")) == "h:1/a/b:2"
    assert str(Place("h", "a", DIGEST)) == f"h/a@{DIGEST}"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.2:5000", True),
        ("[::1]:5000", True),
        ("[::1]", True),
        ("hub.plant:5000", False),
        ("10.0.0.1", False),
        ("127.evil.example", False),
    ],
)
def test_only_this_machine_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
