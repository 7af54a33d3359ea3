package shedguard_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
)

const (
	someID = "01JDEXAMP0E00000000000000A"
	bootID = "01JDEXAMP0E00000000000000B"
)

func someAlarm() shedguard.Alarm {
	at := time.Date(2026, 11, 23, 3, 0, 0, 250e6, time.UTC)
	return shedguard.Alarm{
		ID: someID, Cause: shedguard.CauseOvercurrent, Severity: shedguard.SeverityCritical, Level: 1,
		RaisedAt: at, Since: at.Add(-12 * time.Second), Value: 25.1, Limit: 10.5, Unit: "A",
		Action: shedguard.ActionTripped, Latched: true, Evidence: []string{},
		Text:  shedguard.Text{ZH: "3 号插座过流", EN: "Overcurrent on outlet 3"},
		Stamp: shedguard.Stamp{Clock: shedguard.ClockSynced, MonoMS: 61234, BootID: bootID, Seq: 7},
	}
}

func ExampleNewEvent() {
	alarm := someAlarm()
	e, err := shedguard.NewEvent(someID, shedguard.Source("north-gate"), shedguard.EventAlarmRaised, shedguard.OutletSubject(3), alarm.RaisedAt, alarm)
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := json.Marshal(e)
	fmt.Println(string(b[:172]), err)
	// Output:
	// {"specversion":"1.0","id":"01JDEXAMP0E00000000000000A","source":"shedguard/north-gate","type":"shedguard.alarm.raised","subject":"outlet/3","time":"2026-11-23T03:00:00.250Z <nil>
}

func TestAlarmEventKeepsTheContractsNames(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(someAlarm())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"alarm_id", "cause", "severity", "level", "raised_at", "since", "value", "limit", "unit",
		"action", "latched", "evidence", "text", "clock", "mono_ms", "seq", "boot_id",
	}
	for _, key := range want {
		if _, ok := got[key]; !ok {
			t.Errorf("alarm JSON has no %q: %s", key, b)
		}
		delete(got, key)
	}
	if len(got) != 0 {
		t.Errorf("alarm JSON has more than the contract: %v", got)
	}
}

func TestEventRoundTrip(t *testing.T) {
	t.Parallel()
	id := rapid.StringMatching(`[0-7][0-9A-HJKMNP-TV-Z]{25}`)
	rapid.Check(t, func(t *rapid.T) {
		alarm := someAlarm()
		alarm.ID = id.Draw(t, "alarm")
		alarm.Cause = rapid.SampledFrom(shedguard.Causes()).Draw(t, "cause")
		alarm.Severity = rapid.SampledFrom(shedguard.Severities()).Draw(t, "severity")
		alarm.Level = int(alarm.Severity)
		alarm.Grade = rapid.SampledFrom(shedguard.Grades()).Draw(t, "grade")
		alarm.Action = rapid.SampledFrom(shedguard.Actions()).Draw(t, "action")
		alarm.Value = rapid.Float64Range(-1e6, 1e6).Draw(t, "value")
		alarm.Text.ZH = rapid.String().Draw(t, "zh")
		alarm.RaisedAt = time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "at")).UTC()
		want, err := shedguard.NewEvent(id.Draw(t, "event"), shedguard.Source("S"), shedguard.EventAlarmUpdated, shedguard.OutletSubject(rapid.IntRange(1, 256).Draw(t, "outlet")), alarm.RaisedAt, alarm)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got shedguard.Event
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		back, err := got.Alarm()
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if diff := cmp.Diff(alarm, back); diff != "" {
			t.Error(diff)
		}
		got.Data = want.Data
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestEventRefuses(t *testing.T) {
	t.Parallel()
	alarm := someAlarm()
	e, err := shedguard.NewEvent(someID, shedguard.Source("S"), shedguard.EventAlarmRaised, "outlet/3", alarm.RaisedAt, alarm)
	if err != nil {
		t.Fatal(err)
	}
	good, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ old, new, want string }{
		"version":      {`"specversion":"1.0"`, `"specversion":"0.3"`, "specversion"},
		"id":           {`"id":"01J`, `"id":"x1J`, "ULID"},
		"source":       {`shedguard/S`, `shedguard/../S`, "source"},
		"type":         {`shedguard.alarm.raised`, `alarm`, "type"},
		"time":         {`"time":"2026`, `"time":"yesterday 2026`, "time"},
		"content type": {`application/json`, `text/plain`, "datacontenttype"},
		"no data":      {`"data":{`, `"date":{`, "data"},
		"not JSON":     {`{`, `[`, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := strings.Replace(string(good), tt.old, tt.new, 1)
			var got shedguard.Event
			err := json.Unmarshal([]byte(bad), &got)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want an error about %q", err, tt.want)
			}
		})
	}
}

