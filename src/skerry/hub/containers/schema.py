"""The tables that say which blob belongs to which repository, as migrations."""

from __future__ import annotations

CONTAINERS_MIGRATIONS = (
    """
    CREATE TABLE links (
        repository TEXT NOT NULL,
        digest TEXT NOT NULL,
        size INTEGER NOT NULL,
        linked TEXT NOT NULL,
        PRIMARY KEY (repository, digest)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX links_by_digest ON links (digest);
    CREATE TABLE manifests (
        repository TEXT NOT NULL,
        digest TEXT NOT NULL,
        media_type TEXT NOT NULL,
        artifact_type TEXT NOT NULL,
        annotations TEXT NOT NULL,
        subject TEXT,
        size INTEGER NOT NULL,
        pushed TEXT NOT NULL,
        pushed_by TEXT NOT NULL,
        PRIMARY KEY (repository, digest)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX manifests_by_subject ON manifests (repository, subject);
    CREATE TABLE parts (
        repository TEXT NOT NULL,
        manifest TEXT NOT NULL,
        digest TEXT NOT NULL,
        size INTEGER NOT NULL,
        PRIMARY KEY (repository, manifest, digest),
        FOREIGN KEY (repository, manifest) REFERENCES manifests (repository, digest) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX parts_by_digest ON parts (digest);
    CREATE TABLE tags (
        repository TEXT NOT NULL,
        tag TEXT NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (repository, tag),
        FOREIGN KEY (repository, digest) REFERENCES manifests (repository, digest) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    """,
)
