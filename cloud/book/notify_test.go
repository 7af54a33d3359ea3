package book_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
)

// delivery is delivery number n to a person, with one notice an alarm.
func delivery(n int, person string, kind book.NoticeKind, alarms ...int) book.Delivery {
	d := book.Delivery{
		ID: id(5_000_000 + n), Person: person, Kind: kind, CreatedAt: noon, NextAt: noon,
		State: book.DeliveryPending, Channel: "mail",
	}
	for _, a := range alarms {
		d.Notices = append(d.Notices, book.Notice{
			AlarmID: id(1_000_000 + a), Person: person, Kind: book.NoticeRaised, Round: 1, Severity: shedguard.SeverityMajor,
			At: noon, Shed: "shed-1", Subject: "outlet/3", Cause: shedguard.CauseOvercurrent,
		})
	}
	return d
}

func putNotify(tb testing.TB, b *book.Book, c book.NotifyChange) []book.Delivery {
	tb.Helper()
	made, err := b.PutNotify(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	return made
}

func notifyState(tb testing.TB, b *book.Book, now time.Time) book.NotifyState {
	tb.Helper()
	s, err := b.NotifyState(tb.Context(), now.Add(-time.Hour), now)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// A notice is made once, whatever is repeated, and what was noted of a
// delivery is there after the book was closed and opened.
func TestNoticesAreMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book.db")
	b, err := book.Open(t.Context(), book.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	put(t, b, alarmEvent(t, shedguard.EventAlarmRaised, 1, 1, nil), alarmEvent(t, shedguard.EventAlarmRaised, 2, 2, nil))
	if s := notifyState(t, b, noon); len(s.Alarms) != 2 || len(s.Notices) != 0 || len(s.Pending) != 0 || !s.Since.Equal(noon) {
		t.Fatalf("state %+v", s)
	}
	made := putNotify(t, b, book.NotifyChange{At: noon, Deliveries: []book.Delivery{delivery(1, "li", book.NoticeRaised, 1)}})
	if len(made) != 1 || made[0].Num == 0 {
		t.Fatalf("made %+v", made)
	}
	if again := putNotify(t, b, book.NotifyChange{At: noon, Deliveries: []book.Delivery{
		delivery(2, "li", book.NoticeRaised, 1), delivery(3, "li", book.NoticeSummary, 1, 2),
	}}); len(again) != 1 || len(again[0].Notices) != 1 || again[0].Notices[0].AlarmID != id(1_000_002) {
		t.Fatalf("made again %+v", again)
	}
	attempt, err := b.BeginAttempt(t.Context(), made[0].Num, "mail", noon)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil { // as after a crash: begun and not ended
		t.Fatal(err)
	}
	if b, err = book.Open(t.Context(), book.Options{Path: path}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	s := notifyState(t, b, noon.Add(time.Hour))
	if len(s.Pending) != 2 || len(s.Notices) != 2 || s.Notices[0].State != book.DeliveryPending || !s.Since.Equal(noon) {
		t.Fatalf("state after opening %+v", s)
	}
	d := made[0]
	d.State, d.Attempts, d.DoneAt, d.SaidOver = book.DeliverySent, 1, noon.Add(time.Minute), []string{id(1_000_001)}
	if err := b.EndAttempt(t.Context(), book.Attempt{Num: attempt, Result: book.AttemptSent, TookMS: 12}, d); err != nil {
		t.Fatal(err)
	}
	s = notifyState(t, b, noon.Add(time.Hour))
	if len(s.Pending) != 1 || s.Notices[0].State != book.DeliverySent || !s.Notices[0].SaidOver || !s.Notices[0].Sent.Equal(d.DoneAt) || s.Notices[1].SaidOver {
		t.Fatalf("state after sending %+v", s)
	}
	page, next, err := b.Deliveries(t.Context(), book.DeliveryQuery{Alarm: id(1_000_001)})
	if err != nil || len(page) != 1 || next != "" || page[0].State != book.DeliverySent || len(page[0].Log) != 1 || page[0].Log[0].TookMS != 12 {
		t.Errorf("log %+v, %v", page, err)
	}
	if err := b.EndAttempt(t.Context(), book.Attempt{Num: 999}, d); !errors.Is(err, book.ErrNotFound) {
		t.Errorf("end of no attempt: %v", err)
	}
}

// A decision is written whole or not at all.
func TestNotifyChangeIsWhole(t *testing.T) {
	b := open(t, nil)
	bad := delivery(2, "li", book.NoticeRaised, 2)
	bad.ID = "x"
	if _, err := b.PutNotify(t.Context(), book.NotifyChange{At: noon, Deliveries: []book.Delivery{delivery(1, "li", book.NoticeRaised, 1), bad}}); !errors.Is(err, book.ErrInvalid) {
		t.Fatalf("put: %v, want invalid", err)
	}
	if page, _, err := b.Deliveries(t.Context(), book.DeliveryQuery{}); err != nil || len(page) != 0 {
		t.Errorf("kept %+v, %v", page, err)
	}
}

// Which alarms a decision sees: open ones, told ones until they are settled,
// and severe ones that came and went, for a day.
func TestNotifyStateAlarms(t *testing.T) {
	b := open(t, nil)
	notifyState(t, b, noon)
	mild := func(a *shedguard.Alarm) { a.Severity, a.Level = shedguard.SeverityMinor, 3 }
	put(
		t, b,
		alarmEvent(t, shedguard.EventAlarmRaised, 1, 1, nil),
		alarmEvent(t, shedguard.EventAlarmRaised, 2, 2, mild), alarmEvent(t, shedguard.EventAlarmCleared, 3, 2, mild),
		alarmEvent(t, shedguard.EventAlarmRaised, 4, 3, nil), alarmEvent(t, shedguard.EventAlarmCleared, 5, 3, nil),
		alarmEvent(t, shedguard.EventAlarmRaised, 6, 4, mild),
	)
	see := func(now time.Time, want string) {
		t.Helper()
		var got []string
		for _, a := range notifyState(t, b, now).Alarms {
			got = append(got, strings.TrimLeft(strings.TrimPrefix(a.ID, "0000000000000000000100000"), "0"))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("sees %v, want %s", got, want)
		}
	}
	see(noon.Add(2*time.Hour), "1 3 4")
	see(noon.Add(26*time.Hour), "1 4") // received an hour after noon
	made := putNotify(t, b, book.NotifyChange{At: noon, Deliveries: []book.Delivery{delivery(1, "li", book.NoticeRaised, 4), delivery(2, "li", book.NoticeRaised, 3)}})
	put(t, b, alarmEvent(t, shedguard.EventAlarmCleared, 7, 4, mild))
	see(noon.Add(26*time.Hour), "1 3 4")
	putNotify(t, b, book.NotifyChange{At: noon, Withdraw: map[int64]string{made[0].Num: "over"}, Settle: []string{id(1_000_003), id(1_000_004)}})
	see(noon.Add(2*time.Hour), "1")
	page, _, err := b.Deliveries(t.Context(), book.DeliveryQuery{Alarm: id(1_000_004)})
	if err != nil || page[0].State != book.DeliveryWithdrawn || page[0].Reason != "over" {
		t.Errorf("withdrawn %+v, %v", page, err)
	}
	putNotify(t, b, book.NotifyChange{At: noon, Seen: []book.Notice{{AlarmID: id(1_000_001), Kind: book.NoticeSeen, Round: 2, Severity: 2, At: noon}}})
	for _, n := range notifyState(t, b, noon.Add(time.Minute)).Notices {
		if n.AlarmID == id(1_000_001) && (n.Kind != book.NoticeSeen || n.Delivery != 0 || n.Severity != shedguard.SeverityMajor) {
			t.Errorf("seen %+v", n)
		}
	}
}

func TestDeliveryLogPagesAndIsPruned(t *testing.T) {
	b := open(t, nil)
	for n := range 7 {
		d := delivery(n+1, []string{"li", "wang"}[n%2], book.NoticeRaised, n+1)
		d.State, d.DoneAt = book.DeliverySent, noon.Add(time.Duration(n)*time.Hour)
		putNotify(t, b, book.NotifyChange{At: noon, Deliveries: []book.Delivery{d}})
	}
	var got []int64
	for cursor, pages := "", 0; ; pages++ {
		page, next, err := b.Deliveries(t.Context(), book.DeliveryQuery{Person: "li", Cursor: cursor, Limit: 2})
		if err != nil || pages > 2 {
			t.Fatalf("page %d: %v", pages, err)
		}
		for _, d := range page {
			got = append(got, d.Num)
		}
		if cursor = next; next == "" {
			break
		}
	}
	if len(got) != 4 || got[0] != 7 || got[3] != 1 {
		t.Errorf("pages gave %v", got)
	}
	for name, q := range map[string]book.DeliveryQuery{"cursor": {Cursor: "x"}, "limit": {Limit: book.MaxPage + 1}} {
		if _, _, err := b.Deliveries(t.Context(), q); !errors.Is(err, book.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, err := b.PruneDeliveries(t.Context(), noon.Add(3*time.Hour)); err != nil || n != 0 {
		t.Errorf("pruned %d of unsettled alarms, %v", n, err)
	}
	putNotify(t, b, book.NotifyChange{At: noon, Settle: []string{id(1_000_001), id(1_000_002), id(1_000_006)}})
	if n, err := b.PruneDeliveries(t.Context(), noon.Add(3*time.Hour)); err != nil || n != 2 {
		t.Errorf("pruned %d, %v: want 2", n, err)
	}
}

func BenchmarkNotifyState(b *testing.B) {
	bk, err := book.Open(b.Context(), book.Options{Path: filepath.Join(b.TempDir(), "book.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = bk.Close() }()
	ctx := context.Background()
	for n := range 1000 {
		if _, err := bk.PutEvent(ctx, alarmEvent(b, shedguard.EventAlarmRaised, n+1, n+1, nil), noon); err != nil {
			b.Fatal(err)
		}
		if _, err := bk.PutNotify(ctx, book.NotifyChange{At: noon, Deliveries: []book.Delivery{delivery(n+1, "li", book.NoticeRaised, n+1)}}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bk.NotifyState(ctx, noon.Add(-time.Hour), noon); err != nil {
			b.Fatal(err)
		}
	}
}
