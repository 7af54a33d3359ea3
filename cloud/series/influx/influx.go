package influx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	influxdb2 "github.com/influxdata/influxdb-client-go/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/series"
	"github.com/shedguard/shedguard/cloud/series/influx/queue"
)

// Language is how a database is asked.
type Language string

// The languages.
const (
	PromQL Language = "promql" // VictoriaMetrics
	Flux   Language = "flux"   // InfluxDB 2
)

// The defaults of Options.
const (
	DefaultAhead         = 10 * time.Minute
	DefaultBehind        = 8 * 24 * time.Hour
	DefaultSettle        = 30 * time.Second
	DefaultTimeout       = 30 * time.Second
	DefaultMaxSeries     = 2_000_000
	DefaultSeriesPerShed = 20_000
)

// MinQueueBytes is the least that the queue may be bounded to: some batches.
const MinQueueBytes = 64 << 20

// MaxSeriesPerAnswer bounds how many series one query may return.
const MaxSeriesPerAnswer = 2000

// ErrTooManySeries comes from a query that more than MaxSeriesPerAnswer series
// match.
var ErrTooManySeries = errors.New("query matches too many series: name more tags")

// Options says where the database and the queue are. The zero value of each
// number is its default.
type Options struct {
	URL      string   // of the database; a user and password in it are sent as basic authentication
	Token    string   // of InfluxDB, or a bearer token before VictoriaMetrics
	Org      string   // InfluxDB only
	Bucket   string   // InfluxDB only
	Language Language // how to read
	ReadURL  string   // where to read when that is another address, as vmselect
	TLS      *tls.Config

	Dir        string // of the queue
	QueueBytes int64  // bound of the queue on the disk

	Ahead, Behind time.Duration // bounds of a point's time around this machine's clock
	Settle        time.Duration // how long a written point is kept to be sent again
	Timeout       time.Duration // of one request
	MaxSeries     int           // new series beyond are refused
	SeriesPerShed int           // new series of one shed beyond are refused
	Log           *slog.Logger
}

// validate fills in the defaults and reports every fault at once.
func (o *Options) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	if o.ReadURL == "" {
		o.ReadURL = o.URL
	}
	for name, text := range map[string]*string{"url": &o.URL, "read url": &o.ReadURL} {
		u, err := url.Parse(*text)
		good := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.RawQuery == "" && u.Fragment == ""
		check(good, "%s: want http://host:port/ or https://host:port/", name) // without its text: it may hold a password
		if !strings.HasSuffix(*text, "/") {
			*text += "/"
		}
	}
	check(o.Language == PromQL || o.Language == Flux, "language %q: want %s or %s", o.Language, PromQL, Flux)
	check(o.Language != Flux || o.Org != "" && o.Bucket != "", "org %q, bucket %q: required with %s", o.Org, o.Bucket, Flux)
	check(o.Dir != "", "dir: required")
	check(o.Log != nil, "log: required")
	def(&o.QueueBytes, queue.DefaultMaxBytes)
	def(&o.Ahead, DefaultAhead)
	def(&o.Behind, DefaultBehind)
	def(&o.Settle, DefaultSettle)
	def(&o.Timeout, DefaultTimeout)
	def(&o.MaxSeries, DefaultMaxSeries)
	def(&o.SeriesPerShed, DefaultSeriesPerShed)
	check(o.QueueBytes >= MinQueueBytes, "queue bytes %d: want at least %d", o.QueueBytes, MinQueueBytes)
	check(o.Ahead > 0 && o.Behind > 0 && o.Settle > 0 && o.Timeout > 0, "ahead %v, behind %v, settle %v, timeout %v: want positive times", o.Ahead, o.Behind, o.Settle, o.Timeout)
	return errors.Join(errs...)
}

