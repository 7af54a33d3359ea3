package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shedguard/shedguard/cloud/auth"
	"github.com/shedguard/shedguard/cloud/book"
)

// The roles.
const (
	RoleAdmin  = "admin"  // may do everything
	RoleReader = "reader" // of tokens: may read what is not for admins alone
)

// sessionUser is where a session keeps its user's name.
const sessionUser = "user"

// nobody's password: checking it costs as much as checking a user's, so that
// the time of an answer does not tell which names there are.
const nobody = "$argon2id$v=19$m=19456,t=2,p=1$c2hlZGd1YXJkLW5vLW9uZQ$MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA"

// none is an empty request or answer.
type none struct{}

type loginInput struct {
	Body struct {
		User     string `json:"user" minLength:"1" maxLength:"100"`
		Password string `json:"password" minLength:"1" maxLength:"200"`
	}
}

type meOutput struct {
	Body struct {
		User string `json:"user"`
		Role string `json:"role" doc:"admin may do everything; reader, of a token, may read"`
	}
}

func (s *Server) loginRoutes(api huma.API) {
	login := operation(http.MethodPost, "/login", "login", "Begin a session", http.StatusTooManyRequests)
	login.Security = nil
	handle(s, api, login, s.login)
	handle(s, api, operation(http.MethodPost, "/logout", "logout", "End the session"), s.logout)
	handle(s, api, operation(http.MethodGet, "/me", "me", "Who is logged in"), s.me)
}

func (s *Server) login(ctx context.Context, in *loginInput) (*none, error) {
	user, address := in.Body.User, addressOf(ctx)
	now := time.Now()
	for key, limiter := range map[string]*auth.Limiter{"user " + user: s.byUser, "address " + address: s.byAddress} {
		if wait := limiter.Take(key, now); wait > 0 {
			s.logins.WithLabelValues("limited").Inc()
			return nil, huma.ErrorWithHeaders(huma.Error429TooManyRequests("too many wrong attempts: wait "+seconds(wait)+" s"),
				http.Header{"Retry-After": {seconds(wait)}})
		}
	}
	u, ok, err := s.check(ctx, user, in.Body.Password)
	if err != nil {
		return nil, err
	}
	if !ok {
		s.logins.WithLabelValues("refused").Inc()
		s.opts.Log.WarnContext(ctx, "login refused", slog.String("user", user), slog.String("address", address))
		if err := s.audit(ctx, user, "login_refused", user, nil); err != nil {
			return nil, err
		}
		return nil, huma.Error401Unauthorized("wrong user or password")
	}
	s.byUser.Give("user " + user)
	s.byAddress.Give("address " + address)
	if err := s.sessions.RenewToken(ctx); err != nil {
		return nil, err
	}
	s.sessions.Put(ctx, sessionUser, u.Name)
	s.logins.WithLabelValues("ok").Inc()
	return nil, s.audit(ctx, u.Name, "login", u.Name, nil)
}

// seconds is a wait in whole seconds, not too short.
func seconds(wait time.Duration) string { return fmt.Sprint(math.Ceil(wait.Seconds())) }

// check reports whether the password is the user's.
func (s *Server) check(ctx context.Context, user, password string) (book.User, bool, error) {
	u, err := s.opts.Book.User(ctx, user)
	missing := errors.Is(err, book.ErrNotFound)
	if err != nil && !missing {
		return book.User{}, false, err
	}
	if missing {
		u.PasswordHash = nobody
	}
	select {
	case s.hashing <- struct{}{}:
		defer func() { <-s.hashing }()
	case <-ctx.Done():
		return book.User{}, false, ctx.Err()
	}
	ok, err := auth.Verify(u.PasswordHash, password)
	return u, ok && !missing, err
}

func (s *Server) logout(ctx context.Context, _ *none) (*none, error) {
	if err := s.sessions.Destroy(ctx); err != nil {
		return nil, err
	}
	return nil, s.audit(ctx, who(ctx).name, "logout", who(ctx).name, nil)
}

func (s *Server) me(ctx context.Context, _ *none) (*meOutput, error) {
	out := &meOutput{}
	out.Body.User, out.Body.Role = who(ctx).name, who(ctx).role
	return out, nil
}

// audit keeps a deed. A deed that cannot be kept is not done.
func (s *Server) audit(ctx context.Context, by, deed, target string, detail any) error {
	a, err := s.deed(ctx, by, deed, target, detail)
	if err != nil {
		return err
	}
	return s.opts.Book.Audit(ctx, a)
}

// deed is what a person does now.
func (s *Server) deed(ctx context.Context, by, deed, target string, detail any) (book.AuditEntry, error) {
	a := book.AuditEntry{At: time.Now(), By: by, Address: addressOf(ctx), Deed: deed, Target: target}
	if detail != nil {
		b, err := json.Marshal(detail)
		if err != nil {
			return a, fmt.Errorf("audit %s: %w", deed, err)
		}
		a.Detail = b
	}
	return a, nil
}
