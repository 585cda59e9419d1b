"""What a deployment may ask of every engine: create options, health checks, pinned images, room."""

import asyncio
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from skerry.clock import SystemClock
from skerry.edge.engine.process import ProcessEngine
from skerry.errors import Damaged, StorageFull, Unsupported
from skerry.oci.layout import read_layout
from tests.support.engines import IMAGE, SCRIPT, Open, engine_of, images_of, lines, spec, until, until_logged
from tests.support.shell_image import write_shell_image

pytestmark = pytest.mark.system

KEEPING = "skerry-test/keeping:1"
CHECK = {
    "Test": ["CMD-SHELL", '[ -z "$ILL" ] || { echo the camera is gone; exit 1; }'],
    "Interval": 300_000_000,
    "Timeout": 10_000_000_000,
    "Retries": 2,
}


async def test_a_failing_health_check_makes_a_module_unhealthy_and_says_why(open_engine: Open) -> None:
    engine = await open_engine()
    if "Healthcheck" in engine.unsupported({"Healthcheck": CHECK}):
        return  # Podman on a machine without systemd, whose timers run its checks
    await engine.pull(IMAGE)
    await engine.create(spec(env={"GREETING": "x", "ILL": "1"}, create_options={"Healthcheck": CHECK}))
    await engine.start("shell")
    ill = await until(engine, lambda m: m.health == "unhealthy")
    assert "the camera is gone" in ill.detail
    await engine.stop("shell", 1)
    assert (await until(engine, lambda m: m.status == "exited")).health in (None, "unhealthy")


async def test_a_passing_health_check_makes_it_healthy(open_engine: Open) -> None:
    engine = await open_engine()
    if "Healthcheck" in engine.unsupported({"Healthcheck": CHECK}):
        return  # Podman on a machine without systemd, whose timers run its checks
    await engine.pull(IMAGE)
    await engine.create(spec(create_options={"Healthcheck": CHECK}))
    await engine.start("shell")
    await until(engine, lambda m: m.health == "healthy")


async def test_create_options_of_the_published_manifests_take_effect(
    open_engine: Open, tmp_path: Path
) -> None:
    """Cmd, Entrypoint, WorkingDir, User, Env, ulimits and a folder to be made, on what can give them."""
    engine = await open_engine()
    await engine.pull(IMAGE)
    words = 'pwd; ulimit -n; id -u; echo "$A"; [ -d /data ] && echo bound; sleep 60'
    options = {
        "Entrypoint": ["/bin/sh", "-c"],
        "Cmd": [words],
        "WorkingDir": "/opt",
        "User": "1234:1234",
        "Env": ["A=b=c"],
        "HostConfig": {
            "Ulimits": [
                {"Name": "nofile", "Soft": 99, "Hard": 99},
                # Podman sets the kernel's largest beside any limit given, which not every root may.
                {"Name": "nproc", "Soft": 4096, "Hard": 4096},
            ],
            "Binds": [f"{tmp_path}/made/for/it:/data"],
        },
    }
    await engine.create(spec(create_options=options))
    await engine.start("shell")
    if "User" in engine.unsupported(options):
        await until_logged(engine, b"99")
        return
    await until_logged(engine, b"bound")
    assert await lines(engine) == [b"/opt", b"99", b"1234", b"b=c", b"bound"]


@pytest.mark.parametrize("folder", ["/var/azureml-app", "/tmp/made/here"])
async def test_a_working_directory_that_the_image_has_not_is_made(open_engine: Open, folder: str) -> None:
    engine = await open_engine()
    await engine.pull(IMAGE)
    options = {"Entrypoint": ["/bin/sh", "-c"], "Cmd": ["pwd; sleep 60"], "WorkingDir": folder}
    await engine.create(spec(create_options=options))
    await engine.start("shell")
    if "User" in engine.unsupported({"User": "1"}):  # no root of its own: its paths are the host's
        assert (await until(engine, lambda m: m.status == "running")).pid is not None
        return
    await until_logged(engine, folder.encode())


async def test_a_volume_of_the_image_outlives_a_restart_and_goes_with_the_module(open_engine: Open) -> None:
    """What the CNN module relies on to keep model updates with a read-only root."""
    engine = await open_engine()
    write_shell_image(
        images_of(engine),
        KEEPING,
        script='echo "had $(cat "$DATA/kept")"; echo more >>"$DATA/kept"; sleep 60',
        env={"DATA": "/var/lib/data"},
        volumes=("/var/lib/data",),
    )
    await engine.pull(KEEPING)
    wanted = replace(spec(create_options={"HostConfig": {"ReadonlyRootfs": True}}), image=KEEPING)
    await engine.create(wanted)
    for expected in (b"had ", b"had more"):
        await engine.start("shell")
        await until_logged(engine, expected)
        await engine.stop("shell", 1)
    await engine.remove("shell")
    await engine.create(wanted)
    await engine.start("shell")
    await until_logged(engine, b"had ")
    assert b"had more" not in await lines(engine)
    await engine.remove("shell")
    await engine.remove_image(KEEPING)


