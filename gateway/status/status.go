package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shedguard/shedguard"
)

const (
	// Alive is how old the guard's last completed tick may be.
	Alive = 2 * time.Second

	maxBodyBytes  = 4 << 10 // nothing here takes a body
	shutdownAfter = 2 * time.Second
)

// Options say what is shown and where.
type Options struct {
	// Listen is the address and port; port 0 takes a free one.
	Listen string
	// AllowRemote allows an address that other machines can reach.
	AllowRemote bool
	// State returns a copy of what the gateway knows. It is called for every
	// request and must not wait for anything slow.
	State func() shedguard.ShedState
	// LastTick is when the guard completed its last tick, the zero time before
	// the first one.
	LastTick func() time.Time
	// Metrics are the values that State does not have.
	Metrics []Metric
	// Collectors are further collectors, for example histograms.
	Collectors []prometheus.Collector
	Log        *slog.Logger
}

// Server serves the window.
type Server struct {
	opts     Options
	listener net.Listener
	http     *http.Server
}

// New returns a server that listens already, so that a port that is taken is
// known at start.
func New(ctx context.Context, opts Options) (*Server, error) {
	if opts.State == nil || opts.LastTick == nil || opts.Log == nil {
		return nil, errors.New("status: state, last tick and log: required")
	}
	host, _, err := net.SplitHostPort(opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("status: listen %q: %w", opts.Listen, err)
	}
	if ip := net.ParseIP(host); !opts.AllowRemote && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("status: listen %q: want a loopback address, as 127.0.0.1, unless remote access is allowed", opts.Listen)
	}
	handler, err := newHandler(&opts)
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	return &Server{
		opts:     opts,
		listener: listener,
		http: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      15 * time.Second,
			IdleTimeout:       60 * time.Second,
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          slog.NewLogLogger(opts.Log.Handler(), slog.LevelDebug),
		},
	}, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends; requests under way get a moment to finish. A
// server that was never run is closed by Close.
func (s *Server) Run(ctx context.Context) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		// The end of ctx is why this runs; finishing requests needs its own time.
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownAfter)
		defer cancel()
		err := s.http.Shutdown(grace)
		if errors.Is(err, context.DeadlineExceeded) {
			err = s.http.Close()
		}
		stopped <- err
	})
	err := s.http.Serve(s.listener)
	if stop() { // Serve ended by itself
		return fmt.Errorf("status: %w", err)
	}
	if err := <-stopped; err != nil {
		return fmt.Errorf("status: shut down: %w", err)
	}
	return nil
}

// Close ends the server at once.
func (s *Server) Close() error { return errors.Join(s.http.Close(), ignoreClosed(s.listener.Close())) }

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// newHandler returns all routes.
func newHandler(opts *Options) (http.Handler, error) {
	metrics, err := metricsHandler(opts)
	if err != nil {
		return nil, err
	}
	page, err := newPage(opts)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if err := alive(opts.LastTick(), time.Now()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		write(w, opts.Log, []byte("ok\n"))
	})
	mux.HandleFunc("GET /api/v1/state", func(w http.ResponseWriter, _ *http.Request) {
		state := opts.State()
		b, err := json.Marshal(&state)
		if err != nil {
			opts.Log.Error("state not encoded", "err", err)
			http.Error(w, "internal error", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		write(w, opts.Log, append(b, '\n'))
	})
	mux.HandleFunc("GET /style.css", page.style)
	mux.HandleFunc("GET /{$}", page.show)
	return guarded(mux), nil
}

// guarded bounds what a request may bring and says that nothing here is to be
// kept, framed, or mixed with anything from elsewhere.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		next.ServeHTTP(w, r)
	})
}

// alive returns why the guard is not, or nil.
func alive(last, now time.Time) error {
	if last.IsZero() {
		return errors.New("the guard has not completed a tick yet")
	}
	if age := now.Sub(last); age > Alive {
		return fmt.Errorf("the guard completed its last tick %s ago: want at most %s", age.Round(time.Millisecond), Alive)
	}
	return nil
}

// write sends a body. A reader that went away is its own affair.
func write(w http.ResponseWriter, log *slog.Logger, b []byte) {
	if _, err := w.Write(b); err != nil {
		log.Debug("reader went away", "err", err)
	}
}
