package app

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/api"
	"github.com/shedguard/shedguard/cloud/auth"
	"github.com/shedguard/shedguard/cloud/book"
	"github.com/shedguard/shedguard/cloud/broker"
	"github.com/shedguard/shedguard/cloud/config"
	"github.com/shedguard/shedguard/cloud/ingest"
	"github.com/shedguard/shedguard/cloud/live"
	"github.com/shedguard/shedguard/cloud/notify"
	"github.com/shedguard/shedguard/cloud/presence"
)

// Options are what a collector is started with.
type Options struct {
	Config  *config.Config // checked
	Page    fs.FS          // the built page, or nil
	Version string
	// AdminPassword is the first admin's; empty: a random one is made. It
	// counts only while the book has no user.
	AdminPassword string
	// FirstLogin is told of the first admin when one was made. The password is
	// kept nowhere else.
	FirstLogin func(user, password string)
	Log        *slog.Logger
}

// FirstUser is the name of the first admin.
const FirstUser = "admin"

// The times of the app.
const (
	ringSize      = 4096                // changes that a page that was away can catch up with
	pruneEvery    = 24 * time.Hour      // first after a minute
	picturesEvery = 10 * time.Minute    // between two looks at how much room pictures take
	keepMessages  = 90 * 24 * time.Hour // the log of what people were told
	checkAgain    = time.Minute         // after a database did not say that it keeps points as it must
	shutdownWait  = 4 * time.Second     // for requests in progress
	firstPause    = time.Second         // before a failed part is started again
	longestPause  = 30 * time.Second    // between two starts
	headerTimeout = 5 * time.Second
	readTimeout   = 15 * time.Second
	writeTimeout  = 30 * time.Second // longer than a command waits
	idleTimeout   = 2 * time.Minute
)

// App is a collector whose files are open and whose ports listen.
type App struct {
	opts      Options
	book      *book.Book
	notify    *notify.Notifier
	series    store
	broker    *broker.Broker // nil when it is outside
	collector *ingest.Collector
	presence  *presence.Watch
	outlets   *live.Outlets
	api       *api.Server
	server    *http.Server
	listener  net.Listener
	teardown  []part // in the order of start
}

// part is something that has to be ended.
type part struct {
	name string
	end  func() error
}

// New opens and starts everything that can refuse: what fails, fails here.
// After an error nothing is left open.
func New(ctx context.Context, opts Options) (_ *App, err error) {
	if opts.Config == nil || opts.Log == nil {
		return nil, errors.New("app: config and log: required")
	}
	if faults := opts.Config.Check(); len(faults) > 0 {
		return nil, faults
	}
	a := &App{opts: opts}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	c := opts.Config
	if err := os.MkdirAll(c.Data, 0o750); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if a.listener, err = listen(ctx, &c.HTTP); err != nil {
		return nil, err
	}
	// A listener that served is closed twice, and says so the second time.
	a.ends("http listener", func() error { return ignore(a.listener.Close(), net.ErrClosed) })

	feed := live.New(ringSize, time.Now())
	a.outlets = live.NewOutlets(feed)
	if a.book, err = book.Open(ctx, book.Options{
		Path: filepath.Join(c.Data, "book.db"), Log: opts.Log.With("part", "book"), Changed: func(c book.Change) { a.changed(feed, c) },
	}); err != nil {
		return nil, err
	}
	a.ends("book", a.book.Close)
	if a.notify, err = notify.New(notify.Options{Settings: c.Notify, Book: a.book, Log: opts.Log.With("part", "notify")}); err != nil {
		return nil, err
	}
	if err := a.firstLogin(ctx); err != nil {
		return nil, err
	}
	if a.series, err = openSeries(c, opts.Log.With("part", "series")); err != nil { //nolint:contextcheck // it ends with Close
		return nil, err
	}
	a.ends("series", a.series.Close)

	if a.presence, err = presence.New(presence.Options{
		Limits: presence.Limits{Trust: c.Presence.Trust, Silent: c.Presence.Silent},
		BootID: newID(),
		Open:   a.ownAlarms,
		Put: func(ctx context.Context, e shedguard.Event) error {
			_, err := a.book.PutEvent(ctx, e, time.Now())
			return err
		},
		Set: func(ctx context.Context, shed string, s presence.State, since time.Time) error {
			_, err := a.book.SetState(ctx, shed, book.State(s), since)
			return ignore(err, book.ErrNotFound) // its row comes with the next flush
		},
		// With a broken link, or a store that takes nothing, every shed looks
		// silent: nothing is judged then.
		Listening: func() bool { return a.collector.Listening() },
		Log:       opts.Log.With("part", "presence"),
	}); err != nil {
		return nil, fmt.Errorf("presence: %w", err)
	}
	if err := a.startIngest(ctx); err != nil {
		return nil, err
	}
	if err := a.startAPI(feed); err != nil { //nolint:contextcheck // requests bring their own
		return nil, err
	}
	return a, nil
}

