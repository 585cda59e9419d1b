"""The shape Microsoft's tools read."""

from __future__ import annotations

from skerry.edge.agent.report import DesiredStatus, modules_report, progress, runtime_status, status_document
from skerry.edge.agent.restart import Rules
from skerry.edge.agent.state import NO_HISTORY, History, Image, Plan, Tally, Wait
from tests.unit.edge.agent.builders import NOON, all_of, running, seen, tallies, wanted


def test_a_module_entry_is_complete_and_holds_no_environment() -> None:
    module = wanted(env={"SECRET": "s3cr3t"}, version="1.0", restart_policy="always", startup_order=3)
    report = modules_report(all_of(module), running(seen()), NO_HISTORY, Plan(), {"cnn": ("HostConfig.X",)})
    assert report == {
        "cnn": {
            "type": "docker",
            "status": "running",
            "restartPolicy": "always",
            "imagePullPolicy": "on-create",
            "startupOrder": 3,
            "version": "1.0",
            "settings": {"image": "cnn:1", "imageHash": "sha256:cnn:1", "createOptions": "{}"},
            "exitCode": 0,
            "statusDescription": "this engine cannot give: HostConfig.X",
            "lastStartTimeUtc": "2027-01-15T07:59:00.000000Z",
            "lastExitTimeUtc": "0001-01-01T00:00:00Z",
            "restartCount": 0,
            "lastRestartTimeUtc": "0001-01-01T00:00:00Z",
            "runtimeStatus": "running",
        }
    }


def test_what_is_waited_for_is_told() -> None:
    plan = Plan(waits=(Wait("cnn", None, "pulling cnn:1"),))
    report = modules_report(all_of(wanted()), {}, NO_HISTORY, plan, {})
    assert report["cnn"]["statusDescription"] == "waiting: pulling cnn:1"
    assert report["cnn"]["runtimeStatus"] == "unknown"


def test_create_options_too_long_for_a_twin_are_left_out() -> None:
    module = wanted(create_options={"Cmd": ["x" * 5000]})
    assert (
        "createOptions" not in modules_report(all_of(module), {}, NO_HISTORY, Plan(), {})["cnn"]["settings"]
    )


def test_runtime_status_words() -> None:
    always, never = wanted(restart_policy="always"), wanted(restart_policy="never")
    assert runtime_status(always, seen(), NO_HISTORY) == "running"
    assert runtime_status(always, seen(health="unhealthy"), NO_HISTORY) == "unhealthy"
    assert runtime_status(always, seen(status="exited", exit_code=0), NO_HISTORY) == "backoff"
    assert runtime_status(never, seen(status="exited", exit_code=0), NO_HISTORY) == "stopped"
    assert runtime_status(never, seen(status="exited", exit_code=3), NO_HISTORY) == "failed"
    assert runtime_status(never, seen(status="dead"), NO_HISTORY) == "dead"
    assert runtime_status(always, None, History(failures=tallies(cnn=1))) == "backoff"
    assert runtime_status(wanted(status="stopped"), seen(status="created"), NO_HISTORY) == "stopped"


def test_progress_is_200_once_everything_is_as_wanted() -> None:
    assert progress(7, all_of(wanted()), running(seen()), NO_HISTORY) == DesiredStatus(7, 200)


def test_progress_is_406_on_the_way_and_500_when_something_is_refused() -> None:
    assert progress(7, all_of(wanted()), {}, NO_HISTORY) == DesiredStatus(7, 406, "not yet created: cnn")
    failed = History(images={"cnn:1": Image(failed=Tally(1, NOON, "no such image"))})
    assert progress(7, all_of(wanted()), {}, failed) == DesiredStatus(7, 500, "cnn: no such image")
    old = running(seen(image="cnn:0"))
    assert progress(7, all_of(wanted()), old, History(failures=tallies(cnn=1))).code == 500


def test_status_document() -> None:
    assert status_document(DesiredStatus(3, 412, "schema 2.0")) == {
        "lastDesiredVersion": 3,
        "lastDesiredStatus": {"code": 412, "description": "schema 2.0"},
    }


def test_a_module_that_was_given_up_has_failed() -> None:
    ended = seen(status="exited", exit_code=1, finished_at=NOON)
    history = History(restarts=tallies(cnn=20))
    assert runtime_status(wanted(), ended, history) == "backoff"
    assert runtime_status(wanted(), ended, history, Rules(restarts_max=20)) == "failed"
