"""Twins as services see them: identity, sections, presence, configuration states (contract §4.3)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from skerry.contract.names import Identity
from skerry.contract.resources import twin_json
from skerry.contract.twin import Twin
from skerry.hub import command_rows, identity_rows, twin_rows
from skerry.hub.identity_rows import IdentityRow
from skerry.hub.owners import Presence
from skerry.hub.subscriptions import key
from skerry.store.storage import Transaction

Json = dict[str, Any]
Presences = Mapping[Identity, Presence]
STATES_SQL = (
    "SELECT json_group_object(configuration, json_object('status', status)) FROM configuration_states"
    " WHERE device = {} AND module = {}"
)


@dataclass(frozen=True, slots=True)
class StoredTwin:
    """What the database knows of one identity."""

    row: IdentityRow
    twin: Twin
    configurations: Json
    commands: int

    def document(self, presences: Presences) -> Json:
        """The Twin of the service API; presence as this process knows it counts more than the stored one."""
        presence = presences.get(self.row.identity)
        row = self.row
        if presence is not None:
            row = replace(row, connection_updated=presence.updated, last_activity=presence.last_activity)
        return twin_json(
            row.record(),
            self.twin,
            presence is not None and presence.connected,
            c2d_count=self.commands,
            configurations=self.configurations or None,
        )


def load(connection: Transaction, identity: Identity) -> StoredTwin:
    """All of one twin inside a transaction; raises NotFound."""
    row = identity_rows.load(connection, identity)
    states = connection.execute(STATES_SQL.format("?", "?"), key(identity)).fetchone()
    return StoredTwin(
        row,
        twin_rows.load(connection, identity),
        json.loads(states[0]),
        command_rows.count(connection, identity.device) if identity.module is None else 0,
    )