// ends notes what has to be ended.
func (a *App) ends(name string, end func() error) { a.teardown = append(a.teardown, part{name, end}) }

// startIngest starts the broker when it is ours, and makes the collector.
func (a *App) startIngest(ctx context.Context) (err error) {
	c, log := a.opts.Config, a.opts.Log
	in := ingest.Options{
		ClientID: c.MQTT.ClientID, Group: c.MQTT.Group, Book: a.book, Series: a.series, Watch: a.presence,
		Evidence: a.book.PutEvidence, Live: a.outlets.Observe, Log: log.With("part", "ingest"),
	}
	if c.Broker.On() {
		own := broker.Credentials{Username: "shedcloud", Password: rand.Text()}
		opts := broker.Options{
			Path: filepath.Join(c.Data, "broker.db"), Plain: c.Broker.Listen, TLSListen: c.Broker.TLSListen,
			Collector: own, TrustLoopback: c.Broker.TrustLoopback, Log: log.With("part", "broker"),
		}
		if opts.Plain == "" {
			opts.Plain = "127.0.0.1:0" // for the collector itself
		}
		if c.Broker.TLSListen != "" {
			if opts.TLS, err = tlsConfig(c.Broker.CertFile, c.Broker.KeyFile, c.Broker.ClientCAFile); err != nil {
				return fmt.Errorf("broker: %w", err)
			}
			opts.TLS.ClientCAs, opts.TLS.RootCAs = opts.TLS.RootCAs, nil
			opts.TLS.ClientAuth = tls.RequireAndVerifyClientCert
		}
		if a.broker, err = broker.Start(ctx, opts); err != nil {
			return fmt.Errorf("start broker: %w", err)
		}
		a.ends("broker", a.broker.Close)
		in.Broker, in.Username, in.Password = "tcp://"+a.broker.PlainAddr().String(), own.Username, own.Password
	} else {
		m := &c.MQTT
		in.Broker, in.Username = m.URL, m.Username
		if m.PasswordFile != "" {
			if in.Password, err = readSecret(m.PasswordFile); err != nil {
				return fmt.Errorf("mqtt: password: %w", err)
			}
		}
		if m.CertFile != "" || m.CAFile != "" {
			if in.TLS, err = tlsConfig(m.CertFile, m.KeyFile, m.CAFile); err != nil {
				return fmt.Errorf("mqtt: %w", err)
			}
		}
	}
	if a.collector, err = ingest.New(in); err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	return nil
}

func (a *App) startAPI(feed *live.Feed) (err error) {
	reg := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newMetrics(a),
	} {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	prom, err := a.prom()
	if err != nil {
		return err
	}
	c := a.opts.Config
	if a.api, err = api.New(api.Options{
		Book: a.book, Series: a.series, Feed: feed, Notify: a.notify, Command: a.command, Health: a.health, Prom: prom, Page: a.opts.Page,
		Secure: c.HTTP.CertFile != "" || c.HTTP.BehindTLSProxy, Version: a.opts.Version,
		Registry: reg, More: []prometheus.Gatherer{a.series.Metrics()}, NewID: newID, Log: a.opts.Log.With("part", "api"),
	}); err != nil {
		return err
	}
	a.server = &http.Server{
		Handler: a.api, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(a.opts.Log.With("part", "http").Handler(), slog.LevelDebug),
	}
	a.server.RegisterOnShutdown(a.api.EndStreams)
	return nil
}

