-- +goose Up
-- When an event is shown to have happened: the receipt, when its gateway did
-- not know the time.
ALTER TABLE events ADD COLUMN shown_at INTEGER GENERATED ALWAYS AS (
    CASE WHEN json_valid(data) THEN CASE WHEN json_extract(data, '$.clock') = 'unsynced' THEN received_at ELSE at END ELSE at END
) VIRTUAL;
CREATE INDEX events_log ON events (shed, shown_at, id) WHERE alarm_id IS NULL;
CREATE INDEX commands_log ON commands (shed, issued_at, id);

CREATE INDEX alarms_subject ON alarms (shed, subject, num);
CREATE INDEX alarms_span ON alarms (raised_at, cleared, cleared_at, clock, received_at, num);

CREATE TABLE api_tokens (
    name       TEXT PRIMARY KEY,
    hash       TEXT NOT NULL UNIQUE,
    scope      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    last_used  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE api_tokens;
DROP INDEX alarms_span;
DROP INDEX alarms_subject;
DROP INDEX commands_log;
DROP INDEX events_log;
ALTER TABLE events DROP COLUMN shown_at;