func def[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// reader answers queries in the language of a database.
type reader interface {
	Range(ctx context.Context, q series.Query) ([]series.Series, error)
	Latest(ctx context.Context, measurement string, tags map[string]string, within time.Duration) ([]series.Latest, error)
}

// Store is a database behind a durable queue. It implements series.Store.
type Store struct {
	opts   Options
	queue  *queue.Queue
	sender *sender
	reader reader
	client influxdb2.Client // writes
	reads  *http.Client
	query  influxdb2.Client // reads, nil with PromQL
	stop   context.CancelFunc
	work   sync.WaitGroup

	queued, refused, refusedSeries atomic.Uint64

	mu    sync.Mutex // guards the fields below, never held over I/O
	known map[string]*group
	sheds map[string]int // series seen of each shed since the start
	count int
}

var _ series.Store = (*Store)(nil)

// group is the series of one measurement and set of tags.
type group struct {
	shed   string
	newest []newest
}

// newest is the newest value of a field.
type newest struct {
	field string
	at    int64
	value float64
}

// Stats is what a store has counted since it was opened.
type Stats struct {
	Queued        uint64 // values taken into the queue
	Refused       uint64 // values that can never be stored
	RefusedSeries uint64 // of these, values of a series beyond the bounds
	Series        int    // seen

	Sent         uint64        // lines that the database took, repeats included
	RefusedLines uint64        // lines that the database refused for ever
	Retries      uint64        // failed requests
	Resent       uint64        // times that everything unsettled was sent again
	Full         uint64        // appends that found no room
	Waiting      int64         // points not yet sent
	Oldest       time.Duration // age of the oldest of these
	QueueBytes   int64         // on the disk, unsettled points included
	TornBytes    int64         // of the queue, cut at the start
	DamagedBytes int64         // of the queue, skipped
}

// Open opens the queue and begins to drain it. The database need not be there.
func Open(opts Options) (*Store, error) {
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("open series store: %w", err)
	}
	q, err := queue.Open(queue.Options{Dir: opts.Dir, MaxBytes: opts.QueueBytes})
	if err != nil {
		return nil, fmt.Errorf("open series store: %w", err)
	}
	s := &Store{opts: opts, queue: q, known: make(map[string]*group), sheds: make(map[string]int)}

	// One connection carries all writes; that a new one was needed tells that
	// the database may have been restarted.
	var dials atomic.Uint64
	dialer := net.Dialer{Timeout: opts.Timeout, KeepAlive: 15 * time.Second}
	watch := &watched{RoundTripper: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: opts.TLS, MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials.Add(1)
			return dialer.DialContext(ctx, network, addr)
		},
	}}
	writes := &http.Client{Timeout: opts.Timeout, Transport: watch}
	s.client = client(&opts, opts.URL, writes)
	s.reads = &http.Client{Timeout: opts.Timeout, Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: opts.TLS, MaxConnsPerHost: 8, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
		DialContext: dialer.DialContext,
	}}
	if opts.Language == Flux {
		s.query = client(&opts, opts.ReadURL, s.reads)
		s.reader = &fluxReader{api: s.query.QueryAPI(opts.Org), bucket: opts.Bucket, ahead: opts.Ahead}
	} else {
		s.reader = &promReader{url: opts.ReadURL, token: opts.Token, client: s.reads, ahead: opts.Ahead}
	}
	s.sender = newSender(q, s.client.WriteAPIBlocking(opts.Org, opts.Bucket).WriteRecord, opts.Log)
	s.sender.ping = func(ctx context.Context) error { return ping(ctx, writes, opts.URL) }
	s.sender.dials = dials.Load
	s.sender.ends = func() bool { return watch.ends.Swap(false) }
	s.sender.settle = opts.Settle
	s.sender.refused = filepath.Join(opts.Dir, "refused.lp")
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.work.Go(func() { s.sender.run(ctx) })
	return s, nil
}

// watched notes whether an answer announced the end of its connection.
type watched struct {
	http.RoundTripper
	ends atomic.Bool
}

// RoundTrip sends one request.
func (w *watched) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.RoundTripper.RoundTrip(r)
	if err == nil && resp.Close {
		w.ends.Store(true)
	}
	return resp, err
}

