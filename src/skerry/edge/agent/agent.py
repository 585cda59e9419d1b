"""The device's reconciler: brings the wanted modules about, one look at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from skerry import __version__
from skerry.clock import Clock
from skerry.contract.manifest import ModuleSpec
from skerry.contract.twin import difference
from skerry.edge.agent.background import Background
from skerry.edge.agent.deployments import Deployment
from skerry.edge.agent.environment import Surroundings, run_spec
from skerry.edge.agent.execute import execute_all
from skerry.edge.agent.images import KEEP_S, Images
from skerry.edge.agent.journal import Journal
from skerry.edge.agent.memory import Memory
from skerry.edge.agent.metrics import AgentMetrics
from skerry.edge.agent.plan import plan
from skerry.edge.agent.ports import AgentTwin, ModuleHost, Prepared
from skerry.edge.agent.report import OK, DesiredStatus, modules_report, progress, status_document
from skerry.edge.agent.restart import NO_RULES, Rules, due_at
from skerry.edge.agent.sources import Configuration, Source
from skerry.edge.agent.state import NEVER, NO_HISTORY, Plan, Pull, Remove, Start, Wait, Wanted
from skerry.edge.agent.why import Facts, explain
from skerry.edge.engine.port import Engine, Observed, RunSpec
from skerry.errors import NotFound, SkerryError
from skerry.service.metrics import Metrics
from skerry.store.documents import Documents

log = logging.getLogger(__name__)

# Something may change without an event (a health check, a missed one): look this often (contract.md §6.7).
LOOK_EVERY_S = 5.0
# A module that has not run well for this long takes its deployment with it.
ROLLBACK_AFTER_S = 300.0
# Lines of a module's log that are shown with the reason why it does not run.
LAST_WORDS = 10
# A step often makes the next one possible; look again at once, but never in a tight circle.
LOOK_AGAIN_S = 0.05


class Agent:
    """One look: read what is wanted, observe, plan, do the steps, report."""

    def __init__(
        self,
        *,
        engine: Engine,
        twin: AgentTwin,
        host: ModuleHost,
        documents: Documents,
        surroundings: Surroundings,
        clock: Clock,
        boot_id: str = "",
        platform: Mapping[str, str] | None = None,
        rollback_after_s: float = ROLLBACK_AFTER_S,
        keep_images_s: float = KEEP_S,
        rules: Rules = NO_RULES,
        metrics: AgentMetrics | None = None,
    ) -> None:
        self._engine = engine
        self._twin = twin
        self._host = host
        self._clock = clock
        self._surroundings = surroundings
        self._rules = rules
        self._platform = dict(platform or {})
        self._source = Source(twin, documents, rollback_after_s)
        self._memory = Memory(documents, boot_id)
        self._background = Background(self.wake)
        self._images = Images(engine, documents, self._background, clock, keep_s=keep_images_s)
        self._journal = Journal()
        self.metrics = metrics or AgentMetrics(Metrics(process=False))
        self._prepared: dict[str, Prepared] = {}
        self._in_force: Deployment | None = None
        self._refused: DesiredStatus | None = None
        self._wake = asyncio.Event()
        self._wanted: Mapping[str, Wanted] = {}
        self._unready: Mapping[str, Wanted] = {}
        self._observed: Mapping[str, Observed] = {}
        self._history = NO_HISTORY
        self._plan = Plan()
        self._report: dict[str, Any] = {}

    def wake(self) -> None:
        """Something changed: look now."""
        self._wake.set()

    def load(self) -> None:
        """Read what the last run of the agent left."""
        self._source.load()
        self._in_force = self._source.deployments.current
        self._memory.load()
        self._images.load()

    def prepare_again(self) -> None:
        """Identities changed: modules may need another environment."""
        self._prepared.clear()
        self.wake()

    async def run(self) -> None:
        """Reconcile until cancelled."""
        self.load()
        forget = self._twin.on_change(self.wake)
        watcher = asyncio.create_task(self._watch())
        try:
            while True:
                self._wake.clear()
                try:
                    delay_s = await self.look()
                except SkerryError as error:
                    log.warning("the modules could not be looked after: %s", error)
                    delay_s = LOOK_EVERY_S
                await self._pause(delay_s)
        finally:
            forget()
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
            await self.close()

    async def close(self) -> None:
        """Give up what is under way in the background; modules stay as they are."""
        await self._background.close()

    async def look(self) -> float:
        """Reconcile once; seconds until it is worth doing again."""
        configuration = await self._source.current()
        self._notice_another_deployment()
        now = self._clock.now().timestamp()
        waits = await self._observe(configuration, now)
        self._history = self._memory.history(self._images.known)
        self.metrics.look(self._wanted, self._observed, now)
        if not self._unready and await self._source.judge(self._wanted, self._observed, self._history, now):
            return LOOK_AGAIN_S
        planned = plan(self._wanted, self._observed, self._history, now, self._rules)
        if configuration.desired is None:
            # Nobody ever said what should run: what runs is left alone.
            planned = Plan()
        self._plan = Plan(planned.steps, (*planned.waits, *waits))
        await self._act(self._plan)
        await self._images.collect(self._images_needed(), now)
        self._refused = configuration.refused
        await self._send_report(configuration)
        if self._plan.steps:
            return LOOK_AGAIN_S
        wake_at = self._plan.wake_at
        return LOOK_EVERY_S if wake_at is None else min(max(wake_at - now, LOOK_AGAIN_S), LOOK_EVERY_S)

    def modules(self) -> dict[str, dict[str, Any]]:
        """The modules as reported, by name."""
        return dict(self._report.get("modules", {}))

    def processes(self) -> dict[str, int]:
        """The main process of each module that runs, by name."""
        seen = self._observed.values()
        return {one.name: one.pid for one in seen if one.status == "running" and one.pid is not None}

    def deployment(self) -> dict[str, Any]:
        """How the newest deployment was taken: its version, status, and what it was rolled back for."""
        names = ("lastDesiredVersion", "lastDesiredStatus", "rolledBack")
        known = {name: self._report[name] for name in names if name in self._report}
        return {**known, "onTrial": self._source.on_trial}

    async def why(self, module: str) -> dict[str, Any]:
        """Why a module is as it is, from the deployment to its last words. NotFound for a stranger."""
        back = self._source.deployments.rolled_back
        known = self._wanted.get(module) or self._unready.get(module)
        seen = self._observed.get(module)
        if known is None and seen is None and not self._journal.of(module):
            names = ", ".join(sorted({*self._wanted, *self._unready})) or "none"
            raise NotFound(f"there is no module {module} on this device", hint=f"modules: {names}")
        facts = Facts(
            module,
            version=self._in_force.version if self._in_force else 0,
            wanted=known,
            seen=seen,
            history=self._history,
            waits=tuple(wait for wait in self._plan.waits if wait.module == module),
            steps=tuple(self._journal.of(module)),
            rolled_back=back,
            refused=self._refused.description if self._refused else "",
            unsupported=tuple(self._engine.unsupported(known.spec.create_options)) if known else (),
            log=await self._last_words(module),
        )
        return explain(facts, self._clock.now().timestamp())

    async def _last_words(self, module: str) -> tuple[str, ...]:
        try:
            lines = [line async for line in self._engine.logs(module, tail=LAST_WORDS)]
        except SkerryError:
            return ()
        return tuple(line.decode(errors="replace") for line in lines)

    async def restart(self, module: str) -> None:
        """Stop and start a module now. NotFound for one that is not wanted here."""
        if module not in self._wanted:
            raise NotFound(f"there is no module {module} on this device", module=module)
        await self._memory.owe(module)
        await self._engine.stop(module)
        await self._engine.start(module)
        await self._memory.did([Start(module, "restart requested")], (), self._clock.now().timestamp())
        log.info("module %s restarted on request", module)
        self.wake()

    @property
    def engine(self) -> Engine:
        return self._engine

    def _notice_another_deployment(self) -> None:
        """What was refused or could not be pulled under the last one is tried again at once."""
        current = self._source.deployments.current
        if current != self._in_force:
            self._in_force = current
            self.metrics.taken(current.version if current else 0, self._clock.monotonic())
            self._memory.retry_now()
            self._images.retry_now()

    async def _observe(self, configuration: Configuration, now: float) -> list[Wait]:
        """See what there is; returns what modules without a place on this device wait for."""
        specs = configuration.desired.modules if configuration.desired else {}
        logging = configuration.desired.logging if configuration.desired else None
        everything = {module.name: module for module in await self._engine.observe()}
        waits = self._prepare(specs, now)
        self._wanted = {
            name: Wanted(spec, run_spec(spec, self._prepared[name], self._surroundings, logging))
            for name, spec in specs.items()
            if name in self._prepared
        }
        # A wanted module that has no identity yet is left as it is, running or not.
        self._unready = {
            name: Wanted(spec, RunSpec(name, self._surroundings.image(spec.image)))
            for name, spec in specs.items()
            if name not in self._prepared
        }
        self._note_changes(everything, now)
        self._observed = {name: seen for name, seen in everything.items() if name not in self._unready}
        await self._memory.observe(self._observed, self._wanted, now)
        await self._images.look(self._wanted.values(), self._observed, proven=not self._source.on_trial)
        return waits

    def _note_changes(self, everything: Mapping[str, Observed], now: float) -> None:
        for name, seen in everything.items():
            before = self._observed.get(name)
            if before is None or (before.status, before.health) == (seen.status, seen.health):
                continue
            if seen.status == "exited":
                why = f", {seen.detail}" if seen.detail else ""
                self._journal.write(name, seen.finished_at or now, f"exited with code {seen.exit_code}{why}")
            elif before.health != seen.health and seen.health is not None:
                self._journal.write(name, now, f"health: {seen.health}")

    def _images_needed(self) -> frozenset[str]:
        running = frozenset(seen.image for seen in self._observed.values())
        kept = {self._surroundings.image(image) for image in self._source.deployments.images_kept}
        return running | kept

    def _prepare(self, specs: Mapping[str, ModuleSpec], now: float) -> list[Wait]:
        """Begin to give a place to the modules that have none; what that waits for."""
        waits: list[Wait] = []
        for name in specs.keys() - self._prepared.keys():
            failed = self._memory.failures.get(name, NEVER)
            due = due_at(failed.at, failed.count - 1, now) if failed.count else now
            if due <= now:
                self._background.start(f"prepare {name}", partial(self._prepare_module, name))
            waits.append(Wait(name, due if due > now else None, failed.reason or "getting an identity"))
        return waits

    async def _prepare_module(self, name: str) -> None:
        try:
            self._prepared[name] = await self._host.prepare(name)
            self._memory.succeeded(name)
        except SkerryError as error:
            log.warning("module %s has no place on this device yet: %s", name, error)
            self._memory.failed(name, self._clock.now().timestamp(), error)

    async def _act(self, planned: Plan) -> None:
        desired = self._source.desired
        credentials = desired.registry_credentials.values() if desired else ()
        for step in planned.steps:
            if isinstance(step, Pull):
                self._images.start_pull(step.image, credentials)
        began = self._clock.monotonic()
        done, failed = await execute_all(planned.steps, self._engine)
        now = self._clock.now().timestamp()
        for name, error in failed.items():
            self._memory.failed(name, now, error)
            self._journal.write(name, now, f"failed: {error}")
        await self._memory.did(done, failed, now)
        for step in done:
            if isinstance(step, Pull):
                continue
            self._journal.write(step.module, now, str(step))
            self.metrics.did(step, self._wanted, self._clock.monotonic() - began)
            if isinstance(step, Remove) and step.module not in self._wanted:
                self._prepared.pop(step.module, None)
                await self._host.release(step.module)

    async def _send_report(self, configuration: Configuration) -> None:
        history = self._history
        unsupported = {
            name: tuple(self._engine.unsupported(wanted.spec.create_options))
            for name, wanted in self._wanted.items()
        }
        wanted = {**self._wanted, **self._unready}
        status = configuration.refused or progress(configuration.version, wanted, self._observed, history)
        if status.code == OK:
            self.metrics.deployed(status.version, self._clock.monotonic())
        self._report = {
            "schemaVersion": "1.1",
            "version": {"version": __version__, "build": "", "commit": ""},
            **status_document(status),
            "runtime": {
                "type": "docker",
                "platform": self._platform,
                "settings": {"engine": self._engine.name},
            },
            "systemModules": _system_modules(),
            "modules": modules_report(wanted, self._observed, history, self._plan, unsupported, self._rules),
        }
        if (back := self._source.deployments.rolled_back) is not None:
            self._report["rolledBack"] = back.to_json()
        patch = difference(self._twin.reported(), self._report)
        if patch:
            try:
                await self._twin.report(patch)
                self.metrics.synced(well=True)
            except SkerryError as error:
                self.metrics.synced(well=False)
                log.warning("the modules' state could not be reported: %s", error)

    async def _watch(self) -> None:
        while True:
            try:
                async for _ in self._engine.events():
                    self.wake()
            except SkerryError as error:
                log.debug("the engine's events ended: %s", error)
            await self._clock.sleep(LOOK_EVERY_S)

    async def _pause(self, seconds: float) -> None:
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait([sleeping, waking], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waking.cancel()
        if self._wake.is_set():
            # One change often comes as several events.
            await self._clock.sleep(LOOK_AGAIN_S)


def _system_modules() -> dict[str, Any]:
    """Agent and edge hub are this process; Microsoft's tools look for them as modules."""
    running = {
        "type": "docker",
        "runtimeStatus": "running",
        "settings": {"image": f"skerry:{__version__}"},
        "imagePullPolicy": "never",
    }
    return {
        "edgeAgent": dict(running),
        "edgeHub": {**running, "status": "running", "restartPolicy": "always"},
    }
