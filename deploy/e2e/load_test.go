package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/oklog/ulid/v2"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/internal/mosquittotest"
)

// The known load: what each of the gateways says.
const (
	loadGateways = 4
	loadBatches  = 300
	loadOutlets  = 5
	loadAlarms   = 40
	loadEvery    = 10 * time.Millisecond  // one batch
	loadSpacing  = 100 * time.Millisecond // between the samples of an outlet
	loadWindow   = 16                     // batches without a PUBACK
	resendEvery  = 500 * time.Millisecond // alarms without an ack
)

// fake is a gateway as a broker sees one: it keeps every batch until its
// PUBACK and every alarm until its ack.
type fake struct {
	shed   string
	broker func() string // host:port, which may change
	boot   string
	base   time.Time // of the first samples

	batches [][]byte          // in the order of their time
	events  []shedguard.Event // raised and cleared of each alarm
	done    *atomic.Int64     // PUBACKs, over all gateways

	connects, resent int // telemetry only
	mu               sync.Mutex
	acked            map[string]bool
}

func newFake(t *testing.T, shed string, broker func() string, base time.Time, done *atomic.Int64) *fake {
	t.Helper()
	f := &fake{shed: shed, broker: broker, boot: ulid.Make().String(), base: base, done: done, acked: make(map[string]bool)}
	for i := range loadBatches {
		f.batches = append(f.batches, f.batch(t, i))
	}
	for i := range loadAlarms {
		a := shedguard.Alarm{
			ID: ulid.Make().String(), Cause: shedguard.CauseOvercurrent, Severity: shedguard.SeverityMajor, Level: 2,
			RaisedAt: base, Since: base, Value: float64(i), Limit: 10.5, Unit: "A", Action: shedguard.ActionTripped, Evidence: []string{},
			Text: shedguard.Text{ZH: "过电流", EN: "overcurrent"},
		}
		for n, typ := range []string{shedguard.EventAlarmRaised, shedguard.EventAlarmCleared} {
			if n == 1 {
				a.Severity, a.Level = shedguard.SeverityCleared, 0
			}
			a.Stamp = shedguard.Stamp{Clock: shedguard.ClockSynced, BootID: f.boot, Seq: uint64(2*i + n + 1)}
			e, err := shedguard.NewEvent(ulid.Make().String(), shedguard.Source(shed), typ, shedguard.OutletSubject(i%loadOutlets+1), base.Add(time.Duration(n)*time.Second), &a)
			if err != nil {
				t.Fatal(err)
			}
			f.events = append(f.events, e)
		}
	}
	return f
}