async def test_a_module_over_its_memory_is_killed_or_the_limit_is_reported(open_engine: Open) -> None:
    engine = await open_engine()
    await engine.pull(IMAGE)
    grow = 'a=xxxxxxxxxxxxxxxx; while :; do a="$a$a"; done'
    options = {
        "Entrypoint": ["/bin/sh", "-c"],
        "Cmd": [grow],
        "HostConfig": {"Memory": 32 * 1024 * 1024, "MemorySwap": 32 * 1024 * 1024},
    }
    if "HostConfig.Memory" in engine.unsupported(options):
        return
    await engine.create(spec(create_options=options))
    await engine.start("shell")
    ended = await until(engine, lambda m: m.status == "exited")
    assert ended.exit_code in (2, 137)
    # With cgroups v1 Podman does not learn that it was the memory.
    if engine_of(engine) != "podman":
        assert ended.exit_code == 2 or "out of memory" in ended.detail


async def test_modules_find_each_other_and_the_gateway_by_name(open_engine: Open) -> None:
    engine = await open_engine()
    await engine.pull(IMAGE)
    await engine.create(spec(name="camera"))
    await engine.create(
        spec(
            hosts={"gateway.test": "192.0.2.7"},
            create_options={"Entrypoint": ["/bin/cat"], "Cmd": ["/etc/hosts", "/proc/self/status"]},
        )
    )
    await engine.start("shell")
    await until(engine, lambda m: m.status == "exited")
    text = b"\n".join(await lines(engine)).decode()
    if engine_of(engine) == "process" and "not isolated" in (await engine.observe())[0].detail:
        return
    assert "192.0.2.7" in text
    assert "gateway.test" in text
    if engine_of(engine) == "process":
        # Docker's own name server answers for the other modules.
        assert "127.0.0.1 camera" in text
        assert "NoNewPrivs:\t1" in text
        assert "Seccomp:\t2" in text
        assert "CapEff:\t0000000000000000" in text


async def test_lines_carry_their_times_and_can_be_cut_by_them(open_engine: Open) -> None:
    engine = await open_engine()
    await engine.pull(IMAGE)
    await engine.create(spec())
    await engine.start("shell")
    await until_logged(engine, b"hello device")
    await engine.observe()
    (hello,) = [line async for line in engine.lines("shell")]
    assert hello.at is not None
    await asyncio.sleep(1.1)
    cut = SystemClock().now().timestamp()
    await engine.stop("shell", 5)
    await until(engine, lambda m: m.status == "exited")
    assert [line.text async for line in engine.lines("shell", until=cut)] == [b"hello device"]
    assert [line.text async for line in engine.lines("shell", since=cut)] == [b"bye"]
    assert [line async for line in engine.logs("shell", since=cut)] == [b"bye"]


async def test_an_image_is_removed_once_no_module_uses_it(open_engine: Open) -> None:
    engine = await open_engine()
    other = f"skerry-test/other-{uuid.uuid4().hex[:8]}:1"
    write_shell_image(images_of(engine), other, script="exit 0")
    await engine.pull(other)
    await engine.create(spec(image=other))
    await engine.remove_image(other)
    assert await engine.has_image(other)
    await engine.remove("shell")
    await engine.remove_image(other)
    assert not await engine.has_image(other)
    await engine.remove_image(other)


async def test_a_pinned_image_runs_and_an_altered_one_does_not(open_engine: Open) -> None:
    engine = await open_engine()
    layout = write_shell_image(images_of(engine), IMAGE, script=SCRIPT)
    pinned = f"{IMAGE}@{read_layout(layout).manifest_digest}"
    await engine.pull(pinned)
    assert await engine.has_image(pinned)
    await engine.create(spec(image=pinned))
    await engine.start("shell")
    await until_logged(engine, b"hello device")
    await engine.stop("shell", 1)
    if isinstance(engine, ProcessEngine):
        (script,) = [
            path for path in images_of(engine).parent.rglob("opt/script.sh") if path.stat().st_nlink == 1
        ]
        script.write_text("exec evil")
        with pytest.raises(Damaged, match=r"opt/script\.sh"):
            await engine.start("shell")
    assert not await engine.has_image(f"{IMAGE}@sha256:{'0' * 64}")
    await engine.remove("shell")
    await engine.remove_image(pinned)


async def test_an_image_that_does_not_fit_is_refused_with_numbers(
    open_engine: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await open_engine()
    other = f"skerry-test/large-{uuid.uuid4().hex[:8]}:1"
    write_shell_image(images_of(engine), other, script="exit 0")
    monkeypatch.setattr("skerry.edge.engine.space.free_bytes", lambda folder: 65 * 1024 * 1024)
    with pytest.raises(StorageFull, match=r"needs .*MiB and 64\.0 MiB to spare; 65\.0 MiB are free"):
        await engine.pull(other)
    assert not await engine.has_image(other)


async def test_a_runtime_that_is_not_there_is_told_with_what_to_do(open_engine: Open) -> None:
    engine = await open_engine()
    await engine.pull(IMAGE)
    options = {"HostConfig": {"Runtime": "nvidia"}}
    if engine_of(engine) == "process":
        assert engine.unsupported(options) == ["HostConfig.Runtime"]
        return

    async def run() -> None:
        # Some versions of Docker refuse it here, some there.
        await engine.create(spec(create_options=options))
        await engine.start("shell")

    with pytest.raises(Unsupported, match="no container runtime nvidia") as refused:
        await run()
    assert "nvidia-container-toolkit" in refused.value.hint
