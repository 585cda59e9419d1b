"""What is too large for a message waits for its receiver: found, expired, pushed out, tampered with."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from skerry.clock import ManualClock
from skerry.contract.message import MESSAGE_BYTES_MAX, Message
from skerry.errors import Damaged, InvalidInput, NotFound, SkerryError, TooLarge, Unavailable
from skerry.protocol.claims import (
    CLAIM,
    ClaimSettings,
    ClaimStore,
    claim_message,
    is_claim,
    read_claim_settings,
    redeemed,
)

NOWHERE = "sha256:" + "0" * 64


def store(folder: Path, clock: ManualClock | None = None, **bounds: float) -> ClaimStore:
    settings = ClaimSettings(folder, bounds.get("ttl_s", 60.0), int(bounds.get("bytes_max", 1000)))
    return ClaimStore(settings, clock or ManualClock())


def test_a_reference_is_small_and_redeemed_to_the_message_it_stands_for(tmp_path: Path) -> None:
    bodies = store(tmp_path / "made", bytes_max=10**6)
    image = bytes(MESSAGE_BYTES_MAX + 1)
    system = {"messageId": "m1", "contentType": "image/jpeg"}
    message = Message(image, {"frame": "1.jpg"}, system)
    reference = claim_message(message, bodies.put(image))
    assert is_claim(reference)
    assert not is_claim(message)
    assert reference.size < 1000
    assert reference.system["contentType"] == "application/json"
    found = redeemed(reference, bodies)
    assert (found.body, found.system) == (image, system)
    assert found.properties == {"frame": "1.jpg", CLAIM: reference.properties[CLAIM]}


def test_a_body_goes_when_its_time_is_over_and_not_before(tmp_path: Path) -> None:
    clock = ManualClock()
    bodies = store(tmp_path, clock)
    first = bodies.put(b"first")
    clock.set(clock.now() + timedelta(seconds=59))
    bodies.put(b"second")
    assert bodies.get(first) == b"first"
    clock.set(clock.now() + timedelta(seconds=2))
    bodies.put(b"third")
    with pytest.raises(NotFound, match="time to live"):
        bodies.get(first)
    assert (bodies.expired, bodies.evicted) == (1, 0)


def test_putting_a_body_again_begins_its_time_anew(tmp_path: Path) -> None:
    clock = ManualClock()
    bodies = store(tmp_path, clock)
    first = bodies.put(b"first")
    clock.set(clock.now() + timedelta(seconds=50))
    assert bodies.put(b"first") == first
    clock.set(clock.now() + timedelta(seconds=50))
    bodies.put(b"second")
    assert bodies.get(first) == b"first"


def test_a_full_store_lets_the_oldest_go_and_counts_it(tmp_path: Path) -> None:
    clock = ManualClock()
    bodies = store(tmp_path, clock, bytes_max=100)
    digests = []
    for number in range(5):
        digests.append(bodies.put(bytes([number]) * 40))
        clock.set(clock.now() + timedelta(seconds=1))
    kept = [path.name for path in tmp_path.iterdir()]
    assert sorted(kept) == sorted(digest.removeprefix("sha256:") for digest in digests[-2:])
    assert bodies.evicted == 3
    with pytest.raises(TooLarge):
        bodies.put(bytes(101))


def test_what_a_crash_left_half_written_is_swept(tmp_path: Path) -> None:
    clock = ManualClock()
    left = tmp_path / "x.part"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    bodies = store(tmp_path, clock)
    bodies.put(b"whole")
    assert not left.exists()
    assert bodies.expired == 0


@pytest.mark.parametrize("name", ["../../etc/passwd", "sha256:../x", "", "sha256:" + "0" * 63, "md5:00"])
def test_a_claim_is_a_digest_and_nothing_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        store(tmp_path).get(name)


def test_what_is_not_the_body_of_its_name_is_damaged(tmp_path: Path) -> None:
    bodies = store(tmp_path)
    digest = bodies.put(b"body")
    path = tmp_path / digest.removeprefix("sha256:")
    path.write_bytes(b"other")
    with pytest.raises(Damaged):
        bodies.get(digest)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(Damaged):
        bodies.get(digest)
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(Unavailable):
        bodies.get(digest)


def test_a_receiver_without_the_folder_says_which_setting_is_missing() -> None:
    with pytest.raises(InvalidInput, match="SKERRY_CLAIMS_DIR"):
        redeemed(claim_message(Message(b"x"), NOWHERE), None)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"claim": 7}', b'{"claim": []}', b"\xff", b"[" * 100_000]
)
def test_a_reference_that_is_none_is_refused(tmp_path: Path, body: bytes) -> None:
    bodies = store(tmp_path)
    digest = bodies.put(b"x")
    with pytest.raises(SkerryError):
        redeemed(Message(body, {CLAIM: digest}), bodies)
    with pytest.raises(SkerryError):
        redeemed(Message(body, {CLAIM: None}), bodies)


def test_settings_name_the_folder_and_its_bounds(tmp_path: Path) -> None:
    assert read_claim_settings({}) is None
    found = read_claim_settings(
        {"SKERRY_CLAIMS_DIR": "/c", "SKERRY_CLAIMS_TTL_S": "9", "SKERRY_CLAIMS_MB": "2"}
    )
    assert found == ClaimSettings(Path("/c"), 9.0, 2 << 20)
    for name in ("SKERRY_CLAIMS_TTL_S", "SKERRY_CLAIMS_MB"):
        for value in ("0", "-1", "x", "9" * 30):
            with pytest.raises(InvalidInput, match=name):
                read_claim_settings({"SKERRY_CLAIMS_DIR": "/c", name: value})
