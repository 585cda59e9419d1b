"""A download goes on where it broke off, keeps to its bounds, and says why it cannot."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry.clock import SystemClock
from skerry.errors import InvalidInput, NotAllowed, NotFound, SkerryError, TooLarge, Unavailable
from skerry.serve.update.download import Downloader, verify_archive
from skerry.serve.update.settings import Fetching
from skerry.service.certificates import Authority
from skerry.service.tls import server_context
from tests.unit.serve.update.web import File, Web, web_server

DATA = bytes(range(256)) * 2000
BOUND = Fetching(bytes_max=1_000_000, timeout_s=5)


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as running:
        running.files["/f"] = File(DATA)
        yield running


async def fetch(url: str, part: Path, fetching: Fetching = BOUND) -> bool:
    return await Downloader(fetching, SystemClock()).fetch(url, part)


async def test_a_file_comes_as_it_is(tmp_path: Path, web: Web) -> None:
    assert await fetch(web.url("/f?sig=1"), tmp_path / "x.part") is False
    assert (tmp_path / "x.part").read_bytes() == DATA


@pytest.mark.parametrize("ranges", [True, False])
async def test_what_broke_off_goes_on(tmp_path: Path, web: Web, ranges: bool) -> None:
    web.files["/f"] = File(DATA, cuts=[100_000, 100_000], ranges=ranges)
    part = tmp_path / "x.part"
    for _ in range(2):
        with pytest.raises(Unavailable, match=f"broke off after [12]00000 of {len(DATA)} bytes"):
            await fetch(web.url("/f"), part)
    assert await fetch(web.url("/f"), part) is ranges
    assert part.read_bytes() == DATA
    assert web.asked[1] == ("/f", "bytes=100000-")


async def test_a_file_that_changed_meanwhile_begins_anew(tmp_path: Path, web: Web) -> None:
    web.files["/f"] = File(DATA, cuts=[1000])
    with pytest.raises(Unavailable):
        await fetch(web.url("/f"), tmp_path / "x.part")
    web.files["/f"] = File(DATA[::-1], etag='"2"')
    assert await fetch(web.url("/f"), tmp_path / "x.part") is False
    assert (tmp_path / "x.part").read_bytes() == DATA[::-1]


async def test_a_part_that_is_whole_is_not_fetched_again(tmp_path: Path, web: Web) -> None:
    (tmp_path / "x.part").write_bytes(DATA)
    assert await fetch(web.url("/f"), tmp_path / "x.part") is True
    assert (tmp_path / "x.part").read_bytes() == DATA


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, NotAllowed),
        (403, NotAllowed),
        (404, NotFound),
        (410, NotFound),
        (400, InvalidInput),
        (408, Unavailable),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
async def test_a_status_says_whether_later_helps(
    tmp_path: Path, web: Web, status: int, kind: type[SkerryError]
) -> None:
    web.files["/f"].statuses.append(status)
    with pytest.raises(kind, match=f"{status}") as caught:
        await fetch(web.url("/f?sig=secret"), tmp_path / "x.part")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("length", [True, False])
async def test_a_file_over_the_bound_stops(tmp_path: Path, web: Web, length: bool) -> None:
    web.files["/f"] = File(DATA, length=length)
    with pytest.raises(TooLarge, match="larger than 100000 bytes"):
        await fetch(web.url("/f"), tmp_path / "x.part", Fetching(bytes_max=100_000))


async def test_a_rate_is_kept(tmp_path: Path, web: Web) -> None:
    begun = asyncio.get_running_loop().time()
    await fetch(web.url("/f"), tmp_path / "x.part", Fetching(1_000_000, bytes_per_s=1_000_000))
    assert asyncio.get_running_loop().time() - begun >= len(DATA) / 1_000_000 * 0.99


async def test_it_follows_to_another_address_but_not_for_ever(tmp_path: Path, web: Web) -> None:
    web.files["/a"] = File(b"", statuses=[302], location="/f")
    await fetch(web.url("/a"), tmp_path / "x.part")
    assert (tmp_path / "x.part").read_bytes() == DATA
    web.files["/b"] = File(b"", statuses=[302] * 9, location="/b")
    with pytest.raises(Unavailable, match="more than 3 times"):
        await fetch(web.url("/b"), tmp_path / "y.part")
    web.files["/c"] = File(b"", statuses=[302], location="file:///etc/passwd")
    with pytest.raises(InvalidInput):
        await fetch(web.url("/c"), tmp_path / "z.part")


@pytest.mark.parametrize("host", ["8.8.8.8", "[2001:4860:4860::8888]"])
async def test_plain_http_stays_in_private_networks(tmp_path: Path, host: str) -> None:
    with pytest.raises(NotAllowed, match="plain http"):
        await fetch(f"http://{host}/f", tmp_path / "x.part")


async def test_nobody_there_is_unavailable(tmp_path: Path) -> None:
    with web_server() as gone:
        url = gone.url("/f")
    with pytest.raises(Unavailable, match="cannot be read"):
        await fetch(url, tmp_path / "x.part")


async def test_cancelling_keeps_what_came(tmp_path: Path, web: Web) -> None:
    part = tmp_path / "x.part"
    slow = asyncio.create_task(fetch(web.url("/f"), part, Fetching(1_000_000, bytes_per_s=100_000)))
    while not part.exists() or not part.stat().st_size:
        await asyncio.sleep(0.01)
    slow.cancel()
    await asyncio.wait([slow])
    assert 0 < part.stat().st_size < len(DATA)
    assert await fetch(web.url("/f"), part) is True
    assert part.read_bytes() == DATA


async def test_https_trusts_the_roots_it_was_given_and_no_other(tmp_path: Path) -> None:
    authority = Authority.create("files", SystemClock())
    issued = authority.issue_server("files", ips=["127.0.0.1"])
    (tmp_path / "ca.pem").write_text(authority.root_pem)
    trusting = Fetching(bytes_max=1_000_000, timeout_s=5, ca_file=tmp_path / "ca.pem")
    with web_server(server_context(issued.cert_chain_pem, issued.key_pem)) as web:
        web.files = {"/f": File(DATA), "/down": File(b"", statuses=[302], location="http://127.0.0.1/f")}
        await fetch(web.url("/f"), tmp_path / "x.part", trusting)
        assert (tmp_path / "x.part").read_bytes() == DATA
        with pytest.raises(NotAllowed, match="does not prove who it is"):
            await fetch(web.url("/f"), tmp_path / "y.part")
        with pytest.raises(NotAllowed, match="from https to http"):
            await fetch(web.url("/down"), tmp_path / "z.part", trusting)


def test_an_archive_is_the_one_whose_digest_was_given(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    digest = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
    md5 = hashlib.md5(DATA, usedforsecurity=False).digest()
    assert verify_archive(tmp_path / "a", digest, md5) is None
    assert verify_archive(tmp_path / "a", None, None) is None
    assert "not sha256:" in (verify_archive(tmp_path / "a", "sha256:" + "0" * 64, None) or "")
    assert "not md5:" in (verify_archive(tmp_path / "a", digest, bytes(16)) or "")
