package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/shedguard/shedguard/cloud/auth"
	"github.com/shedguard/shedguard/cloud/book"
	"github.com/shedguard/shedguard/cloud/config"
)

type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Make a token and print it, this once. It goes into the header Authorization: Bearer."`
	List   tokenListCmd   `cmd:"" help:"List the tokens."`
	Revoke tokenRevokeCmd `cmd:"" help:"End a token, at once."`
}

// where names the collector whose tokens are meant. It may be running.
type where struct {
	Config string `short:"c" type:"path" placeholder:"FILE" xor:"where" required:"" help:"The collector's configuration."`
	Data   string `type:"path" placeholder:"DIR" xor:"where" required:"" help:"The collector's data folder."`
}

// open opens the book of a collector that has run before.
func (w *where) open(e *env) (*book.Book, error) {
	dir := w.Data
	if w.Config != "" {
		c, err := config.Load(w.Config)
		if err != nil {
			return nil, usageError{err}
		}
		dir = c.Data
	}
	path := filepath.Join(dir, "book.db")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, usageError{fmt.Errorf("no alarm book in %s: start shedcloud there first: %w", dir, err)}
	}
	return book.Open(e.ctx, book.Options{Path: path, Log: e.log})
}

// with runs f on the book.
func (w *where) with(e *env, f func(context.Context, *book.Book) error) error {
	b, err := w.open(e)
	if err != nil {
		return err
	}
	return errors.Join(f(e.ctx, b), b.Close())
}

// operator is who works at this machine, for the audit trail.
func operator() string {
	if u, err := user.Current(); err == nil {
		return u.Username + " at the machine"
	}
	return "somebody at the machine"
}

type tokenCreateCmd struct {
	where
	Name     string `required:"" placeholder:"NAME" help:"What the token is for, as grafana."`
	ReadOnly bool   `required:"" help:"The token may only read. There is no other kind."`
}

// Run prints the token and nothing else to stdout.
func (c *tokenCreateCmd) Run(e *env) error {
	if !c.ReadOnly {
		return usageError{errors.New("token: a token may only read: want --read-only")}
	}
	token := auth.NewToken()
	hash, ok := auth.HashToken(token)
	if !ok {
		return errors.New("token: made one that is none")
	}
	err := c.with(e, func(ctx context.Context, b *book.Book) error {
		return b.AddToken(ctx, book.Token{Name: c.Name, Hash: hash, Scope: book.ScopeRead, CreatedAt: time.Now(), CreatedBy: operator()})
	})
	if errors.Is(err, book.ErrConflict) || errors.Is(err, book.ErrInvalid) {
		err = usageError{err}
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(e.out, token)
	fmt.Fprintln(e.errs, "It is shown this once and kept only as a hash.")
	return nil
}

type tokenListCmd struct{ where }

// Run lists the tokens, one a line.
func (c *tokenListCmd) Run(e *env) error {
	return c.with(e, func(ctx context.Context, b *book.Book) error {
		tokens, err := b.Tokens(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "NAME\tSCOPE\tCREATED\tBY\tLAST USED")
		for _, t := range tokens {
			used := "never"
			if !t.LastUsed.IsZero() {
				used = t.LastUsed.Format(time.RFC3339)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", t.Name, t.Scope, t.CreatedAt.Format(time.RFC3339), t.CreatedBy, used)
		}
		return w.Flush()
	})
}

type tokenRevokeCmd struct {
	where
	Name string `arg:"" help:"Name of the token."`
}

// Run ends the token.
func (c *tokenRevokeCmd) Run(e *env) error {
	err := c.with(e, func(ctx context.Context, b *book.Book) error {
		return b.RevokeToken(ctx, c.Name, operator(), time.Now())
	})
	if errors.Is(err, book.ErrNotFound) {
		return usageError{err}
	}
	if err == nil {
		fmt.Fprintf(e.out, "%s: revoked\n", c.Name)
	}
	return err
}
