package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
	"github.com/shedguard/shedguard/cloud/live"
	"github.com/shedguard/shedguard/cloud/series"
)

type shedsOutput struct {
	Body struct {
		Sheds []book.Shed `json:"sheds"`
	}
}

// ShedPath names a shed in a path.
type ShedPath struct {
	Shed string `path:"shed" maxLength:"63" doc:"shed id"`
}

type shedOutput struct {
	Body struct {
		book.Shed
		Live   []live.Outlet `json:"live" doc:"newest values of the last ten minutes"`
		Feeder *live.Feeder  `json:"feeder" doc:"load of the supply that all outlets share, newest values of the last ten minutes; null when there were none, as where nothing watches it"`
	}
}

type nameInput struct {
	ShedPath
	Body struct {
		Name  *string `json:"name,omitempty" minLength:"1" maxLength:"200" doc:"name for people"`
		Place *string `json:"place,omitempty" maxLength:"200" doc:"where it stands"`
	}
}

type commandInput struct {
	ShedPath
	Body struct {
		Kind string         `json:"kind" pattern:"^[a-z_]{1,40}$" doc:"start, stop, reset_trip, silence_siren, veto_suppression, self_test, snapshot, acknowledge, get_state"`
		Args map[string]any `json:"args,omitempty" doc:"as the kind wants them: {outlet} of start, stop and reset_trip; {reset: true} makes veto_suppression reset one that was released or vetoed"`
	}
}

type commandOutput struct {
	Body struct {
		ID     string                `json:"id"`
		OK     bool                  `json:"ok"`
		Error  *shedguard.ReplyError `json:"error,omitempty" doc:"why the gateway refused"`
		Result json.RawMessage       `json:"result,omitempty" doc:"of self_test: {ok, checks: [{name, ok, detail}]}; of veto_suppression: the suppression as it is now; of get_state: everything"`
	}
}

type seriesInput struct {
	ShedPath
	Measurement string    `query:"measurement" default:"outlet" enum:"outlet,feeder,climate,camera,gateway"`
	Field       string    `query:"field" required:"true" pattern:"^[A-Za-z_][A-Za-z0-9_]{0,63}$" doc:"watts, amps, volts, …"`
	Outlet      int       `query:"outlet" minimum:"0" maximum:"256" doc:"0 or absent: every outlet"`
	Zone        string    `query:"zone" maxLength:"128"`
	Camera      string    `query:"camera" maxLength:"128"`
	From        time.Time `query:"from" doc:"absent: an hour before to"`
	To          time.Time `query:"to" doc:"absent: now"`
	Points      int       `query:"points" default:"600" minimum:"1" maximum:"10000" doc:"buckets at most"`
}

type seriesOutput struct {
	Body struct {
		From   time.Time    `json:"from"`
		To     time.Time    `json:"to"`
		StepMS int64        `json:"step_ms" doc:"width of one bucket"`
		Series []seriesBody `json:"series"`
	}
}

type seriesBody struct {
	Tags   map[string]string `json:"tags"`
	Points [][4]float64      `json:"points" doc:"[start in ms since 1970, min, mean, max]; a bucket without values is left out"`
}

type shedLogInput struct {
	ShedPath
	Cursor string `query:"cursor" maxLength:"60" doc:"next of the page before"`
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"500"`
}

type shedLogOutput struct {
	Body struct {
		Events []book.LogEntry `json:"events" doc:"newest first"`
		Next   string          `json:"next" doc:"cursor of the next page; empty on the last"`
	}
}

type auditOutput struct {
	Body struct {
		Audit []book.AuditEntry `json:"audit"`
	}
}

type deadLettersInput struct {
	Cursor string `query:"cursor" maxLength:"20"`
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"500"`
}

type deadLettersOutput struct {
	Body struct {
		DeadLetters []book.DeadLetter `json:"dead_letters"`
		Next        string            `json:"next" doc:"cursor of the next page; empty on the last"`
	}
}

func (s *Server) shedRoutes(api huma.API) {
	handle(s, api, operation(http.MethodGet, "/sheds", "list-sheds", "Every shed"), s.sheds)
	handle(s, api, operation(http.MethodGet, "/sheds/{shed}", "get-shed", "One shed with the newest values of its outlets and its feeder", http.StatusNotFound), s.shed)
	handle(s, api, operation(http.MethodPatch, "/sheds/{shed}", "name-shed", "Name a shed and its place", http.StatusNotFound), s.name)
	handle(s, api, operation(http.MethodPost, "/sheds/{shed}/commands", "command", "Command a shed's gateway and wait for its reply",
		http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable, http.StatusGatewayTimeout), s.command)
	handle(s, api, operation(http.MethodGet, "/sheds/{shed}/series", "get-series", "A field over time", http.StatusBadRequest, http.StatusNotFound), s.series)
	handle(s, api, operation(http.MethodGet, "/sheds/{shed}/events", "list-shed-events", "What happened at a shed besides alarms: relays, sessions, commands, configurations",
		http.StatusBadRequest, http.StatusNotFound), s.shedLog)
	handle(s, api, operation(http.MethodGet, "/dead-letters", "list-dead-letters", "Messages that were refused, newest first", http.StatusBadRequest), s.deadLetters)
	handle(s, api, operation(http.MethodGet, "/audit", "list-audit", "The newest deeds of people, newest first"), s.auditTrail)
}