func TestAlarmValidateListsEveryFault(t *testing.T) {
	t.Parallel()
	bad := someAlarm()
	bad.ID, bad.Cause, bad.Level, bad.Grade, bad.Action = "", "Fire!", 3, "hot", "run"
	bad.Clock, bad.BootID, bad.RaisedAt, bad.Value = "late", "b", time.Time{}, math.Inf(1)
	err := bad.Validate()
	if err == nil {
		t.Fatal("valid, want nine faults")
	}
	if got := strings.Split(err.Error(), "\n"); len(got) != 9 {
		t.Errorf("%d faults, want 9:\n%v", len(got), err)
	}
	unknown := someAlarm()
	unknown.Cause = "meteor_strike"
	if err := unknown.Validate(); err != nil {
		t.Errorf("a newer gateway's cause is refused: %v", err)
	}
}

func TestTopics(t *testing.T) {
	t.Parallel()
	for _, class := range shedguard.Classes() {
		topic := shedguard.Topic("shed-1", class)
		if class == shedguard.ClassEvidence {
			topic = shedguard.EvidenceTopic("shed-1", someID, 2)
		}
		shed, got, _, err := shedguard.ParseTopic(topic)
		if err != nil || shed != "shed-1" || got != class {
			t.Errorf("ParseTopic(%q) = %q, %q, %v", topic, shed, got, err)
		}
	}
	for _, bad := range []string{
		"", "shedguard/v1/", "shedguard/v1/S", "shedguard/v2/S/alarm", "shedguard/v1/-S/alarm", "shedguard/v1/a b/alarm",
		"shedguard/v1/S/alarm/1", "shedguard/v1/S/evidence", "shedguard/v1/S/other", "shedguard/v1//alarm",
		"shedguard/v1/" + strings.Repeat("a", 64) + "/alarm",
	} {
		if shed, class, _, err := shedguard.ParseTopic(bad); err == nil {
			t.Errorf("ParseTopic(%q) = %q, %q, want an error", bad, shed, class)
		}
	}
}

func TestSubjectOutlet(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		subject string
		want    int
		ok      bool
	}{
		"third":    {"outlet/3", 3, true},
		"last":     {"outlet/256", 256, true},
		"too high": {"outlet/257", 257, false},
		"zero":     {"outlet/0", 0, false},
		"padded":   {"outlet/03", 3, false},
		"bus":      {"bus/main", 0, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if n, ok := shedguard.SubjectOutlet(tt.subject); ok != tt.ok || ok && n != tt.want {
				t.Errorf("SubjectOutlet(%q) = %d, %v", tt.subject, n, ok)
			}
		})
	}
}

func TestWordsRoundTrip(t *testing.T) {
	t.Parallel()
	for _, s := range shedguard.OutletStates() {
		var got shedguard.OutletState
		roundTripText(t, s, &got)
		if got != s {
			t.Errorf("outlet state %v read back as %v", s, got)
		}
	}
	for _, q := range shedguard.Qualities() {
		var got shedguard.Quality
		roundTripText(t, q, &got)
		if got != q {
			t.Errorf("quality %v read back as %v", q, got)
		}
	}
	for _, s := range shedguard.Severities() {
		var got shedguard.Severity
		roundTripText(t, s, &got)
		if got != s {
			t.Errorf("severity %v read back as %v", s, got)
		}
	}
	var s shedguard.Severity
	if err := json.Unmarshal([]byte(`"catastrophic"`), &s); err == nil {
		t.Error("an unknown severity was read")
	}
	for _, c := range shedguard.Causes() {
		if !c.WellFormed() {
			t.Errorf("cause %q is not well formed", c)
		}
	}
}

func roundTripText(t *testing.T, v, into any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
}

