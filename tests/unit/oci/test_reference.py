import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.errors import InvalidInput
from skerry.oci.digest import Digest
from skerry.oci.reference import TAG, Reference, parse_reference

DIGEST = Digest("sha256:" + "ab" * 32)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cnn", Reference("cnn")),
        ("solar/cnn:1.0", Reference("solar/cnn", tag="1.0")),
        ("localhost/cnn:1", Reference("cnn", registry="localhost", tag="1")),
        ("127.0.0.1:5000/a/b", Reference("a/b", registry="127.0.0.1:5000")),
        ("mcr.example.com/azureiotedge-agent:1.5", Reference("azureiotedge-agent", "mcr.example.com", "1.5")),
        (f"cnn@{DIGEST}", Reference("cnn", digest=DIGEST)),
        (f"r.io:443/cnn:1@{DIGEST}", Reference("cnn", "r.io:443", "1", DIGEST)),
    ],
)
def test_reference_parses_and_renders_back(text: str, expected: Reference) -> None:
    assert parse_reference(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text", ["", ":1", "cnn:", "CNN", "a//b", "/a", "a/", "cnn:-x", "cnn@sha256:12", "cnn@", "a b", "x" * 256]
)
def test_malformed_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_reference(text)


WORDS = st.sampled_from(["a", "cnn", "solar-cnn", "a.b", "x__y", "a--b", "0", "localhost"])
REPOSITORIES = st.lists(WORDS, min_size=1, max_size=4).map("/".join)
REGISTRIES = st.sampled_from(["localhost", "r.io", "127.0.0.1:5000", "[::1]:5000", "Edge-Box:443"])
TAGS = st.from_regex(TAG, fullmatch=True)


@given(REPOSITORIES, st.none() | REGISTRIES, st.none() | TAGS)
def test_every_reference_reads_back_as_itself(repository: str, registry: str | None, tag: str | None) -> None:
    first = repository.split("/")[0]
    if registry is None and "/" in repository and ("." in first or first == "localhost"):
        return  # Docker reads the first word as a registry; such a name cannot be written without one.
    reference = Reference(repository, registry, tag)
    assert parse_reference(str(reference)) == reference
