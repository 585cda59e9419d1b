"""Signals, supervised tasks, systemd."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry.clock import ManualClock
from skerry.errors import AlreadyExists
from skerry.service.lifecycle import Backoff, Supervisor, run_until_signal
from skerry.service.systemd import Notifier


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_asks_main_to_end(number: signal.Signals) -> None:
    steps: list[str] = []

    async def main(stop: asyncio.Event) -> None:
        os.kill(os.getpid(), number)
        await stop.wait()
        steps.append("cleaned up")

    await asyncio.wait_for(run_until_signal(main), 5)
    assert steps == ["cleaned up"]


async def test_a_second_signal_ends_a_main_that_hangs() -> None:
    async def main(stop: asyncio.Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    await asyncio.wait_for(run_until_signal(main), 5)


async def test_main_ending_by_itself_or_failing_is_passed_on() -> None:
    async def fine(stop: asyncio.Event) -> None:
        await asyncio.sleep(0)

    async def broken(stop: asyncio.Event) -> None:
        raise ValueError("no")

    before = signal.getsignal(signal.SIGTERM)
    await run_until_signal(fine)
    with pytest.raises(ValueError, match="no"):
        await run_until_signal(broken)
    assert signal.getsignal(signal.SIGTERM) == before


async def test_cancelling_from_outside_cancels_main() -> None:
    ended: list[str] = []

    async def main(stop: asyncio.Event) -> None:
        try:
            await stop.wait()
        finally:
            ended.append("main")

    outer = asyncio.create_task(run_until_signal(main))
    await asyncio.sleep(0.01)
    outer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await outer
    assert ended == ["main"]


async def test_a_failing_task_is_logged_and_started_again_ever_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    runs: list[float] = []

    async def work() -> None:
        runs.append(clock.monotonic())
        raise ValueError("broken pipe dream")

    async with Supervisor(clock, Backoff(first_s=1, longest_s=4)) as supervisor:
        supervisor.start("uplink", work)
        await clock.advance(0)
        await clock.advance(12)
        assert runs == [0, 1, 3, 7, 11]
        assert supervisor.restarts("uplink") == 4
        assert supervisor.running == ["uplink"]
    assert supervisor.running == []
    assert "task uplink failed" in caplog.text
    assert "ValueError: broken pipe dream" in caplog.text


async def test_a_task_that_ran_well_for_long_starts_again_quickly() -> None:
    clock = ManualClock()
    runs: list[float] = []

    async def work() -> None:
        runs.append(clock.monotonic())
        await clock.sleep(100 if len(runs) == 4 else 0)
        raise ValueError

    async with Supervisor(clock, Backoff(first_s=1, longest_s=10)) as supervisor:
        supervisor.start("x", work)
        await clock.advance(0)
        await clock.advance(110)
    assert runs[:5] == [0, 1, 3, 7, 108]


async def test_a_task_that_returns_is_finished_and_names_are_unique() -> None:
    clock = ManualClock()
    supervisor = Supervisor(clock)

    async def forever() -> None:
        await asyncio.Event().wait()

    async def once() -> None:
        await asyncio.sleep(0)

    supervisor.start("once", once)
    supervisor.start("forever", forever)
    with pytest.raises(AlreadyExists):
        supervisor.start("forever", forever)
    await clock.advance(1)
    assert supervisor.running == ["forever"]
    await supervisor.cancel("forever")
    await supervisor.cancel("forever")
    supervisor.start("forever", forever)
    await supervisor.stop()
    assert supervisor.running == []


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(5)
        yield receiver


async def test_systemd_hears_ready_watchdog_and_stopping(systemd: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "10000000"}
    clock, notifier = ManualClock(), Notifier(environ)
    assert notifier.watchdog_s == 10
    notifier.ready()
    watchdog = asyncio.create_task(notifier.watchdog(clock))
    await clock.advance(0)
    await clock.advance(10)
    watchdog.cancel()
    notifier.status("two\nlines")
    notifier.stopping()
    heard = [systemd.recv(100) for _ in range(6)]
    assert heard == [b"READY=1", *[b"WATCHDOG=1"] * 3, b"STATUS=two", b"STOPPING=1"]


async def test_without_systemd_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    Notifier({}).ready()
    await Notifier({}).watchdog(clock)
    await Notifier({"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}).watchdog(clock)
    assert caplog.text == ""
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "none")}).ready()
    assert "telling systemd" in caplog.text


def test_an_abstract_address_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        name = f"skerry-test-{os.getpid()}"
        receiver.bind("\0" + name)
        Notifier({"NOTIFY_SOCKET": "@" + name}).ready()
        assert receiver.recv(100) == b"READY=1"
