"""A wish becomes the served model or a reason; what served before goes on, and can come back."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from skerry.clock import ManualClock, SystemClock
from skerry.errors import Damaged, NotAllowed, NotFound, PreconditionFailed, SkerryError, StorageFull
from skerry.package.candidate import Candidate
from skerry.package.manifest import GoldenSample, write_package
from skerry.package.trust import public_key_text
from skerry.serve.activation import Activated
from skerry.serve.environment import Environment, read_environment
from skerry.serve.loading import load
from skerry.serve.scoring import Scorer
from skerry.serve.update.assembly import start_updates
from skerry.serve.update.restore import Restored, restore
from skerry.serve.update.shelf import DEATHS_MAX, RECORD, Shelf
from skerry.serve.update.twin import ModelTwin
from skerry.serve.update.updates import Updates
from skerry.serve.update.wish import Wish
from tests.unit.serve.support import BLUE, RECIPE, colour_model, expected, make_package, picture
from tests.unit.serve.update.packages import sharp_package, tar_of
from tests.unit.serve.update.web import File, Web, web_server


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as running:
        yield running


@dataclass
class Module:
    scorer: Scorer
    updates: Updates
    restored: Restored
    clock: ManualClock

    @property
    def serves(self) -> str:
        return self.scorer.package.digest

    async def until(self, condition: Callable[[Updates], bool]) -> None:
        """Wait until something the updates report makes the condition true."""
        changed = asyncio.Event()
        self.updates.changed = changed.set
        async with asyncio.timeout(10):
            while not condition(self.updates):
                changed.clear()
                await changed.wait()


def environment(folder: Path, **more: str) -> Environment:
    environ = {"SKERRY_MODEL_DIR": str(folder / "own"), "SKERRY_STATE_DIR": str(folder / "state")}
    return read_environment({**environ, **more}, cpus=1)


@asynccontextmanager
async def module(folder: Path, **settings: str) -> AsyncIterator[Module]:
    """The module's updates from its start to its end; start it again in the same folder for a restart."""
    wanted = environment(folder, **settings)
    if not (folder / "own").exists():
        make_package(folder / "own")
    shelf, clock = Shelf(folder / "state"), ManualClock()

    def loaded(directory: Path) -> Activated:
        return load(wanted, directory)

    restored = restore(shelf, folder / "own", loaded)
    scorer = Scorer(restored.activated.package, restored.activated.predictor, clock=SystemClock())
    updates = start_updates(wanted, scorer, shelf, restored, clock=clock)
    try:
        yield Module(scorer, updates, restored, clock)
    finally:
        await updates.close()
        await scorer.close()


def offer(folder: Path, web: Web, name: str, sharpness: float, **file: list[int]) -> Wish:
    """A package to be had from the web server."""
    digest = sharp_package(folder / name, sharpness)
    web.files[f"/{name}"] = File(tar_of(folder / name), cuts=file.get("cuts", []))
    return Wish(digest, web.url(f"/{name}"))


async def test_an_update_survives_a_restart_and_rolls_back_after_it(tmp_path: Path, web: Web) -> None:
    wish = offer(tmp_path, web, "second", 3.0)
    async with module(tmp_path) as first:
        own = first.serves
        await first.updates.activate(wish)
        assert first.serves == wish.package
    async with module(tmp_path) as second:
        assert (second.serves, second.restored.reason) == (wish.package, "")
        await second.updates.rollback()
        assert second.serves == own
        await second.updates.rollback()
        assert second.serves == wish.package


async def test_an_update_runs_on_the_engine_that_its_package_chose(tmp_path: Path, web: Web) -> None:
    """The safe update opens, tries and serves candidates as a start does, each by its own tolerance."""
    chosen = Candidate("openvino-fp32", "openvino", "fp32", "model.onnx", 1e-4)
    image = picture(BLUE)
    wish = Wish(
        write_package(
            tmp_path / "vino",
            name="colours",
            model={"model.onnx": colour_model()},
            recipe=RECIPE,
            golden=[GoldenSample(image, expected(image))],
            certificate={},
            candidates=[chosen, replace(chosen, name="onnx-fp32", engine="onnxruntime")],
        ),
        web.url("/vino"),
    )
    web.files["/vino"] = File(tar_of(tmp_path / "vino"))
    async with module(tmp_path, SKERRY_PROBE="off") as running:
        await running.updates.activate(wish)
        assert running.scorer.predictor.engine.startswith("openvino ")
        assert running.updates.active.selection.ways[0].candidate == chosen
        assert ModelTwin(running.updates).selection.to_json()["candidate"] == "openvino-fp32"
        [scored] = await running.scorer.score([image])
        assert (scored.model, scored.predictions[0].label) == (wish.package, "blue")


