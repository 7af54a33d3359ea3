-- +goose Up
CREATE TABLE notify_since (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    at          INTEGER NOT NULL
) STRICT;

CREATE TABLE notify_deliveries (
    num         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    person      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    state       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    channel     TEXT NOT NULL,
    refused     TEXT NOT NULL,
    attempts    INTEGER NOT NULL,
    next_at     INTEGER NOT NULL,
    done_at     INTEGER NOT NULL
) STRICT;
CREATE INDEX notify_deliveries_pending ON notify_deliveries (num) WHERE state = 'pending';
CREATE INDEX notify_deliveries_person ON notify_deliveries (person, num);

CREATE TABLE notify_notices (
    alarm_id    TEXT NOT NULL,
    person      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    round       INTEGER NOT NULL,
    severity    INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    shed        TEXT NOT NULL,
    subject     TEXT NOT NULL,
    cause       TEXT NOT NULL,
    delivery    INTEGER REFERENCES notify_deliveries (num) ON DELETE CASCADE,
    said_over   INTEGER NOT NULL DEFAULT 0,
    settled     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (alarm_id, person, kind, round)
) STRICT, WITHOUT ROWID;
CREATE INDEX notify_notices_delivery ON notify_notices (delivery);
CREATE INDEX notify_notices_open ON notify_notices (alarm_id) WHERE settled = 0;
CREATE INDEX notify_notices_at ON notify_notices (at);

CREATE TABLE notify_attempts (
    num         INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery    INTEGER NOT NULL REFERENCES notify_deliveries (num) ON DELETE CASCADE,
    at          INTEGER NOT NULL,
    channel     TEXT NOT NULL,
    result      TEXT NOT NULL,
    error       TEXT NOT NULL,
    took_ms     INTEGER NOT NULL
) STRICT;
CREATE INDEX notify_attempts_delivery ON notify_attempts (delivery);

-- +goose Down
DROP TABLE notify_attempts;
DROP TABLE notify_notices;
DROP TABLE notify_deliveries;
DROP TABLE notify_since;
