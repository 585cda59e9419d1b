"""The eight steps of the demo, each on the real thing."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from skerry.cli import output
from skerry.cli.demo.manifest import CAMERA, CAMERA_IMAGE, CNN, CNN_IMAGE, deployment
from skerry.cli.demo.reference import reference_labels
from skerry.cli.demo.stage import DEVICE, Place, Stage, preload
from skerry.cli.demo.verdict import Check
from skerry.cli.demo.watch import Seen, Watch
from skerry.clock import Clock
from skerry.contract.method import MethodRequest
from skerry.errors import NotFound, TimedOut, Unavailable
from skerry.hub.client import ServiceClient
from skerry.model.build import BuildReport, BuildRequest, build
from skerry.model.image import ModuleImage, build_module_image
from skerry.package.manifest import Package
from skerry.sim.image import build_camera_image
from skerry.sim.scenarios.frames import add_large_frame
from skerry.sim.scenarios.scenario import Scenario
from skerry.sim.score import Delivery, accuracy, agreement, confusion, deliveries, latencies

# Issue of the demo: at least 200 online, 200 more with the link cut.
ONLINE_FRAMES = 220
OFFLINE_FRAMES = 260
# The runtime is killed when about a third of the offline frames went through.
KILL_AFTER_SHARE = 3
RUN_TIMEOUT_S = 90.0
ARRIVE_TIMEOUT_S = 120.0
POLL_S = 0.1
SHOWN = 6


@dataclass
class Story:
    """Runs the steps; what later steps and the summary need is kept here."""

    place: Place
    cache: Path
    scenario_name: str
    engine_label: str
    clock: Clock
    stage: Stage = field(init=False)
    scenario: Scenario = field(init=False)
    report: BuildReport = field(init=False)
    large_frame: str = ""
    watch: Watch = field(init=False)
    labels: set[str] = field(default_factory=set)
    checks: list[Check] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    sent: int = 0
    _watching: asyncio.Task[None] | None = None

    async def run(self) -> list[Check]:
        """All steps in order; the checks that were made."""
        self._take_model()
        self._build()
        await self._load_images()
        client = await self._start()
        await self._deploy(client)
        await self._stream(client)
        await self._offline(client)
        await self._command(client)
        return self.checks

    async def close(self) -> None:
        """Stop watching; the stage is closed by whoever opened it."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching

    def _take_model(self) -> None:
        _headline(1, f"a trained Keras CNN: scenario {self.scenario_name}")
        prepare = importlib.import_module(f"skerry.sim.scenarios.{self.scenario_name}").prepare
        self.scenario = prepare(self.place.root / "scenario", self.cache, _step)
        self.large_frame = add_large_frame(self.scenario.frames_dir)
        size = self.scenario.model_path.stat().st_size
        _step(f"{self.scenario.model_path.name}: {size / 1e6:.1f} MB, read as data, Keras is not run")

    def _build(self) -> None:
        _headline(2, "build: convert, prove, package, image")
        with ThreadPoolExecutor(1) as pool:  # the camera's image shares all but its last layers
            started = self.clock.monotonic()
            camera = pool.submit(self._camera_image)
            self.report = build(
                BuildRequest(
                    model=self.scenario.model_path,
                    labels=self.scenario.labels_path,
                    samples=self.scenario.samples_dir,
                    output=self.place.root / "package",
                    **self.scenario.recipe,
                ),
                _step,
            )
            camera.result()
        self.labels = {label.name for label in Package.open(self.report.package).recipe.output.labels}
        name, _, tag = CNN_IMAGE.partition(":")
        image = build_module_image(
            self.report.package,
            name=name,
            tag=tag,
            output=self.place.images,
            cache=self.cache,
            progress=_step,
        )
        seconds = self.clock.monotonic() - started
        report = self.report
        _step(
            f"proof against {report.reference}: largest difference {report.max_abs_difference:.1e}, "
            f"top-1 agreement {report.top1_agreement:.3f} on {report.samples} real images"
        )
        _step(f"package {report.digest[:19]}…, golden set of {report.golden}")
        _step(f"image {image.reference}: {_megabytes(image)} MB compressed, {image.manifest_digest[:19]}…")
        self.facts.append(("build", f"{seconds:.1f} s with both images"))
        self.facts.append(("image", f"{_megabytes(image)} MB compressed"))
        self._check(
            f"converted model equals {report.reference}",
            f"max abs {report.max_abs_difference:.1e}, top-1 {report.top1_agreement:.3f}",
            report.top1_agreement == 1.0,
        )

    def _camera_image(self) -> None:
        name, _, tag = CAMERA_IMAGE.partition(":")
        build_camera_image(
            self.scenario.frames_dir,
            name=name,
            tag=tag,
            output=self.place.images,
            cache=self.cache,
            progress=lambda text: None,
        )

    async def _load_images(self) -> None:
        """Have both images in the engine, as a device that runs an earlier version has most layers."""
        started = self.clock.monotonic()
        await preload(self.stage.engine, self.place, [CNN_IMAGE, CAMERA_IMAGE])
        how = "loaded into Docker" if self.stage.engine == "docker" else "unpacked, shared layers once"
        _step(f"both images {how} in {self.clock.monotonic() - started:.1f} s")

    async def _start(self) -> ServiceClient:
        _headline(3, "hub, identity, provisioning, edge runtime")
        client = await self.stage.open_hub()
        _step(f"the hub is up, its own CA, {self.stage.dashboard}")
        await client.create_device(DEVICE, edge=True)
        provisioned = await self.stage.provision(await client.device_connection_string(DEVICE))
        _step(provisioned.splitlines()[0])
        await self.stage.open_edge()
        port = self.stage.module_port
        _step(f"the edge runtime is up (process {self.stage.edge.pid}), modules connect to port {port}")
        return client

    async def _deploy(self, client: ServiceClient) -> None:
        _headline(4, f"deploy camera → CNN → hub on the {self.engine_label} engine")
        manifest = deployment(CAMERA_IMAGE, CNN_IMAGE, self.place.claims)
        self.place.claims.mkdir(exist_ok=True)
        # In containers the modules are another user; the folder around it is its owner's alone.
        self.place.claims.chmod(0o1777)
        self.place.manifest.write_text(json.dumps(manifest, indent=2))
        started = self.clock.monotonic()
        await client.apply_configuration(DEVICE, manifest)
        version = (await client.twin(DEVICE, "$edgeAgent"))["properties"]["desired"]["$version"]
        await self._until(lambda: _runs(client, version), RUN_TIMEOUT_S, "the modules do not run")
        running_s = self.clock.monotonic() - started
        _step(f"both modules run {running_s:.1f} s after the deployment")
        self.watch = Watch(client, DEVICE, CNN, self.clock)
        self._watching = asyncio.create_task(self.watch.run())
        await self._send(client, 1)
        await self._arrived(1)
        first_s = self.clock.monotonic() - started
        _step(f"first prediction at the hub {first_s:.1f} s after the deployment")
        self.facts.append(("deploy → running, images present", f"{running_s:.1f} s"))
        self.facts.append(("deploy → first prediction at the hub", f"{first_s:.1f} s"))

    async def _stream(self, client: ServiceClient) -> None:
        _headline(5, f"stream {ONLINE_FRAMES} frames")
        await self._send(client, ONLINE_FRAMES)
        for quarter in range(1, 5):
            due = self.sent - ONLINE_FRAMES + ONLINE_FRAMES * quarter // 4
            await self._arrived(due)
            if self.scenario_name == "solar":
                self._show_confusion()
        self._show_some()
        expected = await asyncio.to_thread(
            reference_labels,
            self.scenario.model_path,
            self.report.package,
            self.scenario.frames_dir,
            sorted({seen.frame for seen in self.watch.arrivals}),
        )
        same = agreement({seen.frame: seen.label for seen in self.watch.arrivals}, expected)
        self._check(
            "device agrees with the reference", f"{same.right} of {same.total} frames", same.share == 1
        )
        large = (self.scenario.frames_dir / self.large_frame).stat().st_size
        by_reference = sum(seen.frame == self.large_frame for seen in self.watch.arrivals)
        self._check(
            "a frame over 256 KB went by reference", f"{large / 1000:.0f} KB, predicted", by_reference > 0
        )
        right = accuracy((self._truth(seen), seen.label) for seen in self.watch.arrivals)
        if right.total:
            self.facts.append(("accuracy on labelled frames", f"{right.share:.3f} ({right.total} frames)"))
        inference = latencies([seen.inference_ms for seen in self.watch.arrivals])
        arrival = latencies([seen.end_to_end_ms for seen in self.watch.arrivals])
        _step(f"latency on the device: p50 {inference.p50:.1f} ms, p95 {inference.p95:.1f} ms")
        self.facts.append(("image → prediction, p50 / p95", f"{inference.p50:.1f} / {inference.p95:.1f} ms"))
        self.facts.append(("prediction → hub, p50 / p95", f"{arrival.p50:.1f} / {arrival.p95:.1f} ms"))
        self._check("sent = received while online", *self._account())

    async def _offline(self, client: ServiceClient) -> None:
        _headline(6, f"cut the link, {OFFLINE_FRAMES} more frames, kill -9 in the middle")
        assert self.stage.link is not None
        before = self.watch.distinct()
        await self._send(client, OFFLINE_FRAMES)
        await self.stage.link.cut()
        at_cut = self.watch.distinct()
        _step(f"link cut; {at_cut - before} of these predictions had reached the hub")
        third = self.sent - OFFLINE_FRAMES + OFFLINE_FRAMES // KILL_AFTER_SHARE
        await self._until(lambda: self._predicted(third), ARRIVE_TIMEOUT_S, "nothing is predicted offline")
        stored = await self._stored()
        await self.stage.edge.kill()
        _step(f"edge runtime killed with {stored} predictions stored and not sent")
        await self.stage.open_edge()
        _step(f"edge runtime back, still offline (process {self.stage.edge.pid})")
        await self._until(
            lambda: self._predicted(self.sent), ARRIVE_TIMEOUT_S, "not all is predicted offline"
        )
        _step(f"all predicted offline: {await self._stored()} stored on the device, the hub saw none of them")
        offline = self.sent - self.watch.distinct()
        self._check("predicted with the link cut", f"{offline} frames", offline >= 200)
        await self.stage.link.heal()
        healed = self.clock.monotonic()
        await self._arrived(self.sent)
        await self._until(self._drained, ARRIVE_TIMEOUT_S, "the device's queue does not empty")
        drained_s = self.clock.monotonic() - healed
        self.facts.append(("link healed → all delivered", f"{drained_s:.1f} s"))
        self._check("nothing lost, in order, after cut and kill -9", *self._account())

    async def _command(self, client: ServiceClient) -> None:
        _headline(7, "a direct method and a desired property")
        answer = await client.invoke_method(DEVICE, MethodRequest("status", None), CNN)
        _step(f"method status → {answer.status} {json.dumps(answer.payload)[:120]}")
        self._check("direct method answered", f"status {answer.status}", answer.status == 200)
        await client.patch_twin(DEVICE, CNN, desired={"topK": 1})

        async def acknowledged() -> bool:
            reported = (await client.twin(DEVICE, CNN))["properties"]["reported"]
            said = reported.get("topK")
            return isinstance(said, dict) and said.get("value") == 1 and said.get("ac") == 200

        await self._until(acknowledged, RUN_TIMEOUT_S, "topK is not acknowledged")
        before = len(self.watch.arrivals)
        await self._send(client, 1)
        await self._arrived(self.sent)
        best = self.watch.arrivals[before]
        _step(f"desired topK = 1 is acknowledged, and the next prediction has {len(best.top)} label")
        self._check("desired property takes effect", f"topK 3 → {len(best.top)}", len(best.top) == 1)

    async def _send(self, client: ServiceClient, count: int) -> None:
        request = MethodRequest("send", {"count": count}, connect_timeout_s=RUN_TIMEOUT_S)
        answer = await client.invoke_method(DEVICE, request, CAMERA)
        if answer.status != 200:
            raise Unavailable(f"the camera does not send: {answer.payload}")
        self.sent += count

    async def _arrived(self, count: int) -> None:
        """Wait until predictions of so many different frames are at the hub."""
        await self.watch.until(
            lambda: self.watch.distinct() >= count,
            ARRIVE_TIMEOUT_S,
            f"not all of {count} predictions arrived",
        )

    async def _predicted(self, up_to: int) -> bool:
        return self.watch.distinct() + await self._stored() >= up_to

    async def _stored(self) -> int:
        queues = (await self._edge_status())["queues"]
        return sum(one["messages"] for name, one in queues.items() if name.startswith("upstream"))

    async def _drained(self) -> bool:
        return not any(one["messages"] for one in (await self._edge_status())["queues"].values())

    async def _edge_status(self) -> dict[str, Any]:
        transport = httpx.AsyncHTTPTransport(uds=str(self.stage.management_socket))
        async with httpx.AsyncClient(transport=transport, base_url="http://edge") as client:
            document: dict[str, Any] = (await client.get("/status")).json()
            return document

    def _account(self) -> tuple[str, bool]:
        delivery = deliveries(((CNN, seen.sequence) for seen in self.watch.arrivals), {CNN: self.sent})[CNN]
        return _delivery_text(delivery), delivery.complete

    def _truth(self, seen: Seen) -> str | None:
        """What the frame shows, where the model has a word for it."""
        said = self.scenario.truth.get(seen.frame, seen.truth)
        return said if said in self.labels else None

    def _show_some(self) -> None:
        names = sorted({seen.frame for seen in self.watch.arrivals})
        # Seeded: the same run shows the same frames.
        chosen = set(random.Random(7).sample(names, min(SHOWN, len(names))))
        latest = {seen.frame: seen for seen in self.watch.arrivals if seen.frame in chosen}
        rows = [
            (name, ", ".join(f"{label} {score:.2f}" for label, score in latest[name].top))
            for name in sorted(latest)
        ]
        output.say(_indent(output.table(["FRAME", "TOP 3"], rows)))

    def _show_confusion(self) -> None:
        matrix = confusion((self._truth(seen) or "?", seen.label) for seen in self.watch.arrivals)
        names = sorted(matrix)
        rows = [(truth, *(matrix[truth].get(name, 0) for name in names)) for truth in names]
        output.say(_indent(output.table([f"AFTER {len(self.watch.arrivals)}: TRUTH", *names], rows)))

    def _check(self, claim: str, found: str, holds: bool) -> None:
        self.checks.append(Check(claim, found, holds))
        _step(f"{'ok' if holds else 'WRONG'}: {claim}: {found}")

    async def _until(self, done: Callable[[], Any], timeout_s: float, what: str) -> None:
        deadline = self.clock.monotonic() + timeout_s
        while not await done():
            if self.clock.monotonic() > deadline:
                raise TimedOut(f"{what} ({timeout_s:.0f} s)", hint=f"see the logs in {self.place.logs}")
            await self.clock.sleep(POLL_S)


async def _runs(client: ServiceClient, version: int) -> bool:
    try:
        reported = (await client.twin(DEVICE, "$edgeAgent"))["properties"]["reported"]
    except NotFound:
        return False
    said: Mapping[str, Any] = reported.get("lastDesiredStatus") or {}
    if said.get("code") in (400, 412, 500):
        raise Unavailable(f"the device refuses the deployment: {said.get('description')}")
    modules = reported.get("modules") or {}
    running = [(modules.get(name) or {}).get("runtimeStatus") == "running" for name in (CNN, CAMERA)]
    return reported.get("lastDesiredVersion") == version and all(running)


def _delivery_text(delivery: Delivery) -> str:
    return (
        f"sent {delivery.sent}, received {delivery.received}, duplicates {delivery.duplicates}, "
        f"lost {delivery.lost}, out of order {delivery.out_of_order}"
    )


def _megabytes(image: ModuleImage) -> str:
    return f"{sum(size for _, size in image.layers) / 1e6:.1f}"


def _headline(number: int, text: str) -> None:
    output.say(f"\n[{number}/8] {text}")


def _step(text: str) -> None:
    output.say(f"      {text}")


def _indent(text: str) -> str:
    return "\n".join(f"      {line}" for line in text.splitlines())