func TestReadingAge(t *testing.T) {
	t.Parallel()
	now := time.Now()
	never := shedguard.Reading{}
	if age := never.Age(now); age != math.MaxInt64 {
		t.Errorf("a reading that was never taken is %v old", age)
	}
	taken := shedguard.Reading{At: now.Add(-3 * time.Second)}
	if age := taken.Age(now); age != 3*time.Second {
		t.Errorf("age %v, want 3s", age)
	}
	if bad := (&shedguard.Reading{Amps: math.NaN()}); bad.Finite() {
		t.Error("a reading with NaN is finite")
	}
}

func TestDecodeRefusesGarbage(t *testing.T) {
	t.Parallel()
	decoders := map[string]func([]byte) error{
		"command": func(b []byte) error { _, err := shedguard.DecodeCommand(b); return err },
		"reply":   func(b []byte) error { _, err := shedguard.DecodeReply(b); return err },
		"ack":     func(b []byte) error { _, err := shedguard.DecodeAck(b); return err },
		"status":  func(b []byte) error { _, err := shedguard.DecodeStatus(b); return err },
		"event":   func(b []byte) error { var e shedguard.Event; return json.Unmarshal(b, &e) },
	}
	for name, decode := range decoders {
		for _, garbage := range []string{"", "null", "{}", "[]", "\x00\xff", `"x"`, strings.Repeat(" ", shedguard.MaxEventBytes+1)} {
			if err := decode([]byte(garbage)); err == nil {
				t.Errorf("%s: %.20q was read without an error", name, garbage)
			}
		}
	}
}

func TestDecodeArgsRefusesAMisspeltLimit(t *testing.T) {
	t.Parallel()
	var args shedguard.StartArgs
	if err := shedguard.DecodeArgs(json.RawMessage(`{"outlet":3,"max_wat":5}`), &args); err == nil {
		t.Error("a misspelt limit was ignored")
	}
	if err := shedguard.DecodeArgs(json.RawMessage(`{"outlet":3}{"outlet":4}`), &args); err == nil {
		t.Error("a second value was ignored")
	}
	if err := shedguard.DecodeArgs(json.RawMessage(`{"outlet":3,"max_watts":500}`), &args); err != nil || args.Outlet != 3 || *args.MaxWatts != 500 {
		t.Errorf("%+v, %v", args, err)
	}
}

func someStatus() shedguard.Status {
	return shedguard.Status{
		State: shedguard.GatewayOnline, Since: time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC), BootID: bootID, Conn: 1, Version: "v1", ConfigHash: "c0ffee",
		Clock: shedguard.ClockSynced, Outlets: []shedguard.OutletSummary{{Outlet: 3, State: shedguard.StateTripped, Latched: []shedguard.Cause{shedguard.CauseFire}}},
		Siren: true,
		Suppression: &shedguard.Suppression{
			Phase: shedguard.SuppressionArmed, Zone: "bay-1", AlarmID: someID, By: "", Until: time.Date(2026, 11, 23, 3, 0, 15, 250e6, time.UTC),
		},
	}
}

