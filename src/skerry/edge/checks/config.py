"""Whether the settings can be read."""

from __future__ import annotations

from skerry.edge.checks.check import Check, Device, Result, error, ok
from skerry.edge.daemon.provisioning import read_settings
from skerry.errors import SkerryError


async def run(device: Device) -> Result:
    try:
        settings = read_settings(device.data_dir)
    except SkerryError as problem:
        return error(problem.what, problem.hint or f"correct {device.data_dir / 'config.toml'}")
    return ok(f"{device.data_dir / 'config.toml'}: engine {settings.engine}, MQTT port {settings.mqtt_port}")


CHECK = Check("config", "configuration", "settings of the device", run)
