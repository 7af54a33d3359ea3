package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/klauspost/compress/gzhttp"

	"github.com/shedguard/shedguard/cloud/auth"
	"github.com/shedguard/shedguard/cloud/book"
)

// contentPolicy lets the page load, run and style from here alone.
const contentPolicy = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// guard is around every request: headers, other sites, long bodies, panics.
func (s *Server) guard(next http.Handler) http.Handler {
	other := http.NewCrossOriginProtection()
	other.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, http.StatusForbidden, "a request of another site is refused")
	}))
	inner := other.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if s.opts.Secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if strings.HasPrefix(r.URL.Path, "/api/") {
			h.Set("Cache-Control", "no-store")
		}
		r.Body = http.MaxBytesReader(w, r.Body, bodyBytes+1) // huma answers at the limit itself
		defer func() {                                       //nolint:contextcheck // the request has it
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler { //nolint:errorlint // the very value, as net/http says
				panic(p)
			}
			s.opts.Log.ErrorContext(r.Context(), "request panicked",
				slog.String("path", r.URL.Path), slog.Any("err", p), slog.String("stack", string(debug.Stack())))
			writeProblem(w, http.StatusInternalServerError, "internal error")
		}()
		inner.ServeHTTP(w, r)
	})
}

// compressed compresses answers of a kilobyte and more, but not the stream of
// changes, each of which must leave at once. No answer holds a secret beside
// what a stranger could put there, so that its length tells nothing.
func compressed(next http.Handler) (http.Handler, error) {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(1<<10), gzhttp.EnableZstd(false))
	if err != nil {
		return nil, err
	}
	zipped := wrap(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/stream" {
			next.ServeHTTP(w, r)
			return
		}
		zipped.ServeHTTP(w, r)
	}), nil
}

// measure counts requests by route and outcome. The stream is left out: its
// length says nothing.
func (s *Server) measure(ctx huma.Context, next func(huma.Context)) {
	began := time.Now()
	next(ctx)
	if op := ctx.Operation(); op.OperationID != streamID {
		s.requests.WithLabelValues(op.Method, op.Path, strconv.Itoa(ctx.Status())).Observe(time.Since(began).Seconds())
	}
}

// person is who makes a request.
type person struct{ name, role string }

// personKey is where admit leaves the person for the operation.
type personKey struct{}

// who is the person that makes the request; admit has seen to it that there
// is one.
func who(ctx context.Context) person {
	p, _ := ctx.Value(personKey{}).(person)
	return p
}

// adminOnly refuses everybody else.
func adminOnly(ctx context.Context, deed string) error {
	if who(ctx).role != RoleAdmin {
		return huma.Error403Forbidden("your role may not " + deed)
	}
	return nil
}

// addressKey is where admit leaves the client's address.
type addressKey struct{}

func addressOf(ctx context.Context) string {
	a, _ := ctx.Value(addressKey{}).(string)
	return a
}

// refusal is why a request is not let through.
type refusal struct {
	status int
	detail string
	header http.Header
}

func (r *refusal) Error() string { return r.detail }

// admit lets a request through to an operation that wants a session or a token
// only for who has one.
func (s *Server) admit(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		address := clientAddress(ctx.RemoteAddr(), ctx.Header("X-Forwarded-For"))
		ctx = huma.WithValue(ctx, addressKey{}, address)
		op := ctx.Operation()
		if len(op.Security) == 0 {
			next(ctx)
			return
		}
		p, err := s.caller(ctx.Context(), ctx.Header("Authorization"))
		if err == nil && p.role == RoleReader && !slices.ContainsFunc(op.Security, func(m map[string][]string) bool { _, ok := m[byToken]; return ok }) {
			err = &refusal{status: http.StatusForbidden, detail: "a token may only read"}
		}
		if err == nil {
			next(huma.WithValue(ctx, personKey{}, p))
			return
		}
		r, ok := errors.AsType[*refusal](err)
		if !ok {
			r = s.internal(ctx.Context(), op.OperationID, err)
		}
		for name := range r.header {
			ctx.SetHeader(name, r.header.Get(name))
		}
		if err := huma.WriteErr(api, ctx, r.status, r.detail); err != nil {
			s.opts.Log.DebugContext(ctx.Context(), "answer not written", slog.Any("err", err))
		}
	}
}

// internal logs an error that is not the client's doing.
func (s *Server) internal(ctx context.Context, operation string, err error) *refusal {
	if ctx.Err() != nil { // the client went away, or the server ends
		return &refusal{status: http.StatusServiceUnavailable, detail: "the request was given up"}
	}
	s.opts.Log.ErrorContext(ctx, "request failed", slog.String("operation", operation), slog.Any("err", err))
	return &refusal{status: http.StatusInternalServerError, detail: "internal error"}
}

