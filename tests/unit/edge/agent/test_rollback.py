"""A bad deployment gives way to the last good one, whatever happens to the agent meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from skerry.clock import ManualClock
from skerry.contract.manifest import RegistryCredentials
from skerry.edge.agent.restart import BACKOFF_MAX_S
from skerry.edge.engine.port import RunSpec
from skerry.errors import NotFound, StorageFull, Unavailable
from skerry.store.database import Database
from skerry.store.documents import Documents
from tests.support.edge import agent_desired
from tests.support.engine import MemoryEngine, World
from tests.unit.edge.agent.test_agent import Bench

ROLLBACK_AFTER_S = 60.0
# A plan is done in two looks, its reports in a third.
LOOKS = 3
GOOD, BAD = agent_desired(1, cnn="cnn:1", camera="camera:1"), agent_desired(2, cnn="cnn:2", camera="camera:1")


def impatient(database: Database, clock: ManualClock, world: World) -> Bench:
    return Bench(database, clock, world, rollback_after_s=ROLLBACK_AFTER_S)


def world(*more: str) -> World:
    return World(registry={"cnn:1", "camera:1", *more})


async def works(bench: Bench, version: int = 1, desired: dict[str, Any] = GOOD) -> None:
    """The deployment runs and has proven itself."""
    bench.twin.wants(desired, version)
    await passes(bench, 40)
    assert bench.code == 200


async def passes(bench: Bench, seconds: float, crashing: str = "", code: int = 1) -> None:
    """Time goes by in looks of five seconds; ``crashing`` (an image) crashes whenever it was started."""
    for _ in range(int(seconds / 5)):
        await bench.settle(LOOKS)
        for module in list(bench.engine.world.modules.values()):
            if module.image == crashing and module.status == "running":
                bench.engine.exits(module.name, code)
        await bench.clock.advance(5)
    await bench.settle(LOOKS)


def images(bench: Bench) -> dict[str, str]:
    return {m.name: m.image for m in bench.engine.world.modules.values() if m.status == "running"}


def rolled_back(bench: Bench) -> Any:
    return bench.twin.reported().get("rolledBack")


async def test_a_crash_loop_is_rolled_back_in_time_and_reported(
    database: Database, clock: ManualClock
) -> None:
    bench = impatient(database, clock, world("cnn:2"))
    await works(bench)
    bench.twin.wants(BAD, 2)
    await passes(bench, ROLLBACK_AFTER_S - 10, crashing="cnn:2", code=7)
    assert rolled_back(bench) is None
    await passes(bench, 60, crashing="cnn:2", code=7)
    assert rolled_back(bench) == {"from": 2, "to": 1, "reason": "cnn: exited with code 7"}
    assert images(bench) == {"cnn": "cnn:1", "camera": "camera:1"}
    assert bench.twin.reported()["lastDesiredStatus"] == {
        "code": 500,
        "description": "rolled back to 1: cnn: exited with code 7",
    }
    assert bench.twin.reported()["lastDesiredVersion"] == 2
    assert "stop camera" not in bench.engine.world.journal


async def test_an_image_that_does_not_exist_is_rolled_back(database: Database, clock: ManualClock) -> None:
    bench = impatient(database, clock, world())
    await works(bench)
    bench.twin.wants(agent_desired(2, cnn="cnn:none", camera="camera:1"), 2)
    await passes(bench, ROLLBACK_AFTER_S + 30)
    assert rolled_back(bench) == {"from": 2, "to": 1, "reason": "cnn: there is no image cnn:none"}
    assert images(bench) == {"cnn": "cnn:1", "camera": "camera:1"}
    assert "stop cnn" not in bench.engine.world.journal


async def test_a_failing_health_check_is_rolled_back(database: Database, clock: ManualClock) -> None:
    bench = impatient(database, clock, world("cnn:2"))
    await works(bench)
    bench.twin.wants(BAD, 2)
    for _ in range(int(ROLLBACK_AFTER_S / 5) + 5):
        await bench.settle(LOOKS)
        if images(bench).get("cnn") == "cnn:2":
            bench.engine.falls_ill("cnn")
        await bench.clock.advance(5)
    await bench.settle()
    assert rolled_back(bench) == {"from": 2, "to": 1, "reason": "cnn: unhealthy"}
    assert images(bench)["cnn"] == "cnn:1"


async def test_a_registry_that_is_away_is_waited_for(database: Database, clock: ManualClock) -> None:
    bench = impatient(database, clock, world("cnn:2"))
    await works(bench)
    bench.engine.world.failures["pull", "cnn:2"] = Unavailable("no network")
    bench.twin.wants(BAD, 2)
    await passes(bench, 4 * ROLLBACK_AFTER_S)
    assert rolled_back(bench) is None
    assert images(bench)["cnn"] == "cnn:1"
    bench.engine.world.failures.clear()
    await passes(bench, BACKOFF_MAX_S + 40)
    assert images(bench)["cnn"] == "cnn:2"
    assert bench.code == 200


async def test_a_newer_deployment_preempts_a_trial_and_a_rollback(
    database: Database, clock: ManualClock
) -> None:
    bench = impatient(database, clock, world("cnn:2", "cnn:3", "cnn:4"))
    await works(bench)
    bench.twin.wants(BAD, 2)
    await passes(bench, 30, crashing="cnn:2")
    bench.twin.wants(agent_desired(3, cnn="cnn:3"), 3)
    await bench.settle()
    assert images(bench) == {"cnn": "cnn:3"}
    await passes(bench, ROLLBACK_AFTER_S + 60, crashing="cnn:3")
    assert rolled_back(bench)["to"] == 1
    bench.twin.wants(agent_desired(4, cnn="cnn:4"), 4)
    await bench.settle()
    assert images(bench) == {"cnn": "cnn:4"}
    assert rolled_back(bench) is None
    await passes(bench, 60)
    assert bench.code == 200


async def test_what_could_not_be_made_is_tried_at_once_under_a_newer_deployment(
    database: Database, clock: ManualClock
) -> None:
    bench = impatient(database, clock, world())
    bench.twin.wants(agent_desired(1, cnn="cnn:9"), 1)
    await passes(bench, 120)
    bench.engine.world.registry.add("cnn:9")
    bench.twin.wants(agent_desired(1, cnn="cnn:9"), 2)
    await bench.settle()
    assert images(bench) == {"cnn": "cnn:9"}


async def test_without_a_good_one_before_it_is_tried_for_ever(database: Database, clock: ManualClock) -> None:
    bench = impatient(database, clock, world("cnn:2"))
    bench.twin.wants(BAD, 1)
    await passes(bench, 2 * ROLLBACK_AFTER_S, crashing="cnn:2")
    assert rolled_back(bench) is None
    await passes(bench, ROLLBACK_AFTER_S)
    assert images(bench)["cnn"] == "cnn:2"


async def test_after_a_rollback_a_restarted_agent_does_not_try_the_bad_one_again(
    database: Database, clock: ManualClock
) -> None:
    first = impatient(database, clock, world("cnn:2"))
    await works(first)
    first.twin.wants(BAD, 2)
    await passes(first, ROLLBACK_AFTER_S + 60, crashing="cnn:2")
    before = list(first.engine.world.journal)
    second = impatient(database, clock, first.engine.world)
    second.twin.wants(BAD, 2)
    await passes(second, 30)
    assert first.engine.world.journal == before
    assert rolled_back(second)["from"] == 2


class Crash(Exception):
    """The agent's process ends here."""


