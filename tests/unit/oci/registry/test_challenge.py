"""What a registry asks for."""

import pytest

from skerry.oci.registry.challenge import Basic, Bearer, parse_challenge


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="x"', Basic()),
        ("basic", Basic()),
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull,push"',
            Bearer("https://auth.docker.io/token", "registry.docker.io", "repository:a:pull,push"),
        ),
        ("Bearer realm=https://a/t , service=b", Bearer("https://a/t", "b", "")),
        (r'Bearer realm="https://a/\"t"', Bearer('https://a/"t', "", "")),
        ('Bearer service="x"', None),
        ("Negotiate", None),
        ("", None),
        ("Bearer " + "a" * 10_000, None),
    ],
)
def test_a_challenge_is_read(header: str, expected: Basic | Bearer | None) -> None:
    assert parse_challenge(header) == expected