async def test_a_request_ends_with_the_model_it_began_with(tmp_path: Path, web: Web) -> None:
    wish = offer(tmp_path, web, "second", 3.0)
    async with module(tmp_path) as running:
        own = running.serves
        before = [asyncio.create_task(running.scorer.score([picture(BLUE)])) for _ in range(5)]
        await asyncio.sleep(0)
        order = asyncio.create_task(running.updates.activate(wish))
        await order
        [after] = await running.scorer.score([picture(BLUE)])
        assert {scored.model for [scored] in await asyncio.gather(*before)} == {own}
        assert after.model == wish.package


async def test_the_oldest_package_leaves_the_disk(tmp_path: Path, web: Web) -> None:
    wishes = [offer(tmp_path, web, f"p{number}", number + 1.0) for number in range(3)]
    async with module(tmp_path) as running:
        for wish in wishes:
            await running.updates.activate(wish)
    kept = {f"sha256:{path.name}" for path in (tmp_path / "state" / "packages").iterdir()}
    assert kept == {wishes[1].package, wishes[2].package}


async def test_a_broken_network_is_tried_again_until_it_works(tmp_path: Path, web: Web) -> None:
    wish = offer(tmp_path, web, "second", 3.0, cuts=[1000, 500])
    async with module(tmp_path) as running:
        running.updates.want(wish)
        for received in ("1000", "1500"):
            await running.until(_waits_after(received))
            while _waits_after(received)(running.updates):
                await running.clock.advance(10)
        await running.until(lambda updates: updates.active.kept.package == wish.package)
    assert [asked for _, asked in web.asked] == ["", "bytes=1000-", "bytes=1500-"]


def _waits_after(received: str) -> Callable[[Updates], bool]:
    def waits(updates: Updates) -> bool:
        return updates.progress.state == "waiting" and f"after {received} " in updates.progress.reason

    return waits


async def test_a_download_goes_on_after_a_restart(tmp_path: Path, web: Web) -> None:
    wish = offer(tmp_path, web, "second", 3.0, cuts=[1000])
    async with module(tmp_path) as running:
        running.updates.want(wish)
        await running.until(lambda updates: updates.progress.state == "waiting")
    async with module(tmp_path) as running:
        running.updates.want(wish)
        await running.until(lambda updates: updates.active.kept.package == wish.package)
    assert [asked for _, asked in web.asked] == ["", "bytes=1000-"]


async def test_another_wish_takes_the_place_of_one_under_way(tmp_path: Path, web: Web) -> None:
    slow = offer(tmp_path, web, "slow", 3.0, cuts=[1000] * 9)
    wish = offer(tmp_path, web, "second", 4.0)
    async with module(tmp_path) as running:
        running.updates.want(slow)
        await running.until(lambda updates: updates.progress.state == "waiting")
        running.updates.want(wish)
        await running.until(lambda updates: updates.active.kept.package == wish.package)
        assert list((tmp_path / "state" / "incoming").iterdir()) == []


async def test_a_model_over_the_memory_budget_is_refused_with_numbers(tmp_path: Path, web: Web) -> None:
    wish = offer(tmp_path, web, "second", 3.0)
    async with module(tmp_path, SKERRY_UPDATE_MEMORY_MB="3") as running:
        own = running.serves
        with pytest.raises(StorageFull, match=r"needs 16 MB .* 3 MB are allowed"):
            await running.updates.activate(wish)
        assert running.serves == own
    assert list((tmp_path / "state" / "packages").iterdir()) == []