class Fuse:
    """Burns at the ``at``-th effect from now: an odd one after it was had, an even one before it."""

    def __init__(self, at: int) -> None:
        self._left, self._after = divmod(at, 2)
        self.burnt = False

    def before(self) -> None:
        if self.burnt or (self._left == 0 and not self._after):
            self.burnt = True
            raise Crash

    def after(self) -> None:
        if self._left == 0:
            self.burnt = True
            raise Crash
        self._left -= 1


class DyingEngine(MemoryEngine):
    """Everything the agent does on the engine may be its last."""

    def __init__(self, clock: ManualClock, world: World, fuse: Fuse) -> None:
        super().__init__(clock, world)
        self._fuse = fuse

    async def pull(self, image: str, credentials: RegistryCredentials | None = None) -> None:
        self._fuse.before()
        await super().pull(image, credentials)
        self._fuse.after()

    async def create(self, spec: RunSpec) -> None:
        self._fuse.before()
        await super().create(spec)
        self._fuse.after()

    async def start(self, name: str) -> None:
        self._fuse.before()
        await super().start(name)
        self._fuse.after()

    async def stop(self, name: str, grace_s: float = 10.0) -> None:
        self._fuse.before()
        await super().stop(name, grace_s)
        self._fuse.after()

    async def remove(self, name: str) -> None:
        self._fuse.before()
        await super().remove(name)
        self._fuse.after()


class DyingDocuments(Documents):
    """Everything the agent writes may be the last it writes."""

    def __init__(self, database: Database, fuse: Fuse) -> None:
        super().__init__(database, "agent")
        self._fuse = fuse

    async def put(self, key: str, value: Any) -> None:
        self._fuse.before()
        await super().put(key, value)
        self._fuse.after()


async def dies(database: Database, clock: ManualClock, world: World, desired: Any, at: int) -> bool:
    """An agent takes ``desired`` and dies at effect ``at``; whether it got that far."""
    fuse = Fuse(at)
    bench = Bench(
        database,
        clock,
        world,
        rollback_after_s=ROLLBACK_AFTER_S,
        engine=DyingEngine(clock, world, fuse),
        documents=DyingDocuments(database, fuse),
    )
    bench.twin.wants(desired, 2)
    with contextlib.suppress(Crash):
        await passes(bench, 20, crashing="cnn:2" if desired is BAD else "")
    await bench.agent.close()
    return fuse.burnt


