package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// contentPolicy lets the page load from here alone. Charts and maps set styles
// on elements they make from text, which 'unsafe-inline' for styles allows.
const contentPolicy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; " +
	"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

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
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p)
			}
			s.opts.Log.ErrorContext(r.Context(), "request panicked",
				slog.String("path", r.URL.Path), slog.Any("err", p), slog.String("stack", string(debug.Stack())))
			writeProblem(w, http.StatusInternalServerError, "internal error")
		}()
		inner.ServeHTTP(w, r)
	})
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
	p, _ := ctx.Value(personKey{}).(person) //nolint:errcheck // the zero person may do nothing
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
	a, _ := ctx.Value(addressKey{}).(string) //nolint:errcheck // empty when there is none
	return a
}

// admit lets a request through to an operation that wants a session only for
// a user who has one.
func (s *Server) admit(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		ctx = huma.WithValue(ctx, addressKey{}, clientAddress(ctx.RemoteAddr(), ctx.Header("X-Forwarded-For")))
		if len(ctx.Operation().Security) == 0 {
			next(ctx)
			return
		}
		name := s.sessions.GetString(ctx.Context(), sessionUser)
		if name == "" {
			s.refuse(api, ctx, huma.Error401Unauthorized("log in first"))
			return
		}
		u, err := s.opts.Book.User(ctx.Context(), name)
		if err != nil {
			s.refuse(api, ctx, s.problem(ctx.Context(), ctx.Operation().OperationID, err))
			return
		}
		next(huma.WithValue(ctx, personKey{}, person{name: u.Name, role: u.Role}))
	}
}

func (s *Server) refuse(api huma.API, ctx huma.Context, err error) {
	status, text := http.StatusUnauthorized, "log in first"
	if se, ok := err.(huma.StatusError); ok && se.GetStatus() != http.StatusNotFound { //nolint:errorlint // made by this package just now
		status, text = se.GetStatus(), se.Error()
	}
	if err := huma.WriteErr(api, ctx, status, text); err != nil {
		s.opts.Log.DebugContext(ctx.Context(), "answer not written", slog.Any("err", err))
	}
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
