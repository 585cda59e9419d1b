"""What a module gets from the runtime."""

from __future__ import annotations

from pathlib import Path

from skerry.contract.manifest import ModuleSpec
from skerry.edge.agent.environment import Surroundings, run_spec
from skerry.edge.agent.ports import Prepared

AROUND = Surroundings("dev", "hub.example", "gateway", "172.18.0.1")
PREPARED = Prepared("g1", Path("/run/dev/cnn"))
LOGGING = {"Type": "json-file", "Config": {"max-size": "1m"}}


def test_the_manifests_logging_is_for_modules_without_their_own() -> None:
    plain = run_spec(ModuleSpec("cnn", "cnn:1"), PREPARED, AROUND, LOGGING)
    assert plain.create_options == {"HostConfig": {"LogConfig": LOGGING}}
    own = {"HostConfig": {"LogConfig": {"Type": "local"}, "Memory": 1}}
    assert run_spec(ModuleSpec("cnn", "cnn:1", own), PREPARED, AROUND, LOGGING).create_options == own
    assert run_spec(ModuleSpec("cnn", "cnn:1"), PREPARED, AROUND).create_options == {}


def test_a_substituted_image_is_what_runs_and_the_names_of_the_module_stay() -> None:
    around = Surroundings("dev", "hub.example", "gateway", "", registry_map={"acr.example": "mirror:5000"})
    run = run_spec(ModuleSpec("cnn", "acr.example/cnn:1"), PREPARED, around)
    assert run.image == "mirror:5000/cnn:1"
    assert run.name == run.env["IOTEDGE_MODULEID"] == "cnn"
    assert run.labels["net.azure-devices.edge.original-image"] == "mirror:5000/cnn:1"
