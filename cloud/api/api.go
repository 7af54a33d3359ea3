package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/auth"
	"github.com/shedguard/shedguard/cloud/book"
	"github.com/shedguard/shedguard/cloud/live"
	"github.com/shedguard/shedguard/cloud/series"
)

// The errors of [Options.Command] that have an answer of their own.
var (
	// ErrNotConnected comes while the collector has no link to the broker.
	ErrNotConnected = errors.New("not connected to the broker")
	// ErrNoReply comes when the gateway did not answer in time.
	ErrNoReply = errors.New("no reply from the gateway")
)

// store is where telemetry is read; a series.Store satisfies it.
type store interface {
	Range(ctx context.Context, q series.Query) ([]series.Series, error)
	Latest(ctx context.Context, measurement string, tags map[string]string, within time.Duration) ([]series.Latest, error)
}

// notifier tells people of alarms; a notify.Notifier satisfies it.
type notifier interface {
	Names() (people, channels []string)
	Test(ctx context.Context, name string) error
	Log(ctx context.Context, q book.DeliveryQuery) (page []book.Delivery, next string, err error)
}

// Options are what the API needs.
type Options struct {
	Book   *book.Book
	Series store
	Feed   *live.Feed
	Notify notifier
	// Command sends a command and waits for its reply: [ErrNotConnected] and
	// [ErrNoReply] have answers of their own.
	Command func(ctx context.Context, shed string, c shedguard.Command) (shedguard.Reply, error)
	// Health names what does not work; empty means healthy.
	Health   func(ctx context.Context) map[string]error
	Prom     http.Handler // answers PromQL below /api/v1/prom, for who has a session or a token; nil when there is none
	Page     fs.FS        // the built page with index.html, or nil
	Secure   bool         // people come by https: the cookie is for https only
	Version  string
	Registry *prometheus.Registry // gets the API's own metrics; /metrics shows it
	More     []prometheus.Gatherer
	NewID    func() string // a ULID
	Log      *slog.Logger
}

// The API's limits.
const (
	commandWait   = 10 * time.Second
	testWait      = 20 * time.Second // for a test message over every channel of a person
	liveWithin    = 10 * time.Minute
	bodyBytes     = 32 << 10
	maxStreams    = 1000
	streamLife    = 15 * time.Minute // then the client comes again and is asked who it is
	heartbeat     = 15 * time.Second
	writeDeadline = 10 * time.Second // for one event of a stream
	loginLife     = 7 * 24 * time.Hour
)

// Server answers requests. Make it with [New].
type Server struct {
	opts      Options
	sessions  *scs.SessionManager
	byUser    *auth.Limiter
	byAddress *auth.Limiter
	badTokens *auth.Limiter // by address
	hashing   chan struct{} // bounds the memory of password checks
	streams   atomic.Int64
	ended     chan struct{} // closed by EndStreams
	endOnce   sync.Once
	handler   http.Handler
	requests  *prometheus.HistogramVec
	logins    *prometheus.CounterVec
	commands  *prometheus.CounterVec
}

// New checks the options and lays out the routes.
func New(opts Options) (*Server, error) {
	for name, missing := range map[string]bool{
		"Book": opts.Book == nil, "Series": opts.Series == nil, "Feed": opts.Feed == nil, "Notify": opts.Notify == nil, "Command": opts.Command == nil,
		"Health": opts.Health == nil, "Registry": opts.Registry == nil, "NewID": opts.NewID == nil, "Log": opts.Log == nil,
	} {
		if missing {
			return nil, fmt.Errorf("api: option %s: required", name)
		}
	}
	s := &Server{
		opts: opts,
		// Ten wrong passwords for a user, thirty from an address; one is
		// forgotten every minute and half minute.
		byUser:    auth.NewLimiter(10, time.Minute),
		byAddress: auth.NewLimiter(30, 30*time.Second),
		badTokens: auth.NewLimiter(30, 30*time.Second),
		hashing:   make(chan struct{}, 2),
		ended:     make(chan struct{}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "shedcloud_http_request_seconds", Help: "Time to answer a request of the API, by route and status.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2, 10},
		}, []string{"method", "route", "status"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shedcloud_logins_total", Help: "Attempts to log in and refused tokens, by outcome.",
		}, []string{"outcome"}),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shedcloud_commands_total", Help: "Commands given to gateways, by kind and outcome.",
		}, []string{"kind", "outcome"}),
	}
	for _, c := range []prometheus.Collector{
		s.requests, s.logins, s.commands,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "shedcloud_streams", Help: "Open streams of changes."},
			func() float64 { return float64(s.streams.Load()) }),
	} {
		if err := opts.Registry.Register(c); err != nil {
			return nil, fmt.Errorf("api: metrics: %w", err)
		}
	}
	s.sessions = &scs.SessionManager{
		Lifetime: loginLife,
		Store:    opts.Book.Logins(),
		Codec:    scs.GobCodec{},
		ErrorFunc: func(w http.ResponseWriter, r *http.Request, err error) {
			opts.Log.ErrorContext(r.Context(), "login could not be read or kept", slog.Any("err", err))
			writeProblem(w, http.StatusInternalServerError, "internal error")
		},
		HashTokenInStore: true,
		Cookie: scs.SessionCookie{
			Name: "shedguard_session", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: opts.Secure, Persist: true,
		},
	}
	var err error
	if s.handler, err = compressed(s.routes()); err != nil {
		return nil, fmt.Errorf("api: compression: %w", err)
	}
	s.handler = s.guard(s.handler)
	return s, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// EndStreams ends every stream of changes, so that a server can shut down.
