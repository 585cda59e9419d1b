"""What an operator does with events from the command line: follow, export, keep groups, send them on."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from skerry.clock import SystemClock
from skerry.contract.message import Message
from skerry.protocol.connect import client_from_connection_string
from tests.system.bad_input.site import Site

pytestmark = pytest.mark.system

SENT = 5


async def send(site: Site, device_string: str) -> None:
    client = client_from_connection_string(
        device_string, SystemClock(), ca_pem=site.ca_pem, port=site.mqtt_port
    )
    await client.start()
    try:
        for number in range(SENT):
            system = {"contentType": "application/json", "contentEncoding": "utf-8"}
            await client.send(Message(json.dumps({"n": number}).encode(), {"batch": "a"}, system))
        await client.send(Message(b'{"untyped": true}'))
    finally:
        await client.stop()


@contextmanager
def receiver() -> Iterator[tuple[str, list[Any]]]:
    """The URL of a web server, and the events posted there."""
    taken: list[Any] = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.extend(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Taker)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook?code=s3cret", taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_events_are_followed_exported_and_sent_on(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.serving(), receiver() as (url, taken):
        (tmp_path / "url").write_text(url)
        site.skerry("events", "sink", "create", "hook", "--url-file", tmp_path / "url").succeeded()
        site.skerry("events", "commit", "line-3", "earliest").succeeded()
        asyncio.run(send(site, site.create_device("press-1")))

        # Two readings of a group: the second goes on where the first ended.
        numbers = []
        for count in ("2", "3"):
            arguments = ("hub", "monitor", "--consumer-group", "line-3", "--count", count)
            lines = site.skerry(*arguments).succeeded().out.splitlines()
            numbers += [json.loads(line)["body"]["n"] for line in lines]
        assert numbers == list(range(SENT))
        (group,) = json.loads(site.skerry("events", "groups", "--output", "json").succeeded().out)
        assert (group["sequence"], group["behind"]) == (SENT, 1)

        # As az prints, the last body read as what it is; ends by itself.
        as_az = (
            "hub",
            "monitor",
            "--from",
            str(SENT),
            "--timeout",
            "1",
            "-p",
            "all",
            "--ct",
            "application/json",
        )
        shown = json.loads(site.skerry(*as_az).succeeded().out)["event"]
        assert (shown["origin"], shown["payload"]) == ("press-1", {"untyped": True})
        assert shown["properties"]["annotations"]["x-opt-sequence-number"] == SENT + 1

        table = tmp_path / "events.parquet"
        site.skerry("events", "export", table, "--until", "2999-01-01").succeeded()
        columns = parquet.read_table(table).to_pydict()
        assert columns["sequence"] == list(range(1, SENT + 2))
        assert [json.loads(body) for body in columns["body"][:2]] == [{"n": 0}, {"n": 1}]
        assert columns["properties"][0] == [("batch", "a")]
        assert columns["enqueued_time"] == sorted(columns["enqueued_time"])
        plain = tmp_path / "events.jsonl"
        site.skerry("events", "export", plain, "--format", "jsonl", "--from", "3").succeeded()
        assert [json.loads(line)["sequence"] for line in plain.read_text().splitlines()] == [4, 5, 6]

        assert [event["id"] for event in taken] == [f"localhost-{n}" for n in range(1, SENT + 2)]
        listed = site.skerry("events", "sink", "list", "--output", "json").succeeded().out
        assert json.loads(listed)[0]["delivered"] == SENT + 1
        assert "s3cret" not in listed
        assert site.skerry("events", "sink", "dead-letters", "hook").succeeded().out == ""
        site.skerry("events", "sink", "delete", "hook").succeeded()
        site.skerry("events", "forget", "line-3").succeeded()
        audited = json.loads(site.skerry("hub", "audit", "--output", "json").succeeded().out)
        assert audited[0]["action"] == "sink.delete"
        assert "device.create" in site.skerry("hub", "audit", "--target", "press-1").succeeded().out
