"""``skerry demo``: options, clean-up, summary, exit status."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from skerry.cli import output
from skerry.cli.demo.stage import Place, Stage, clear, sweep
from skerry.cli.demo.story import Story
from skerry.cli.demo.verdict import all_hold, rows
from skerry.clock import SystemClock
from skerry.edge.engine.choose import choose_engine
from skerry.edge.engine.process import ProcessEngine

DEFAULT_DIR = Path(".skerry")


@click.command()
@click.option("--scenario", type=click.Choice(["imagenet", "solar"]), default="imagenet", show_default=True)
@click.option("--engine", type=click.Choice(["auto", "docker", "process"]), default="auto", show_default=True)
@click.option("--keep", is_flag=True, help="Leave hub, device and modules running until Ctrl-C.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DIR,
    show_default=True,
    help="Everything the demo makes is in here.",
)
def demo(scenario: str, engine: str, keep: bool, directory: Path) -> None:
    """Show the whole path: build, provision, deploy, predict, also offline."""
    if not asyncio.run(_demo(scenario, engine, keep, directory.absolute())):
        raise SystemExit(output.EXIT_FAILED)


async def _demo(scenario: str, engine: str, keep: bool, directory: Path) -> bool:
    clock = SystemClock()
    started = clock.monotonic()
    place = Place(directory / "demo")
    me = asyncio.current_task()
    assert me is not None
    # Ctrl-C and SIGTERM both end the story where it is; what follows takes everything down.
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, me.cancel)
    engine, label = await _settled(engine, place)
    # Modules of a run that was killed would hold the ports of this one.
    await sweep(engine, place)
    clear(place)
    stage = Stage(place, engine, clock)
    story = Story(place, directory / "cache", scenario, label, clock)
    story.stage = stage
    try:
        checks = await story.run()
        output.say(f"\n[8/8] summary after {clock.monotonic() - started:.0f} s")
        output.say(output.table(["CLAIM", "FOUND", ""], rows(checks)))
        output.say()
        output.say(output.table(["MEASURED", ""], story.facts))
        _show_more(stage, keep)
        if keep:
            await asyncio.Event().wait()
        return all_hold(checks)
    except asyncio.CancelledError:
        output.note("interrupted, cleaning up")
        raise click.Abort from None
    finally:
        await story.close()
        await stage.close()


async def _settled(engine: str, place: Place) -> tuple[str, str]:
    """The engine that ``auto`` means here, and how to call it to people."""
    chosen = await choose_engine(engine, images_dir=place.images, state_dir=place.device / "engine")
    try:
        if isinstance(chosen, ProcessEngine):
            how = "in bubblewrap" if chosen.isolated else "not isolated: bubblewrap is not available"
            return chosen.name, f"{chosen.name} ({how})"
        return chosen.name, chosen.name
    finally:
        await chosen.close()


def _show_more(stage: Stage, keep: bool) -> None:
    output.say()
    if not keep:
        output.say("look further: make demo DEMO=--keep leaves everything running")
        return
    output.say(f"it goes on until Ctrl-C. dashboard: {stage.dashboard} (user iothubowner, password: its key)")
    output.say(f"  skerry hub monitor {stage.hub_options}")
    output.say(f"  skerry edge list --dir {stage.place.device}")
