import pytest

from skerry.errors import InvalidInput
from skerry.oci.digest import Digest, digest_of


def test_digest_of_nothing_is_the_known_one() -> None:
    expected = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest_of(b"") == expected
    assert digest_of(b"").hex == expected[7:]


@pytest.mark.parametrize(
    "text", ["", "sha256:", "md5:" + "0" * 32, "sha256:" + "A" * 64, "sha256:" + "0" * 65]
)
def test_malformed_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Digest(text)