async def test_only_what_a_trusted_key_signed_is_served(tmp_path: Path, web: Web) -> None:
    key = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_text(public_key_text(key.public_key().public_bytes_raw()))
    wish = offer(tmp_path, web, "second", 3.0)
    async with module(tmp_path) as running:
        own, settings = running.serves, environment(tmp_path, SKERRY_TRUSTED_KEYS=str(tmp_path / "key.pem"))
        strict = start_updates(
            settings, running.scorer, Shelf(tmp_path / "state"), running.restored, clock=running.clock
        )
        with pytest.raises(NotAllowed, match="not signed"):
            await strict.activate(wish)
        assert running.serves == own
        await strict.close()


async def test_a_damaged_active_package_gives_way_to_the_images_own_and_comes_again(
    tmp_path: Path, web: Web
) -> None:
    wish = offer(tmp_path, web, "second", 3.0)
    async with module(tmp_path) as running:
        own = running.serves
        running.updates.want(wish)
        await running.until(lambda updates: updates.active.kept.package == wish.package)
    model = next((tmp_path / "state" / "packages").rglob("model.onnx"))
    model.write_bytes(b"dust")
    async with module(tmp_path) as running:
        assert running.serves == own
        assert "model.onnx is not what" in running.restored.reason
        twin = ModelTwin(running.updates)
        assert "cannot be served" in twin.status()["reason"]
        twin.desired({"model": {"package": wish.package, "url": wish.url}}, 5)
        await running.until(lambda updates: updates.active.kept.package == wish.package)


async def test_a_damaged_record_gives_way_to_the_images_own(tmp_path: Path, web: Web) -> None:
    wish = offer(tmp_path, web, "second", 3.0)
    async with module(tmp_path) as running:
        own = running.serves
        await running.updates.activate(wish)
    (tmp_path / "state" / RECORD).write_text("{")
    async with module(tmp_path) as running:
        assert running.serves == own
        assert "record" in running.restored.reason


async def test_without_the_images_own_the_one_before_serves(tmp_path: Path, web: Web) -> None:
    one, two = offer(tmp_path, web, "one", 2.0), offer(tmp_path, web, "two", 3.0)
    async with module(tmp_path) as running:
        await running.updates.activate(one)
        await running.updates.activate(two)
    assert two.package is not None
    Shelf(tmp_path / "state").directory(two.package).joinpath("recipe.json").write_text("{")
    (tmp_path / "own" / "manifest.json").unlink()
    async with module(tmp_path) as running:
        assert running.serves == one.package
    assert one.package is not None
    Shelf(tmp_path / "state").directory(one.package).joinpath("recipe.json").write_text("{")
    with pytest.raises(NotFound):
        async with module(tmp_path):
            pytest.fail("nothing can be served")


async def test_the_images_own_comes_back_by_its_digest(tmp_path: Path, web: Web) -> None:
    one, two = offer(tmp_path, web, "one", 2.0), offer(tmp_path, web, "two", 3.0)
    async with module(tmp_path) as running:
        own = running.serves
        await running.updates.activate(one)
        await running.updates.activate(two)
        await running.updates.activate(Wish(own))
        assert (running.serves, running.updates.active.kept.own) == (own, True)
        with pytest.raises(NotFound, match="not on this device"):
            await running.updates.activate(Wish("sha256:" + "0" * 64))
        assert running.serves == own


async def test_there_is_nothing_to_roll_back_to_at_first(tmp_path: Path) -> None:
    async with module(tmp_path) as running:
        with pytest.raises(PreconditionFailed, match="no model to go back to"):
            await running.updates.rollback()


async def test_a_rollback_sets_the_twins_wish_aside_until_it_changes(tmp_path: Path, web: Web) -> None:
    one, two = offer(tmp_path, web, "one", 2.0), offer(tmp_path, web, "two", 3.0)
    document = {"package": one.package, "url": one.url}
    async with module(tmp_path) as running:
        own, twin = running.serves, ModelTwin(running.updates)
        twin.desired({"model": document}, 2)
        await running.until(lambda updates: updates.active.kept.package == one.package)
        assert (await twin.rollback()).status == 200
        assert (running.serves, twin.acknowledgement()["ac"]) == (own, 409)
    async with module(tmp_path) as running:
        twin = ModelTwin(running.updates)
        twin.desired({"model": document}, 2)
        assert (running.serves, twin.acknowledgement()["ac"]) == (own, 409)
        twin.desired({"model": {"package": two.package, "url": two.url}}, 3)
        await running.until(lambda updates: updates.active.kept.package == two.package)
        assert twin.acknowledgement() == {
            "value": {"package": two.package},
            "ac": 200,
            "av": 3,
            "ad": "active",
        }


