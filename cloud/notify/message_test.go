package notify_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
	"github.com/shedguard/shedguard/cloud/notify"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// Every kind of message in every language, as people read it.
func TestMessages(t *testing.T) {
	p, err := notify.NewPolicy(settings())
	if err != nil {
		t.Fatal(err)
	}
	alarm := func(n int, change func(*book.Alarm)) book.Alarm {
		a := book.Alarm{
			ID: id(n), Shed: "north-1", ShedName: "三号车棚", Subject: shedguard.OutletSubject(n), Cause: shedguard.CauseOvercurrent,
			Severity: shedguard.SeverityMajor, State: book.AlarmOpen, RaisedAt: noon, Since: noon.Add(-20 * time.Second), ReceivedAt: noon,
			Value: 25, Limit: 10.5, Unit: "A", Action: shedguard.ActionTripped, Latched: true,
		}
		if change != nil {
			change(&a)
		}
		return a
	}
	storm := []book.Alarm{
		alarm(1, func(a *book.Alarm) { a.State, a.ClearedAt = book.AlarmCleared, new(noon.Add(time.Minute)) }),
	}
	for n := range 12 {
		storm = append(storm, alarm(n+2, nil))
	}
	var struck []book.Alarm // twelve that stand, two that are over
	for n := range 14 {
		struck = append(struck, alarm(n+1, func(a *book.Alarm) {
			a.Cause, a.Severity, a.Action, a.Value, a.Limit, a.Unit = shedguard.CauseSmokeContact, shedguard.SeverityCritical, shedguard.ActionCutZone, 0, 0, ""
			if n >= 12 {
				a.State, a.ClearedAt = book.AlarmCleared, new(noon.Add(time.Minute))
			}
		}))
	}
	tests := []struct {
		name   string
		kind   book.NoticeKind
		round  int
		alarms []book.Alarm
	}{
		{"raised", book.NoticeRaised, 1, []book.Alarm{alarm(3, nil)}},
		{"fire", book.NoticeRaised, 1, []book.Alarm{alarm(3, func(a *book.Alarm) {
			a.Subject, a.Cause, a.Grade, a.Severity = "zone/bay-1", shedguard.CauseFire, shedguard.GradeFire, shedguard.SeverityCritical
			a.Value, a.Limit, a.Unit, a.Action = 0, 0, "", shedguard.ActionCutZone
		})}},
		{"reminder", book.NoticeReminder, 2, []book.Alarm{alarm(3, nil)}},
		{"escalated", book.NoticeEscalated, 1, []book.Alarm{alarm(3, nil)}},
		{"worse", book.NoticeWorse, 1, []book.Alarm{alarm(3, func(a *book.Alarm) {
			a.Acknowledged = &book.Acknowledgement{By: "老李", At: noon}
		})}},
		{"cleared", book.NoticeCleared, 1, []book.Alarm{alarm(3, func(a *book.Alarm) {
			a.State, a.ClearedAt = book.AlarmCleared, new(noon.Add(3*time.Hour))
		})}},
		{"gateway", book.NoticeRaised, 1, []book.Alarm{alarm(3, func(a *book.Alarm) {
			a.Subject, a.Cause, a.Value, a.Limit, a.Unit, a.Action, a.Latched = "shed", shedguard.CauseGatewayOffline, 0, 0, "", shedguard.ActionNone, false
		})}},
		{"cause of a newer gateway", book.NoticeRaised, 1, []book.Alarm{alarm(3, func(a *book.Alarm) { a.Cause = "arc_fault" })}},
		{"cut for their zone", book.NoticeRaised, 1, struck[:12]},
		{"cut, and some over by now", book.NoticeReminder, 2, struck[10:]},
		{"all of them over", book.NoticeCleared, 1, struck[12:]},
		{"summary", book.NoticeSummary, 0, storm},
		{"all over", book.NoticeSummary, 0, storm[:1]},
		{"test", book.NoticeTest, 0, nil},
	}
	var got strings.Builder
	for _, tt := range tests {
		for _, l := range []notify.Language{notify.LanguageChinese, notify.LanguageEnglish, notify.LanguageBoth} {
			m := &notify.Message{ID: id(1), Kind: tt.kind, Person: "老李", At: noon.Add(5 * time.Minute), Alarms: tt.alarms, Place: "朝阳区 望京"}
			notify.Fill(p, m, l, tt.round)
			if l != notify.LanguageBoth {
				if tt.kind != book.NoticeSummary && tt.kind != book.NoticeTest && tt.kind != book.NoticeCleared {
					a := &tt.alarms[0]
					said := shedguard.AlarmText(a.Subject, &shedguard.Alarm{
						Cause: a.Cause, Severity: a.Severity, Grade: a.Grade, Value: a.Value, Limit: a.Limit, Unit: a.Unit, Action: a.Action, Latched: a.Latched,
					})
					sentences := map[notify.Language]string{notify.LanguageChinese: said.ZH, notify.LanguageEnglish: said.EN}[l]
					if !strings.HasPrefix(m.Text, sentences+"\n") {
						t.Errorf("%s, %s: no %q at the head of %q", tt.name, l, sentences, m.Text)
					}
					m.Text = strings.Replace(m.Text, sentences, "<what happened, what was done, what to do>", 1) // has tests of its own
				}
				fmt.Fprintf(&got, "== %s, %s, severity %s\n%s\n--\n%s\n\n", tt.name, l, m.Severity, m.Subject, m.Text)
			}
			if strings.Contains(m.Subject+m.Text, "%!") || strings.ContainsAny(m.Subject, "\r\n") || len(m.Text) > 4000 {
				t.Errorf("%s, %s: %q\n%s", tt.name, l, m.Subject, m.Text)
			}
		}
	}
	const golden = "testdata/messages.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("messages (-want +got; -update rewrites):\n%s", diff)
	}
}
