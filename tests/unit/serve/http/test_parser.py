"""Bytes become the same requests however they are cut, and nothing makes the parser hold without bound."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.serve.http.limits import Limits
from skerry.serve.http.message import Request
from skerry.serve.http.parser import Continue, Event, Phase, Refusal, RequestParser

LIMITS = Limits(header_bytes_max=1000, body_bytes_max=5000)

names = st.from_regex(r"\Ax-[a-z]{1,8}\Z")
values = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
bodies = st.binary(max_size=300)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, Request]:
    """A request as bytes, its body by length or in chunks, and what it must become."""
    body = draw(bodies)
    headers = {"host": "here"} | draw(st.dictionaries(names, values, max_size=4))
    path = "/" + draw(st.from_regex(r"\A[a-z/]{0,10}\Z"))
    query = draw(st.sampled_from(["", "a=1", "a=1&b=%20"]))
    lines = [f"POST {path}{'?' + query if query else ''} HTTP/1.1"]
    if draw(st.booleans()):
        headers["transfer-encoding"] = "chunked"
        size = draw(st.integers(1, 50))
        pieces = [body[i : i + size] for i in range(0, len(body), size)]
        sent = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    else:
        headers["content-length"] = str(len(body))
        sent = body
    lines += [f"{name}: {value}" for name, value in headers.items()]
    start = "\r\n".join([*lines, "", ""]).encode()
    return start + sent, Request("POST", path, query, headers, body)


@given(st.lists(requests(), min_size=1, max_size=4), st.lists(st.integers(1, 60), min_size=1))
def test_requests_are_the_same_however_the_bytes_are_cut(
    sent: list[tuple[bytes, Request]], cuts: list[int]
) -> None:
    data = b"".join(each for each, _ in sent)
    parser, found = RequestParser(LIMITS), list[Event]()
    position = 0
    for turn in range(len(data)):
        piece = data[position : position + cuts[turn % len(cuts)]]
        position += len(piece)
        found += parser.feed(piece)
    assert found == [request for _, request in sent]
    assert parser.phase is Phase.START


@given(st.lists(st.binary(max_size=200), max_size=30))
def test_garbage_ends_in_at_most_one_refusal_and_nothing_after_it(pieces: list[bytes]) -> None:
    parser = RequestParser(LIMITS)
    found = [event for piece in pieces for event in parser.feed(piece)]
    refusals = [event for event in found if isinstance(event, Refusal)]
    assert len(refusals) <= 1
    assert not refusals or (found[-1] is refusals[0] and parser.phase is Phase.ENDED)


@given(requests(), st.data())
@settings(max_examples=200)
def test_a_request_with_bytes_changed_never_raises(sent: tuple[bytes, Request], data: st.DataObject) -> None:
    damaged = bytearray(sent[0])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    parser = RequestParser(LIMITS)
    events = [event for byte in damaged for event in parser.feed(bytes([byte]))]
    assert all(isinstance(event, Request | Refusal | Continue) for event in events)
    assert parser.held_bytes <= LIMITS.body_bytes_max


def refusal(data: bytes, piece: int = 64) -> int:
    """The status with which ``data`` is refused; 0 when it is not."""
    parser = RequestParser(LIMITS)
    for position in range(0, len(data), piece):
        for event in parser.feed(data[position : position + piece]):
            if isinstance(event, Refusal):
                return event.status
    return 0


START = b"POST /score HTTP/1.1\r\nHost: h\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"GET /" + b"a" * 2000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 431, id="long target"),
        pytest.param(START + b"X: " + b"a" * 2000, 431, id="endless header value"),
        pytest.param(START + b"X" * 2000, 431, id="endless header name"),
        pytest.param(START + b"a: b\r\n" * 300, 431, id="many headers"),
        pytest.param(b"\r\n" * 1000, 431, id="endless line breaks"),
        pytest.param(CHUNKED + b"5;" + b"x" * 2000, 431, id="endless chunk extension"),
        pytest.param(CHUNKED + b"1\r\na\r\n0\r\n" + b"X: y\r\n" * 300, 431, id="many trailers"),
        pytest.param(START + b"Content-Length: 5001\r\n\r\n", 413, id="announced too large"),
        pytest.param(CHUNKED + b"FFFFFF\r\n" + b"x" * 6000, 413, id="chunks too large"),
        pytest.param(START + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400, id="two lengths"),
        pytest.param(
            START + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400, id="length and chunks"
        ),
        pytest.param(START + b"Content-Length: -1\r\n\r\n", 400, id="negative length"),
        pytest.param(START + b"Content-Length: 99999999999999999999\r\n\r\n", 400, id="length overflows"),
        pytest.param(CHUNKED + b"zz\r\n", 400, id="chunk size is no number"),
        pytest.param(START + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, id="unknown coding"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, id="no host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, id="two hosts"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400, id="space before the colon"),
        pytest.param(START + b"Expect: a miracle\r\nContent-Length: 1\r\n\r\n", 417, id="expectation"),
        pytest.param(b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, id="another version"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, id="TLS"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_its_status(data: bytes, status: int) -> None:
    assert [refusal(data, piece) for piece in (1, 64, 100_000)] == [status] * 3


def test_requests_before_a_bad_one_are_still_answered() -> None:
    good = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
    first, second, third = RequestParser(LIMITS).feed(good + good + b"nonsense\r\n\r\n")
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    assert third == Refusal(400, third.message if isinstance(third, Refusal) else "")


def test_a_client_that_waits_for_a_word_is_told_to_go_on() -> None:
    parser = RequestParser(LIMITS)
    head = START + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    assert parser.feed(head) == [Continue()]
    [request] = parser.feed(b"ab")
    assert isinstance(request, Request)
    assert request.body == b"ab"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/a%20b?c=d%20e", "/a b", "c=d%20e"),
        ("http://h:5001/score?x", "/score", "x"),
        ("http://h", "/", ""),
        ("*", "*", ""),
    ],
)
def test_every_form_of_a_target_gives_a_path(target: str, path: str, query: str) -> None:
    [request] = RequestParser(LIMITS).feed(f"OPTIONS {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert isinstance(request, Request)
    assert (request.path, request.query) == (path, query)


def test_nothing_is_read_after_a_request_that_closes_or_upgrades() -> None:
    for header in (b"Connection: close\r\n", b"Connection: Upgrade\r\nUpgrade: h2c\r\n"):
        parser = RequestParser(LIMITS)
        one = b"GET / HTTP/1.1\r\nHost: h\r\n" + header + b"\r\n"
        [request] = parser.feed(one + one)
        assert isinstance(request, Request)
        assert (request.keep_alive, parser.phase, parser.feed(one)) == (False, Phase.ENDED, [])
