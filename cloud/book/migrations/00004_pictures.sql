-- +goose Up
ALTER TABLE alarms ADD COLUMN detail TEXT NOT NULL DEFAULT '';

CREATE INDEX evidence_received ON evidence (received_at);

-- The last picture that somebody asked of a camera, and the command that did.
CREATE TABLE snapshots (
    shed        TEXT NOT NULL,
    camera      TEXT NOT NULL,
    id          TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    jpeg        BLOB NOT NULL,
    PRIMARY KEY (shed, camera)
) STRICT;

CREATE INDEX audit_at ON audit (at);

-- +goose Down
DROP INDEX audit_at;
DROP TABLE snapshots;
DROP INDEX evidence_received;
ALTER TABLE alarms DROP COLUMN detail;
