package book_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("BOOK_CRASH_PATH"); path != "" {
		crashWriter(path)
	}
	// database/sql ends its opener a moment after Close returned.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// id is a ULID made of a number.
func id(n int) string { return fmt.Sprintf("%026d", n) }

const (
	boot1 = "01KAAAAAAAAAAAAAAAAAAAAAA1"
	boot2 = "01KBBBBBBBBBBBBBBBBBBBBBB2"
)

func open(tb testing.TB, changed func(book.Change)) *book.Book {
	tb.Helper()
	b, err := book.Open(tb.Context(), book.Options{Path: filepath.Join(tb.TempDir(), "book.db"), Changed: changed})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Error(err)
		}
	})
	return b
}

// alarmEvent is event number n of alarm number alarm.
func alarmEvent(tb testing.TB, typ string, n, alarm int, change func(*shedguard.Alarm)) shedguard.Event {
	tb.Helper()
	a := shedguard.Alarm{
		ID: id(1_000_000 + alarm), Cause: shedguard.CauseOvercurrent, Severity: shedguard.SeverityMajor, Level: 2,
		RaisedAt: noon, Since: noon.Add(-time.Second), Value: 25, Limit: 10.5, Unit: "A", Action: shedguard.ActionTripped, Latched: true,
		Evidence: []string{}, Text: shedguard.Text{ZH: "三号插座过流", EN: "outlet 3 overcurrent"},
		Stamp: shedguard.Stamp{Clock: shedguard.ClockSynced, BootID: boot1, Seq: uint64(n)},
	}
	if change != nil {
		change(&a)
	}
	e, err := shedguard.NewEvent(id(n), shedguard.Source("shed-1"), typ, "outlet/3", noon.Add(time.Duration(n)*time.Second), a)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func put(tb testing.TB, b *book.Book, events ...shedguard.Event) {
	tb.Helper()
	for _, e := range events {
		if _, err := b.PutEvent(tb.Context(), e, noon.Add(time.Hour)); err != nil {
			tb.Fatal(err)
		}
	}
}

func TestAlarmLife(t *testing.T) {
	var changes []book.Change
	b := open(t, func(c book.Change) { changes = append(changes, c) })
	put(t, b,
		alarmEvent(t, shedguard.EventAlarmRaised, 1, 1, nil),
		alarmEvent(t, shedguard.EventAlarmUpdated, 2, 1, func(a *shedguard.Alarm) { a.Value = 31; a.Severity, a.Level = 1, 1 }))
	got, err := b.Alarm(t.Context(), id(1_000_001))
	if err != nil {
		t.Fatal(err)
	}
	want := book.Alarm{
		ID: id(1_000_001), Shed: "shed-1", ShedName: "shed-1", Subject: "outlet/3", Cause: shedguard.CauseOvercurrent,
		Severity: shedguard.SeverityCritical, Level: 1, State: book.AlarmOpen, RaisedAt: noon, Since: noon.Add(-time.Second),
		ReceivedAt: noon.Add(time.Hour), Value: 31, Limit: 10.5, Unit: "A", Action: shedguard.ActionTripped, Latched: true,
		Evidence: []string{}, Text: shedguard.Text{ZH: "三号插座过流", EN: "outlet 3 overcurrent"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("alarm after raised and updated (-want +got):\n%s", d)
	}
	shed, err := b.Shed(t.Context(), "shed-1")
	if err != nil || shed.OpenAlarms != 1 || shed.Worst != "critical" {
		t.Errorf("shed %+v, %v: want one open alarm, critical", shed, err)
	}
	if got, err = b.Acknowledge(t.Context(), got.ID, "li", "going there", noon.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	want.Acknowledged = &book.Acknowledgement{By: "li", At: noon.Add(2 * time.Hour), Comment: "going there"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("acknowledged (-want +got):\n%s", d)
	}
	if again, err := b.Acknowledge(t.Context(), got.ID, "wang", "me too", noon.Add(3*time.Hour)); err != nil || again.Acknowledged.By != "li" {
		t.Errorf("second acknowledgement: %+v, %v: want the first to count", again.Acknowledged, err)
	}
	put(t, b, alarmEvent(t, shedguard.EventAlarmCleared, 3, 1, func(a *shedguard.Alarm) { a.Severity, a.Level = 0, 0 }))
	got, err = b.Alarm(t.Context(), got.ID)
	if err != nil || got.State != book.AlarmCleared || got.ClearedAt == nil || !got.ClearedAt.Equal(noon.Add(3*time.Second)) || got.Severity != shedguard.SeverityCritical {
		t.Errorf("cleared: %+v, %v", got, err)
	}
	history, err := b.History(t.Context(), got.ID)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, h := range history {
		kinds = append(kinds, h.Type+" "+h.By)
	}
	if want := []string{"raised ", "updated ", "cleared ", "acknowledged li", "comment wang"}; !slices.Equal(kinds, want) {
		t.Errorf("history %q, want %q", kinds, want)
	}
	alarms, sheds := 0, 0
	for _, c := range changes {
		if c.Alarm != nil {
			alarms++
		}
		if c.Shed != nil {
			sheds++
		}
	}
	if alarms != 5 || sheds != 3 { // met with an alarm, worse, none open
		t.Errorf("told of %d alarm and %d shed changes, want 5 and 3", alarms, sheds)
	}
}

// Whatever the order of an alarm's events, and however often each comes, the
// alarm ends the same.
func TestAlarmLifeIsTolerantOfOrder(t *testing.T) {
	life := func(alarm int) []shedguard.Event {
		n := alarm * 10
		return []shedguard.Event{
			alarmEvent(t, shedguard.EventAlarmRaised, n+1, alarm, func(a *shedguard.Alarm) { a.Clock = shedguard.ClockUnsynced }),
			alarmEvent(t, shedguard.EventAlarmUpdated, n+2, alarm, func(a *shedguard.Alarm) { a.Value = 28 }),
			alarmEvent(t, shedguard.EventAlarmAcknowledged, n+3, alarm, func(a *shedguard.Alarm) { a.By = "box" }),
			alarmEvent(t, shedguard.EventAlarmUpdated, n+4, alarm, func(a *shedguard.Alarm) { a.BootID, a.Seq, a.Value = boot2, 1, 29 }),
			alarmEvent(t, shedguard.EventAlarmAcknowledged, n+5, alarm, func(a *shedguard.Alarm) { a.BootID, a.Seq, a.By = boot2, 2, "box again" }),
			alarmEvent(t, shedguard.EventAlarmCleared, n+6, alarm, func(a *shedguard.Alarm) { a.BootID, a.Seq, a.Severity, a.Level = boot2, 3, 0, 0 }),
			alarmEvent(t, shedguard.EventAlarmCleared, n+7, alarm, func(a *shedguard.Alarm) { a.BootID, a.Seq, a.Severity, a.Level = boot2, 4, 0, 0 }),
		}
	}
	b := open(t, nil)
	alarm := 0
	// run puts the events in the order that arrange gives and returns how the
	// alarm ends, without what differs from one alarm to another.
	run := func(rt *rapid.T, cut int, arrange func([]shedguard.Event) []shedguard.Event) book.Alarm {
		alarm++
		fresh := 0
		for _, e := range arrange(life(alarm)[:cut]) {
			f, err := b.PutEvent(t.Context(), e, noon.Add(time.Hour))
			if err != nil {
				rt.Fatal(err)
			}
			if f {
				fresh++
			}
		}
		a, err := b.Alarm(t.Context(), id(1_000_000+alarm))
		if err != nil {
			rt.Fatal(err)
		}
		if fresh != cut || (a.State == book.AlarmOpen) != (cut < 6) {
			rt.Fatalf("%d of %d events were fresh, the alarm is %s", fresh, cut, a.State)
		}
		offset := time.Duration(alarm*10) * time.Second
		if a.ClearedAt != nil {
			*a.ClearedAt = a.ClearedAt.Add(-offset)
		}
		if a.Acknowledged != nil {
			a.Acknowledged.At = a.Acknowledged.At.Add(-offset)
		}
		a.ID = ""
		return a
	}
	rapid.Check(t, func(rt *rapid.T) {
		cut := rapid.IntRange(1, 7).Draw(rt, "events")
		want := run(rt, cut, func(events []shedguard.Event) []shedguard.Event { return events })
		got := run(rt, cut, func(events []shedguard.Event) []shedguard.Event {
			again := rapid.SliceOfN(rapid.IntRange(0, cut-1), 0, 5).Draw(rt, "again")
			for _, i := range again {
				events = append(events, events[i])
			}
			return rapid.Permutation(events).Draw(rt, "order")
		})
		if d := cmp.Diff(want, got); d != "" {
			rt.Fatalf("another order ends in another alarm (-in order +this one):\n%s", d)
		}
	})
}

func TestPutEventRefuses(t *testing.T) {
	good := alarmEvent(t, shedguard.EventAlarmRaised, 1, 1, nil)
	tests := map[string]func(*shedguard.Event){
		"no id":                func(e *shedguard.Event) { e.ID = "" },
		"strange alarm type":   func(e *shedguard.Event) { e.ID, e.Type = id(9), "shedguard.alarm.whispered" },
		"alarm without data":   func(e *shedguard.Event) { e.ID, e.Data = id(9), json.RawMessage(`{}`) },
		"data of another type": func(e *shedguard.Event) { e.ID, e.Data = id(9), json.RawMessage(`[]`) },
		"alarm of another shed": func(e *shedguard.Event) {
			e.ID, e.Source = id(9), shedguard.Source("shed-2")
		},
		"cloud without a shed": func(e *shedguard.Event) { e.ID, e.Source = id(9), book.SourceCloud },
		"sequence beyond what can be kept": func(e *shedguard.Event) {
			e.ID, e.Data = id(9), bytes.Replace(e.Data, []byte(`"seq":1`), []byte(`"seq":18446744073709551615`), 1)
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			b := open(t, nil)
			put(t, b, good)
			bad := good
			spoil(&bad)
			if fresh, err := b.PutEvent(t.Context(), bad, noon); fresh || !errors.Is(err, book.ErrInvalid) {
				t.Errorf("PutEvent: %v, %v, want ErrInvalid", fresh, err)
			}
			if page, _, err := b.Alarms(t.Context(), book.AlarmQuery{}); err != nil || len(page) != 1 || page[0].Shed != "shed-1" {
				t.Errorf("the book now has %+v, %v", page, err)
			}
			if sheds, err := b.Sheds(t.Context()); err != nil || len(sheds) != 1 {
				t.Errorf("sheds %+v, %v: want the refused event to leave none", sheds, err)
			}
		})
	}
}

func TestCloudAlarm(t *testing.T) {
	b := open(t, nil)
	e := alarmEvent(t, shedguard.EventAlarmRaised, 1, 1, func(a *shedguard.Alarm) { a.Cause = shedguard.CauseGatewayOffline })
	e.Source, e.Subject = book.SourceCloud, book.ShedSubject("shed-7")
	put(t, b, e)
	a, err := b.OpenAlarm(t.Context(), "shed-7", "shed", shedguard.CauseGatewayOffline)
	if err != nil || a.ID != id(1_000_001) {
		t.Fatalf("OpenAlarm: %+v, %v", a, err)
	}
	if all, err := b.OpenOwn(t.Context()); err != nil || len(all) != 1 || all[0].Shed != "shed-7" || all[0].Alarm.ID != a.ID {
		t.Errorf("OpenOwn: %+v, %v", all, err)
	}
	if _, err := b.OpenAlarm(t.Context(), "shed-7", "shed", shedguard.CauseGatewaySilent); !errors.Is(err, book.ErrNotFound) {
		t.Errorf("another cause: %v, want ErrNotFound", err)
	}
}

func TestAlarmPages(t *testing.T) {
	b := open(t, nil)
	const n = 23
	for i := 1; i <= n; i++ {
		put(t, b, alarmEvent(t, shedguard.EventAlarmRaised, i, i, func(a *shedguard.Alarm) {
			a.RaisedAt = noon.Add(time.Duration(i) * time.Second)
			if i%5 == 0 {
				a.Severity, a.Level = shedguard.SeverityWarning, 4
			}
			if i == 7 {
				a.Clock = shedguard.ClockUnsynced // then the receipt counts, an hour later
			}
		}))
		if i%2 == 0 {
			put(t, b, alarmEvent(t, shedguard.EventAlarmCleared, 100+i, i, nil))
		}
	}
	tests := map[string]struct {
		q    book.AlarmQuery
		want func(i int) bool
	}{
		"all":           {book.AlarmQuery{}, func(int) bool { return true }},
		"open":          {book.AlarmQuery{State: book.AlarmOpen}, func(i int) bool { return i%2 == 1 }},
		"cleared":       {book.AlarmQuery{State: book.AlarmCleared}, func(i int) bool { return i%2 == 0 }},
		"warnings":      {book.AlarmQuery{Severity: shedguard.SeverityWarning}, func(i int) bool { return i%5 == 0 }},
		"open warnings": {book.AlarmQuery{State: book.AlarmOpen, Severity: shedguard.SeverityWarning, Shed: "shed-1"}, func(i int) bool { return i%10 == 5 }},
		"of no shed":    {book.AlarmQuery{Shed: "shed-9"}, func(int) bool { return false }},
		"of an outlet":  {book.AlarmQuery{Shed: "shed-1", Subject: "outlet/3"}, func(int) bool { return true }},
		"of another":    {book.AlarmQuery{Subject: "outlet/4"}, func(int) bool { return false }},
		"until":         {book.AlarmQuery{To: noon.Add(10 * time.Second)}, func(i int) bool { return i < 10 && i != 7 }},
		"from":          {book.AlarmQuery{From: noon.Add(110 * time.Second)}, func(i int) bool { return i%2 == 1 || i >= 10 }},
		"within":        {book.AlarmQuery{Shed: "shed-1", From: noon.Add(110 * time.Second), To: noon.Add(time.Hour)}, func(i int) bool { return i%2 == 1 && i != 7 || i%2 == 0 && i >= 10 }},
		"an hour later": {book.AlarmQuery{Subject: "outlet/3", From: noon.Add(time.Hour), To: noon.Add(2 * time.Hour)}, func(i int) bool { return i%2 == 1 }},
	}
	for name, tt := range tests {
		for _, limit := range []int{1, 4, 23, 500} {
			t.Run(fmt.Sprintf("%s by %d", name, limit), func(t *testing.T) {
				var want, got []string
				for i := n; i >= 1; i-- {
					if tt.want(i) {
						want = append(want, id(1_000_000+i))
					}
				}
				q := tt.q
				q.Limit = limit
				for pages := 0; ; pages++ {
					if pages > n {
						t.Fatal("the pages do not end")
					}
					page, next, err := b.Alarms(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					if len(page) > limit || len(page) < limit && next != "" {
						t.Fatalf("page of %d, next %q, limit %d", len(page), next, limit)
					}
					for _, a := range page {
						got = append(got, a.ID)
					}
					if q.Cursor = next; next == "" {
						break
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("got %q\nwant %q", got, want)
				}
			})
		}
	}
	for name, q := range map[string]book.AlarmQuery{"cursor": {Cursor: "x"}, "limit": {Limit: 501}, "negative": {Limit: -1}, "state": {State: "sleeping"}, "span": {From: noon, To: noon}} {
		if _, _, err := b.Alarms(t.Context(), q); !errors.Is(err, book.ErrInvalid) {
			t.Errorf("bad %s: %v, want ErrInvalid", name, err)
		}
	}
}

func TestStatus(t *testing.T) {
	type word struct {
		state    shedguard.GatewayState
		boot     string
		conn     uint64
		retained bool
		accepted bool
	}
	const online, offline, stopped = shedguard.GatewayOnline, shedguard.GatewayOffline, shedguard.GatewayStopped
	tests := map[string]struct {
		words []word
		want  book.State
	}{
		"comes":                                     {[]word{{online, boot1, 1, false, true}}, book.StateOnline},
		"comes and goes":                            {[]word{{online, boot1, 1, false, true}, {offline, boot1, 1, false, true}}, book.StateOffline},
		"stops":                                     {[]word{{online, boot1, 1, false, true}, {stopped, boot1, 1, false, true}}, book.StateStopped},
		"will after stop":                           {[]word{{stopped, boot1, 1, false, true}, {offline, boot1, 1, false, false}}, book.StateStopped},
		"late will of the connection before":        {[]word{{online, boot1, 1, false, true}, {online, boot1, 2, false, true}, {offline, boot1, 1, false, false}}, book.StateOnline},
		"late will of the boot before":              {[]word{{online, boot1, 9, false, true}, {online, boot2, 1, false, true}, {offline, boot1, 9, false, false}}, book.StateOnline},
		"late will of a boot never heard":           {[]word{{online, boot2, 1, false, true}, {offline, boot1, 9, false, false}}, book.StateOnline},
		"late online of the boot before":            {[]word{{online, boot1, 1, false, true}, {online, boot2, 1, false, true}, {offline, boot2, 1, false, true}, {online, boot1, 1, false, false}}, book.StateOffline},
		"repeated online of an ended connection":    {[]word{{online, boot1, 1, false, true}, {offline, boot1, 1, false, true}, {online, boot1, 1, false, false}}, book.StateOffline},
		"reconnects":                                {[]word{{online, boot1, 1, false, true}, {offline, boot1, 1, false, true}, {online, boot1, 2, false, true}}, book.StateOnline},
		"a boot whose clock ran back":               {[]word{{online, boot2, 1, false, true}, {online, boot1, 1, false, true}}, book.StateOnline},
		"retained online is not believed":           {[]word{{online, boot1, 1, true, true}}, book.StateUnknown},
		"retained online after it was heard online": {[]word{{online, boot1, 1, false, true}, {online, boot1, 1, true, true}}, book.StateOnline},
		"retained online of a new connection":       {[]word{{online, boot1, 1, false, true}, {online, boot1, 2, true, true}}, book.StateUnknown},
		"retained offline of an unheard older boot": {[]word{{online, boot2, 1, false, true}, {offline, boot1, 9, true, true}}, book.StateOffline},
		"refresh": {[]word{{online, boot1, 1, false, true}, {online, boot1, 1, false, true}}, book.StateOnline},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := open(t, nil)
			for i, w := range tt.words {
				s := shedguard.Status{State: w.state, BootID: w.boot, Conn: w.conn, Clock: shedguard.ClockSynced, Version: "v1"}
				got, err := b.PutStatus(t.Context(), "shed-1", s, noon.Add(time.Duration(i)*time.Minute), w.retained)
				if err != nil || got != w.accepted {
					t.Fatalf("word %d: accepted %v, %v, want %v", i, got, err, w.accepted)
				}
			}
			s, err := b.Shed(t.Context(), "shed-1")
			if err != nil || s.State != tt.want {
				t.Errorf("state %s, %v, want %s", s.State, err, tt.want)
			}
		})
	}
}

func TestStatusDetails(t *testing.T) {
	var told []book.Shed
	b := open(t, func(c book.Change) { told = append(told, *c.Shed) })
	outlets := []shedguard.OutletSummary{{Outlet: 3, State: shedguard.StateTripped, Quality: shedguard.QualityGood, Latched: []shedguard.Cause{shedguard.CauseOvercurrent}}}
	s := shedguard.Status{State: shedguard.GatewayOnline, BootID: boot1, Conn: 2, Clock: shedguard.ClockHoldover, Version: "v1", ConfigHash: "abc", Outlets: outlets}
	for range 2 { // the second changes nothing
		if _, err := b.PutStatus(t.Context(), "shed-1", s, noon, false); err != nil {
			t.Fatal(err)
		}
	}
	will := shedguard.Status{State: shedguard.GatewayOffline, BootID: boot1, Conn: 2, Clock: shedguard.ClockHoldover, Version: "v1", ConfigHash: "abc"}
	if _, err := b.PutStatus(t.Context(), "shed-1", will, noon.Add(time.Minute), false); err != nil {
		t.Fatal(err)
	}
	want := book.Shed{
		ID: "shed-1", Name: "shed-1", State: book.StateOffline, Since: noon.Add(time.Minute), LastSeen: noon, Version: "v1", ConfigHash: "abc",
		Clock: shedguard.ClockHoldover, BootID: boot1, Conn: 2, Outlets: outlets,
	}
	got, err := b.Shed(t.Context(), "shed-1")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("shed (-want +got):\n%s", d)
	}
	if len(told) != 2 || told[0].State != book.StateOnline || told[1].State != book.StateOffline {
		t.Errorf("told %+v: want online, offline", told)
	}
}

// What a gateway says of its siren and its suppression is kept over restarts and
// over its absence, and told when it changes.
func TestSirenAndSuppression(t *testing.T) {
	type word struct {
		state shedguard.GatewayState
		boot  string
		siren bool
		agent *shedguard.Suppression
	}
	const online, offline, stopped = shedguard.GatewayOnline, shedguard.GatewayOffline, shedguard.GatewayStopped
	until := noon.Add(15 * time.Second)
	armed := &shedguard.Suppression{Phase: shedguard.SuppressionArmed, Zone: "bay-1", AlarmID: id(7), Until: until.In(time.FixedZone("CST", 8*3600))}
	wantArmed := &book.Suppression{Phase: shedguard.SuppressionArmed, Zone: "bay-1", AlarmID: id(7), Until: new(until)}
	vetoed := &shedguard.Suppression{Phase: shedguard.SuppressionVetoed, Zone: "bay-1", AlarmID: id(7), By: "王"}
	tests := map[string]struct {
		words []word
		siren bool
		want  *book.Suppression
		told  int
	}{
		"an older gateway":             {[]word{{online, boot1, false, nil}}, false, nil, 1},
		"idle":                         {[]word{{online, boot1, false, &shedguard.Suppression{Phase: shedguard.SuppressionIdle}}}, false, &book.Suppression{Phase: shedguard.SuppressionIdle}, 1},
		"armed":                        {[]word{{online, boot1, true, armed}}, true, wantArmed, 1},
		"armed, said again":            {[]word{{online, boot1, true, armed}, {online, boot1, true, armed}}, true, wantArmed, 1},
		"vetoed":                       {[]word{{online, boot1, true, armed}, {online, boot1, true, vetoed}}, true, &book.Suppression{Phase: shedguard.SuppressionVetoed, Zone: "bay-1", AlarmID: id(7), By: "王"}, 2},
		"silenced":                     {[]word{{online, boot1, true, armed}, {online, boot1, false, armed}}, false, wantArmed, 2},
		"lost while armed":             {[]word{{online, boot1, true, armed}, {offline, boot1, false, nil}}, true, wantArmed, 2},
		"stopped while armed":          {[]word{{online, boot1, true, armed}, {stopped, boot1, false, nil}}, true, wantArmed, 2},
		"back, and nothing is enabled": {[]word{{online, boot1, true, armed}, {offline, boot1, false, nil}, {online, boot2, false, nil}}, false, nil, 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path, told := filepath.Join(t.TempDir(), "book.db"), 0
			var last book.Shed
			b, err := book.Open(t.Context(), book.Options{Path: path, Changed: func(c book.Change) { told, last = told+1, *c.Shed }})
			if err != nil {
				t.Fatal(err)
			}
			for i, w := range tt.words {
				s := shedguard.Status{State: w.state, BootID: w.boot, Conn: 1, Clock: shedguard.ClockSynced, Siren: w.siren, Suppression: w.agent}
				if ok, err := b.PutStatus(t.Context(), "shed-1", s, noon.Add(time.Duration(i)*time.Minute), false); err != nil || !ok {
					t.Fatalf("word %d: %v, %v", i, ok, err)
				}
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			if b, err = book.Open(t.Context(), book.Options{Path: path}); err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			got, err := b.Shed(t.Context(), "shed-1")
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got.Suppression); d != "" || got.Siren != tt.siren {
				t.Errorf("siren %t, suppression (-want +got):\n%s", got.Siren, d)
			}
			last.LastSeen = got.LastSeen // told of nothing else, that alone is not told
			if d := cmp.Diff(got, last); d != "" || told != tt.told {
				t.Errorf("told %d times, want %d; (-kept +told):\n%s", told, tt.told, d)
			}
		})
	}
}