func (s *Server) sheds(ctx context.Context, _ *none) (*shedsOutput, error) {
	sheds, err := s.opts.Book.Sheds(ctx)
	out := &shedsOutput{}
	out.Body.Sheds = sheds
	return out, err
}

func (s *Server) shed(ctx context.Context, in *ShedPath) (*shedOutput, error) {
	shed, err := s.opts.Book.Shed(ctx, in.Shed)
	if err != nil {
		return nil, err
	}
	return s.withLive(ctx, shed)
}

func (s *Server) withLive(ctx context.Context, shed book.Shed) (*shedOutput, error) {
	latest, err := s.opts.Series.Latest(ctx, shedguard.MeasurementOutlet, map[string]string{"shed": shed.ID}, liveWithin)
	if err != nil {
		return nil, fmt.Errorf("newest values of shed %s: %w", shed.ID, err)
	}
	byOutlet := map[int]live.Outlet{}
	for _, l := range latest {
		n, err := strconv.Atoi(l.Tags["outlet"])
		if err != nil || n < 1 || n > shedguard.MaxOutlets || math.IsNaN(l.Value) || math.IsInf(l.Value, 0) {
			continue
		}
		o := byOutlet[n]
		o.Outlet = n
		if l.At.After(o.At) {
			o.At = l.At.UTC()
		}
		o.Set(l.Field, l.Value)
		byOutlet[n] = o
	}
	out := &shedOutput{}
	if out.Body.Feeder, err = s.feeder(ctx, shed.ID); err != nil {
		return nil, err
	}
	out.Body.Shed, out.Body.Live = shed, []live.Outlet{}
	for _, o := range byOutlet {
		out.Body.Live = append(out.Body.Live, o)
	}
	slices.SortFunc(out.Body.Live, func(a, b live.Outlet) int { return cmp.Compare(a.Outlet, b.Outlet) })
	return out, nil
}

// feeder is the newest load of a shed's supply; nil when there is none.
func (s *Server) feeder(ctx context.Context, shed string) (*live.Feeder, error) {
	latest, err := s.opts.Series.Latest(ctx, shedguard.MeasurementFeeder, map[string]string{"shed": shed}, liveWithin)
	if err != nil {
		return nil, fmt.Errorf("newest load of the feeder of shed %s: %w", shed, err)
	}
	var at time.Time
	fields := make(map[string]float64, len(latest))
	for _, l := range latest {
		fields[l.Field] = l.Value
		if l.At.After(at) {
			at = l.At
		}
	}
	return live.NewFeeder(at, fields), nil
}

func (s *Server) name(ctx context.Context, in *nameInput) (*shedOutput, error) {
	shed, err := s.opts.Book.NameShed(ctx, in.Shed, in.Body.Name, in.Body.Place)
	if err != nil {
		return nil, err
	}
	if err := s.audit(ctx, who(ctx).name, "shed_changed", in.Shed, in.Body); err != nil {
		return nil, err
	}
	return s.withLive(ctx, shed)
}

