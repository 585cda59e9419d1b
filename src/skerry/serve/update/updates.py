"""The model's updates: one wish at a time is fetched, tried beside the running model, and switched to.

Whatever fails leaves the running model as it is. The record is durable before the switch, which is one
assignment between two requests; the model before stays loaded for ``rollback``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from skerry.clock import Clock
from skerry.errors import Damaged, NotFound, PreconditionFailed, SkerryError, StorageFull, Unavailable
from skerry.serve.activation import Activated
from skerry.serve.scoring import Scorer
from skerry.serve.update.arrival import clear_other_parts, part_of, remove_part, take_in
from skerry.serve.update.disk import disk_errors, foreseen
from skerry.serve.update.download import Downloader
from skerry.serve.update.order import Interrupted, Order, Progress
from skerry.serve.update.restore import Restored
from skerry.serve.update.served import Loading, Served
from skerry.serve.update.settings import UpdateSettings
from skerry.serve.update.shelf import DEATHS_MAX, Kept, Record, Shelf
from skerry.serve.update.wish import Wish

log = logging.getLogger(__name__)

T = TypeVar("T")

# Between tries to download; a hub of a thousand devices is not asked by all of them all the time.
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 300.0


class Updates:
    """Made in a running loop with what ``restore`` gave; calls ``changed`` when a report would differ."""

    def __init__(
        self,
        scorer: Scorer,
        shelf: Shelf,
        restored: Restored,
        loading: Loading,
        settings: UpdateSettings,
        *,
        clock: Clock,
    ) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.record = restored.record
        self.progress = Progress(reason=restored.reason)
        activated = restored.activated
        self.active = Served(restored.kept, scorer.model, activated.golden, activated.selection)
        self.downloader = Downloader(settings.fetching, clock)
        self._scorer = scorer
        self._shelf = shelf
        self._loading = loading
        self._settings = settings
        self._clock = clock
        self._standby: Served | None = None
        self._twin_key = ""
        self._order: Order | None = None
        self._ordered = asyncio.Event()
        self._fetch: asyncio.Task[bool] | None = None
        self._turn = asyncio.Lock()
        self._closing = False
        self._worker = asyncio.create_task(self._work(), name="model updates")

    async def close(self) -> None:
        """Give up what is under way; a download can be gone on with after the next start."""
        self._closing = True
        self._place(None)
        await self._worker
        if self._standby is not None:
            await self._standby.model.close()

    def want(self, wish: Wish) -> None:
        """Act on the twin's wish in the background.

        One that was acted on before is not when it comes again after a start: what a method did since stands.
        """
        again = self._twin_key in ("", wish.key) and wish.key == self.record.handled
        self._twin_key = wish.key
        if again:
            self.changed()
        elif self._order is None or self._order.wish != wish:
            self._place(Order(wish))

    async def activate(self, wish: Wish) -> None:
        """Have it served; returns once it is. Raises why not. What was under way is given up."""
        order = Order(wish, asyncio.get_running_loop().create_future())
        self._place(order)
        assert order.answer is not None
        await asyncio.shield(order.answer)

    async def rollback(self) -> None:
        """Serve the model before again, giving up what is under way. Raises why not."""
        self._place(None)
        async with self._turn:
            previous = self.record.previous
            if previous is None:
                raise PreconditionFailed("there is no model to go back to")
            await self._serve_kept(previous)
            self._now(Progress(reason="rolled back"))

    def _place(self, order: Order | None) -> None:
        """Let the worker do this and nothing else."""
        before, self._order = self._order, order
        if before is not None and before.answer is not None and not before.answer.done():
            before.answer.set_exception(PreconditionFailed("given up for another order"))
            # Nobody may be waiting any more.
            before.answer.exception()
        if self._fetch is not None:
            self._fetch.cancel()
        if order is not None:
            self._now(Progress("ordered", key=order.wish.key))
        elif before is not None:
            self._now(Progress(reason="given up", key=before.wish.key))
        self._ordered.set()

    async def _work(self) -> None:
        while not self._closing:
            await self._ordered.wait()
            self._ordered.clear()
            if self._order is not None:
                await self._try(self._order)

    async def _try(self, order: Order) -> None:
        """Fulfil the order, however often the network breaks, until another takes its place."""
        wait_s = RETRY_FIRST_S
        while order is self._order:
            try:
                await self._fulfil(order)
            except Interrupted as exc:
                self._now(Progress("waiting", _line(exc), exc, order.wish.key))
                log.info("the model is tried again in %.0f s: %s", wait_s, exc)
                await self._pause(wait_s)
                wait_s = min(wait_s * 2, RETRY_MAX_S)
            except SkerryError as exc:
                self._end(order, exc)
            else:
                self._end(order, None)

    def _end(self, order: Order, error: SkerryError | None) -> None:
        if order is not self._order:
            return
        self._order = None
        if error is None:
            self._now(Progress(key=order.wish.key))
        else:
            log.warning("the model stays %s: %s", self.active.kept.package, error)
            self._now(Progress("failed", _line(error), error, order.wish.key))
        if order.answer is None or order.answer.done():
            return
        if error is None:
            order.answer.set_result(None)
        else:
            order.answer.set_exception(error)
            order.answer.exception()

    async def _pause(self, seconds: float) -> None:
        """Wait, or until there is another order."""
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        ordered = asyncio.ensure_future(self._ordered.wait())
        await asyncio.wait((sleeping, ordered), return_when=asyncio.FIRST_COMPLETED)
        for each in (sleeping, ordered):
            each.cancel()
        await asyncio.wait((sleeping, ordered))

    async def _fulfil(self, order: Order) -> None:
        wish = order.wish
        async with self._turn:
            if await self._from_here(order):
                return
        await self._in_thread(lambda: _check_survived(self._shelf, wish.key))
        digest = await self._obtain(order)
        if digest is None:
            return
        async with self._turn:
            if order is self._order:
                self._now(Progress("loading", key=wish.key))
                try:
                    await self._serve(await self._try_out(digest, wish.key), wish.key)
                except SkerryError:
                    await self._in_thread(self._sweep)
                    raise

    async def _from_here(self, order: Order) -> bool:
        """Serve it without a download, if it is on this device; whether the order is done with."""
        wish, active = order.wish, self.active.kept
        if order is not self._order:
            return True
        for kept in (active, self.record.previous):
            if kept is not None and _is(kept, wish):
                if kept is active:
                    await self._write(replace(self.record, handled=self._twin_key or self.record.handled))
                    return True
                try:
                    await self._serve_kept(kept)
                    return True
                except (Damaged, NotFound):
                    if wish.url is None:
                        raise
        if wish.url is None:
            activated = await self._load(self._loading.own)
            if activated.package.digest == wish.package:
                await self._serve(activated, "", own=True)
                return True
            activated.predictor.close()
            raise NotFound(f"{wish.package} is not on this device", hint="give its url too")
        return False

    async def _obtain(self, order: Order) -> str | None:
        """The digest of the package, now on the shelf; None when the order was given up."""
        wish, part = order.wish, part_of(self._shelf, order.wish)
        await self._in_thread(lambda: clear_other_parts(self._shelf, part))
        while True:
            self._now(Progress("downloading", key=wish.key))
            went_on = await self._download(order, part)
            if went_on is None or order is not self._order:
                return None
            self._now(Progress("checking", key=wish.key))
            try:
                return await self._in_thread(
                    lambda: take_in(
                        self._shelf,
                        wish,
                        part,
                        bytes_max=self._settings.unpacked_bytes_max,
                        trusted_keys=self._settings.trusted_keys,
                        own=self._loading.own,
                    )
                )
            except Damaged:
                # Half of one file and half of another, perhaps: once more, from the beginning.
                if not went_on:
                    raise

    async def _download(self, order: Order, part: Path) -> bool | None:
        assert order.wish.url is not None
        if order is not self._order:
            return None
        log.info("downloading the model %s", order.wish)
        self._fetch = asyncio.create_task(self.downloader.fetch(order.wish.url, part))
        try:
            return await self._fetch
        except asyncio.CancelledError:
            if self._fetch.cancelled():
                return None
            raise
        except Unavailable as exc:
            raise Interrupted(exc.what, hint=exc.hint) from exc
        except SkerryError:
            await self._in_thread(lambda: remove_part(part))
            raise
        finally:
            self._fetch = None

    async def _try_out(self, digest: str, key: str) -> Activated:
        """Load a package that never ran here; the engine or the memory may end the process over it."""
        await self._in_thread(lambda: self._shelf.begin_trial(key))
        try:
            return await self._load(self._shelf.directory(digest))
        finally:
            await self._in_thread(self._shelf.end_trial)

    async def _serve_kept(self, kept: Kept) -> None:
        if self._standby is not None and self._standby.kept == kept:
            await self._switch(self._standby)
            return
        self._now(Progress("loading"))
        directory = self._loading.own if kept.own else self._shelf.directory(kept.package)
        activated = await self._load(directory)
        if activated.package.digest != kept.package:
            activated.predictor.close()
            raise NotFound(f"{kept.package} is not on this device any more")
        await self._serve(activated, kept.key, own=kept.own)

    async def _load(self, directory: Path) -> Activated:
        """Try the package beside the running model; without the one kept ready when memory is short."""
        try:
            return await self._in_thread(lambda: self._loading.load(directory))
        except StorageFull:
            if self._standby is None:
                raise
        await self._drop_standby()
        return await self._in_thread(lambda: self._loading.load(directory))

    async def _serve(self, activated: Activated, key: str, *, own: bool = False) -> None:
        package = activated.package
        in_loop = await self._in_thread(lambda: self._loading.in_loop(activated))
        model = self._scorer.load(package, activated.predictor, in_loop=in_loop)
        kept = Kept(package.digest, package.name, own, key)
        served = Served(kept, model, activated.golden, activated.selection)
        try:
            await self._switch(served)
        except SkerryError:
            await model.close()
            raise

    async def _switch(self, new: Served) -> None:
        """First on disk, then for the requests to come, then away with what is not needed any more."""
        old = self.active
        handled = self._twin_key or self.record.handled
        await self._write(Record(new.kept, old.kept, handled))
        self._scorer.switch(new.model)
        self.active = new
        if self._standby is not new:
            await self._drop_standby()
        self._standby = old
        log.info("serving %s instead of %s", new.kept.package, old.kept.package)
        await self._in_thread(self._sweep)

    async def _drop_standby(self) -> None:
        standby, self._standby = self._standby, None
        if standby is not None:
            await standby.model.close()

    async def _write(self, record: Record) -> None:
        if record != self.record:
            await self._in_thread(lambda: self._shelf.write(record))
            self.record = record

    def _sweep(self) -> None:
        try:
            with disk_errors("the model state"):
                self._shelf.sweep(self.record)
        except SkerryError as exc:
            log.warning("%s", exc)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        with foreseen("the package"):
            return await asyncio.get_running_loop().run_in_executor(None, work)

    def _now(self, progress: Progress) -> None:
        self.progress = progress
        self.changed()


def _check_survived(shelf: Shelf, key: str) -> None:
    deaths = shelf.deaths(key)
    if deaths >= DEATHS_MAX:
        raise PreconditionFailed(
            f"the module ended while it tried this package, {deaths} times",
            hint="too little memory, or a model that its engine cannot bear; ask for another package",
        )


def _is(kept: Kept, wish: Wish) -> bool:
    if wish.package is not None:
        return kept.package == wish.package
    return bool(kept.key) and kept.key == wish.key


def _line(error: SkerryError) -> str:
    return " ".join(str(error).split())