// A book of the version before goes on: what was in it stays, and what it had no
// room for is unknown until the gateway says it.
func TestOpenMigrates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book.db")
	// before brings the file to the version before, as the programs of then left it.
	before := func(work func(p *goose.Provider, db *sql.DB) error) {
		t.Helper()
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		p, err := goose.NewProvider(goose.DialectSQLite3, db, os.DirFS("migrations"), goose.WithDisableGlobalRegistry(true))
		if err == nil {
			err = work(p, db)
		}
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	made := func(p *goose.Provider, db *sql.DB) error {
		if _, err := p.UpTo(t.Context(), 4); err != nil {
			return err
		}
		_, err := db.ExecContext(t.Context(), `INSERT INTO sheds (shed, name, created_at, since, state, status_state, boot_id, conn, clock, version, outlets)
			VALUES ('shed-1', '东门', 1, 1, 'online', 'online', ?, 3, 'synced', 'v1', '[{"outlet":3,"state":"charging","quality":"good"}]')`, boot1)
		return err
	}
	wentBack := func(p *goose.Provider, _ *sql.DB) error {
		_, err := p.DownTo(t.Context(), 4)
		return err
	}
	status := shedguard.Status{
		State: shedguard.GatewayOnline, BootID: boot1, Conn: 3, Clock: shedguard.ClockSynced, Siren: true,
		Suppression: &shedguard.Suppression{Phase: shedguard.SuppressionReleased, Zone: "bay-2"}, Outlets: []shedguard.OutletSummary{{Outlet: 3, State: shedguard.StateTripped}},
	}
	for _, step := range []struct {
		work  func(*goose.Provider, *sql.DB) error
		state shedguard.OutletState
	}{{made, shedguard.StateCharging}, {wentBack, shedguard.StateTripped}} {
		before(step.work)
		b, err := book.Open(t.Context(), book.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		s, err := b.Shed(t.Context(), "shed-1")
		if err != nil || s.Name != "东门" || s.State != book.StateOnline || s.Conn != 3 || len(s.Outlets) != 1 || s.Outlets[0].State != step.state || s.Siren || s.Suppression != nil {
			t.Errorf("after the migration: %+v, %v", s, err)
		}
		if ok, err := b.PutStatus(t.Context(), "shed-1", status, noon, false); err != nil || !ok {
			t.Fatalf("status: %v, %v", ok, err)
		}
		if s, err = b.Shed(t.Context(), "shed-1"); err != nil || !s.Siren || s.Suppression == nil || s.Suppression.Phase != shedguard.SuppressionReleased || s.Suppression.Zone != "bay-2" {
			t.Errorf("after a status: %+v, %v", s, err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book.db")
	b, err := book.Open(t.Context(), book.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	retained := shedguard.Status{State: shedguard.GatewayOnline, BootID: boot1, Conn: 1, Clock: shedguard.ClockSynced}
	b.Seen("shed-1", noon)
	if err := b.FlushSeen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.PutStatus(t.Context(), "shed-1", retained, noon.Add(time.Second), true); err != nil {
		t.Fatal(err)
	}
	if s, err := b.Shed(t.Context(), "shed-1"); err != nil || s.State != book.StateUnknown {
		t.Fatalf("retained: %s, %v", s.State, err)
	}
	for i := 2; i < 8; i++ {
		b.Seen("shed-1", noon.Add(time.Duration(i)*time.Second))
		if i == 2 {
			if err := b.FlushSeen(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, err := b.Shed(t.Context(), "shed-1")
	if err != nil || s.State != book.StateOnline || !s.Since.Equal(noon.Add(2*time.Second)) || !s.LastSeen.Equal(noon.Add(7*time.Second)) {
		t.Errorf("after traffic: %+v, %v", s, err)
	}
	if changed, err := b.SetState(t.Context(), "shed-1", book.StateSilent, noon.Add(time.Minute)); err != nil || !changed {
		t.Fatalf("SetState: %v, %v", changed, err)
	}
	if changed, err := b.SetState(t.Context(), "shed-1", book.StateSilent, noon.Add(time.Hour)); err != nil || changed {
		t.Fatalf("SetState again: %v, %v", changed, err)
	}
	if _, err := b.SetState(t.Context(), "shed-2", book.StateSilent, noon); !errors.Is(err, book.ErrNotFound) {
		t.Errorf("SetState of nobody: %v", err)
	}
	b.Seen("no shed id", noon)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err = book.Open(t.Context(), book.Options{Path: path}); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if sheds, err := b.Sheds(t.Context()); err != nil || len(sheds) != 1 {
		t.Errorf("sheds %+v, %v: want one, the bad id left out", sheds, err)
	}
	if s, err := b.Shed(t.Context(), "shed-1"); err != nil || !s.LastSeen.Equal(noon.Add(7*time.Second)) || s.State != book.StateSilent {
		t.Errorf("after reopening: %+v, %v", s, err)
	}
}

func TestCommands(t *testing.T) {
	var told []book.Reply
	b := open(t, func(c book.Change) {
		if c.Reply != nil {
			told = append(told, *c.Reply)
		}
	})
	c := shedguard.Command{ID: id(1), Kind: shedguard.CommandStop, Args: json.RawMessage(`{"outlet":3}`), IssuedAt: noon, ExpiresAt: noon.Add(10 * time.Second), By: "li", BootID: boot1}
	if err := b.PutCommand(t.Context(), "shed-1", c); !errors.Is(err, book.ErrNotFound) {
		t.Fatalf("for an unknown shed: %v", err)
	}
	for _, shed := range []string{"shed-1", "shed-2"} {
		b.Seen(shed, noon)
		if err := b.FlushSeen(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.PutCommand(t.Context(), "shed-1", c); err != nil {
		t.Fatal(err)
	}
	if err := b.PutCommand(t.Context(), "shed-1", c); !errors.Is(err, book.ErrConflict) {
		t.Errorf("repeated: %v", err)
	}
	r := shedguard.Reply{ID: id(1), Error: shedguard.Refuse(shedguard.CodeCauseStands, "still 25 A")}
	if err := b.PutReply(t.Context(), "shed-2", r, noon); !errors.Is(err, book.ErrInvalid) {
		t.Errorf("reply of another shed: %v", err)
	}
	if rec, err := b.Command(t.Context(), id(1)); err != nil || rec.Reply != nil {
		t.Errorf("before the reply: %+v, %v", rec, err)
	}
	for range 2 {
		if err := b.PutReply(t.Context(), "shed-1", r, noon); err != nil {
			t.Fatal(err)
		}
	}
	if len(told) != 1 {
		t.Errorf("told of %d replies, want 1", len(told))
	}
	rec, err := b.Command(t.Context(), id(1))
	if d := cmp.Diff(book.CommandRecord{Shed: "shed-1", Command: c, Reply: &r}, rec); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	if _, err := b.Command(t.Context(), id(2)); !errors.Is(err, book.ErrNotFound) {
		t.Errorf("unknown command: %v", err)
	}
}

func TestDeadLetters(t *testing.T) {
	b := open(t, nil)
	long := bytes.Repeat([]byte{0xff}, book.MaxDeadLetterBytes+1)
	for i := range 3 {
		if err := b.DeadLetter(t.Context(), book.DeadLetter{At: noon, Shed: "s", Topic: "t\xff", Reason: fmt.Sprint(i), Payload: long}); err != nil {
			t.Fatal(err)
		}
	}
	page, next, err := b.DeadLetters(t.Context(), "", 2)
	if err != nil || len(page) != 2 || page[0].Reason != "2" || page[0].Topic != "t\ufffd" || len(page[0].Payload) != book.MaxDeadLetterBytes || page[0].Original != len(long) {
		t.Fatalf("first page %d, %v", len(page), err)
	}
	if page, next, err = b.DeadLetters(t.Context(), next, 2); err != nil || len(page) != 1 || next != "" {
		t.Errorf("second page %d, next %q, %v", len(page), next, err)
	}
	if _, _, err := b.DeadLetters(t.Context(), "-1", 2); !errors.Is(err, book.ErrInvalid) {
		t.Errorf("bad cursor: %v", err)
	}
}

func TestPeople(t *testing.T) {
	b := open(t, nil)
	u := book.User{Name: "admin", Role: "admin", PasswordHash: "$argon2id$x", CreatedAt: noon}
	if err := b.AddUser(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if err := b.AddUser(t.Context(), u); !errors.Is(err, book.ErrConflict) {
		t.Errorf("again: %v", err)
	}
	if err := b.AddUser(t.Context(), book.User{Name: "x"}); !errors.Is(err, book.ErrInvalid) {
		t.Errorf("without a password: %v", err)
	}
	if got, err := b.User(t.Context(), "admin"); err != nil || got != u {
		t.Errorf("User: %+v, %v", got, err)
	}
	if _, err := b.User(t.Context(), "nobody"); !errors.Is(err, book.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	if n, err := b.Users(t.Context()); err != nil || n != 1 {
		t.Errorf("Users: %d, %v", n, err)
	}
	deed := book.AuditEntry{At: noon, By: "admin", Address: "127.0.0.1", Deed: "login", Detail: json.RawMessage(`{"a":1}`)}
	if err := b.Audit(t.Context(), deed); err != nil {
		t.Fatal(err)
	}
	trail, err := b.AuditTrail(t.Context(), 10)
	if d := cmp.Diff([]book.AuditEntry{deed}, trail); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	logins := b.Logins()
	if err := logins.Commit("t1", []byte("x"), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := logins.Commit("t2", []byte("y"), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if data, ok, err := logins.Find("t1"); err != nil || !ok || string(data) != "x" {
		t.Errorf("Find: %q %v %v", data, ok, err)
	}
	if _, ok, err := logins.Find("t2"); err != nil || ok {
		t.Errorf("Find of an ended one: %v %v", ok, err)
	}
	if n, err := b.Prune(t.Context(), noon, time.Now()); err != nil || n != 1 {
		t.Errorf("Prune: %d, %v", n, err)
	}
	if err := logins.Delete("t1"); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := logins.Find("t1"); err != nil || ok {
		t.Errorf("Find of a deleted one: %v %v", ok, err)
	}
}

func TestPruneKeepsAlarms(t *testing.T) {
	b := open(t, nil)
	relay, err := shedguard.NewEvent(id(50), shedguard.Source("shed-1"), shedguard.EventRelayOperated, "outlet/3", noon, shedguard.RelayOperated{Outlet: 3})
	if err != nil {
		t.Fatal(err)
	}
	put(t, b, alarmEvent(t, shedguard.EventAlarmRaised, 1, 1, nil), relay)
	if n, err := b.Prune(t.Context(), noon.Add(2*time.Hour), noon.Add(2*time.Hour)); err != nil || n != 1 {
		t.Errorf("Prune: %d, %v, want the relay event alone", n, err)
	}
	if h, err := b.History(t.Context(), id(1_000_001)); err != nil || len(h) != 1 {
		t.Errorf("history %+v, %v", h, err)
	}
}

func TestEvidence(t *testing.T) {
	b := open(t, nil)
	put(t, b, alarmEvent(t, shedguard.EventAlarmRaised, 1, 1, nil))
	for range 2 {
		if err := b.PutEvidence(t.Context(), "shed-1", id(1_000_001), 1, []byte("jpeg"), noon); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := b.Evidence(t.Context(), id(1_000_001), 1); err != nil || string(got) != "jpeg" {
		t.Errorf("Evidence: %q, %v", got, err)
	}
	if _, err := b.Evidence(t.Context(), id(1_000_001), 2); !errors.Is(err, book.ErrNotFound) {
		t.Errorf("of no picture: %v", err)
	}
	// A picture may come before its alarm, but never for another shed's.
	if err := b.PutEvidence(t.Context(), "shed-1", id(1_000_009), 1, []byte("jpeg"), noon); err != nil {
		t.Errorf("before its alarm: %v", err)
	}
	if err := b.PutEvidence(t.Context(), "shed-2", id(1_000_001), 2, []byte("jpeg"), noon); !errors.Is(err, book.ErrInvalid) {
		t.Errorf("of another shed: %v", err)
	}
	for name, bad := range map[string][]byte{"empty": {}, "long": make([]byte, book.MaxEvidenceBytes+1)} {
		if err := b.PutEvidence(t.Context(), "shed-1", id(1_000_001), 3, bad, noon); !errors.Is(err, book.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNameShed(t *testing.T) {
	b := open(t, nil)
	b.Seen("shed-1", noon)
	if err := b.FlushSeen(t.Context()); err != nil {
		t.Fatal(err)
	}
	name, place, long, empty := "东门车棚", "杭州", strings.Repeat("x", 201), ""
	if s, err := b.NameShed(t.Context(), "shed-1", &name, nil); err != nil || s.Name != name {
		t.Errorf("name: %+v, %v", s, err)
	}
	if s, err := b.NameShed(t.Context(), "shed-1", nil, &place); err != nil || s.Name != name || s.Place != place {
		t.Errorf("place: %+v, %v", s, err)
	}
	for what, bad := range map[string]*string{"long": &long, "empty": &empty} {
		if _, err := b.NameShed(t.Context(), "shed-1", bad, nil); !errors.Is(err, book.ErrInvalid) {
			t.Errorf("%s name: %v", what, err)
		}
	}
	if _, err := b.NameShed(t.Context(), "shed-2", &name, nil); !errors.Is(err, book.ErrNotFound) {
		t.Errorf("unknown shed: %v", err)
	}
}

func TestOpenRefusesADamagedFile(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "book.db")
	b, err := book.Open(t.Context(), book.Options{Path: whole})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 300; i++ {
		put(t, b, alarmEvent(t, shedguard.EventAlarmRaised, i, i, nil))
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	sound, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string][]byte{
		"garbage": bytes.Repeat([]byte("no database "), 1000),
		"empty":   {},
		"cut":     sound[:len(sound)/2],
		"overwritten in the middle": slices.Concat(sound[:len(sound)/2], bytes.Repeat([]byte{0xa5}, len(sound)/4),
			sound[len(sound)/2+len(sound)/4:]),
	}
	for name, content := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "book.db")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := book.Open(t.Context(), book.Options{Path: path})
			if !errors.Is(err, book.ErrDamaged) || !strings.Contains(err.Error(), "backup") || !strings.Contains(err.Error(), path) {
				t.Errorf("Open: %v, want ErrDamaged, the path and what to do", err)
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, content) {
				t.Errorf("the file was changed (%v)", err)
			}
		})
	}
	t.Run("write-ahead log alone", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "book.db")
		if err := os.WriteFile(path+"-wal", []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := book.Open(t.Context(), book.Options{Path: path}); !errors.Is(err, book.ErrDamaged) {
			t.Errorf("Open: %v, want ErrDamaged", err)
		}
	})
	t.Run("missing folder", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "none", "book.db")
		if _, err := book.Open(t.Context(), book.Options{Path: path}); err == nil || errors.Is(err, book.ErrDamaged) {
			t.Errorf("Open: %v, want an error that is not damage", err)
		}
	})
	t.Run("a path with strange characters", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "车棚 #1?%20.db")
		b, err := book.Open(t.Context(), book.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v: want a file for its owner alone", info, err)
		}
	})
}

func TestContextEnds(t *testing.T) {
	b := open(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.PutEvent(ctx, alarmEvent(t, shedguard.EventAlarmRaised, 1, 1, nil), noon); !errors.Is(err, context.Canceled) {
		t.Errorf("PutEvent: %v, want canceled", err)
	}
	put(t, b, alarmEvent(t, shedguard.EventAlarmRaised, 1, 1, nil)) // and the writer is free
}
