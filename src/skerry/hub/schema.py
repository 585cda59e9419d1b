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
    """
    CREATE TABLE commands (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        device TEXT NOT NULL,
        module TEXT NOT NULL DEFAULT '' CHECK (module = ''),
        enqueued TEXT NOT NULL,
        expires TEXT NOT NULL,
        deliveries INTEGER NOT NULL DEFAULT 0,
        ack TEXT NOT NULL,
        properties TEXT NOT NULL,
        system TEXT NOT NULL,
        body BLOB NOT NULL,
        FOREIGN KEY (device, module) REFERENCES identities (device, module) ON DELETE CASCADE
    ) STRICT;
    CREATE INDEX commands_by_device ON commands (device, module, sequence);
    CREATE TABLE feedback (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        expires TEXT NOT NULL,
        deliveries INTEGER NOT NULL DEFAULT 0,
        record TEXT NOT NULL
    ) STRICT;
    """,
    """
    CREATE TABLE configurations (
        id TEXT PRIMARY KEY,
        document TEXT NOT NULL,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        etag TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE configuration_states (
        device TEXT NOT NULL,
        module TEXT NOT NULL,
        configuration TEXT NOT NULL,
        status TEXT NOT NULL,
        PRIMARY KEY (device, module, configuration),
        FOREIGN KEY (device, module) REFERENCES identities (device, module) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX states_by_configuration ON configuration_states (configuration, status);
    CREATE TABLE configured (
        device TEXT NOT NULL,
        module TEXT NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (device, module),
        FOREIGN KEY (device, module) REFERENCES identities (device, module) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        type TEXT NOT NULL,
        status TEXT NOT NULL,
        document TEXT NOT NULL,
        created TEXT NOT NULL,
        starts TEXT NOT NULL,
        started TEXT,
        ended TEXT,
        reason TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE device_jobs (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        device TEXT NOT NULL,
        status TEXT NOT NULL,
        started TEXT,
        ended TEXT,
        updated TEXT NOT NULL,
        outcome TEXT,
        PRIMARY KEY (job, device)
    ) STRICT, WITHOUT ROWID;
    """,
    # Azure compares registration ids without regard to case.
    """
    CREATE TABLE enrollments (
        kind TEXT NOT NULL CHECK (kind IN ('individual', 'group')),
        id TEXT NOT NULL COLLATE NOCASE,
        document TEXT NOT NULL,
        primary_key TEXT NOT NULL,
        secondary_key TEXT NOT NULL,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        etag TEXT NOT NULL,
        PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE registrations (
        id TEXT PRIMARY KEY COLLATE NOCASE,
        enrollment_group TEXT NOT NULL COLLATE NOCASE,
        operation TEXT NOT NULL,
        device TEXT NOT NULL,
        status TEXT NOT NULL,
        substatus TEXT NOT NULL,
        error_code INTEGER,
        error_message TEXT,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        etag TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX registrations_by_group ON registrations (enrollment_group, id);
    """,
    # Uploads: a token is kept as its digest. A blob is a file named by its content; blocks are parts of one
    # that are not committed yet.
    """
    ALTER TABLE feedback ADD COLUMN kind TEXT NOT NULL DEFAULT 'command';
    CREATE TABLE uploads (
        correlation TEXT PRIMARY KEY,
        device TEXT NOT NULL,
        module TEXT NOT NULL DEFAULT '' CHECK (module = ''),
        blob TEXT NOT NULL,
        host TEXT NOT NULL,
        signature TEXT NOT NULL,
        expires TEXT NOT NULL,
        FOREIGN KEY (device, module) REFERENCES identities (device, module) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX uploads_by_blob ON uploads (blob);
    CREATE TABLE blobs (
        name TEXT PRIMARY KEY,
        correlation TEXT NOT NULL,
        digest TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        md5 TEXT NOT NULL,
        content_type TEXT NOT NULL,
        etag TEXT NOT NULL,
        modified TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE blocks (
        correlation TEXT NOT NULL REFERENCES uploads (correlation) ON DELETE CASCADE,
        block TEXT NOT NULL,
        digest TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (correlation, block)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE ca_certificates (
        name TEXT PRIMARY KEY COLLATE NOCASE,
        pem TEXT NOT NULL,
        verified INTEGER NOT NULL,
        code TEXT NOT NULL,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        etag TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE audit (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        time TEXT NOT NULL,
        who TEXT NOT NULL,
        origin TEXT NOT NULL,
        action TEXT NOT NULL,
        target TEXT NOT NULL,
        before TEXT NOT NULL,
        after TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT;
    CREATE INDEX audit_by_target ON audit (target, sequence);
    CREATE TABLE outbox (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        enqueued TEXT NOT NULL,
        device TEXT NOT NULL,
        module TEXT NOT NULL,
        properties TEXT NOT NULL,
        system TEXT NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    """,
    "ALTER TABLE identities ADD COLUMN model_id TEXT NOT NULL DEFAULT '';",
    """
    CREATE INDEX blobs_by_digest ON blobs (digest);
    CREATE INDEX blocks_by_digest ON blocks (digest);
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
    """
    CREATE TABLE ledger (
        device TEXT NOT NULL,
        module TEXT NOT NULL,
        epoch TEXT NOT NULL,
        highest INTEGER NOT NULL,
        received INTEGER NOT NULL,
        duplicates INTEGER NOT NULL,
        reordered INTEGER NOT NULL,
        given_up INTEGER NOT NULL,
        missing TEXT NOT NULL,
        last_sequence INTEGER NOT NULL,
        PRIMARY KEY (device, module, epoch)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE ledger_position (sequence INTEGER NOT NULL) STRICT;
    INSERT INTO ledger_position VALUES (0);
    """,
    # The number in the hub's outbox of the last event that was taken over from there.
    """
    CREATE TABLE taken_over (number INTEGER NOT NULL) STRICT;
    INSERT INTO taken_over VALUES (0);
    """,
    """
    CREATE TABLE consumer_groups (
        name TEXT PRIMARY KEY,
        sequence INTEGER NOT NULL,
        updated TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE sinks (
        name TEXT PRIMARY KEY,
        document TEXT NOT NULL,
        position INTEGER NOT NULL,
        delivered INTEGER NOT NULL DEFAULT 0,
        dead INTEGER NOT NULL DEFAULT 0,
        last_error TEXT NOT NULL DEFAULT '',
        created TEXT NOT NULL,
        etag TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE dead_letters (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        sink TEXT NOT NULL REFERENCES sinks (name) ON DELETE CASCADE,
        sequence INTEGER NOT NULL,
        time TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        reason TEXT NOT NULL,
        event TEXT NOT NULL
    ) STRICT;
    CREATE INDEX dead_letters_by_sink ON dead_letters (sink, number);
    """,
    # The hash chain: what it proves, and the ends that wait for their other half.
    """
    ALTER TABLE ledger ADD COLUMN proven INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE ledger ADD COLUMN altered INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE ledger ADD COLUMN ends TEXT NOT NULL DEFAULT '[]';
    """,
)
