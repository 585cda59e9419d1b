from typing import Any

import pytest

from skerry.edge.engine.create_options import (
    Bind,
    binds,
    command,
    container_config,
    environment,
)
from skerry.edge.engine.port import LABEL_ORIGINAL_IMAGE, LABEL_OWNER, OWNER, Mount, RunSpec
from skerry.errors import InvalidInput


def test_the_manifests_env_wins_over_the_documents() -> None:
    assert environment({"Env": ["A=1", "B=x=y", "UNSET"]}, {"A": "2"}) == {"A": "2", "B": "x=y"}


def test_an_env_item_without_a_name_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidInput) as caught:
        environment({"Env": ["A=1", "=2"]}, {})
    assert caught.value.fields == {"path": "createOptions.Env[1]", "value": "=2"}


@pytest.mark.parametrize(
    ("document", "expected"),
    [({}, None), ({"Cmd": None}, None), ({"Cmd": "one"}, ["one"]), ({"Cmd": ["a", "b"]}, ["a", "b"])],
)
def test_command_reads_a_list_a_string_or_nothing(
    document: dict[str, Any], expected: list[str] | None
) -> None:
    assert command(document, "Cmd") == expected


def test_binds_are_read_with_their_mode() -> None:
    options = {"HostConfig": {"Binds": ["/data:/var/data", "/etc/x:/x:ro,z", "volume:/v"]}}
    assert binds(options) == [
        Bind("/data", "/var/data", False),
        Bind("/etc/x", "/x", True),
        Bind("volume", "/v", False),
    ]


@pytest.mark.parametrize("text", ["/data", "/a:b", "/a:/b:ro:z:q"])
def test_a_malformed_bind_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="Binds"):
        binds({"HostConfig": {"Binds": [text]}})


def test_a_container_gets_the_network_the_mounts_the_labels_and_log_rotation() -> None:
    spec = RunSpec(
        name="cnn",
        image="cnn:1",
        env={"A": "2"},
        create_options={"Env": ["A=1"], "Labels": {"mine": "1"}, "HostConfig": {"Privileged": True}},
        mounts=[Mount("/run/x", "/var/run/iotedge")],
        labels={"l": "v"},
        hosts={"gateway": "172.18.0.1"},
    )
    assert container_config(spec, "net") == {
        "Image": "cnn:1",
        "Env": ["A=2"],
        "Labels": {"mine": "1", LABEL_OWNER: OWNER, LABEL_ORIGINAL_IMAGE: "cnn:1", "l": "v"},
        "HostConfig": {
            "Privileged": True,
            "Mounts": [{"Type": "bind", "Source": "/run/x", "Target": "/var/run/iotedge", "ReadOnly": False}],
            "ExtraHosts": ["gateway:172.18.0.1"],
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10485760", "max-file": "3"}},
            "NetworkMode": "net",
            "RestartPolicy": {"Name": ""},
            "AutoRemove": False,
        },
        "NetworkingConfig": {"EndpointsConfig": {"net": {"Aliases": ["cnn"]}}},
    }


def test_the_manifests_own_log_and_network_settings_are_kept() -> None:
    host = {"LogConfig": {"Type": "none"}, "NetworkMode": "host"}
    config = container_config(RunSpec("m", "i:1", create_options={"HostConfig": host}), "net")
    assert config["HostConfig"]["LogConfig"] == {"Type": "none"}
    assert config["HostConfig"]["NetworkMode"] == "host"
    assert "NetworkingConfig" not in config