// Addr is where the page and the API are served.
func (a *App) Addr() net.Addr { return a.listener.Addr() }

// BrokerAddr is where the broker's plain listener is, or nil when the broker
// is outside.
func (a *App) BrokerAddr() net.Addr {
	if a.broker == nil {
		return nil
	}
	return a.broker.PlainAddr()
}

// Run works until ctx ends or the HTTP server fails, then ends every part.
func (a *App) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.serve(ctx) })
	g.Go(func() error { return a.keep(ctx, "ingest", a.collector.Run) })
	g.Go(func() error { return a.keep(ctx, "presence", a.presence.Run) })
	if !a.opts.Config.Notify.Off() { // a warning of the configuration says that nobody is told
		g.Go(func() error { return a.keep(ctx, "notify", a.notify.Run) })
	}
	g.Go(func() error { return a.keep(ctx, "outlets", a.outlets.Run) })
	g.Go(func() error { return a.keep(ctx, "housekeeping", a.housekeeping) })
	return errors.Join(g.Wait(), a.Close())
}

// Close ends every part in the reverse order of its start. Run does it too; a
// second call does nothing.
func (a *App) Close() error {
	var errs []error
	for _, p := range slices.Backward(a.teardown) {
		if err := p.end(); err != nil {
			errs = append(errs, fmt.Errorf("end %s: %w", p.name, err))
		}
	}
	a.teardown = nil
	return errors.Join(errs...)
}

// serve answers requests until ctx ends. Its failure ends the program: a
// collector that nobody can see is no better than none.
func (a *App) serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve http: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWait)
		defer cancel()
		if err := a.server.Shutdown(wait); err != nil {
			return fmt.Errorf("end http: %w", errors.Join(err, a.server.Close()))
		}
		return nil
	})
	return g.Wait()
}

// keep runs a part until ctx ends. A part that ends earlier is started again
// after a pause that grows while it goes on failing.
func (a *App) keep(ctx context.Context, name string, run func(context.Context) error) error {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		began := time.Now()
		err := run(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end
		}
		if time.Since(began) > longestPause {
			pause = firstPause
		}
		a.opts.Log.Error("part ended, starting it again", slog.String("part", name), slog.Any("err", err), slog.Duration("retry_in", pause))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// housekeeping writes when sheds were last seen, once a day deletes what is not
// kept longer (pictures more often, they are large), and asks a database on another machine how it keeps points
// until it answers well.
func (a *App) housekeeping(ctx context.Context) error {
	flush, prune, check := time.NewTicker(book.SeenEvery), time.NewTimer(time.Minute), time.NewTimer(0)
	pictures := time.NewTicker(picturesEvery)
	defer pictures.Stop()
	defer flush.Stop()
	defer prune.Stop()
	defer check.Stop()
	said := "" // a repeated error is logged when it changes
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-flush.C:
			err = a.book.FlushSeen(ctx)
		case now := <-prune.C:
			prune.Reset(pruneEvery)
			_, err = a.book.Prune(ctx, now.Add(-a.opts.Config.Keep.Events), now)
			_, more := a.book.PruneDeliveries(ctx, now.Add(-keepMessages))
			err = errors.Join(err, more)
		case now := <-pictures.C:
			keep := &a.opts.Config.Keep
			_, err = a.book.PrunePictures(ctx, now.Add(-keep.Pictures), keep.PicturesMB<<20)
		case <-check.C:
			if err = a.checkSeries(ctx); err != nil {
				check.Reset(checkAgain)
			}
		}
		switch {
		case err == nil:
			said = ""
		case ctx.Err() == nil && err.Error() != said:
			said = err.Error()
			a.opts.Log.Error("housekeeping failed", slog.String("part", "housekeeping"), slog.Any("err", err))
		}
	}
}

