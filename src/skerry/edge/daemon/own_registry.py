"""The device's login at its hub's container registry: its own identity, by token or by certificate."""

from __future__ import annotations

import random

from skerry.clock import Clock
from skerry.contract.credentials import ConnectionString, key_signer, make_token
from skerry.contract.manifest import RegistryCredentials
from skerry.edge.daemon.hub_trust import hub_tls
from skerry.edge.engine.registries import OwnRegistry, Registries
from skerry.edge.settings import EdgeSettings

HTTPS_PORT = 443
# A pull over a thin line takes hours; the registry is shown it again with every few layers.
TOKEN_LIFE_S = 12 * 3600


def device_registries(settings: EdgeSettings, connection: ConnectionString, clock: Clock) -> Registries:
    """Where this device pulls from."""
    own = own_registry(settings, connection, clock)
    return Registries(clock=clock, jitter=random.random, own=own, insecure=settings.insecure_registries)


def own_registry(settings: EdgeSettings, connection: ConnectionString, clock: Clock) -> OwnRegistry:
    """How the device pulls from its hub."""
    port = settings.hub_https_port
    suffix = "" if port == HTTPS_PORT else f":{port}"
    host = connection.host_name + suffix
    identity = connection.identity

    def login() -> RegistryCredentials:
        if connection.shared_access_signature is not None:
            return RegistryCredentials(host, identity.client_id, connection.shared_access_signature)
        if connection.shared_access_key is None:
            return RegistryCredentials(host, identity.client_id, "")
        expiry = int(clock.now().timestamp()) + TOKEN_LIFE_S
        resource = identity.resource(connection.host_name)
        token = make_token(resource, key_signer(connection.shared_access_key), expiry)
        return RegistryCredentials(host, identity.client_id, token)

    address = settings.hub_address + suffix if settings.hub_address else ""
    return OwnRegistry(host, address, lambda: hub_tls(settings, connection), login)
