-- +goose Up
CREATE TABLE sheds (
    shed         TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    place        TEXT NOT NULL DEFAULT '',
    created_at   INTEGER NOT NULL,
    state        TEXT NOT NULL DEFAULT 'unknown',
    since        INTEGER NOT NULL,
    last_seen    INTEGER NOT NULL DEFAULT 0,
    status_state TEXT NOT NULL DEFAULT '',
    version      TEXT NOT NULL DEFAULT '',
    config_hash  TEXT NOT NULL DEFAULT '',
    clock        TEXT NOT NULL DEFAULT '',
    boot_id      TEXT NOT NULL DEFAULT '',
    conn         INTEGER NOT NULL DEFAULT 0,
    outlets      TEXT NOT NULL DEFAULT '[]'
) STRICT;

CREATE TABLE boots (
    shed       TEXT NOT NULL,
    boot_id    TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    PRIMARY KEY (shed, boot_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    num         INTEGER PRIMARY KEY,
    source      TEXT NOT NULL,
    id          TEXT NOT NULL,
    shed        TEXT NOT NULL,
    type        TEXT NOT NULL,
    subject     TEXT NOT NULL,
    at          INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    alarm_id    TEXT,
    data        TEXT NOT NULL,
    UNIQUE (source, id)
) STRICT;
CREATE INDEX events_alarm ON events (alarm_id) WHERE alarm_id IS NOT NULL;
CREATE INDEX events_received ON events (received_at) WHERE alarm_id IS NULL;

CREATE TABLE alarms (
    num         INTEGER PRIMARY KEY AUTOINCREMENT,
    alarm_id    TEXT NOT NULL UNIQUE,
    shed        TEXT NOT NULL,
    subject     TEXT NOT NULL,
    cause       TEXT NOT NULL,
    severity    INTEGER NOT NULL,
    grade       TEXT NOT NULL,
    raised_at   INTEGER NOT NULL,
    since       INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    value       REAL NOT NULL,
    lim         REAL NOT NULL,
    unit        TEXT NOT NULL,
    action      TEXT NOT NULL,
    latched     INTEGER NOT NULL,
    evidence    TEXT NOT NULL,
    text_zh     TEXT NOT NULL,
    text_en     TEXT NOT NULL,
    clock       TEXT NOT NULL,
    cleared     INTEGER NOT NULL,
    cleared_at  INTEGER NOT NULL,
    head_boot   TEXT NOT NULL,
    head_seq    INTEGER NOT NULL,
    head_id     TEXT NOT NULL,
    clear_boot  TEXT NOT NULL,
    clear_seq   INTEGER NOT NULL,
    clear_id    TEXT NOT NULL,
    ack_by      TEXT NOT NULL,
    ack_at      INTEGER NOT NULL,
    ack_comment TEXT NOT NULL,
    ack_boot    TEXT NOT NULL,
    ack_seq     INTEGER NOT NULL,
    ack_id      TEXT NOT NULL
) STRICT;
CREATE INDEX alarms_shed ON alarms (shed, num);
CREATE INDEX alarms_severity ON alarms (severity, num);
CREATE INDEX alarms_open ON alarms (num) WHERE cleared = 0;
CREATE INDEX alarms_open_shed ON alarms (shed, severity) WHERE cleared = 0;

CREATE TABLE alarm_notes (
    num      INTEGER PRIMARY KEY,
    alarm_id TEXT NOT NULL,
    at       INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    by       TEXT NOT NULL,
    text     TEXT NOT NULL
) STRICT;
CREATE INDEX alarm_notes_alarm ON alarm_notes (alarm_id);

CREATE TABLE evidence (
    alarm_id    TEXT NOT NULL,
    num         INTEGER NOT NULL,
    shed        TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    jpeg        BLOB NOT NULL,
    PRIMARY KEY (alarm_id, num)
) STRICT;

CREATE TABLE commands (
    id         TEXT PRIMARY KEY,
    shed       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    args       TEXT NOT NULL,
    by         TEXT NOT NULL,
    boot_id    TEXT NOT NULL,
    issued_at  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX commands_issued ON commands (issued_at);

CREATE TABLE replies (
    shed        TEXT NOT NULL,
    id          TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    ok          INTEGER NOT NULL,
    code        TEXT NOT NULL,
    text        TEXT NOT NULL,
    result      TEXT NOT NULL,
    PRIMARY KEY (shed, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX replies_received ON replies (received_at);

CREATE TABLE dead_letters (
    num     INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    shed    TEXT NOT NULL,
    topic   TEXT NOT NULL,
    reason  TEXT NOT NULL,
    payload BLOB NOT NULL,
    bytes   INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
    name          TEXT PRIMARY KEY,
    role          TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    num     INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    by      TEXT NOT NULL,
    address TEXT NOT NULL,
    deed    TEXT NOT NULL,
    target  TEXT NOT NULL,
    detail  TEXT NOT NULL
) STRICT;

CREATE TABLE logins (
    token   TEXT PRIMARY KEY,
    data    BLOB NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX logins_expires ON logins (expires);

-- +goose Down
DROP TABLE logins;
DROP TABLE audit;
DROP TABLE users;
DROP TABLE dead_letters;
DROP TABLE replies;
DROP TABLE commands;
DROP TABLE evidence;
DROP TABLE alarm_notes;
DROP TABLE alarms;
DROP TABLE events;
DROP TABLE boots;
DROP TABLE sheds;