// firstLogin makes the first admin of an empty book.
func (a *App) firstLogin(ctx context.Context) error {
	n, err := a.book.Users(ctx)
	if err != nil || n > 0 {
		return err
	}
	password := a.opts.AdminPassword
	if password == "" {
		password = auth.NewPassword()
	}
	if err := auth.CheckPassword(password); err != nil {
		return fmt.Errorf("first admin: %w", err)
	}
	if err := a.book.AddUser(ctx, book.User{Name: FirstUser, Role: api.RoleAdmin, PasswordHash: auth.Hash(password), CreatedAt: time.Now()}); err != nil {
		return fmt.Errorf("first admin: %w", err)
	}
	if a.opts.FirstLogin != nil {
		a.opts.FirstLogin(FirstUser, password)
	}
	return nil
}

// ownAlarms are the collector's own open alarms, for presence to go on with.
func (a *App) ownAlarms(ctx context.Context) ([]presence.Open, error) {
	own, err := a.book.OpenOwn(ctx)
	var open []presence.Open
	for _, o := range own {
		open = append(open, presence.Open{Shed: o.Shed, Alarm: o.Alarm})
	}
	return open, err
}

// command sends a command by the collector's link.
func (a *App) command(ctx context.Context, shed string, c shedguard.Command) (shedguard.Reply, error) {
	reply, err := a.collector.Command(ctx, shed, c)
	switch {
	case errors.Is(err, ingest.ErrNotConnected):
		err = fmt.Errorf("%w: %w", api.ErrNotConnected, err)
	case errors.Is(err, ingest.ErrNoReply):
		err = fmt.Errorf("%w: %w", api.ErrNoReply, err)
	}
	return reply, err
}

// health names what does not work.
func (a *App) health(ctx context.Context) map[string]error {
	faults := map[string]error{"book": a.book.Ping(ctx)}
	if !a.collector.Connected() {
		faults["mqtt"] = errors.New("not connected to the broker")
	}
	return faults
}

// changed shows a change of the book to the pages that are open, and wakes who
// tells people of alarms. It must not block.
func (a *App) changed(feed *live.Feed, c book.Change) {
	switch {
	case c.Alarm != nil:
		a.notify.Wake()
		feed.Publish(live.Change{Kind: live.KindAlarm, Shed: c.Alarm.Shed, Data: c.Alarm})
	case c.Shed != nil:
		feed.Publish(live.Change{Kind: live.KindShed, Shed: c.Shed.ID, Data: c.Shed})
	case c.Reply != nil:
		feed.Publish(live.Change{Kind: live.KindReply, Shed: c.Reply.Shed, Data: c.Reply})
	case c.Picture != nil:
		feed.Publish(live.Change{Kind: live.KindPicture, Shed: c.Picture.Shed, Data: c.Picture})
	case c.Snapshot != nil:
		feed.Publish(live.Change{Kind: live.KindSnapshot, Shed: c.Snapshot.Shed, Data: c.Snapshot})
	}
}

// listen opens the port of the page and the API.
func listen(ctx context.Context, c *config.HTTP) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for http: %w", err)
	}
	if c.CertFile == "" {
		return l, nil
	}
	conf, err := tlsConfig(c.CertFile, c.KeyFile, "")
	if err != nil {
		return nil, fmt.Errorf("http: %w", errors.Join(err, l.Close()))
	}
	conf.NextProtos = []string{"h2", "http/1.1"}
	return tls.NewListener(l, conf), nil
}

// tlsConfig is the certificate and the authorities of PEM files; an empty name
// leaves one out.
func tlsConfig(certFile, keyFile, caFile string) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if certFile != "" {
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("certificate %s and key %s: %w", certFile, keyFile, err)
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("authority: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authority %s: no certificate in PEM form", caFile)
		}
	}
	return conf, nil
}

// readSecret is the first line of a file.
func readSecret(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", fmt.Errorf("%s: the first line is empty", path)
	}
	return line, nil
}

func ignore(err, known error) error {
	if errors.Is(err, known) {
		return nil
	}
	return err
}

// newID is a ULID of now.
func newID() string { return ulid.Make().String() }
