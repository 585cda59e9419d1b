"""Who vouches for a package, and what a machine with trusted keys refuses."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from skerry.errors import AlreadyExists, Damaged, InvalidInput, NotAllowed, NotFound
from skerry.model.sign import generate_keys, package_signer, sign_package
from skerry.package.manifest import Package
from skerry.package.signature import CONTEXT, SIGNATURE, signature_fits
from skerry.package.trust import parse_public_keys, public_key_text, read_public_keys, trusted_keys
from tests.unit.package.test_manifest import write


@pytest.fixture
def key(tmp_path: Path) -> Path:
    generate_keys(tmp_path / "release.key")
    return tmp_path / "release.key"


@pytest.fixture
def trusted(key: Path) -> tuple[bytes, ...]:
    return read_public_keys(key.with_name("release.key.pub"))


def test_a_signed_package_opens_and_keeps_its_digest(
    tmp_path: Path, key: Path, trusted: tuple[bytes, ...]
) -> None:
    digest = write(tmp_path / "p")
    identifier = sign_package(tmp_path / "p", key)
    package = Package.open(tmp_path / "p", trusted_keys=trusted)
    assert (package.digest, package.signed_by) == (digest, identifier)
    first = (tmp_path / "p" / SIGNATURE).read_bytes()
    sign_package(tmp_path / "p", key)
    assert (tmp_path / "p" / SIGNATURE).read_bytes() == first


def test_an_unsigned_package_is_refused_where_keys_are_trusted(
    tmp_path: Path, trusted: tuple[bytes, ...]
) -> None:
    write(tmp_path / "p")
    assert Package.open(tmp_path / "p").signed_by is None
    with pytest.raises(NotAllowed, match="is not signed"):
        Package.open(tmp_path / "p", trusted_keys=trusted)
    with pytest.raises(NotAllowed):
        Package.open(tmp_path / "p", trusted_keys=())


def test_a_signature_of_somebody_else_is_refused(
    tmp_path: Path, key: Path, trusted: tuple[bytes, ...]
) -> None:
    write(tmp_path / "p")
    generate_keys(tmp_path / "other.key")
    stranger = sign_package(tmp_path / "p", tmp_path / "other.key")
    with pytest.raises(NotAllowed, match=f"signed by {stranger}, which is not trusted"):
        Package.open(tmp_path / "p", trusted_keys=trusted)
    ours = sign_package(tmp_path / "p", key)
    assert Package.open(tmp_path / "p", trusted_keys=trusted).signed_by == ours


@pytest.mark.parametrize("name", ["model.onnx", "recipe.json", "labels.json", "golden/001.png"])
def test_a_tampered_file_is_named(tmp_path: Path, key: Path, trusted: tuple[bytes, ...], name: str) -> None:
    write(tmp_path / "p")
    sign_package(tmp_path / "p", key)
    path = tmp_path / "p" / name
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(Damaged, match=name):
        Package.open(tmp_path / "p", trusted_keys=trusted)
    with pytest.raises(Damaged, match=name):
        sign_package(tmp_path / "p", key)


def test_a_manifest_that_fits_the_files_but_not_the_signature_is_refused(
    tmp_path: Path, key: Path, trusted: tuple[bytes, ...]
) -> None:
    write(tmp_path / "p")
    sign_package(tmp_path / "p", key)
    write(tmp_path / "q", b"another model")
    (tmp_path / "q" / SIGNATURE).write_bytes((tmp_path / "p" / SIGNATURE).read_bytes())
    Package.open(tmp_path / "q")
    with pytest.raises(Damaged, match=r"manifest\.json is not what ed25519:"):
        Package.open(tmp_path / "q", trusted_keys=trusted)


@pytest.mark.parametrize("document", [b"", b"{}", b'{"schema":"skerry.signature/1","signatures":[{}]}'])
def test_a_signature_file_that_is_none_is_refused(
    tmp_path: Path, trusted: tuple[bytes, ...], document: bytes
) -> None:
    write(tmp_path / "p")
    (tmp_path / "p" / SIGNATURE).write_bytes(document)
    with pytest.raises(InvalidInput):
        Package.open(tmp_path / "p", trusted_keys=trusted)


def test_the_private_key_is_for_its_owner_only(tmp_path: Path, key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with pytest.raises(AlreadyExists):
        generate_keys(key)
    key.chmod(0o644)
    with pytest.raises(InvalidInput, match="others may read") as caught:
        package_signer(key)
    assert caught.value.hint == f"chmod 600 {key}"
    with pytest.raises(NotFound, match="no key file"):
        package_signer(tmp_path / "none")
    public = tmp_path / "public"
    public.write_bytes(key.with_name("release.key.pub").read_bytes())
    public.chmod(0o600)
    with pytest.raises(InvalidInput, match="not a private key"):
        package_signer(public)


def test_the_setting_names_key_files(tmp_path: Path, key: Path, trusted: tuple[bytes, ...]) -> None:
    assert trusted_keys({}) is None
    assert trusted_keys({"SKERRY_TRUSTED_KEYS": f"{key}.pub"}) == trusted
    generate_keys(tmp_path / "second.key")
    both = trusted_keys({"SKERRY_TRUSTED_KEYS": f"{key}.pub:{tmp_path / 'second.key.pub'}"})
    assert both is not None
    assert len(both) == 2
    with pytest.raises(InvalidInput, match="cannot read the public key"):
        trusted_keys({"SKERRY_TRUSTED_KEYS": str(tmp_path / "gone.pub")})
    with pytest.raises(InvalidInput, match="holds no Ed25519 public key"):
        read_public_keys(key)


def test_public_keys_are_written_as_others_write_them() -> None:
    real = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key()
    pem = real.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert public_key_text(real.public_bytes_raw()) == pem
    assert parse_public_keys(pem) == (real.public_bytes_raw(),)


@given(st.binary(max_size=40))
def test_any_key_survives_its_file(data: bytes) -> None:
    key = data.ljust(32, b"k")[:32]
    assert parse_public_keys("comment\n" + public_key_text(key) * 2) == (key, key)


def test_a_signature_for_another_purpose_does_not_fit() -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public = private.public_key().public_bytes_raw()
    assert signature_fits(public, private.sign(CONTEXT + b"m"), CONTEXT + b"m")
    assert not signature_fits(public, private.sign(b"m"), CONTEXT + b"m")
    assert not signature_fits(public, b"short", CONTEXT + b"m")
