package book

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ScopeRead is the scope of a token that may read what every user may read.
const ScopeRead = "read"

// Token is a program's access to the API. The token itself is not kept.
type Token struct {
	Name      string
	Hash      string // of the token, as package auth makes it
	Scope     string // [ScopeRead]
	CreatedAt time.Time
	CreatedBy string
	LastUsed  time.Time // to [UsedEvery]; zero for never
}

// UsedEvery is how exact a token's last use is kept: who uses one calls
// [Book.TokenUsed] when the last use is so old.
const UsedEvery = 10 * time.Minute

// AddToken keeps a token and the deed of who made it. A name that is taken
// gives [ErrConflict].
func (b *Book) AddToken(ctx context.Context, t Token) error {
	odd := strings.ContainsFunc(t.Name, func(r rune) bool { return !unicode.IsPrint(r) })
	if t.Name == "" || len(t.Name) > 100 || odd || !utf8.ValidString(t.Name) || t.Hash == "" || t.Scope != ScopeRead || t.CreatedBy == "" {
		return fmt.Errorf("token %q: want a name of 1 to 100 printable bytes, a hash, the scope %q and a maker: %w", t.Name, ScopeRead, ErrInvalid)
	}
	err := b.tx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "INSERT INTO api_tokens (name, hash, scope, created_at, created_by) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			t.Name, t.Hash, t.Scope, millis(t.CreatedAt), valid(t.CreatedBy))
		if err := one(res, err, ErrConflict); err != nil {
			return err
		}
		return audit(ctx, tx, AuditEntry{At: t.CreatedAt, By: t.CreatedBy, Deed: "token_created", Target: t.Name})
	})
	if err != nil {
		return fmt.Errorf("add token %s: %w", t.Name, err)
	}
	return nil
}

const tokenQuery = "SELECT name, hash, scope, created_at, created_by, last_used FROM api_tokens "

func scanToken(scan func(...any) error) (t Token, err error) {
	var created, used int64
	err = scan(&t.Name, &t.Hash, &t.Scope, &created, &t.CreatedBy, &used)
	t.CreatedAt, t.LastUsed = instant(created), instant(used)
	return t, err
}

// Token is the token of a hash, or [ErrNotFound].
func (b *Book) Token(ctx context.Context, hash string) (Token, error) {
	t, err := scanToken(b.read.QueryRowContext(ctx, tokenQuery+"WHERE hash = ?", hash).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Token{}, fmt.Errorf("token: %w", err)
	}
	return t, nil
}

// TokenUsed notes when a token was used.
func (b *Book) TokenUsed(ctx context.Context, name string, at time.Time) error {
	if _, err := b.write.ExecContext(ctx, "UPDATE api_tokens SET last_used = max(last_used, ?) WHERE name = ?", millis(at), name); err != nil {
		return fmt.Errorf("note the use of token %s: %w", name, err)
	}
	return nil
}

// Tokens lists every token by name.
func (b *Book) Tokens(ctx context.Context) (tokens []Token, err error) {
	err = each(ctx, b.read, func(scan func(...any) error) error {
		t, err := scanToken(scan)
		tokens = append(tokens, t)
		return err
	}, tokenQuery+"ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	return tokens, nil
}

// RevokeToken ends a token and keeps the deed, or gives [ErrNotFound].
func (b *Book) RevokeToken(ctx context.Context, name, by string, at time.Time) error {
	err := b.tx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "DELETE FROM api_tokens WHERE name = ?", name)
		if err := one(res, err, ErrNotFound); err != nil {
			return err
		}
		return audit(ctx, tx, AuditEntry{At: at, By: by, Deed: "token_revoked", Target: name})
	})
	if err != nil {
		return fmt.Errorf("revoke token %q: %w", name, err)
	}
	return nil
}
