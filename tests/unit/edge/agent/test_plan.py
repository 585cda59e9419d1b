"""The planner's rules, and that it always gets there."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from skerry.edge.agent.plan import plan
from skerry.edge.agent.restart import BACKOFF_MAX_S, Rules, settled
from skerry.edge.agent.state import (
    NEVER,
    NO_HISTORY,
    Create,
    History,
    Image,
    Plan,
    Pull,
    Remove,
    Start,
    Stop,
    Tally,
    Wait,
)
from skerry.edge.engine.port import Health, Observed, RunSpec
from tests.unit.edge.agent.builders import NOON, all_of, here, running, seen, tallies, wanted


def test_a_running_module_as_wanted_needs_nothing() -> None:
    assert plan(all_of(wanted()), running(seen()), NO_HISTORY, NOON) == Plan()


def test_a_new_module_is_pulled_first() -> None:
    assert plan(all_of(wanted()), {}, NO_HISTORY, NOON).steps == (Pull("cnn:1"),)


def test_a_new_module_whose_image_is_here_is_created_and_started() -> None:
    steps = plan(all_of(wanted()), {}, here("cnn:1"), NOON).steps
    assert steps == (Create(RunSpec("cnn", "cnn:1")), Start("cnn", "new"))


def test_a_changed_module_runs_on_until_its_new_image_is_here() -> None:
    new = all_of(wanted(image="cnn:2"))
    assert plan(new, running(seen()), NO_HISTORY, NOON).steps == (Pull("cnn:2"),)
    assert plan(new, running(seen()), here("cnn:2"), NOON).steps == (
        Stop("cnn", "changed"),
        Remove("cnn", "changed"),
        Create(RunSpec("cnn", "cnn:2")),
        Start("cnn", "changed"),
    )


def test_while_an_image_is_pulled_other_modules_are_still_restarted() -> None:
    exited = seen("camera", "camera:1", status="exited", exit_code=1, finished_at=NOON - 60)
    history = History(images={"cnn:1": Image(pulling=True)})
    planned = plan(all_of(wanted(), wanted("camera", "camera:1")), running(exited), history, NOON)
    assert planned.steps == (Start("camera", "exited with code 1", restart=True),)
    assert planned.waits == (Wait("cnn", None, "pulling cnn:1"),)


def test_an_image_that_cannot_be_pulled_is_used_when_it_is_here() -> None:
    history = History(images={"cnn:1": Image(present=True, failed=Tally(1, NOON, "no network"))})
    assert Create(RunSpec("cnn", "cnn:1")) in plan(all_of(wanted()), {}, history, NOON).steps


def test_a_failed_pull_is_tried_again_for_ever_with_growing_waits() -> None:
    for count in (1, 5, 50, 5000):
        failed = Tally(count, NOON, "no network")
        history = History(images={"cnn:1": Image(failed=failed)})
        assert plan(all_of(wanted()), {}, history, NOON).waits[0].reason == "no network"
        assert plan(all_of(wanted()), {}, history, NOON + BACKOFF_MAX_S).steps == (Pull("cnn:1"),)


def test_a_pinned_image_that_is_here_is_not_pulled() -> None:
    pinned = "cnn@sha256:" + "0" * 64
    history = History(images={pinned: Image(present=True)})
    assert Pull(pinned) not in plan(all_of(wanted(image=pinned)), {}, history, NOON).steps


def test_pull_policy_never_waits_for_the_image_to_appear() -> None:
    planned = plan(all_of(wanted(image_pull_policy="never")), {}, NO_HISTORY, NOON)
    assert planned.steps == ()
    assert "may not be pulled" in planned.waits[0].reason


def test_what_is_not_wanted_is_stopped_and_removed() -> None:
    assert plan({}, running(seen()), NO_HISTORY, NOON).steps == (
        Stop("cnn", "no longer wanted"),
        Remove("cnn", "no longer wanted"),
    )


def test_modules_start_in_their_order() -> None:
    modules = all_of(wanted("a", "i", startup_order=2), wanted("b", "i", startup_order=1))
    starts = [step.module for step in plan(modules, {}, here("i"), NOON).steps if isinstance(step, Start)]
    assert starts == ["b", "a"]


def test_wanted_stopped_stops_and_stays_stopped() -> None:
    stopped = all_of(wanted(status="stopped", restart_policy="always"))
    assert plan(stopped, running(seen()), NO_HISTORY, NOON).steps == (Stop("cnn", "wanted stopped"),)
    exited = running(seen(status="exited", exit_code=0, finished_at=NOON - 999))
    assert plan(stopped, exited, NO_HISTORY, NOON) == Plan()


def test_a_module_we_stopped_is_started_whatever_its_policy() -> None:
    exited = running(seen(status="exited", exit_code=0, finished_at=NOON))
    never = all_of(wanted(restart_policy="never"))
    assert plan(never, exited, NO_HISTORY, NOON) == Plan()
    owed = History(owed=frozenset({"cnn"}))
    assert plan(never, exited, owed, NOON).steps == (Start("cnn", "wanted running"),)


def test_a_refused_module_waits_before_it_is_tried_again() -> None:
    history = here("cnn:1", failures=tallies(cnn=1))
    assert plan(all_of(wanted()), {}, history, NOON).waits == (Wait("cnn", NOON + 5, "it failed"),)
    assert plan(all_of(wanted()), {}, history, NOON + 5).steps


def test_an_unhealthy_module_is_stopped_and_started() -> None:
    ill = running(seen(health="unhealthy"))
    assert plan(all_of(wanted(restart_policy="on-unhealthy")), ill, NO_HISTORY, NOON).steps == (
        Stop("cnn", "unhealthy"),
        Start("cnn", "unhealthy", restart=True),
    )
    assert plan(all_of(wanted(restart_policy="never")), ill, NO_HISTORY, NOON) == Plan()


@given(
    exits=st.lists(st.tuples(st.floats(0.1, 2000), st.integers(0, 255)), max_size=30),
    clock_jump=st.floats(-1e6, 1e6),
)
def test_always_means_running_again_within_the_longest_wait(
    exits: list[tuple[float, int]], clock_jump: float
) -> None:
    """Whatever it does and however the clock is set, an ``always`` module runs again, for ever."""
    now, module, tally = NOON, seen(started_at=NOON), NEVER
    for after_s, code in [*exits, (1.0, 1)]:
        now += after_s
        tally = settled(tally, module, now)
        module = replace(module, status="exited", exit_code=code, finished_at=now)
        module, tally, waited = _run_until_running(module, tally, now + clock_jump)
        now += clock_jump + waited
        assert waited <= BACKOFF_MAX_S + abs(clock_jump)
        assert module.status == "running"


def _run_until_running(module: Observed, tally: Tally, now: float) -> tuple[Observed, Tally, float]:
    began = now
    for _ in range(5):
        planned = plan(all_of(wanted(restart_policy="always")), running(module), History({"cnn": tally}), now)
        if planned.steps == (Start("cnn", f"exited with code {module.exit_code}", restart=True),):
            return replace(module, status="running", started_at=now), tally.again(now, ""), now - began
        assert planned.wake_at is not None
        assert planned.wake_at > now
        now = planned.wake_at
    raise AssertionError("the planner waits for ever")


@given(
    st.dictionaries(st.sampled_from("abc"), st.sampled_from(["1", "2"])),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from(["1", "2"])),
)
def test_doing_what_is_planned_arrives(target: dict[str, str], start: dict[str, str]) -> None:
    modules = all_of(*(wanted(name, image) for name, image in target.items()))
    observed = running(*(seen(name, image) for name, image in start.items()))
    images: dict[str, Image] = {}
    for _ in range(10):
        planned = plan(modules, observed, History(images=images), NOON)
        if not planned.steps:
            break
        for step in planned.steps:
            match step:
                case Pull(image):
                    images[image] = Image(present=True, pulled=True)
                case Stop(name):
                    observed[name] = replace(observed[name], status="exited", exit_code=0)
                case Remove(name):
                    del observed[name]
                case Create(run):
                    observed[run.name] = seen(run.name, run.image, status="created")
                case Start(name):
                    observed[name] = replace(observed[name], status="running")
    assert {name: (m.image, m.status) for name, m in observed.items()} == {
        name: (image, "running") for name, image in target.items()
    }


def test_a_module_is_given_up_after_so_many_restarts_only_where_the_user_says_so() -> None:
    ended = seen(status="exited", exit_code=1, finished_at=NOON - 3600)
    history = History(restarts=tallies(cnn=20))
    assert plan(all_of(wanted()), running(ended), history, NOON).steps == (
        Start("cnn", "exited with code 1", restart=True),
    )
    given_up = plan(all_of(wanted()), running(ended), history, NOON, Rules(restarts_max=20))
    assert given_up.steps == ()
    assert given_up.waits == (Wait("cnn", None, "given up after 20 restarts; exited with code 1"),)
    before = History(restarts=tallies(cnn=19))
    assert plan(all_of(wanted()), running(ended), before, NOON, Rules(restarts_max=20)).steps != ()


def test_a_later_module_waits_for_an_earlier_one_to_be_healthy() -> None:
    modules = all_of(wanted("db", "db:1", startup_order=1), wanted("cnn", startup_order=2))
    images, rules = here("db:1", "cnn:1"), Rules(readiness_s=30.0)
    first = plan(modules, {}, images, NOON, rules)
    assert [step for step in first.steps if isinstance(step, Start)] == [Start("db", "new")]
    assert len([step for step in first.steps if isinstance(step, Create)]) == 2
    assert first.waits == (Wait("cnn", None, "db starts first"),)
    created = seen(status="created")
    young = seen("db", "db:1", health="starting", started_at=NOON - 5)
    held = plan(modules, running(created, young), images, NOON, rules)
    assert held == Plan((), (Wait("cnn", NOON + 25, "db is not healthy yet"),))
    for ready in (replace(young, health="healthy"), replace(young, health=None)):
        assert plan(modules, running(created, ready), images, NOON, rules).steps == (
            Start("cnn", "not started yet"),
        )


def test_nobody_waits_longer_than_the_readiness_time_nor_without_one() -> None:
    modules = all_of(wanted("db", "db:1", startup_order=1), wanted("cnn", startup_order=2))
    slow = seen("db", "db:1", health="starting", started_at=NOON - 31)
    go = (Start("cnn", "not started yet"),)
    assert plan(modules, running(seen(status="created"), slow), NO_HISTORY, NOON, Rules(0, 30.0)).steps == go
    fresh = replace(slow, started_at=NOON)
    assert plan(modules, running(seen(status="created"), fresh), NO_HISTORY, NOON).steps == go
    ahead = replace(slow, started_at=NOON + 10_000)  # the clock was stepped back
    waits = plan(modules, running(seen(status="created"), ahead), NO_HISTORY, NOON, Rules(0, 30.0)).waits
    assert waits == (Wait("cnn", NOON + 30, "db is not healthy yet"),)


def test_a_restart_is_never_held() -> None:
    modules = all_of(wanted("db", "db:1", startup_order=1), wanted("cnn", startup_order=2))
    young = seen("db", "db:1", health="starting", started_at=NOON)
    ended = seen(status="exited", exit_code=1, finished_at=NOON - 60)
    planned = plan(modules, running(ended, young), NO_HISTORY, NOON, Rules(0, 30.0))
    assert planned.steps == (Start("cnn", "exited with code 1", restart=True),)


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2), min_size=1),
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["starting", "healthy", "unhealthy", None])),
)
def test_with_readiness_everything_still_runs_in_the_end_and_in_order(
    orders: dict[str, int], healths: dict[str, Health | None]
) -> None:
    """Even where a module never gets healthy: it holds the later ones for so long and no longer."""
    modules = all_of(*(wanted(name, startup_order=order) for name, order in orders.items()))
    observed: dict[str, Observed] = {}
    images = {"cnn:1": Image(present=True, pulled=True)}
    now, begun, rules = NOON, list[str](), Rules(readiness_s=30.0)
    for _ in range(20):
        planned = plan(modules, observed, History(images=images), now, rules)
        for step in planned.steps:
            if isinstance(step, Create):
                observed[step.run.name] = seen(step.run.name, step.run.image, status="created")
            elif isinstance(step, Start) and not step.restart:
                begun.append(step.module)
                health = healths.get(step.module)
                observed[step.module] = replace(
                    observed[step.module], status="running", started_at=now, health=health
                )
        now = now if planned.wake_at is None else planned.wake_at
    assert sorted(begun) == sorted(orders)
    assert [orders[name] for name in begun] == sorted(orders.values())