// caller is who makes a request: the holder of a token, or of a session. Who
// has neither gets a [refusal].
func (s *Server) caller(ctx context.Context, authorization string) (person, error) {
	scheme, token, _ := strings.Cut(authorization, " ")
	if strings.EqualFold(scheme, "Bearer") { // what is for a proxy in front is not for here
		return s.tokenHolder(ctx, strings.TrimSpace(token))
	}
	name := s.sessions.GetString(ctx, sessionUser)
	u, err := book.User{}, book.ErrNotFound
	if name != "" {
		u, err = s.opts.Book.User(ctx, name)
	}
	if errors.Is(err, book.ErrNotFound) {
		return person{}, &refusal{status: http.StatusUnauthorized, detail: "log in first"}
	}
	return person{name: u.Name, role: u.Role}, err
}

// tokenHolder is the program whose token it is. Bad tokens are counted by
// address; while there are too many of them they are neither kept in the book
// nor logged. A good one is never held back: it cannot be guessed.
func (s *Server) tokenHolder(ctx context.Context, token string) (person, error) {
	if hash, ok := auth.HashToken(token); ok {
		t, err := s.opts.Book.Token(ctx, hash)
		if now := time.Now(); err == nil && now.Sub(t.LastUsed) >= book.UsedEvery {
			if err := s.opts.Book.TokenUsed(ctx, t.Name, now); err != nil { // reading goes on with a full disk
				s.opts.Log.WarnContext(ctx, "use of a token not noted", slog.Any("err", err))
			}
		}
		if !errors.Is(err, book.ErrNotFound) {
			return person{name: "token " + t.Name, role: RoleReader}, err
		}
	}
	address := addressOf(ctx)
	if wait := s.badTokens.Take(address, time.Now()); wait > 0 {
		s.logins.WithLabelValues("token_limited").Inc()
		return person{}, &refusal{
			http.StatusTooManyRequests, "too many wrong tokens: wait " + seconds(wait) + " s", http.Header{"Retry-After": {seconds(wait)}},
		}
	}
	s.logins.WithLabelValues("token_refused").Inc()
	s.opts.Log.WarnContext(ctx, "token refused", slog.String("address", address))
	if err := s.audit(ctx, "token", "token_refused", "", nil); err != nil {
		return person{}, err
	}
	return person{}, &refusal{http.StatusUnauthorized, "the token is not known", http.Header{"Www-Authenticate": {"Bearer"}}}
}

// promPath is where questions in PromQL are answered.
const promPath = "/api/v1/prom"

// prom lets users and holders of tokens ask in PromQL.
func (s *Server) prom() http.Handler {
	if s.opts.Prom == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			writeProblem(w, http.StatusNotFound, "telemetry is kept in a database on another machine: ask that one")
		})
	}
	answer := http.StripPrefix(promPath, s.opts.Prom)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), addressKey{}, clientAddress(r.RemoteAddr, r.Header.Get("X-Forwarded-For")))
		p, err := s.caller(ctx, r.Header.Get("Authorization"))
		if err == nil {
			answer.ServeHTTP(w, r.WithContext(context.WithValue(ctx, personKey{}, p)))
			return
		}
		f, ok := errors.AsType[*refusal](err)
		if !ok {
			f = s.internal(ctx, "prom", err)
		}
		for name := range f.header {
			w.Header().Set(name, f.header.Get(name))
		}
		writeProblem(w, f.status, f.detail)
	})
}

// clientAddress is the address a request came from. What a proxy says is
// believed only of one on this machine, and only its own, last word.
func clientAddress(remote, forwarded string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() || forwarded == "" {
		return host
	}
	last := strings.TrimSpace(forwarded[strings.LastIndexByte(forwarded, ',')+1:])
	if net.ParseIP(last) == nil {
		return host
	}
	return last
}

// onlyHere answers a client on this machine that no proxy forwarded.
func onlyHere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() || r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" {
			writeProblem(w, http.StatusForbidden, "only for this machine")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// writeProblem answers with problem details where huma does not.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	b, err := json.Marshal(huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: detail})
	if err == nil {
		_, _ = w.Write(b) // a client that went away has nothing to read
	}
}

// health answers 200 when everything works, else 503 and what does not.
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	faults := map[string]string{}
	for part, err := range s.opts.Health(r.Context()) {
		if err != nil {
			faults[part] = err.Error()
		}
	}
	status := http.StatusOK
	if len(faults) > 0 {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	b, err := json.Marshal(map[string]any{"ok": len(faults) == 0, "version": s.opts.Version, "faults": faults})
	if err == nil {
		_, _ = w.Write(b) // a client that went away has nothing to read
	}
}
