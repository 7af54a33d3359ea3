package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shedguard/shedguard"
)

// smokeWithin bounds the whole run.
const smokeWithin = 90 * time.Second

// faultOutlet is where the overload happens, in the first of two zones of six
// outlets; it burns in the second.
const (
	faultOutlet   = 3
	checkScenario = "check"
	burningZone   = "zone/bay-2"
	burningLatch  = 0x0FC0 // outlets 7 to 12
	quietSeconds  = 20     // at least, before the flames
)

// result is the line that a smoke run prints. Latencies named register_to_…
// count from the sample on which the rule decided.
type result struct {
	OK               bool    `json:"ok"`
	Error            string  `json:"error,omitempty"`
	Cause            string  `json:"cause,omitempty"`
	TripSeconds      float64 `json:"overload_to_trip_s"`       // from the first overloaded sample to the decision
	SampleToRelayMS  float64 `json:"sample_to_relay_ms"`       // to the latch that was read back
	RegisterToBroker float64 `json:"register_to_broker_ms"`    // to the broker's PUBACK at the gateway
	RegisterToCloud  float64 `json:"register_to_collector_ms"` // to its receipt by the collector
	RegisterToAPI    float64 `json:"register_to_api_ms"`       // to the live stream of the web API
	ResetMS          float64 `json:"reset_ms"`                 // from the command to the gateway's reply
	ResetToClearedMS float64 `json:"reset_to_cleared_ms"`      // to the cleared alarm in the live stream
	RefusedWhileOpen bool    `json:"reset_refused_while_hot"`  // the gateway refused a reset while its cause stood
	TelemetryPoints  int     `json:"telemetry_points"`         // of the tripped outlet, read back from the store
	DurationSeconds  float64 `json:"duration_s"`
	BoardLatchAfter  string  `json:"board_latch"` // of the simulated expander after the trip, read from its memory
	AcknowledgedBy   string  `json:"acknowledged_by,omitempty"`
	GatewayRestarts  float64 `json:"gateway_part_restarts"`
	DroppedTelemetry float64 `json:"dropped_telemetry"`

	// From the first frame with flames to the collector's receipt of the alarm; 0
	// where no camera worker is built, which Camera says.
	Camera          string  `json:"camera"`
	CameraQuiet     float64 `json:"camera_quiet_s"` // looked at without an alarm before
	FlameToPrealarm float64 `json:"flame_to_prealarm_ms"`
	FlameToFire     float64 `json:"flame_to_fire_ms"` // with a hot outlet in the same zone
	Pictures        int     `json:"pictures"`         // of the camera's alarm, at the collector
}

// runSmoke follows one overload from the chip's register to the web API, resets
// it by command, and prints what it took.
func runSmoke(ctx context.Context, o *options) error {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, smokeWithin, fmt.Errorf("smoke: not done within %s", smokeWithin))
	defer cancel()
	var r result
	err := onFreePorts(ctx, o)
	if err == nil {
		err = withSystem(ctx, o, func(ctx context.Context) error { return follow(ctx, o, &r) })
	}
	if err != nil && errors.Is(err, context.DeadlineExceeded) {
		err = errors.Join(err, context.Cause(ctx))
	}
	r.OK, r.DurationSeconds = err == nil, time.Since(began).Seconds()
	if err != nil {
		r.Error = err.Error()
		o.said.show()
	}
	line, jerr := json.Marshal(&r)
	if jerr != nil {
		return jerr
	}
	fmt.Println(string(line))
	return err
}

// onFreePorts prepares a system that an overload comes to, on free ports, so
// that a demo may run beside it.
func onFreePorts(ctx context.Context, o *options) (err error) {
	o.scenario, o.log = checkScenario, &o.said
	for _, addr := range []*string{&o.listen, &o.broker, &o.status} {
		if *addr, err = freeAddr(ctx); err != nil {
			return err
		}
	}
	return nil
}