// CloseIdleConnections is how http.Client ends the connection.
func (w *watched) CloseIdleConnections() {
	if c, ok := w.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func client(opts *Options, addr string, c *http.Client) influxdb2.Client {
	o := influxdb2.DefaultOptions().SetHTTPClient(c).SetUseGZip(true).SetPrecision(time.Nanosecond).SetApplicationName("shedcloud")
	o.WriteOptions().SetMaxRetries(0)
	return influxdb2.NewClientWithOptions(addr, opts.Token, o)
}

// ping returns nil when the server answered anything.
func ping(ctx context.Context, c *http.Client, addr string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, addr+"ping", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := c.Do(req) //nolint:bodyclose // drain closes it
	if err != nil {
		return err
	}
	return drain(resp.Body)
}

// Append queues points; see the package comment for what that promises.
func (s *Store) Append(ctx context.Context, points []shedguard.Point) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("append to series store: %w", err)
	}
	chunks, values := s.admit(points, time.Now())
	if len(chunks) == 0 {
		return nil
	}
	if err := s.queue.Put(ctx, chunks...); err != nil {
		return fmt.Errorf("append to series store: %w", err)
	}
	s.queued.Add(values)
	return nil
}

// admit encodes what may be stored, at most batchBytes to a chunk.
func (s *Store) admit(points []shedguard.Point, now time.Time) (chunks []queue.Chunk, values uint64) {
	earliest, latest := now.Add(-s.opts.Behind).UnixMilli(), now.Add(s.opts.Ahead).UnixMilli()
	var fields []shedguard.Field
	lines := make([]byte, 0, min(len(points)*192, batchBytes))
	begin, held := 0, 0
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range points {
		p := points[i]
		at := p.Time.UnixMilli()
		if at < earliest || at > latest {
			s.refused.Add(uint64(len(p.Fields)))
			continue
		}
		fields = s.fields(&p, at, fields[:0])
		s.refused.Add(uint64(len(p.Fields) - len(fields)))
		if len(fields) == 0 {
			continue
		}
		p.Fields = fields
		longer, err := shedguard.AppendLine(lines, &p)
		if err != nil {
			s.refused.Add(uint64(len(fields)))
			continue
		}
		if held > 0 && len(longer)-begin > batchBytes {
			chunks = append(chunks, queue.Chunk{Data: lines[begin:len(lines):len(lines)], Points: held})
			begin, held = len(lines), 0
		}
		lines = longer
		values += uint64(len(fields))
		held++
	}
	if held > 0 {
		chunks = append(chunks, queue.Chunk{Data: lines[begin:], Points: held})
	}
	return chunks, values
}

// fields appends those fields of p that may be stored.
func (s *Store) fields(p *shedguard.Point, at int64, to []shedguard.Field) []shedguard.Field {
	var room [512]byte
	key := append(room[:0], p.Measurement...)
	for i := range p.Tags {
		key = append(append(key, 0xff), p.Tags[i].Key...)
		key = append(append(key, 0xfe), p.Tags[i].Value...)
	}
	g := s.known[string(key)]
	fresh := g == nil
	if fresh {
		g = &group{shed: p.Tag("shed")}
	}
	for i := range p.Fields {
		f := &p.Fields[i]
		if math.IsNaN(f.Value) || math.IsInf(f.Value, 0) {
			continue
		}
		n := g.find(f.Key, i)
		if n == nil {
			if s.count >= s.opts.MaxSeries || s.sheds[g.shed] >= s.opts.SeriesPerShed {
				s.refusedSeries.Add(1)
				continue
			}
			s.count++
			s.sheds[g.shed]++
			g.newest = append(g.newest, newest{field: f.Key, at: at, value: f.Value})
			n = &g.newest[len(g.newest)-1]
		}
		if n.at == at && n.value != f.Value { // the same again is taken again: the first time may have failed
			continue
		}
		if at > n.at {
			n.at, n.value = at, f.Value
		}
		to = append(to, *f)
	}
	if fresh && len(g.newest) > 0 {
		s.known[string(key)] = g
	}
	return to
}

// find finds a field by name, first where it stood in the last point.
func (g *group) find(field string, guess int) *newest {
	if guess < len(g.newest) && g.newest[guess].field == field {
		return &g.newest[guess]
	}
	for i := range g.newest {
		if g.newest[i].field == field {
			return &g.newest[i]
		}
	}
	return nil
}

