-- The telemetry database of a hub of the first release (schema as in PRAGMA user_version), made for tests: its keys are nobody's.
PRAGMA user_version = 2;
BEGIN TRANSACTION;
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
INSERT INTO "ledger" VALUES('dev','','e',3,3,0,0,0,'[]',3);
CREATE TABLE ledger_position (sequence INTEGER NOT NULL) STRICT;
INSERT INTO "ledger_position" VALUES(3);
CREATE TABLE telemetry (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        enqueued TEXT NOT NULL,
        device TEXT NOT NULL,
        module TEXT NOT NULL,
        properties TEXT NOT NULL,
        system TEXT NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
INSERT INTO "telemetry" VALUES(1,'2026-11-23T18:47:41.587467Z','dev','','{"skerry-epoch": "e", "skerry-seq": "1"}','{"contentType": "application/json", "contentEncoding": "utf-8", "connectionDeviceId": "dev"}',X'7B226E223A20307D');
INSERT INTO "telemetry" VALUES(2,'2026-11-23T18:47:41.590670Z','dev','','{"skerry-epoch": "e", "skerry-seq": "2"}','{"contentType": "application/json", "contentEncoding": "utf-8", "connectionDeviceId": "dev"}',X'7B226E223A20317D');
INSERT INTO "telemetry" VALUES(3,'2026-11-23T18:47:41.592952Z','dev','','{"skerry-epoch": "e", "skerry-seq": "3"}','{"contentType": "application/json", "contentEncoding": "utf-8", "connectionDeviceId": "dev"}',X'7B226E223A20327D');
CREATE INDEX telemetry_by_sender ON telemetry (device, module, sequence);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('telemetry',3);
COMMIT;
