"""The tables of the hub's two databases, as migrations."""

from __future__ import annotations

# A module of '' is the device itself: one key for both kinds of identity.
HUB_MIGRATIONS = (
    """
    CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE policies (
        name TEXT PRIMARY KEY, primary_key TEXT NOT NULL, secondary_key TEXT NOT NULL
    ) STRICT;
    CREATE TABLE identities (
        device TEXT NOT NULL,
        module TEXT NOT NULL,
        generation TEXT NOT NULL,
        etag TEXT NOT NULL,
        status TEXT NOT NULL,
        status_reason TEXT,
        status_updated TEXT NOT NULL,
        auth_type TEXT NOT NULL,
        primary_key TEXT NOT NULL,
        secondary_key TEXT NOT NULL,
        primary_thumbprint TEXT NOT NULL,
        secondary_thumbprint TEXT NOT NULL,
        iot_edge INTEGER NOT NULL,
        device_scope TEXT NOT NULL,
        parent_scopes TEXT NOT NULL,
        managed_by TEXT NOT NULL,
        connection_updated TEXT NOT NULL,
        last_activity TEXT NOT NULL,
        PRIMARY KEY (device, module)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE twins (
        device TEXT NOT NULL,
        module TEXT NOT NULL,
        tags TEXT NOT NULL,
        desired TEXT NOT NULL,
        desired_metadata TEXT NOT NULL,
        desired_version INTEGER NOT NULL,
        reported TEXT NOT NULL,
        reported_metadata TEXT NOT NULL,
        reported_version INTEGER NOT NULL,
        version INTEGER NOT NULL,
        etag TEXT NOT NULL,
        PRIMARY KEY (device, module),
        FOREIGN KEY (device, module) REFERENCES identities (device, module) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE subscriptions (
        device TEXT NOT NULL,
        module TEXT NOT NULL,
        filter TEXT NOT NULL,
        qos INTEGER NOT NULL,
        PRIMARY KEY (device, module, filter)
    ) STRICT, WITHOUT ROWID;
    """,
)

# AUTOINCREMENT: a sequence number is never given twice, also after the newest rows were trimmed.
TELEMETRY_MIGRATIONS = (
    """
    CREATE TABLE telemetry (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        enqueued TEXT NOT NULL,
        device TEXT NOT NULL,
        module TEXT NOT NULL,
        properties TEXT NOT NULL,
        system TEXT NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE INDEX telemetry_by_sender ON telemetry (device, module, sequence);
    """,
)