async def test_an_archive_with_another_md5_is_refused(tmp_path: Path, web: Web) -> None:
    wish = offer(tmp_path, web, "second", 3.0)
    async with module(tmp_path) as running:
        with pytest.raises(Damaged, match="not md5:00"):
            await running.updates.activate(Wish(url=wish.url, md5=bytes(16), file_name="m.zip"))
        twin = ModelTwin(running.updates)
        text = base64.b64encode(bytes(16)).decode()
        twin.desired({"FileName": "../m.zip", "DownloadUrl": wish.url, "ContentMD5": text}, 4)
        await running.until(lambda updates: updates.progress.state == "failed")
        assert twin.acknowledgement()["ac"] == 400


async def test_nonsense_in_the_twin_is_refused_by_reason(tmp_path: Path) -> None:
    async with module(tmp_path) as running:
        twin = ModelTwin(running.updates)
        assert twin.acknowledgement() == {}
        twin.desired({"model": {"package": "latest"}}, 7)
        found = twin.acknowledgement()
        assert (found["ac"], found["av"]) == (400, 7)
        assert (twin.status()["state"], "package" in twin.status()["reason"]) == ("failed", True)
        twin.desired({"model": None}, 8)
        assert twin.acknowledgement() == dict.fromkeys(("value", "ac", "av", "ad"))
        assert (await twin.activate({"package": 3})).status == 400
        assert (await twin.activate({"package": "sha256:" + "0" * 64})).status == 404
        assert (await twin.activate({"package": running.serves})).status == 200


async def test_a_package_in_which_the_module_died_twice_is_not_tried_a_third_time(
    tmp_path: Path, web: Web
) -> None:
    wish = offer(tmp_path, web, "second", 3.0)
    for _ in range(DEATHS_MAX):
        # What a process leaves that ends (killed for memory, or by the engine) while it loads the package.
        Shelf(tmp_path / "state").begin_trial(wish.key)
    async with module(tmp_path) as running:
        own = running.serves
        with pytest.raises(PreconditionFailed, match="ended while it tried"):
            await running.updates.activate(wish)
        assert (running.serves, web.asked) == (own, [])
        other = offer(tmp_path, web, "other", 4.0)
        await running.updates.activate(other)
        assert running.serves == other.package
        assert Shelf(tmp_path / "state").deaths(wish.key) == 0


async def test_a_manifest_made_to_confuse_is_refused_and_the_next_wish_works(
    tmp_path: Path, web: Web
) -> None:
    good = offer(tmp_path, web, "good", 3.0)
    for name, manifest in {
        "folder": {"order": ["golden"], "files": {"golden": {"sha256": "0" * 64}}},
        "nul": {"order": ["a\0b"], "files": {"a\0b": {"sha256": "0" * 64}}},
        "long": {"order": ["a" * 5000], "files": {"a" * 5000: {"sha256": "0" * 64}}},
    }.items():
        sharp_package(tmp_path / name, 3.0)
        document = {"schema": "skerry.package/1", "name": "x", **manifest}
        (tmp_path / name / "manifest.json").write_text(json.dumps(document))
        web.files[f"/{name}"] = File(tar_of(tmp_path / name))
    deep = "[" * 100_000
    sharp_package(tmp_path / "deep", 3.0)
    (tmp_path / "deep" / "manifest.json").write_text(deep)
    web.files["/deep"] = File(tar_of(tmp_path / "deep"))
    async with module(tmp_path) as running:
        own = running.serves
        for name in ("folder", "nul", "long", "deep"):
            with pytest.raises(SkerryError):
                await running.updates.activate(Wish(url=web.url(f"/{name}")))
            assert running.serves == own
            assert [path for path in (tmp_path / "state").rglob("*") if path.is_file()] == []
        await running.updates.activate(good)
        assert running.serves == good.package
