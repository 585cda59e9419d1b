from pathlib import Path
from typing import Any

import pytest

from skerry.errors import InvalidInput
from skerry.hub.settings import HubSettings
from skerry.service import settings


def test_settings_come_from_a_file_and_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "hub.toml"
    file.write_text('data_dir = "/var/lib/hub"\nhost_name = "hub.example"\nextra_names = ["10.0.0.1"]\n')
    loaded = settings.load(HubSettings, file, {"HUB_HTTPS_PORT": "8443"}, "HUB")
    assert loaded == HubSettings(
        Path("/var/lib/hub"), host_name="hub.example", extra_names=("10.0.0.1",), https_port=8443
    )


def test_names_hold_every_name_once_with_the_host_name_first(tmp_path: Path) -> None:
    found = HubSettings(tmp_path, host_name="hub.example", extra_names=("localhost", "10.0.0.1")).names
    assert found == ("hub.example", "localhost", "127.0.0.1", "10.0.0.1")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"host_name": "two words"}, "host_name"),
        ({"extra_names": ("a;b",)}, "host_name"),
        ({"https_port": 70000}, "https_port"),
        ({"mqtt_port": -1}, "mqtt_port"),
        ({"log_level": "loud"}, "log_level"),
        ({"telemetry_keep_days": 0}, "telemetry_keep_days"),
        ({"telemetry_keep_messages": 0}, "telemetry_keep_messages"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        HubSettings(tmp_path, **change)
    assert caught.value.fields["field"] == field


def test_amqp_listens_beside_the_standard_mqtt_port_or_where_it_is_told(tmp_path: Path) -> None:
    def ports(**given: Any) -> tuple[int | None, int | None]:
        settings = HubSettings(data_dir=tmp_path, **given)
        return settings.amqp_listens, settings.amqp_plain_listens

    assert ports() == (5671, None)
    assert ports(mqtt_port=0) == (None, None)
    assert ports(mqtt_port=0, amqp_port=0, amqp_plain_port=5672) == (0, 5672)
    assert ports(amqp_port=-1, amqp_plain_port=-1) == (None, None)
    with pytest.raises(InvalidInput):
        ports(amqp_port=70_000)