func TestStatusKeepsTheContractsNames(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*shedguard.Status)
		want   string // after the clock
	}{
		"armed": {
			func(*shedguard.Status) {},
			`"siren":true,"suppression":{"phase":"armed","zone":"bay-1","alarm_id":"01JDEXAMP0E00000000000000A","until":"2026-11-23T03:00:15.25Z"}}`,
		},
		"vetoed": {func(s *shedguard.Status) {
			s.Suppression.Phase, s.Suppression.By, s.Suppression.Until = shedguard.SuppressionVetoed, "王", time.Time{}
		}, `"siren":true,"suppression":{"phase":"vetoed","zone":"bay-1","alarm_id":"01JDEXAMP0E00000000000000A","by":"王"}}`},
		"idle": {func(s *shedguard.Status) {
			s.Siren, s.Suppression = false, &shedguard.Suppression{Phase: shedguard.SuppressionIdle}
		}, `"suppression":{"phase":"idle"}}`},
		"none enabled": {func(s *shedguard.Status) { s.Siren, s.Suppression = false, nil }, `}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := someStatus()
			s.Outlets = nil
			tt.change(&s)
			b, err := json.Marshal(s)
			want := `{"state":"online","since":"2026-11-23T03:00:00Z","boot_id":"01JDEXAMP0E00000000000000B","conn":1,"version":"v1","config_hash":"c0ffee","clock":"synced"`
			if tt.want != "}" {
				want += ","
			}
			if want += tt.want; err != nil || string(b) != want {
				t.Errorf("%s, %v, want %s", b, err, want)
			}
		})
	}
}

// What a gateway says is read as it was said, whatever it says of the siren and
// the suppression, and by a gateway that knows neither.
func TestStatusRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := someStatus()
		want.Siren = rapid.Bool().Draw(t, "siren")
		want.Suppression = nil
		if rapid.Bool().Draw(t, "enabled") {
			want.Suppression = &shedguard.Suppression{
				Phase:   rapid.SampledFrom(shedguard.SuppressionPhases()).Draw(t, "phase"),
				Zone:    rapid.StringN(0, 30, shedguard.MaxTagBytes).Draw(t, "zone"),
				AlarmID: rapid.StringMatching(`([0-7][0-9A-HJKMNP-TV-Z]{25})?`).Draw(t, "alarm"),
				By:      rapid.StringN(0, 50, 200).Draw(t, "by"),
			}
			if p := want.Suppression.Phase; p == shedguard.SuppressionArmed || p == shedguard.SuppressionReleasing {
				want.Suppression.Until = time.UnixMilli(rapid.Int64Range(1, 4e12).Draw(t, "until")).UTC()
			}
		}
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := shedguard.DecodeStatus(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestDecodeStatus(t *testing.T) {
	t.Parallel()
	const before = `{"state":"online","since":"2026-11-23T03:00:00Z","boot_id":"` + bootID + `","conn":1,"clock":"synced"`
	long := strings.Repeat("x", 201)
	tests := map[string]struct {
		members string
		want    *shedguard.Suppression
		siren   bool
		faults  []string // exactly these
	}{
		"older gateway":            {members: ``},
		"members of a newer one":   {members: `,"siren":true,"sprinkler":{"phase":7}`, siren: true},
		"null":                     {members: `,"siren":null,"suppression":null`},
		"idle":                     {members: `,"siren":false,"suppression":{"phase":"idle"}`, want: &shedguard.Suppression{Phase: "idle"}},
		"more than is known of it": {members: `,"suppression":{"phase":"unknown","pressure_bar":12}`, want: &shedguard.Suppression{Phase: "unknown"}},
		"armed, clock unsynced": {
			members: `,"suppression":{"phase":"armed","zone":"bay-1","until":null}`,
			want:    &shedguard.Suppression{Phase: "armed", Zone: "bay-1"},
		},
		"siren is no boolean":      {members: `,"siren":"yes"`, faults: []string{"siren"}},
		"suppression is no object": {members: `,"suppression":"armed"`, faults: []string{"suppression"}},
		"phase is missing":         {members: `,"suppression":{}`, faults: []string{`suppression.phase: "": want one of ["idle" "armed" "vetoed" "releasing" "released" "unknown"]`}},
		"phase that there is not":  {members: `,"suppression":{"phase":"Armed"}`, faults: []string{`suppression.phase: "Armed": want one of`}},
		"until is no time":         {members: `,"suppression":{"phase":"armed","until":"soon"}`, faults: []string{"soon"}},
		"until of a window that is over": {
			members: `,"suppression":{"phase":"vetoed","until":"2026-11-23T03:00:00Z"}`,
			faults:  []string{`suppression.until: 2026-11-23T03:00:00.000Z: want it in phase armed or releasing only, this is "vetoed"`},
		},
		"until that no calendar has in UTC": {
			members: `,"suppression":{"phase":"armed","until":"9999-12-31T23:59:59-10:00"}`,
			faults:  []string{"suppression.until: year 10000 in UTC: want 1 to 9999"},
		},
		"every fault": {
			members: `,"suppression":{"phase":"on","zone":"` + long + `","alarm_id":"7","by":"` + long + `"}`,
			faults:  []string{`suppression.phase: "on"`, "suppression.zone: 201 bytes: want at most 128", `suppression.alarm_id: "7": want a ULID`, "suppression.by: 201 bytes: want at most 200"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := shedguard.DecodeStatus([]byte(before + tt.members + "}"))
			if len(tt.faults) == 0 {
				if err != nil || got.Siren != tt.siren || got.State != shedguard.GatewayOnline || got.Conn != 1 {
					t.Errorf("%+v, %v", got, err)
				}
				if diff := cmp.Diff(tt.want, got.Suppression); diff != "" {
					t.Error(diff)
				}
				return
			}
			if err == nil {
				t.Fatalf("%+v, want an error", got)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.faults) {
				t.Fatalf("%q: want %d faults", lines, len(tt.faults))
			}
			for i, want := range tt.faults {
				if !strings.HasPrefix(lines[i], "status: ") || !strings.Contains(lines[i], want) {
					t.Errorf("%q, want %q", lines[i], want)
				}
			}
		})
	}
}

func TestSuppressionChangedKeepsTheContractsNames(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		data shedguard.SuppressionChanged
		want string
	}{
		"armed": {
			shedguard.SuppressionChanged{
				Phase: shedguard.SuppressionArmed, Zone: "bay-1", AlarmID: someID, Senses: []shedguard.Cause{shedguard.CauseFlameSeen, shedguard.CauseSmokeContact},
			},
			`{"phase":"armed","zone":"bay-1","alarm_id":"01JDEXAMP0E00000000000000A","by":"","senses":["flame_seen","smoke_contact"],"clock":"synced","mono_ms":61234,"boot_id":"01JDEXAMP0E00000000000000B","seq":7}`,
		},
		"reset": {
			shedguard.SuppressionChanged{Phase: shedguard.SuppressionIdle, By: "wang", Senses: []shedguard.Cause{}},
			`{"phase":"idle","zone":"","alarm_id":"","by":"wang","senses":[],"clock":"synced","mono_ms":61234,"boot_id":"01JDEXAMP0E00000000000000B","seq":7}`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.data.SetStamp(someAlarm().Stamp)
			e, err := shedguard.NewEvent(someID, shedguard.Source("S"), shedguard.EventSuppressionChanged, "shed", someAlarm().RaisedAt, tt.data)
			if err != nil || string(e.Data) != tt.want || e.Type != "shedguard.suppression.changed" || e.IsAlarm() {
				t.Errorf("%s %s, %v, want %s", e.Type, e.Data, err, tt.want)
			}
		})
	}
}

// FuzzDecode gives one payload to every decoder: none may panic, and what one
// accepts it must be able to write and read again.
func FuzzDecode(f *testing.F) {
	alarm := someAlarm()
	e, err := shedguard.NewEvent(someID, shedguard.Source("S"), shedguard.EventAlarmRaised, "outlet/3", alarm.RaisedAt, alarm)
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range []any{
		e,
		shedguard.Ack{IDs: []string{someID}},
		shedguard.Reply{ID: someID, OK: true},
		shedguard.Status{State: shedguard.GatewayOnline, BootID: bootID, Conn: 1, Clock: shedguard.ClockSynced},
		someStatus(),
		shedguard.Command{ID: someID, Kind: shedguard.CommandStart, By: "a", IssuedAt: alarm.Since, ExpiresAt: alarm.RaisedAt, Args: json.RawMessage(`{"outlet":3}`)},
	} {
		b, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var got shedguard.Event
		if json.Unmarshal(b, &got) == nil {
			again, err := json.Marshal(got)
			if err != nil {
				t.Fatalf("%q was read but cannot be written: %v", b, err)
			}
			var twice shedguard.Event
			if err := json.Unmarshal(again, &twice); err != nil && len(again) <= shedguard.MaxEventBytes {
				t.Fatalf("%q: %v", again, err)
			}
			_, _ = got.Alarm()
		}
		_, _ = shedguard.DecodeCommand(b)
		_, _ = shedguard.DecodeReply(b)
		_, _ = shedguard.DecodeAck(b)
		if s, err := shedguard.DecodeStatus(b); err == nil {
			again, err := json.Marshal(s)
			if err != nil {
				t.Fatalf("%q was read but cannot be written: %v", b, err)
			}
			if twice, err := shedguard.DecodeStatus(again); (err != nil || !cmp.Equal(s.Suppression, twice.Suppression) || s.Siren != twice.Siren) && len(again) <= shedguard.MaxEventBytes {
				t.Fatalf("%q was written as %q: %v", b, again, err)
			}
		}
		_, _, _, _ = shedguard.ParseTopic(string(b))
	})
}
