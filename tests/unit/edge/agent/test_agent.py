"""The reconciler over an engine in memory, looked at step by step."""

from __future__ import annotations

import asyncio

from skerry.clock import ManualClock
from skerry.edge.agent.agent import ROLLBACK_AFTER_S, Agent
from skerry.edge.agent.environment import Surroundings
from skerry.errors import StorageFull, Unavailable
from skerry.store.database import Database
from skerry.store.documents import Documents
from tests.support.edge import agent_desired
from tests.support.engine import MemoryEngine, World
from tests.unit.edge.agent.places import MemoryHost, MemoryTwin

AROUND = Surroundings("edge-1", "hub.test", "gateway", "172.17.0.1", 8884)


class Bench:
    """An agent with everything around it; ``settle`` looks until nothing is left to do."""

    def __init__(
        self,
        database: Database,
        clock: ManualClock,
        world: World,
        boot_id: str = "boot-1",
        engine: MemoryEngine | None = None,
        documents: Documents | None = None,
        rollback_after_s: float = ROLLBACK_AFTER_S,
    ) -> None:
        self.clock = clock
        self.twin = MemoryTwin()
        self.host = MemoryHost()
        self.engine = engine or MemoryEngine(clock, world)
        self.agent = Agent(
            engine=self.engine,
            twin=self.twin,
            host=self.host,
            documents=documents or Documents(database, "agent"),
            surroundings=AROUND,
            clock=clock,
            boot_id=boot_id,
            rollback_after_s=rollback_after_s,
        )
        self.agent.load()

    async def settle(self, looks: int = 12) -> None:
        for _ in range(looks):
            await self.agent.look()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    def statuses(self) -> dict[str, str]:
        return {name: entry["runtimeStatus"] for name, entry in self.agent.modules().items()}

    @property
    def code(self) -> int:
        return int(self.twin.reported()["lastDesiredStatus"]["code"])


async def test_a_deployment_is_brought_about_and_reported(database: Database, clock: ManualClock) -> None:
    bench = Bench(database, clock, World(registry={"cnn:1"}))
    await bench.settle()
    assert bench.code == 417
    bench.twin.wants(agent_desired(1, cnn="cnn:1"), 5)
    await bench.settle()
    assert bench.engine.world.journal == ["pull cnn:1", "create cnn", "start cnn"]
    assert bench.statuses() == {"cnn": "running"}
    assert bench.code == 200
    assert bench.twin.reported()["lastDesiredVersion"] == 5
    spec = bench.engine.world.specs["cnn"]
    assert spec.env["SKERRY_GATEWAY_MQTT_PORT"] == "8884"
    assert spec.hosts == {"gateway": "172.17.0.1"}
    assert [mount.target for mount in spec.mounts] == ["/var/run/iotedge"]


async def test_only_differences_are_reported(database: Database, clock: ManualClock) -> None:
    bench = Bench(database, clock, World(registry={"cnn:1"}))
    bench.twin.wants(agent_desired(1, cnn="cnn:1"), 5)
    await bench.settle()
    before = len(bench.twin.patches)
    await bench.settle()
    assert len(bench.twin.patches) == before
    bench.engine.exits("cnn", 3)
    await bench.agent.look()
    assert bench.twin.patches[-1]["modules"]["cnn"]["exitCode"] == 3
    assert "settings" not in bench.twin.patches[-1]["modules"]["cnn"]


async def test_a_bad_configuration_is_refused_and_the_old_one_stays(
    database: Database, clock: ManualClock
) -> None:
    bench = Bench(database, clock, World(registry={"cnn:1"}))
    bench.twin.wants(agent_desired(1, cnn="cnn:1"), 5)
    await bench.settle()
    bench.twin.wants({"schemaVersion": "1.1", "modules": "none"}, 6)
    await bench.settle()
    assert bench.code == 400
    bench.twin.wants({**agent_desired(1), "schemaVersion": "2.0"}, 7)
    await bench.settle()
    assert bench.code == 412
    assert bench.statuses() == {"cnn": "running"}