// alarm is what the API says of an alarm, as far as it is checked here.
type alarm struct {
	ID         string    `json:"alarm_id"`
	Shed       string    `json:"shed"`
	Subject    string    `json:"subject"`
	Cause      string    `json:"cause"`
	State      string    `json:"state"`
	RaisedAt   time.Time `json:"raised_at"`
	Since      time.Time `json:"since"`
	ReceivedAt time.Time `json:"received_at"`
	Action     string    `json:"action"`
	Text       struct{ ZH, EN string }
}

// follow is the smoke run on a system that answers. The camera is looked at while
// the overload goes its way: its quiet part is then.
func follow(ctx context.Context, o *options, r *result) error {
	cloud, err := login(ctx, "http://"+o.listen, admin, o.password)
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	g, both := errgroup.WithContext(ctx)
	g.Go(func() error { return cloud.overload(both, o, r) })
	if o.camera == nil {
		r.Camera = "none: shedguard-vision is not built, deploy/setup.sh vision installs what it needs"
		return g.Wait()
	}
	r.Camera = "drawn"
	var flame time.Time
	g.Go(func() error {
		var err error
		flame, err = cloud.quiet(both, o.camera, r)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return cloud.burns(ctx, o, flame, r)
}

// overload follows the overload of outlet 3 to its end.
func (a *api) overload(ctx context.Context, o *options, r *result) error {
	m, err := a.awaitAlarm(ctx, func(m *alarm) bool {
		return m.State == "open" && m.Shed == shed && m.Subject == shedguard.OutletSubject(faultOutlet) && m.Action == string(shedguard.ActionTripped)
	}, r)
	if err != nil {
		return fmt.Errorf("wait for the alarm: %w", err)
	}
	if m.Text.ZH == "" || m.Text.EN == "" {
		return fmt.Errorf("alarm %s: no text in both languages", m.ID)
	}
	r.Cause, r.TripSeconds = m.Cause, m.RaisedAt.Sub(m.Since).Seconds()
	r.RegisterToCloud = ms(m.ReceivedAt.Sub(m.RaisedAt))
	if err := boardOpen(o, r); err != nil {
		return err
	}
	if err := measured(ctx, o, r); err != nil {
		return err
	}
	if err := a.call(ctx, http.MethodPost, "/api/v1/alarms/"+m.ID+"/acknowledge", map[string]string{"comment": "smoke"}, nil); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	r.AcknowledgedBy = admin
	if err := a.reset(ctx, m.ID, r); err != nil {
		return err
	}
	return a.chart(ctx, m, r)
}

// burns follows a fire: the camera's alarm not before there are flames, then, with a
// hot outlet beside it, the fire that cuts the zone, and the picture.
func (a *api) burns(ctx context.Context, o *options, flame time.Time, r *result) error {
	for {
		var list struct{ Alarms []alarm }
		if err := a.call(ctx, http.MethodGet, "/api/v1/alarms?state=all&limit=100", nil, &list); err != nil {
			return fmt.Errorf("fire: %w", err)
		}
		var seen, fire *alarm
		for i := range list.Alarms {
			m := &list.Alarms[i]
			switch {
			case strings.HasPrefix(m.Subject, "camera/") && m.RaisedAt.Before(flame):
				return fmt.Errorf("camera: %s %.1f s before anything burns", m.Cause, flame.Sub(m.RaisedAt).Seconds())
			case m.Cause == string(shedguard.CauseFlameSeen):
				seen = m
			case m.Cause == string(shedguard.CauseFire) && m.Subject == burningZone:
				fire = m
			}
		}
		if seen != nil {
			r.FlameToPrealarm = ms(seen.ReceivedAt.Sub(flame))
			var detail struct {
				Pictures []json.RawMessage `json:"pictures"`
			}
			if err := a.call(ctx, http.MethodGet, "/api/v1/alarms/"+url.PathEscape(seen.ID), nil, &detail); err != nil {
				return fmt.Errorf("fire: %w", err)
			}
			r.Pictures = len(detail.Pictures)
		}
		if fire != nil {
			r.FlameToFire = ms(fire.ReceivedAt.Sub(flame))
		}
		if fire != nil && seen != nil && r.Pictures > 0 {
			if fire.Action != string(shedguard.ActionCutZone) || fire.Text.ZH == "" || fire.Text.EN == "" {
				return fmt.Errorf("fire: action %q, text %+v", fire.Action, fire.Text)
			}
			return boardCut(ctx, o, burningLatch)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("fire: camera's alarm %t, fire %t, %d pictures: want all", seen != nil, fire != nil, r.Pictures)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// quiet waits until the camera worker sees, which must be well before the flames:
// no alarm from a camera that nobody watches says nothing. It returns when flames
// are first drawn.
func (a *api) quiet(ctx context.Context, d *drawn, r *result) (time.Time, error) {
	for {
		var got struct {
			Cameras []struct {
				State string     `json:"state"`
				At    *time.Time `json:"at"`
			} `json:"cameras"`
		}
		if err := a.call(ctx, http.MethodGet, "/api/v1/sheds/"+shed+"/cameras", nil, &got); err != nil {
			return time.Time{}, fmt.Errorf("camera: %w", err)
		}
		began, flame, looked := d.looked()
		for _, c := range got.Cameras {
			if !looked || c.State != "sees" || c.At == nil {
				continue
			}
			r.CameraQuiet = flame.Sub(began).Seconds()
			if !c.At.Before(flame) || r.CameraQuiet < quietSeconds {
				return flame, fmt.Errorf("camera: %.1f s quiet, it saw at %v and flames came at %v: want %d s, and that it sees before", r.CameraQuiet, *c.At, flame, quietSeconds)
			}
			return flame, nil
		}
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("camera: its worker does not see (asked for pictures: %t)", looked)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// awaitAlarm waits for an alarm on the live stream and reads it from the API.
func (a *api) awaitAlarm(ctx context.Context, wanted func(*alarm) bool, r *result) (*alarm, error) {
	var found *alarm
	look := func() (*alarm, error) {
		var list struct{ Alarms []alarm }
		if err := a.call(ctx, http.MethodGet, "/api/v1/alarms?state=all&limit=50", nil, &list); err != nil {
			return nil, err
		}
		for i := range list.Alarms {
			if wanted(&list.Alarms[i]) {
				return &list.Alarms[i], nil
			}
		}
		return nil, nil
	}
	var err error
	serr := a.stream(ctx, func() {}, func(c change) bool {
		if c.kind != "alarm" {
			return false
		}
		if found, err = look(); found != nil {
			r.RegisterToAPI = ms(c.at.Sub(found.RaisedAt))
		}
		return found != nil || err != nil
	})
	return found, errors.Join(err, serr)
}

// boardLatch is the latch in the simulated expander's own memory.
func boardLatch(o *options) (uint16, error) {
	b, err := os.ReadFile(filepath.Join(o.dir, "gateway", "board"))
	if err != nil {
		return 0, fmt.Errorf("read the simulated board: %w", err)
	}
	const latchA, latchB = 0x14, 0x15 // OLATA and OLATB
	return uint16(b[latchA]) | uint16(b[latchB])<<8, nil
}

// cutWithin is how long after the alarm of a fire its outlets may take to open: each
// opens with its next sample, and the alarm may be told before.
const cutWithin = time.Second

// boardCut waits until every outlet of a mask is open.
func boardCut(ctx context.Context, o *options, mask uint16) error {
	for end := time.Now().Add(cutWithin); ; {
		latch, err := boardLatch(o)
		if err != nil || latch&mask == 0 {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("latch %#04x: outlets of the burning zone (%#04x) are still closed %s after its alarm", latch, mask, cutWithin)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// boardOpen looks at outlet 3.
func boardOpen(o *options, r *result) error {
	latch, err := boardLatch(o)
	if err != nil {
		return err
	}
	r.BoardLatchAfter = fmt.Sprintf("%#04x", latch)
	if latch&(1<<(faultOutlet-1)) != 0 {
		return fmt.Errorf("latch %#04x: outlet %d is still closed", latch, faultOutlet)
	}
	return nil
}

// measured takes what only the gateway can measure from its metrics. The
// broker's word can come after the alarm is on the page: it is waited for.
func measured(ctx context.Context, o *options, r *result) error {
	for {
		m, err := metrics(ctx, "http://"+o.status+"/metrics")
		if err != nil {
			return fmt.Errorf("gateway metrics: %w", err)
		}
		r.SampleToRelayMS = math.Round(1e6*m["gateway_sample_to_relay_max_seconds"]) / 1e3
		r.RegisterToBroker = math.Round(1e6*m["gateway_alarm_puback_seconds"]) / 1e3
		r.GatewayRestarts = m["gateway_part_restarts_total"]
		r.DroppedTelemetry = m["gateway_outbox_dropped_telemetry_total"]
		if r.SampleToRelayMS > 0 && r.RegisterToBroker > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gateway metrics: sample to relay %g ms, register to broker %g ms: want both", r.SampleToRelayMS, r.RegisterToBroker)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// metrics reads the series without labels of a Prometheus page.
func metrics(ctx context.Context, url string) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it was read to its end
	m := make(map[string]float64)
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			m[name] = v
		}
	}
	return m, nil
}

// reset has the trip reset from the web API, as a person would: again when it
// is refused because the outlet is still hot.
func (a *api) reset(ctx context.Context, alarmID string, r *result) error {
	var cleared time.Time
	type reply struct {
		OK    bool                  `json:"ok"`
		Error *shedguard.ReplyError `json:"error"`
	}
	send := func() (bool, error) {
		var got reply
		began := time.Now()
		err := a.call(ctx, http.MethodPost, "/api/v1/sheds/"+shed+"/commands", map[string]any{
			"kind": shedguard.CommandResetTrip, "args": shedguard.OutletArgs{Outlet: faultOutlet},
		}, &got)
		if err != nil {
			return false, fmt.Errorf("reset: %w", err)
		}
		if got.OK {
			r.ResetMS = ms(time.Since(began))
			return true, nil
		}
		if got.Error == nil {
			return false, errors.New("reset: neither done nor refused")
		}
		if got.Error.Code != shedguard.CodeCauseStands {
			return false, fmt.Errorf("reset refused: %w", got.Error)
		}
		r.RefusedWhileOpen = true
		return false, nil
	}
	var accepted time.Time
	var err error
	serr := a.stream(ctx, func() {
		for {
			var ok bool
			accepted = time.Now()
			if ok, err = send(); ok || err != nil {
				return
			}
			select {
			case <-ctx.Done():
				err = context.Cause(ctx)
				return
			case <-time.After(500 * time.Millisecond):
			}
		}
	}, func(c change) bool {
		if err != nil {
			return true
		}
		if c.kind != "alarm" || !bytes.Contains(c.data, []byte(alarmID)) {
			return false
		}
		var got alarm
		if err = a.call(ctx, http.MethodGet, "/api/v1/alarms/"+url.PathEscape(alarmID), nil, &got); err != nil {
			return true
		}
		if got.State == "cleared" {
			cleared = c.at
		}
		return !cleared.IsZero()
	})
	r.ResetToClearedMS = ms(cleared.Sub(accepted))
	return errors.Join(err, serr)
}

// chart reads the current of the tripped outlet back from the store: it must
// show the overload.
func (a *api) chart(ctx context.Context, m *alarm, r *result) error {
	q := url.Values{
		"measurement": {shedguard.MeasurementOutlet}, "field": {"amps"}, "outlet": {strconv.Itoa(faultOutlet)},
		"from": {m.RaisedAt.Add(-30 * time.Second).Format(time.RFC3339Nano)}, "to": {m.RaisedAt.Add(30 * time.Second).Format(time.RFC3339Nano)},
		"points": {"600"},
	}
	for {
		var got struct {
			Series []struct {
				Points [][4]float64 `json:"points"`
			} `json:"series"`
		}
		if err := a.call(ctx, http.MethodGet, "/api/v1/sheds/"+shed+"/series?"+q.Encode(), nil, &got); err != nil {
			return fmt.Errorf("chart: %w", err)
		}
		var most float64
		r.TelemetryPoints = 0
		for _, s := range got.Series {
			r.TelemetryPoints += len(s.Points)
			for _, p := range s.Points {
				most = max(most, p[3])
			}
		}
		if most > 15 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("chart: %d points, at most %.1f A: want the overload in it", r.TelemetryPoints, most)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