// batch is the n-th batch: the n-th sample of each outlet.
func (f *fake) batch(t *testing.T, n int) (lines []byte) {
	t.Helper()
	for outlet := range loadOutlets {
		var err error
		lines, err = shedguard.AppendLine(lines, &shedguard.Point{
			Measurement: shedguard.MeasurementOutlet,
			Tags:        []shedguard.Tag{{Key: "shed", Value: f.shed}, {Key: "outlet", Value: fmt.Sprint(outlet + 1)}},
			Fields:      []shedguard.Field{{Key: "watts", Value: float64(n)}, {Key: "volts", Value: 220 + float64(outlet)}},
			Time:        f.base.Add(time.Duration(n) * loadSpacing),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return lines
}

// run says everything until everything is confirmed.
func (f *fake) run(ctx context.Context) error {
	waiting := make([]int, len(f.batches)) // batches without a PUBACK
	for i := range waiting {
		waiting[i] = i
	}
	for ctx.Err() == nil {
		var err error
		if waiting, err = f.connection(ctx, waiting); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s: %d batches without a PUBACK, %d events without an ack: %w", f.shed, len(waiting), len(f.unacked()), context.Cause(ctx))
}

func settled(t mqtt.Token) error {
	if !t.WaitTimeout(5 * time.Second) {
		return errors.New("no answer")
	}
	return t.Error()
}

// connection says what it can on one connection and returns the batches that
// are still without a PUBACK, and nil when nothing is left to say.
func (f *fake) connection(ctx context.Context, waiting []int) ([]int, error) {
	f.connects++
	lost := make(chan error, 1)
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + f.broker()).SetClientID(f.shed).SetAutoReconnect(false).
		SetConnectTimeout(5 * time.Second).SetConnectionLostHandler(func(_ mqtt.Client, err error) { lost <- err }))
	if err := settled(c.Connect()); err != nil {
		return waiting, err
	}
	defer c.Disconnect(50)
	if err := settled(c.Subscribe(shedguard.Topic(f.shed, shedguard.ClassAck), 1, f.onAck)); err != nil {
		return waiting, err
	}
	status, err := json.Marshal(shedguard.Status{State: shedguard.GatewayOnline, Since: time.Now(), BootID: f.boot, Conn: uint64(f.connects), Clock: shedguard.ClockSynced})
	if err != nil {
		return waiting, err
	}
	if err := settled(c.Publish(shedguard.Topic(f.shed, shedguard.ClassStatus), 1, true, status)); err != nil {
		return waiting, err
	}
	if f.connects > 1 {
		f.resent += min(len(waiting), loadWindow)
	}
	say, again := time.NewTicker(loadEvery), time.NewTicker(resendEvery)
	defer say.Stop()
	defer again.Stop()
	type flight struct {
		mqtt.Token
		batch int
	}
	var flying []flight
	rest := func() []int { // in the air counts as not said
		for _, fl := range slices.Backward(flying) {
			waiting = append([]int{fl.batch}, waiting...)
		}
		return waiting
	}
	events := 0 // said on this connection
	for {
		var first <-chan struct{}
		if len(flying) > 0 {
			first = flying[0].Done()
		}
		select {
		case <-ctx.Done():
			return rest(), ctx.Err()
		case err := <-lost:
			return rest(), err
		case <-first:
			if err := flying[0].Error(); err != nil {
				return rest(), err
			}
			flying = flying[1:]
			f.done.Add(1)
		case <-say.C:
			if len(waiting) > 0 && len(flying) < loadWindow {
				flying = append(flying, flight{c.Publish(shedguard.Topic(f.shed, shedguard.ClassTelemetry), 1, false, f.batches[waiting[0]]), waiting[0]})
				waiting = waiting[1:]
			}
			// As many events as belong to the part of the batches that is said.
			for due := len(f.events) * (loadBatches - len(waiting)) / loadBatches; events < due; events++ {
				if e := &f.events[events]; !f.isAcked(e.ID) {
					f.publish(c, e)
				}
			}
		case <-again.C:
			left := f.unacked()
			if len(left)+len(waiting)+len(flying) == 0 {
				return nil, nil
			}
			for _, i := range left {
				if i < events {
					f.publish(c, &f.events[i])
				}
			}
		}
	}
}

// publish says an event; nothing but its ack counts.
func (f *fake) publish(c mqtt.Client, e *shedguard.Event) {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // the test made it
	}
	c.Publish(shedguard.Topic(f.shed, shedguard.ClassAlarm), 1, false, b)
}

func (f *fake) onAck(_ mqtt.Client, m mqtt.Message) {
	a, err := shedguard.DecodeAck(m.Payload())
	if err != nil {
		return // what is not acked is missed in the end
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range a.IDs {
		f.acked[id] = true
	}
}

func (f *fake) isAcked(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.acked[id]
}

// unacked are the indexes of the events without an ack.
func (f *fake) unacked() (left []int) {
	for i := range f.events {
		if !f.isAcked(f.events[i].ID) {
			left = append(left, i)
		}
	}
	return left
}

// A collector that is killed twice under load has in the end what went in,
// once.
func TestCollectorKilledUnderLoad(t *testing.T) {
	t.Parallel()
	for name, outside := range map[string]bool{"mosquitto": true, "embedded broker": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, config := t.TempDir(), withBroker
			var addr atomic.Pointer[string] // of the broker
			if outside {
				server := mosquittotest.Start(t, "max_inflight_messages 1000", "max_queued_messages 0")
				at := server.Addr()
				addr.Store(&at)
				config = beside(at)
			}
			var cloud *collector
			begin := func() {
				cloud = startCollector(t, dir, config)
				if !outside {
					addr.Store(&cloud.broker)
				}
			}
			begin()

			base := time.Now().Add(-loadBatches * loadSpacing).Truncate(time.Millisecond)
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			var done atomic.Int64
			var work sync.WaitGroup
			fakes := make([]*fake, loadGateways)
			failures := make([]error, loadGateways)
			for i := range fakes {
				fakes[i] = newFake(t, fmt.Sprintf("load-%d", i), func() string { return *addr.Load() }, base, &done)
				work.Go(func() { failures[i] = fakes[i].run(ctx) })
			}
			defer work.Wait()
			const total = loadGateways * loadBatches
			for _, part := range []int64{total / 3, total * 2 / 3} {
				until(t, fmt.Sprintf("%d of %d batches are acknowledged", part, total), func() bool { return done.Load() >= part })
				cloud.kill()
				if n := done.Load(); n >= total {
					t.Fatalf("killed after the load, at %d of %d: the test shows nothing", n, total)
				}
				begin()
			}
			work.Wait()
			if err := errors.Join(failures...); err != nil {
				t.Fatal(err)
			}

			stored := func(shed string) int {
				return cloud.count(t, shed, "outlet_watts") + cloud.count(t, shed, "outlet_volts")
			}
			for _, f := range fakes {
				const in = 2 * loadBatches * loadOutlets
				until(t, fmt.Sprintf("the store has the %d values of %s", in, f.shed), func() bool { return stored(f.shed) >= in })
				if n := stored(f.shed); n != in {
					t.Errorf("%s: %d values in, %d stored", f.shed, in, n)
				}
				checkLoad(t, cloud, f)
				t.Logf("%s: %d values in and stored, %d alarms; %d connections, at most %d batches sent again", f.shed, in, loadAlarms, f.connects, f.resent)
			}
		})
	}
}