async def test_an_exited_module_is_restarted_after_ten_seconds(
    database: Database, clock: ManualClock
) -> None:
    bench = Bench(database, clock, World(images={"cnn:1"}, registry={"cnn:1"}))
    bench.twin.wants(agent_desired(1, cnn="cnn:1"), 1)
    await bench.settle()
    bench.engine.exits("cnn", 1)
    await bench.settle()
    assert bench.statuses() == {"cnn": "backoff"}
    await clock.advance(10)
    await bench.settle()
    assert bench.statuses() == {"cnn": "running"}
    assert bench.agent.modules()["cnn"]["restartCount"] == 1
    await clock.advance(600)
    await bench.settle()
    assert bench.agent.modules()["cnn"]["restartCount"] == 0


async def test_a_restarted_agent_starts_from_its_backup_and_adopts(
    database: Database, clock: ManualClock
) -> None:
    world = World(registry={"cnn:1"})
    first = Bench(database, clock, world)
    first.twin.wants(agent_desired(1, cnn="cnn:1"), 5)
    await first.settle()
    steps = list(world.journal)
    second = Bench(database, clock, world)
    await second.settle()
    assert second.statuses() == {"cnn": "running"}
    assert world.journal == steps


async def test_a_power_cut_starts_what_had_run_at_once(database: Database, clock: ManualClock) -> None:
    world = World(registry={"cnn:1"})
    first = Bench(database, clock, world)
    first.twin.wants(agent_desired(1, cnn="cnn:1"), 5)
    await first.settle()
    first.engine.power_off()
    world.registry.clear()
    second = Bench(database, clock, world, boot_id="boot-2")
    await second.settle()
    assert second.statuses() == {"cnn": "running"}


async def test_a_module_without_an_identity_waits_and_others_do_not(
    database: Database, clock: ManualClock
) -> None:
    bench = Bench(database, clock, World(registry={"cnn:1"}))
    bench.host.refuses = Unavailable("the hub is away")
    bench.twin.wants(agent_desired(1, cnn="cnn:1"), 1)
    await bench.settle()
    assert bench.agent.modules()["cnn"]["statusDescription"] == "waiting: the hub is away"
    assert bench.code == 500
    bench.host.refuses = None
    await clock.advance(10)
    await bench.settle()
    assert bench.statuses() == {"cnn": "running"}
    assert bench.code == 200


async def test_a_removed_module_gives_its_place_back(database: Database, clock: ManualClock) -> None:
    bench = Bench(database, clock, World(registry={"cnn:1"}))
    bench.twin.wants(agent_desired(1, cnn="cnn:1"), 1)
    await bench.settle()
    bench.twin.wants(agent_desired(1), 2)
    await bench.settle()
    assert bench.engine.world.modules == {}
    assert bench.host.released == ["cnn"]
    assert bench.statuses() == {}
    assert bench.twin.reported()["modules"] == {}


async def test_an_engine_that_refuses_is_asked_again_and_reported(
    database: Database, clock: ManualClock
) -> None:
    world = World(registry={"cnn:1"}, failures={("create", "cnn"): Unavailable("no room")})
    bench = Bench(database, clock, world)
    bench.twin.wants(agent_desired(1, cnn="cnn:1"), 1)
    await bench.settle()
    assert bench.code == 500
    assert "no room" in bench.agent.modules()["cnn"]["statusDescription"]
    world.failures.clear()
    await clock.advance(10)
    await bench.settle()
    assert bench.code == 200


async def test_modules_are_looked_after_when_nothing_can_be_reported(
    database: Database, clock: ManualClock
) -> None:
    bench = Bench(database, clock, World(registry={"cnn:1"}))
    bench.twin.refuses = StorageFull("the disk is full")
    bench.twin.wants(agent_desired(1, cnn="cnn:1"), 1)
    await bench.settle()
    assert bench.statuses() == {"cnn": "running"}


async def test_the_loop_wakes_on_engine_events(database: Database, clock: ManualClock) -> None:
    bench = Bench(database, clock, World(registry={"cnn:1"}))
    loop = asyncio.create_task(bench.agent.run())
    bench.twin.wants(agent_desired(1, cnn="cnn:1"), 1)
    for _ in range(20):
        await clock.advance(0.1)
        await asyncio.sleep(0.005)
    assert bench.statuses() == {"cnn": "running"}
    before = len(bench.engine.world.journal)
    await bench.agent.restart("cnn")
    assert bench.engine.world.journal[before : before + 2] == ["stop cnn", "start cnn"]
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
