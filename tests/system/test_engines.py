"""One suite for every engine: what the agent may rely on, on a real Docker Engine and on real processes."""

import asyncio
import os
import signal
import uuid
from pathlib import Path

import pytest

from skerry.edge.engine.docker import DockerEngine
from skerry.edge.engine.port import Mount
from skerry.errors import AlreadyExists, InvalidInput, NotFound
from tests.support.engines import IMAGE, SCRIPT, Open, lines, spec, until, until_logged
from tests.support.shell_image import write_shell_image

pytestmark = pytest.mark.system


async def test_a_module_is_created_started_stopped_and_removed(open_engine: Open) -> None:
    engine = await open_engine()
    await engine.pull(IMAGE)
    assert await engine.has_image(IMAGE)
    await engine.create(spec())
    assert [(m.name, m.status, m.image) for m in await engine.observe()] == [("shell", "created", IMAGE)]
    await engine.start("shell")
    running = await until(engine, lambda m: m.status == "running")
    assert running.pid is not None
    assert running.spec_digest == spec().digest
    await until_logged(engine, b"hello device")
    await engine.start("shell")  # idempotent
    await engine.stop("shell", 5)
    stopped = await until(engine, lambda m: m.status == "exited")
    assert stopped.exit_code == 3  # the handler of SIGTERM ran
    assert stopped.finished_at is not None
    assert await lines(engine) == [b"hello device", b"bye"]
    assert await lines(engine, tail=1) == [b"bye"]
    await engine.remove("shell")
    await engine.remove("shell")
    assert await engine.observe() == []


async def test_a_crash_shows_its_exit_code_and_a_start_runs_it_again(open_engine: Open) -> None:
    engine = await open_engine()
    await engine.pull(IMAGE)
    await engine.create(spec(env={"GREETING": "x", "CRASH": "1"}))
    await engine.start("shell")
    assert (await until(engine, lambda m: m.status == "exited")).exit_code == 7
    await engine.start("shell")
    await until(engine, lambda m: m.status == "exited")
    assert await lines(engine) == [b"hello x", b"hello x"]


async def test_a_killed_module_is_seen_as_exited_and_announced(open_engine: Open) -> None:
    engine = await open_engine()
    await engine.pull(IMAGE)
    await engine.create(spec())
    await engine.start("shell")
    running = await until(engine, lambda m: m.status == "running" and m.pid is not None)

    async def first_event() -> str:
        async for name in engine.events():
            return name
        return ""

    told = asyncio.create_task(first_event())
    await asyncio.sleep(0.3)
    assert running.pid is not None
    os.kill(running.pid, signal.SIGKILL)
    assert (await until(engine, lambda m: m.status == "exited")).exit_code == 137
    assert await asyncio.wait_for(told, 10) == "shell"


async def test_a_restarted_agent_finds_its_running_modules(open_engine: Open) -> None:
    first = await open_engine()
    await first.pull(IMAGE)
    await first.create(spec())
    await first.start("shell")
    pid = (await until(first, lambda m: m.status == "running" and m.pid is not None)).pid
    await until_logged(first, b"hello device")
    second = await open_engine()
    assert (await until(second, lambda m: m.status == "running")).pid == pid
    await second.stop("shell", 5)
    assert (await until(second, lambda m: m.status == "exited")).exit_code == 3


async def test_mounts_binds_and_environment_reach_the_module(open_engine: Open, tmp_path: Path) -> None:
    engine = await open_engine()
    for folder in ("mounted", "bound"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_text(f"text in {folder}\n")
    await engine.pull(IMAGE)
    await engine.create(
        spec(
            env={"GREETING": "there", "READ": "/run/mounted/file"},
            create_options={
                "Env": ["GREETING=overlaid", "OTHER=1"],
                "HostConfig": {"Binds": [f"{tmp_path / 'bound'}:/var/lib/data:ro"]},
            },
            mounts=[Mount(str(tmp_path / "mounted"), "/run/mounted")],
        )
    )
    await engine.start("shell")
    await until_logged(engine, b"text in mounted")
    assert (await lines(engine))[0] == b"hello there"


async def test_an_image_that_is_nowhere_is_not_found(open_engine: Open) -> None:
    engine = await open_engine()
    with pytest.raises(NotFound, match="skerry-test/none"):
        await engine.create(spec(image="skerry-test/none:1"))
    assert not await engine.has_image("skerry-test/none:1")


async def test_create_options_that_make_no_sense_are_invalid(open_engine: Open) -> None:
    engine = await open_engine()
    await engine.pull(IMAGE)
    with pytest.raises(InvalidInput, match="Env"):
        await engine.create(spec(create_options={"Env": "A=1"}))
    assert await engine.observe() == []


async def test_the_log_can_be_followed(open_engine: Open) -> None:
    engine = await open_engine()
    await engine.pull(IMAGE)
    await engine.create(spec())
    await engine.start("shell")
    await until_logged(engine, b"hello device")
    seen: list[bytes] = []

    async def follow() -> None:
        async for line in engine.logs("shell", follow=True):
            seen.append(line)
            if line == b"bye":
                return

    reader = asyncio.create_task(follow())
    await asyncio.sleep(0.3)
    await engine.stop("shell", 5)
    await asyncio.wait_for(reader, 10)
    assert seen == [b"hello device", b"bye"]


async def test_logs_of_an_unknown_module_are_not_found(open_engine: Open) -> None:
    engine = await open_engine()
    with pytest.raises(NotFound):
        await lines(engine)


async def test_a_container_of_someone_else_is_never_removed(tmp_path: Path) -> None:
    write_shell_image(tmp_path, IMAGE, script=SCRIPT)
    prefix = f"test-{uuid.uuid4().hex[:8]}-"
    owner = await DockerEngine.connect(device="owner", images_dir=tmp_path, prefix=prefix)
    other = await DockerEngine.connect(device="other", images_dir=tmp_path, prefix=prefix)
    try:
        await owner.pull(IMAGE)
        await owner.create(spec())
        with pytest.raises(AlreadyExists, match="docker rm"):
            await other.create(spec())
        with pytest.raises(AlreadyExists):
            await other.remove("shell")
        assert [module.name for module in await owner.observe()] == ["shell"]
    finally:
        await owner.remove("shell")
        await owner.close()
        await other.close()