// Range asks the database.
func (s *Store) Range(ctx context.Context, q series.Query) ([]series.Series, error) {
	if err := q.Validate(); err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	if err := names(q.Measurement, q.Tags); err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	out, err := s.reader.Range(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("query %s_%s: %w", q.Measurement, q.Field, err)
	}
	return out, nil
}

// Latest asks the database.
func (s *Store) Latest(ctx context.Context, measurement string, tags map[string]string, within time.Duration) ([]series.Latest, error) {
	if measurement == "" || within <= 0 {
		return nil, fmt.Errorf("latest %q within %v: want a measurement and a positive span", measurement, within)
	}
	if err := names(measurement, tags); err != nil {
		return nil, fmt.Errorf("latest: %w", err)
	}
	out, err := s.reader.Latest(ctx, measurement, tags, within)
	if err != nil {
		return nil, fmt.Errorf("latest %s: %w", measurement, err)
	}
	return out, nil
}

// names checks what cannot be quoted in every language.
func names(measurement string, tags map[string]string) error {
	for k := range tags {
		if !name(k) {
			return fmt.Errorf("tag %q: want a name of letters, digits and _", k)
		}
	}
	if !name(measurement) {
		return fmt.Errorf("measurement %q: want a name of letters, digits and _", measurement)
	}
	return nil
}

func name(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && !strings.HasPrefix(s, "__")
}

// Stats is a copy of the counters.
func (s *Store) Stats() Stats {
	q := s.queue.Stats()
	s.mu.Lock()
	count := s.count
	s.mu.Unlock()
	st := Stats{
		Queued: s.queued.Load(), Refused: s.refused.Load(), RefusedSeries: s.refusedSeries.Load(), Series: count,
		Sent: s.sender.sent.Load(), RefusedLines: s.sender.refusals.Load(), Retries: s.sender.retries.Load(), Resent: s.sender.resent.Load(),
		Full: q.Full, Waiting: s.sender.waiting(), QueueBytes: q.Bytes, TornBytes: q.TornBytes, DamagedBytes: q.DamagedBytes,
	}
	if at := s.sender.oldest.Load(); at != 0 {
		st.Oldest = max(time.Since(time.UnixMilli(at)), 0)
	}
	return st
}

// Metrics gives the counters for a /metrics page.
func (s *Store) Metrics() prometheus.Gatherer {
	r := prometheus.NewRegistry()
	r.MustRegister(newCollector(s.Stats))
	return r
}

// Check asks VictoriaMetrics whether it stores a repeated point once, and
// returns nil where it cannot be asked that way, as InfluxDB.
func (s *Store) Check(ctx context.Context) error {
	if s.opts.Language != PromQL {
		return nil
	}
	p := promReader{url: s.opts.URL, token: s.opts.Token, client: s.reads}
	flags, err := p.get(ctx, "flags", nil)
	if err != nil {
		return fmt.Errorf("check series store: %w", err)
	}
	for line := range strings.Lines(string(flags)) {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "-dedup.minScrapeInterval=")
		if !ok {
			continue
		}
		if d, err := time.ParseDuration(strings.Trim(text, `"`)); err != nil || d != time.Millisecond {
			return fmt.Errorf("check series store: VictoriaMetrics runs with -dedup.minScrapeInterval=%s: want 1ms, else points that are sent again are stored twice", text)
		}
		return nil
	}
	return errors.New("check series store: VictoriaMetrics does not say its -dedup.minScrapeInterval: want 1ms")
}

// Close ends the sender and closes the queue; what it holds is sent after the
// next Open.
func (s *Store) Close() error {
	s.stop()
	s.work.Wait()
	s.client.Close()
	if s.query != nil {
		s.query.Close()
	}
	s.reads.CloseIdleConnections()
	if err := errors.Join(s.sender.close(), s.queue.Close()); err != nil {
		return fmt.Errorf("close series store: %w", err)
	}
	return nil
}
