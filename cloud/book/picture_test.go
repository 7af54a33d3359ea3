package book_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
)

func picture(tb testing.TB, b *book.Book, alarm, n, bytes int, received time.Time) {
	tb.Helper()
	if err := b.PutEvidence(tb.Context(), "shed-1", id(1_000_000+alarm), n, []byte(strings.Repeat("j", bytes)), received); err != nil {
		tb.Fatal(err)
	}
}

func TestPicturesOfAnAlarm(t *testing.T) {
	var seen []book.Change
	b := open(t, func(c book.Change) { seen = append(seen, c) })
	picture(t, b, 1, 0, 5, noon) // before its alarm: nobody is told
	put(t, b, alarmEvent(t, shedguard.EventAlarmRaised, 1, 1, func(a *shedguard.Alarm) { a.Detail = shedguard.DetailPictureCovered }))
	if a := seen[0].Alarm; len(seen) < 1 || a == nil || a.PictureCount != 1 || a.Detail != shedguard.DetailPictureCovered {
		t.Fatalf("told of %+v, want the alarm with its picture and detail", seen)
	}
	seen = nil
	late := noon.Add(time.Minute)
	picture(t, b, 1, 3, 7, late)
	picture(t, b, 1, 3, 8, late.Add(time.Second)) // again: the first stays, nobody is told
	want := []book.Change{{Picture: &book.AlarmPicture{
		Shed: "shed-1", AlarmID: id(1_000_001), Picture: book.Picture{N: 3, ReceivedAt: late, Bytes: 7}, Count: 2,
	}}}
	if d := cmp.Diff(want, seen); d != "" {
		t.Errorf("told (-want +got):\n%s", d)
	}
	got, err := b.Pictures(t.Context(), id(1_000_001))
	if d := cmp.Diff([]book.Picture{{N: 0, ReceivedAt: noon, Bytes: 5}, {N: 3, ReceivedAt: late, Bytes: 7}}, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	a, err := b.Alarm(t.Context(), id(1_000_001))
	if err != nil || a.PictureCount != 2 || a.Detail != shedguard.DetailPictureCovered {
		t.Errorf("alarm with %d pictures, detail %q, %v", a.PictureCount, a.Detail, err)
	}
	if page, _, err := b.Alarms(t.Context(), book.AlarmQuery{}); err != nil || page[0].PictureCount != 2 {
		t.Errorf("page %+v, %v", page, err)
	}
}

// ask gives a command for a snapshot with those arguments.
func ask(tb testing.TB, b *book.Book, n int, kind, args string) {
	tb.Helper()
	c := shedguard.Command{ID: id(n), Kind: kind, IssuedAt: noon, ExpiresAt: noon.Add(10 * time.Second), By: "li", BootID: boot1, Args: json.RawMessage(args)}
	if err := b.PutCommand(tb.Context(), "shed-1", c); err != nil {
		tb.Fatal(err)
	}
}

func TestSnapshots(t *testing.T) {
	const byGateway, byCommand, nameless = `{"evidence_id":"%s","camera":"c2"}`, `{"camera":"c1"}`, `{}`
	tests := map[string]struct {
		kind, args, result string // a result without %s is none
		shed               string // of the picture
		replyFirst         bool
		want               string // the camera whose snapshot it is; empty: nobody's
	}{
		"picture, then reply":               {args: byCommand, result: `{"evidence_id":"%s","camera":"c1"}`, want: "c1"},
		"reply, then picture":               {args: byCommand, result: `{"evidence_id":"%s","camera":"c1"}`, replyFirst: true, want: "c1"},
		"no reply":                          {args: byCommand, want: "c1"},
		"the gateway knows better":          {args: byCommand, result: byGateway, replyFirst: true, want: "c2"},
		"the gateway chose, reply last":     {args: nameless, result: byGateway, want: "c2"},
		"the gateway chose, picture last":   {args: nameless, result: byGateway, replyFirst: true, want: "c2"},
		"nobody names it":                   {args: nameless, replyFirst: true},
		"a reply about another picture":     {args: nameless, result: `{"evidence_id":"x%s","camera":"c2"}`},
		"a camera that cannot be":           {args: nameless, result: `{"evidence_id":"%s","camera":"a/b"}`},
		"a command of another kind":         {kind: shedguard.CommandGetState, args: byCommand, result: byGateway},
		"a picture of another shed":         {args: byCommand, shed: "shed-2"},
		"a result that is no object at all": {args: byCommand, result: `["%s"]`, want: "c1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var told []string
			b := open(t, func(c book.Change) {
				if c.Snapshot != nil {
					told = append(told, c.Snapshot.Shed+" "+c.Snapshot.Camera)
				}
			})
			put(t, b, alarmEvent(t, shedguard.EventAlarmRaised, 1, 1, nil)) // makes the shed
			if tt.kind == "" {
				tt.kind = shedguard.CommandSnapshot
			}
			if tt.shed == "" {
				tt.shed = "shed-1"
			}
			ask(t, b, 500, tt.kind, tt.args)
			steps := []func() error{
				func() error { return b.PutEvidence(t.Context(), tt.shed, id(500), 0, []byte("jpeg"), noon) },
				func() error {
					if !strings.Contains(tt.result, "%s") {
						return nil
					}
					return b.PutReply(t.Context(), "shed-1", shedguard.Reply{ID: id(500), OK: true, Result: json.RawMessage(fmt.Sprintf(tt.result, id(500)))}, noon)
				},
			}
			if tt.replyFirst {
				steps[0], steps[1] = steps[1], steps[0]
			}
			for _, step := range append(steps, steps...) { // everything may come twice
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			all, err := b.Snapshots(t.Context(), "shed-1")
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "" {
				if len(all) != 0 || len(told) != 0 {
					t.Errorf("snapshots %+v, told %q, want none", all, told)
				}
				return
			}
			want := book.Snapshot{Camera: tt.want, ID: id(500), ReceivedAt: noon, Bytes: 4}
			if d := cmp.Diff([]book.Snapshot{want}, all); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if d := cmp.Diff([]string{"shed-1 " + tt.want}, told); d != "" {
				t.Errorf("told (-want +got):\n%s", d)
			}
			if s, jpeg, err := b.Snapshot(t.Context(), "shed-1", tt.want); err != nil || s != want || string(jpeg) != "jpeg" {
				t.Errorf("Snapshot: %+v %q %v", s, jpeg, err)
			}
			if _, err := b.Evidence(t.Context(), id(500), 0); !errors.Is(err, book.ErrNotFound) {
				t.Errorf("as evidence of an alarm: %v", err)
			}
		})
	}
}

func TestOneSnapshotPerCamera(t *testing.T) {
	b := open(t, nil)
	put(t, b, alarmEvent(t, shedguard.EventAlarmRaised, 1, 1, nil))
	for _, n := range []int{501, 500, 502} {
		ask(t, b, n, shedguard.CommandSnapshot, `{"camera":"c1"}`)
	}
	for i, n := range []int{501, 500, 502} { // 500 was asked for first and comes late
		if err := b.PutEvidence(t.Context(), "shed-1", id(n), 0, fmt.Appendf(nil, "jpeg %d", n), noon.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("jpeg %d", []int{501, 501, 502}[i])
		if _, jpeg, err := b.Snapshot(t.Context(), "shed-1", "c1"); string(jpeg) != want {
			t.Errorf("after %d: %q, %v, want %q", n, jpeg, err, want)
		}
	}
	if _, _, err := b.Snapshot(t.Context(), "shed-1", "c2"); !errors.Is(err, book.ErrNotFound) {
		t.Errorf("of another camera: %v", err)
	}
}

func TestPrunePictures(t *testing.T) {
	const day = 24 * time.Hour
	at := func(days int) time.Time { return noon.Add(time.Duration(days) * day) }
	// Alarm 1 stands, 2 was cleared at noon of day 0, 3 on day 20, 9 never came.
	fill := func(t *testing.T) *book.Book {
		t.Helper()
		b := open(t, nil)
		for n := 1; n <= 3; n++ {
			put(t, b, alarmEvent(t, shedguard.EventAlarmRaised, n, n, nil))
		}
		for alarm, days := range map[int]int{2: 0, 3: 20} {
			e := alarmEvent(t, shedguard.EventAlarmCleared, 10+alarm, alarm, func(a *shedguard.Alarm) { a.Severity, a.Level = shedguard.SeverityCleared, 0 })
			e.Time = at(days)
			put(t, b, e)
		}
		for _, p := range []struct{ alarm, n, days int }{{1, 0, 0}, {1, 1, 25}, {2, 0, 0}, {2, 1, 15}, {3, 0, 1}, {3, 1, 2}, {9, 0, 0}, {9, 1, 12}} {
			picture(t, b, p.alarm, p.n, 100, at(p.days))
		}
		return b
	}
	left := func(t *testing.T, b *book.Book) string {
		t.Helper()
		put(t, b, alarmEvent(t, shedguard.EventAlarmRaised, 9, 9, nil)) // a picture is asked for by its alarm
		var got []string
		for _, alarm := range []int{1, 2, 3, 9} {
			for n := range 2 {
				if _, err := b.Evidence(t.Context(), id(1_000_000+alarm), n); err == nil {
					got = append(got, fmt.Sprintf("%d/%d", alarm, n))
				}
			}
		}
		return strings.Join(got, " ")
	}
	tests := map[string]struct {
		before   int // day
		maxBytes int64
		want     string
	}{
		"all are young and few":              {-1, 800, "1/0 1/1 2/0 2/1 3/0 3/1 9/0 9/1"},
		"old ones of what is over":           {10, 800, "1/0 1/1 2/1 3/0 3/1 9/1"},
		"a picture that came after clearing": {16, 800, "1/0 1/1 3/0 3/1"},
		"all that is over":                   {30, 800, "1/0 1/1"},
		"one too much":                       {-1, 799, "1/0 1/1 2/1 3/0 3/1 9/0 9/1"},
		"half: the oldest of what is over":   {-1, 400, "1/0 1/1 2/1 9/1"},
		"open ones last, the oldest first":   {-1, 100, "1/1"},
		"nothing fits":                       {-1, 99, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := fill(t)
			n, err := b.PrunePictures(t.Context(), at(tt.before), tt.maxBytes)
			got := left(t, b)
			if err != nil || got != tt.want {
				t.Errorf("left %q, %v, want %q", got, err, tt.want)
			}
			if want := int64(8 - len(strings.Fields(tt.want))); n != want {
				t.Errorf("deleted %d, want %d", n, want)
			}
		})
	}
	t.Run("many go in more than one step", func(t *testing.T) {
		b := fill(t)
		for n := range 150 {
			picture(t, b, 2, 100+n, 10, at(0))
			picture(t, b, 3, 100+n, 10, at(3))
		}
		if n, err := b.PrunePictures(t.Context(), at(10), 300); err != nil || n != 152+153 {
			t.Errorf("deleted %d, %v", n, err)
		}
	})
	t.Run("snapshots", func(t *testing.T) {
		b := fill(t)
		for n, camera := range []string{"c1", "c2"} {
			ask(t, b, 500+n, shedguard.CommandSnapshot, `{"camera":"`+camera+`"}`)
			if err := b.PutEvidence(t.Context(), "shed-1", id(500+n), 0, []byte("jpeg"), at(n*5)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.PrunePictures(t.Context(), at(5), 800); err != nil {
			t.Fatal(err)
		}
		if all, err := b.Snapshots(t.Context(), "shed-1"); err != nil || len(all) != 1 || all[0].Camera != "c2" {
			t.Errorf("left %+v, %v, want c2", all, err)
		}
	})
}

func TestAuditOnce(t *testing.T) {
	b := open(t, nil)
	look := book.AuditEntry{At: noon, By: "li", Address: "a", Deed: "look", Target: "x", Detail: json.RawMessage(`{"n":0}`)}
	other, later, soon := look, look, look
	other.Detail = json.RawMessage(`{"n":1}`)
	soon.At, later.At = noon.Add(time.Minute-time.Millisecond), noon.Add(time.Minute)
	for _, a := range []book.AuditEntry{look, soon, other, later} {
		if err := b.AuditOnce(t.Context(), a, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	trail, err := b.AuditTrail(t.Context(), 10)
	if d := cmp.Diff([]book.AuditEntry{later, other, look}, trail); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

func TestCameraAlarms(t *testing.T) {
	b := open(t, nil)
	camera := func(n int, typ string) shedguard.Event {
		e := alarmEvent(t, typ, n, n%10, func(a *shedguard.Alarm) { a.Cause = shedguard.CauseCameraLost })
		e.Subject = "camera/c1"
		return e
	}
	put(t, b, alarmEvent(t, shedguard.EventAlarmRaised, 1, 1, nil), camera(2, shedguard.EventAlarmRaised), camera(3, shedguard.EventAlarmRaised), camera(13, shedguard.EventAlarmCleared))
	all, err := b.CameraAlarms(t.Context(), "shed-1")
	if err != nil || len(all) != 1 || all[0].ID != id(1_000_002) {
		t.Errorf("%+v, %v", all, err)
	}
	if all, err := b.CameraAlarms(t.Context(), "shed-2"); err != nil || len(all) != 0 {
		t.Errorf("of another shed: %+v, %v", all, err)
	}
}
