package book_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
)

// The log of a shed has its events and commands in the order they happened,
// whatever the size of a page, and nothing of alarms or of other sheds.
func TestShedLog(t *testing.T) {
	b := open(t, nil)
	happened := func(n int, shed, typ string, at time.Duration, clock shedguard.ClockQuality) {
		t.Helper()
		e, err := shedguard.NewEvent(id(n), shedguard.Source(shed), typ, "outlet/3", noon.Add(at), shedguard.RelayOperated{Outlet: 3, Stamp: shedguard.Stamp{Clock: clock}})
		if err != nil {
			t.Fatal(err)
		}
		put(t, b, e)
	}
	happened(1, "shed-1", shedguard.EventRelayOperated, time.Minute, shedguard.ClockSynced)
	happened(2, "shed-1", shedguard.EventSessionBegun, 3*time.Minute, shedguard.ClockSynced)
	happened(3, "shed-1", shedguard.EventSessionEnded, 3*time.Minute, shedguard.ClockSynced)
	happened(4, "shed-1", shedguard.EventConfigApplied, -900*time.Hour, shedguard.ClockUnsynced) // received an hour after noon
	happened(5, "shed-2", shedguard.EventRelayOperated, time.Minute, shedguard.ClockSynced)
	put(t, b, alarmEvent(t, shedguard.EventAlarmRaised, 6, 1, nil))
	for n, at := range map[int]time.Duration{7: 2 * time.Minute, 8: 4 * time.Minute} {
		c := shedguard.Command{ID: id(n), Kind: shedguard.CommandStop, Args: json.RawMessage(`{"outlet":3}`), IssuedAt: noon.Add(at), ExpiresAt: noon.Add(at + time.Second), By: "li", BootID: boot1}
		if err := b.PutCommand(t.Context(), "shed-1", c); err != nil {
			t.Fatal(err)
		}
	}
	refused := shedguard.Reply{ID: id(7), Error: shedguard.Refuse(shedguard.CodeCauseStands, "still hot")}
	if err := b.PutReply(t.Context(), "shed-1", refused, noon.Add(2*time.Minute+time.Second)); err != nil {
		t.Fatal(err)
	}
	want := []string{id(4) + " config.applied", id(8) + " command", id(3) + " session.ended", id(2) + " session.begun", id(7) + " command", id(1) + " relay.operated"}
	for _, limit := range []int{1, 2, 5, 6, 500} {
		t.Run(fmt.Sprint("by ", limit), func(t *testing.T) {
			var got []string
			for cursor := ""; ; {
				page, next, err := b.ShedLog(t.Context(), "shed-1", cursor, limit)
				if err != nil || len(page) > limit || len(got) > len(want) {
					t.Fatalf("page of %d after %d, %v", len(page), len(got), err)
				}
				for _, e := range page {
					got = append(got, e.ID+" "+e.Type)
				}
				if cursor = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %q\nwant %q", got, want)
			}
		})
	}
	page, _, err := b.ShedLog(t.Context(), "shed-1", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if e := page[0]; !e.At.Equal(noon.Add(time.Hour)) || e.Subject != "outlet/3" || len(e.Data) == 0 {
		t.Errorf("without a clock: %+v", e)
	}
	if e := page[1]; e.Reply != nil || e.By != "li" || e.Kind != shedguard.CommandStop || string(e.Data) != `{"outlet":3}` {
		t.Errorf("command without an answer: %+v", e)
	}
	if r := page[4].Reply; r == nil || r.OK || r.Code != shedguard.CodeCauseStands || r.Text != "still hot" || !r.At.Equal(noon.Add(2*time.Minute+time.Second)) {
		t.Errorf("answer: %+v", r)
	}
	for _, cursor := range []string{"x", "1", "1.x", "." + id(1)} {
		if _, _, err := b.ShedLog(t.Context(), "shed-1", cursor, 1); !errors.Is(err, book.ErrInvalid) {
			t.Errorf("cursor %q: %v, want ErrInvalid", cursor, err)
		}
	}
	if _, _, err := b.ShedLog(t.Context(), "shed-1", "", 501); !errors.Is(err, book.ErrInvalid) {
		t.Errorf("limit: %v", err)
	}
	if _, _, err := b.ShedLog(t.Context(), "shed-9", "", 1); !errors.Is(err, book.ErrNotFound) {
		t.Errorf("unknown shed: %v", err)
	}
}

func TestAcknowledgeAll(t *testing.T) {
	var told []string
	b := open(t, func(c book.Change) {
		if c.Alarm != nil && c.Alarm.Acknowledged != nil {
			told = append(told, c.Alarm.ID)
		}
	})
	for n := 1; n <= 3; n++ {
		put(t, b, alarmEvent(t, shedguard.EventAlarmRaised, n, n, nil))
	}
	first, second, third := id(1_000_001), id(1_000_002), id(1_000_003)
	if _, err := b.Acknowledge(t.Context(), second, "wang", "", noon); err != nil {
		t.Fatal(err)
	}
	told = nil
	alarms, missing, err := b.AcknowledgeAll(t.Context(), []string{first, id(9), second}, "li", "", noon.Add(time.Minute))
	if err != nil || len(alarms) != 2 || !slices.Equal(missing, []string{id(9)}) {
		t.Fatalf("%+v, missing %q, %v", alarms, missing, err)
	}
	if alarms[0].Acknowledged.By != "li" || alarms[1].Acknowledged.By != "wang" {
		t.Errorf("the first one does not count: %+v", alarms)
	}
	if !slices.Equal(told, []string{first}) {
		t.Errorf("told of %q, want what changed", told)
	}
	if a, err := b.Alarm(t.Context(), third); err != nil || a.Acknowledged != nil {
		t.Errorf("not asked for: %+v, %v", a.Acknowledged, err)
	}
	long := string(make([]byte, book.MaxCommentBytes+1))
	if _, _, err := b.AcknowledgeAll(t.Context(), []string{third}, "li", long, noon); !errors.Is(err, book.ErrInvalid) {
		t.Errorf("long comment: %v", err)
	}
	for name, ids := range map[string][]string{"none": nil, "too many": make([]string, 501)} {
		if _, _, err := b.AcknowledgeAll(t.Context(), ids, "li", "", noon); !errors.Is(err, book.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTokens(t *testing.T) {
	b := open(t, nil)
	grafana := book.Token{Name: "grafana", Hash: "h1", Scope: book.ScopeRead, CreatedAt: noon, CreatedBy: "root"}
	if err := b.AddToken(t.Context(), grafana); err != nil {
		t.Fatal(err)
	}
	if err := b.AddToken(t.Context(), grafana); !errors.Is(err, book.ErrConflict) {
		t.Errorf("again: %v", err)
	}
	for name, change := range map[string]func(*book.Token){
		"no name":   func(t *book.Token) { t.Name = "" },
		"odd name":  func(t *book.Token) { t.Name = "a\nb" },
		"no hash":   func(t *book.Token) { t.Hash = "" },
		"too much":  func(t *book.Token) { t.Scope = "admin" },
		"of nobody": func(t *book.Token) { t.CreatedBy = "" },
	} {
		bad := grafana
		change(&bad)
		if err := b.AddToken(t.Context(), bad); !errors.Is(err, book.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if got, err := b.Token(t.Context(), "h1"); err != nil || got != grafana {
		t.Errorf("Token: %+v, %v, want %+v", got, err, grafana)
	}
	for at, want := range map[time.Duration]time.Duration{time.Minute: time.Minute, 0: time.Minute} {
		if err := errors.Join(b.TokenUsed(t.Context(), "grafana", noon.Add(time.Minute)), b.TokenUsed(t.Context(), "grafana", noon.Add(at))); err != nil {
			t.Fatal(err)
		}
		if all, err := b.Tokens(t.Context()); err != nil || len(all) != 1 || !all[0].LastUsed.Equal(noon.Add(want)) {
			t.Errorf("Tokens after a use at %v: %+v, %v", at, all, err)
		}
	}
	if _, err := b.Token(t.Context(), "h2"); !errors.Is(err, book.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	if err := b.RevokeToken(t.Context(), "grafana", "root", noon); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Token(t.Context(), "h1"); !errors.Is(err, book.ErrNotFound) {
		t.Errorf("revoked: %v", err)
	}
	if err := b.RevokeToken(t.Context(), "grafana", "root", noon); !errors.Is(err, book.ErrNotFound) {
		t.Errorf("revoked twice: %v", err)
	}
	trail, err := b.AuditTrail(t.Context(), 10)
	if err != nil || len(trail) != 2 || trail[0].Deed != "token_revoked" || trail[1].Deed != "token_created" || trail[1].By != "root" {
		t.Errorf("audit trail %+v, %v", trail, err)
	}
}
