"""A camera module sends its pictures numbered, at the rate asked for, and accounts for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from skerry.clock import SystemClock
from skerry.contract.method import MethodRequest
from skerry.errors import InvalidInput
from skerry.protocol.claims import ClaimSettings, ClaimStore, is_claim, redeemed
from skerry.sim.camera import EXIT_SETTINGS, FRAME_BYTES_MAX, WINDOW, Camera, controls_of, main
from skerry.sim.controls import Controls
from skerry.sim.progress import Progress
from skerry.sim.score import deliveries
from skerry.sim.source import folder_frames
from tests.unit.serve.memory_hub import MemoryHub, running_hub

FAST = 0


@dataclass
class Playing:
    hub: MemoryHub
    camera: Camera

    def sequences(self) -> list[int]:
        return [int(message.properties["sequence"] or 0) for message in self.hub.messages]

    async def until_acknowledged(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.camera.acknowledged < count:
                await asyncio.sleep(0.005)


@asynccontextmanager
async def camera(
    folder: Path,
    controls: Controls,
    *,
    hub: MemoryHub | None = None,
    state: Path | None = None,
    claims: ClaimStore | None = None,
) -> AsyncIterator[Playing]:
    for name in ("cat/1.png", "dog/2.jpg", "loose.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    hub = hub or MemoryHub()
    async with running_hub(hub) as running:
        playing = Camera(
            running.make_client(),
            folder_frames(folder),
            clock=SystemClock(),
            controls=controls,
            progress=Progress(state),
            report_every_s=0.02,
            claims=claims,
        )
        await playing.start()
        try:
            yield Playing(hub, playing)
        finally:
            await playing.close()


async def test_pictures_go_round_numbered_with_type_name_and_class(tmp_path: Path) -> None:
    async with camera(tmp_path, Controls(FAST, count=4)) as playing:
        await playing.until_acknowledged(4)
        first, second, third, again = playing.hub.messages
        assert first.body == again.body == b"cat/1.png"
        assert first.properties == {"frame": "cat/1.png", "sequence": "1", "truth": "cat"}
        assert third.properties == {"frame": "loose.png", "sequence": "3"}
        assert (second.system["contentType"], second.system["outputName"]) == ("image/jpeg", "image")
        assert second.system["messageId"] == "edge1/cnn/2"


async def test_a_picture_too_large_for_a_message_goes_by_reference(tmp_path: Path) -> None:
    large = bytes(FRAME_BYTES_MAX + 1)
    (tmp_path / "film" / "bear").mkdir(parents=True)
    (tmp_path / "film" / "bear" / "1.jpg").write_bytes(large)
    claims = ClaimStore(ClaimSettings(tmp_path / "claims"), SystemClock())
    async with camera(tmp_path / "film", Controls(FAST, count=2), claims=claims) as playing:
        await playing.until_acknowledged(2)
        reference, whole = playing.hub.messages
        assert (is_claim(reference), is_claim(whole)) == (True, False)
        found = redeemed(reference, claims)
        assert (found.body, found.system["contentType"]) == (large, "image/jpeg")
        assert found.properties["frame"] == "bear/1.jpg"
        assert playing.camera.status()["claimsEvicted"] == 0


async def test_it_stops_at_the_count_and_sends_the_rest_when_the_twin_raises_it(tmp_path: Path) -> None:
    async with camera(tmp_path, Controls(FAST, count=2)) as playing:
        await playing.until_acknowledged(2)
        await playing.hub.listener("desired")
        await playing.hub.desire({"count": 5})
        await playing.until_acknowledged(5)
        await playing.hub.until(lambda: "count" in playing.hub.reported)
        assert playing.sequences() == [1, 2, 3, 4, 5]
        assert playing.hub.reported["count"]["ac"] == 200


async def test_it_reports_how_far_it_is(tmp_path: Path) -> None:
    async with camera(tmp_path, Controls(FAST, count=0)) as playing:
        await playing.hub.until(lambda: "camera" in playing.hub.reported)
        assert playing.hub.reported["camera"] == {
            "sent": 0, "acknowledged": 0, "target": 0, "enabled": True, "frames": 3
        }  # fmt: skip


async def test_methods_send_more_and_tell_the_status(tmp_path: Path) -> None:
    async with camera(tmp_path, Controls(FAST, count=0)) as playing:
        session = await playing.hub.listener("methods")
        more = await session.invoke(MethodRequest("send", {"count": 3}))
        await playing.until_acknowledged(3)
        status = await session.invoke(MethodRequest("status"))
        wrong = await session.invoke(MethodRequest("send", {"count": 0}))
        unknown = await session.invoke(MethodRequest("dance"))
        assert (more.status, more.payload["target"]) == (200, 3)
        assert (status.payload["sent"], status.payload["acknowledged"]) == (3, 3)
        assert (wrong.status, unknown.status) == (400, 404)


async def test_no_more_than_the_window_is_under_way(tmp_path: Path) -> None:
    async with camera(tmp_path, Controls(FAST)) as playing:
        playing.hub.accepting.clear()
        await playing.hub.until(lambda: len(playing.hub.messages) >= WINDOW)
        await asyncio.sleep(0.05)
        under_way = playing.camera.sent - playing.camera.acknowledged
        playing.hub.accepting.set()
        assert under_way <= WINDOW


async def test_the_rate_holds(tmp_path: Path) -> None:
    clock = SystemClock()
    begun = clock.monotonic()
    async with camera(tmp_path, Controls(frames_per_second=50, count=10)) as playing:
        await playing.until_acknowledged(10)
        assert clock.monotonic() - begun >= 0.15


async def test_a_restart_repeats_at_most_the_window_and_loses_nothing(tmp_path: Path) -> None:
    state, hub = tmp_path / "state" / "acknowledged", MemoryHub()
    frames = tmp_path / "frames"
    async with camera(frames, Controls(FAST), hub=hub, state=state) as playing:
        await playing.until_acknowledged(20)
        hub.accepting.clear()
    hub.accepting.set()
    async with camera(frames, Controls(FAST, count=2000), hub=hub, state=state) as playing:
        await playing.until_acknowledged(2000)
        ledger = deliveries([("cam", n) for n in playing.sequences()], {"cam": 2000})["cam"]
    assert ledger.complete
    assert ledger.duplicates <= WINDOW
    bodies = {message.properties["sequence"]: message.body for message in hub.messages}
    assert all(bodies[m.properties["sequence"]] == m.body for m in hub.messages)


async def test_a_picture_that_fits_no_message_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "big.png").write_bytes(b"x" * (FRAME_BYTES_MAX + 1))
    with pytest.raises(InvalidInput, match=r"big\.png"):
        async with camera(tmp_path, Controls()):
            pass


def test_the_environment_gives_the_first_controls() -> None:
    environ = {"SKERRY_FRAMES_PER_SECOND": "2.5", "SKERRY_COUNT": "7"}
    assert controls_of(environ) == Controls(2.5, 7)
    assert controls_of({}) == Controls()
    with pytest.raises(InvalidInput):
        controls_of({"SKERRY_COUNT": "many"})


def test_without_pictures_it_exits_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main({"SKERRY_FRAMES_DIR": str(tmp_path / "none")}) == EXIT_SETTINGS
    assert "no folder" in capsys.readouterr().err