// checkLoad compares what is stored with what went in, one by one.
func checkLoad(t *testing.T, cloud *collector, f *fake) {
	t.Helper()
	watts := cloud.samples(t, f.shed, "watts", f.base, f.base.Add(loadBatches*loadSpacing))
	for outlet := 1; outlet <= loadOutlets; outlet++ {
		got := watts[outlet]
		if len(got) != loadBatches {
			t.Errorf("%s outlet %d: %d samples, want %d", f.shed, outlet, len(got), loadBatches)
			continue
		}
		for n, s := range got {
			if at := f.base.Add(time.Duration(n) * loadSpacing); !s.at.Equal(at) || s.value != float64(n) {
				t.Fatalf("%s outlet %d: sample %d is %v at %s, want %d at %s", f.shed, outlet, n, s.value, s.at, n, at)
			}
		}
	}
	want := make(map[string]bool)
	for i := range f.events {
		a, err := f.events[i].Alarm()
		if err != nil {
			t.Fatal(err)
		}
		want[a.ID] = true
	}
	got := cloud.alarms(t, f.shed)
	if len(got) != loadAlarms {
		t.Errorf("%s: %d alarms, want %d", f.shed, len(got), loadAlarms)
	}
	for _, a := range got {
		if !want[a.ID] || a.State != "cleared" {
			t.Errorf("%s: alarm %s is %s, or doubled, or was never said", f.shed, a.ID, a.State)
		}
		delete(want, a.ID)
		if h := cloud.history(t, a.ID); !slices.Equal(h, []string{"raised", "cleared"}) {
			t.Errorf("%s: history of alarm %s is %q, want raised and cleared once", f.shed, a.ID, h)
		}
	}
}
