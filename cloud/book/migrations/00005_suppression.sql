-- +goose Up
-- What a gateway last said of its siren and its suppression; NULL where none is
-- enabled, or the gateway is too old to say.
ALTER TABLE sheds ADD COLUMN siren INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sheds ADD COLUMN suppression TEXT;

-- +goose Down
ALTER TABLE sheds DROP COLUMN suppression;
ALTER TABLE sheds DROP COLUMN siren;