func (s *Server) command(ctx context.Context, in *commandInput) (*commandOutput, error) {
	if err := adminOnly(ctx, "command gateways"); err != nil {
		return nil, err
	}
	shed, err := s.opts.Book.Shed(ctx, in.Shed)
	if err != nil {
		return nil, err
	}
	outcome := "failed"
	defer func() { s.commands.WithLabelValues(knownKind(in.Body.Kind), outcome).Inc() }()
	if shed.State != book.StateOnline && shed.State != book.StateSilent {
		outcome = "offline"
		return nil, huma.Error409Conflict(fmt.Sprintf("gateway offline: shed %s is %s since %s", shed.ID, shed.State, shed.Since.Format(time.RFC3339)))
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	c := shedguard.Command{
		ID: s.opts.NewID(), Kind: in.Body.Kind, IssuedAt: now, ExpiresAt: now.Add(commandWait), By: who(ctx).name, BootID: shed.BootID,
	}
	if in.Body.Args != nil {
		if c.Args, err = json.Marshal(in.Body.Args); err != nil {
			return nil, fmt.Errorf("command args: %w", err)
		}
	}
	if len(c.Args) > shedguard.MaxCommandBytes/2 {
		return nil, huma.Error400BadRequest(fmt.Sprintf("args: %d bytes: want at most %d", len(c.Args), shedguard.MaxCommandBytes/2))
	}
	if err := s.opts.Book.PutCommand(ctx, shed.ID, c); err != nil {
		return nil, err
	}
	if err := s.audit(ctx, c.By, "command", shed.ID, c); err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeoutCause(ctx, commandWait, ErrNoReply)
	defer cancel()
	reply, err := s.opts.Command(wait, shed.ID, c)
	switch {
	case errors.Is(err, ErrNotConnected):
		outcome = "not_connected"
		return nil, huma.Error503ServiceUnavailable("the collector is not connected to the broker; nothing was sent")
	case errors.Is(err, ErrNoReply), errors.Is(err, context.DeadlineExceeded):
		outcome = "no_reply"
		s.opts.Log.WarnContext(ctx, "gateway did not reply", slog.String("shed", shed.ID), slog.String("kind", c.Kind), slog.String("command", c.ID))
		return nil, huma.Error504GatewayTimeout(fmt.Sprintf("shed %s did not reply within %s; whether it acted is not known", shed.ID, commandWait))
	case err != nil:
		return nil, fmt.Errorf("command %s to shed %s: %w", c.Kind, shed.ID, err)
	}
	outcome = "ok"
	if !reply.OK {
		outcome = "refused"
	}
	out := &commandOutput{}
	out.Body.ID, out.Body.OK, out.Body.Error, out.Body.Result = reply.ID, reply.OK, reply.Error, reply.Result
	return out, nil
}

// knownKind keeps what people type out of the metrics.
func knownKind(kind string) string {
	switch kind {
	case shedguard.CommandStart, shedguard.CommandStop, shedguard.CommandResetTrip, shedguard.CommandAcknowledge, shedguard.CommandSilenceSiren,
		shedguard.CommandVetoSuppression, shedguard.CommandSelfTest, shedguard.CommandSnapshot, shedguard.CommandGetState:
		return kind
	default:
		return "other"
	}
}

func (s *Server) series(ctx context.Context, in *seriesInput) (*seriesOutput, error) {
	if _, err := s.opts.Book.Shed(ctx, in.Shed); err != nil {
		return nil, err
	}
	q := series.Query{
		Measurement: in.Measurement, Field: in.Field, Tags: map[string]string{"shed": in.Shed},
		From: in.From, To: in.To, Points: in.Points,
	}
	if q.To.IsZero() {
		q.To = time.Now().UTC().Truncate(time.Millisecond)
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-time.Hour)
	}
	if in.Outlet != 0 {
		q.Tags["outlet"] = strconv.Itoa(in.Outlet)
	}
	for tag, value := range map[string]string{"zone": in.Zone, "camera": in.Camera} {
		if value != "" {
			q.Tags[tag] = value
		}
	}
	if err := q.Validate(); err != nil {
		return nil, huma.Error400BadRequest(err.Error())
	}
	found, err := s.opts.Series.Range(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("series %s_%s of shed %s: %w", q.Measurement, q.Field, in.Shed, err)
	}
	out := &seriesOutput{}
	out.Body.From, out.Body.To, out.Body.StepMS, out.Body.Series = q.From.UTC(), q.To.UTC(), q.Step().Milliseconds(), []seriesBody{}
	for _, f := range found {
		b := seriesBody{Tags: f.Tags, Points: make([][4]float64, 0, len(f.Buckets))}
		for _, k := range f.Buckets {
			p := [4]float64{float64(k.At.UnixMilli()), k.Min, k.Mean, k.Max}
			if !slices.ContainsFunc(p[:], func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }) {
				b.Points = append(b.Points, p)
			}
		}
		out.Body.Series = append(out.Body.Series, b)
	}
	return out, nil
}

func (s *Server) shedLog(ctx context.Context, in *shedLogInput) (*shedLogOutput, error) {
	page, next, err := s.opts.Book.ShedLog(ctx, in.Shed, in.Cursor, in.Limit)
	out := &shedLogOutput{}
	out.Body.Events, out.Body.Next = page, next
	return out, err
}

func (s *Server) deadLetters(ctx context.Context, in *deadLettersInput) (*deadLettersOutput, error) {
	page, next, err := s.opts.Book.DeadLetters(ctx, in.Cursor, in.Limit)
	out := &deadLettersOutput{}
	out.Body.DeadLetters, out.Body.Next = page, next
	return out, err
}

func (s *Server) auditTrail(ctx context.Context, _ *none) (*auditOutput, error) {
	if err := adminOnly(ctx, "read the audit trail"); err != nil {
		return nil, err
	}
	trail, err := s.opts.Book.AuditTrail(ctx, book.MaxPage)
	out := &auditOutput{}
	out.Body.Audit = trail
	return out, err
}