@pytest.mark.parametrize("goes_bad", [False, True])
async def test_an_agent_that_died_at_any_step_resumes_or_rolls_back(
    database: Database, clock: ManualClock, goes_bad: bool
) -> None:
    """The fault list: every effect of a change of deployment, before it and after it."""
    desired = BAD if goes_bad else agent_desired(2, cnn="cnn:3", lamp="camera:1")
    at, died = 0, True
    while died:
        seen = world("cnn:2", "cnn:3")
        first = impatient(database, clock, seen)
        await works(first, version=10 * at + 1)
        died = await dies(database, clock, seen, desired, at)
        last = impatient(database, clock, seen)
        last.twin.wants(desired, 2)
        if goes_bad:
            await passes(last, ROLLBACK_AFTER_S + 60, crashing="cnn:2")
            assert images(last) == {"cnn": "cnn:1", "camera": "camera:1"}, at
            assert rolled_back(last)["from"] == 2
        else:
            await passes(last, 90)
            assert images(last) == {"cnn": "cnn:3", "lamp": "camera:1"}, at
            assert last.code == 200
        at += 1
    # Pull, stop, remove, create, start and their records: a list shorter than this has lost its aim.
    assert at > 16


async def test_unneeded_images_go_after_a_week_and_those_of_the_way_back_stay(
    database: Database, clock: ManualClock
) -> None:
    bench = impatient(database, clock, world("cnn:2", "cnn:3"))
    bench.engine.world.images.add("foreign:1")
    await works(bench)
    await works(bench, 2, BAD)
    await works(bench, 3, agent_desired(3, cnn="cnn:3", camera="camera:1"))
    assert "cnn:1" in bench.engine.world.images
    await clock.advance(7 * 86_400)
    await passes(bench, 10)
    assert bench.engine.world.images == {"cnn:3", "camera:1", "foreign:1"}


async def test_a_pull_without_room_frees_what_is_not_needed(database: Database, clock: ManualClock) -> None:
    bench = impatient(database, clock, world("cnn:2", "cnn:3"))
    await works(bench)
    await works(bench, 2, BAD)
    bench.engine.world.failures["pull", "cnn:3"] = StorageFull("needs 2 GB, 1 GB is free")
    bench.twin.wants(agent_desired(3, cnn="cnn:3", camera="camera:1"), 3)
    await bench.settle()
    assert bench.engine.world.images == {"cnn:2", "camera:1"}
    assert "2 GB" in bench.agent.modules()["cnn"]["statusDescription"]


class SlowEngine(MemoryEngine):
    """Pulls that go on for ever."""

    async def pull(self, image: str, credentials: RegistryCredentials | None = None) -> None:
        if image == "cnn:2":
            await self.forever.wait()
        await super().pull(image, credentials)

    def __init__(self, clock: ManualClock, world: World) -> None:
        super().__init__(clock, world)
        self.forever = asyncio.Event()


async def test_during_a_slow_pull_a_killed_module_is_back_within_ten_seconds(
    database: Database, clock: ManualClock
) -> None:
    engine = SlowEngine(clock, world("cnn:2"))
    bench = Bench(database, clock, engine.world, engine=engine)
    await works(bench)
    bench.twin.wants(BAD, 2)
    await passes(bench, 5)
    assert bench.agent.modules()["cnn"]["statusDescription"] == "waiting: pulling cnn:2"
    for name in ("camera", "cnn"):
        engine.exits(name, 137)
    await passes(bench, 5)
    # The old module goes on, too, until its successor is here.
    assert images(bench) == {"cnn": "cnn:1", "camera": "camera:1"}
    await bench.agent.close()


async def test_why_tells_the_chain_from_the_deployment_to_the_exit(
    database: Database, clock: ManualClock
) -> None:
    bench = impatient(database, clock, world("cnn:2"))
    await works(bench)
    bench.engine.writes("cnn", "loading", "Illegal instruction")
    bench.engine.exits("cnn", 132)
    await bench.settle()
    bench.engine.exits("cnn", 132)
    await bench.settle()
    told = await bench.agent.why("cnn")
    assert (told["reason"], told["status"]) == ("crashed", "backoff")
    assert "CPU" in told["suggestion"]
    assert told["log"] == ["loading", "Illegal instruction"]
    assert told["nextAttempt"] is not None
    what = [step["what"] for step in told["chain"]]
    assert what[0] == "deployment 1 wants cnn:1 running, restart always"
    assert what[1:6] == [
        "create cnn from cnn:1",
        "start cnn: new",
        "exited with code 132",
        "start cnn: exited with code 132",
        "exited with code 132",
    ]
    assert what[6] == "restarted 1 times since it last ran well"
    assert what[-1] == "waits: exited with code 132"
    with pytest.raises(NotFound, match="nobody"):
        await bench.agent.why("nobody")