func (s *Server) EndStreams() { s.endOnce.Do(func() { close(s.ended) }) }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	config := huma.DefaultConfig("shedguard", s.opts.Version)
	config.Info.Description = "The collector of shedguard: sheds, outlets, alarms, commands and telemetry."
	config.CreateHooks = nil // no $schema members in answers
	config.DocsPath = ""     // its page would load scripts from elsewhere
	config.RejectUnknownQueryParameters = true
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"session": {Type: "apiKey", In: "cookie", Name: s.sessions.Cookie.Name, Description: "The cookie that POST /api/v1/login sets."},
		byToken:   {Type: "http", Scheme: "bearer", Description: "A token that shedcloud token create made. It may read."},
	}
	api := humago.New(mux, config)
	api.UseMiddleware(s.measure, s.admit(api))
	s.loginRoutes(api)
	s.shedRoutes(api)
	s.cameraRoutes(api)
	s.alarmRoutes(api)
	s.notifyRoutes(api)
	s.streamRoute(api)
	mux.Handle(promPath+"/", s.prom())
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, http.StatusNotFound, "no such path: "+r.Method+" "+r.URL.Path)
	})
	mux.HandleFunc("GET /healthz", s.health)
	metrics := promhttp.HandlerFor(append(prometheus.Gatherers{s.opts.Registry}, s.opts.More...), promhttp.HandlerOpts{})
	mux.Handle("GET /metrics", onlyHere(metrics))
	mux.Handle("/", servePage(s.opts.Page))
	return s.sessions.LoadAndSave(mux)
}

// byToken is the name of the security scheme of tokens.
const byToken = "token"

// operation is what every operation has in common. A token may read.
func operation(method, path, id, summary string, errs ...int) huma.Operation {
	op := huma.Operation{
		Method: method, Path: "/api/v1" + path, OperationID: id, Summary: summary, MaxBodyBytes: bodyBytes,
		Security: []map[string][]string{{"session": {}}}, Errors: append(errs, http.StatusUnauthorized),
	}
	if method == http.MethodGet {
		op.Security = append(op.Security, map[string][]string{byToken: {}})
	}
	return op
}

// handle registers an operation. What its function returns as an error is
// turned into an answer in one place.
func handle[I, O any](s *Server, api huma.API, op huma.Operation, f func(context.Context, *I) (*O, error)) {
	huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := f(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, op.OperationID, err)
		}
		return out, nil
	})
}

// problem is the answer to a failed request. What is not the client's doing is
// logged here and not told.
func (s *Server) problem(ctx context.Context, operation string, err error) error {
	var known huma.StatusError
	switch {
	case errors.As(err, &known):
		return err // as it is: it may carry headers
	case errors.Is(err, book.ErrNotFound):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, book.ErrInvalid):
		return huma.Error400BadRequest(err.Error())
	case errors.Is(err, book.ErrConflict):
		return huma.Error409Conflict(err.Error())
	case ctx.Err() != nil: // the client went away, or the server ends
		return huma.Error503ServiceUnavailable("the request was given up")
	default:
		s.opts.Log.ErrorContext(ctx, "request failed", slog.String("operation", operation), slog.Any("err", err))
		return huma.Error500InternalServerError("internal error")
	}
}
