package notify_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
	"github.com/shedguard/shedguard/cloud/notify"
)

// noon is 20:00 in Shanghai.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// id is a ULID made of a number.
func id(n int) string { return fmt.Sprintf("%026d", n) }

// settings: li is told first, wang after five minutes, the group of
// criticals at once; li sleeps from 22:00 to 07:00.
func settings() notify.Settings {
	channel := func(name string) notify.Channel {
		return notify.Channel{Name: name, Webhook: &notify.Webhook{URL: "http://127.0.0.1:1/", SecretFile: "/nowhere"}}
	}
	return notify.Settings{
		BaseURL:  "https://sheds.example.com",
		Channels: []notify.Channel{channel("c-li"), channel("c-li-2"), channel("c-wang"), channel("c-group")},
		People: []notify.Person{
			{Name: "li", Channels: []string{"c-li", "c-li-2"}, Quiet: &notify.Quiet{From: "22:00", To: "07:00"}},
			{Name: "wang", Language: notify.LanguageEnglish, Channels: []string{"c-wang"}},
			{Name: "group", Language: notify.LanguageBoth, Channels: []string{"c-group"}},
		},
		Routes: []notify.Route{
			{Sheds: []string{"north-*"}, Steps: []notify.Step{{People: []string{"li"}}, {After: 5 * time.Minute, People: []string{"wang"}}}},
			{Sheds: []string{"*"}, Severity: shedguard.SeverityCritical, Steps: []notify.Step{{People: []string{"group"}}}},
		},
	}
}

// world is the book of a pure test: what is planned is kept, and sent at once
// unless stuck.
type world struct {
	tb     testing.TB
	policy *notify.Policy
	now    time.Time
	alarms []book.Alarm
	made   []book.Delivery
	stuck  bool
	seen   map[string]bool
	notes  []book.Notice
}

func newWorld(tb testing.TB, s notify.Settings) *world {
	tb.Helper()
	p, err := notify.NewPolicy(s)
	if err != nil {
		tb.Fatal(err)
	}
	return &world{tb: tb, policy: p, now: noon, seen: map[string]bool{}}
}

func (w *world) raise(n int, shed, subject string, severity shedguard.Severity) *book.Alarm {
	w.alarms = append(w.alarms, book.Alarm{
		ID: id(n), Shed: shed, ShedName: shed, Subject: subject, Cause: shedguard.CauseOvercurrent, Severity: severity,
		State: book.AlarmOpen, RaisedAt: w.now, Since: w.now, ReceivedAt: w.now,
	})
	return &w.alarms[len(w.alarms)-1]
}

func (w *world) state() book.NotifyState {
	st := book.NotifyState{Since: noon}
	for _, d := range w.made {
		for _, n := range d.Notices {
			n.Delivery, n.State, n.Grouped = d.Num, d.State, d.Kind == book.NoticeSummary
			if d.State == book.DeliverySent {
				n.Sent, n.SaidOver = d.DoneAt, slices.Contains(d.SaidOver, n.AlarmID)
			}
			st.Notices = append(st.Notices, n)
		}
		if d.State == book.DeliveryPending {
			st.Pending = append(st.Pending, d)
		}
	}
	st.Notices = append(st.Notices, w.notes...)
	settled := func(id string) bool { return w.seen[id] }
	for _, a := range w.alarms {
		known := slices.ContainsFunc(st.Notices, func(n book.Notice) bool { return n.AlarmID == a.ID })
		if a.State == book.AlarmOpen || known && !settled(a.ID) || !known && a.Severity <= shedguard.SeverityMajor && a.Acknowledged == nil {
			st.Alarms = append(st.Alarms, a)
		}
	}
	slices.SortStableFunc(st.Notices, func(a, b book.Notice) int { return a.At.Compare(b.At) })
	return st
}

// step plans once and keeps the result; it gives what was made, as "kind
// person alarm,alarm".
func (w *world) step() (said []string) {
	w.tb.Helper()
	st := w.state()
	p := w.policy.Plan(&st, w.now)
	for _, d := range p.Deliveries {
		d.Num, d.ID = int64(len(w.made)+1), id(len(w.made)+1)
		if !w.stuck {
			w.deliver(&d)
		}
		var alarms []string
		for _, n := range d.Notices {
			alarms = append(alarms, strings.TrimLeft(n.AlarmID, "0"))
		}
		slices.Sort(alarms)
		said = append(said, fmt.Sprintf("%s %s %s", d.Kind, d.Person, strings.Join(alarms, ",")))
		w.made = append(w.made, d)
	}
	for num := range p.Withdraw {
		d := &w.made[num-1]
		d.State, d.DoneAt = book.DeliveryWithdrawn, w.now
	}
	for _, a := range p.Settle {
		w.seen[a] = true
	}
	w.notes = append(w.notes, p.Seen...)
	return said
}

func (w *world) deliver(d *book.Delivery) {
	d.State, d.DoneAt = book.DeliverySent, w.now
	for _, n := range d.Notices {
		if slices.ContainsFunc(w.alarms, func(a book.Alarm) bool { return a.ID == n.AlarmID && a.State == book.AlarmCleared }) {
			d.SaidOver = append(d.SaidOver, n.AlarmID)
		}
	}
}

// run lets time pass, planning every ten seconds, and gives what was said with
// the time since the start of the run.
func (w *world) run(d time.Duration) (said []string) {
	w.tb.Helper()
	began := w.now
	for ; !w.now.After(began.Add(d)); w.now = w.now.Add(10 * time.Second) {
		for _, s := range w.step() {
			said = append(said, fmt.Sprintf("%v %s", w.now.Sub(began), s))
		}
	}
	w.now = began.Add(d)
	return said
}

func clearAlarm(w *world, a *book.Alarm) {
	a.State, a.ClearedAt = book.AlarmCleared, new(w.now)
}

func TestPlan(t *testing.T) {
	const warning, minor, major, critical = shedguard.SeverityWarning, shedguard.SeverityMinor, shedguard.SeverityMajor, shedguard.SeverityCritical
	tests := map[string]struct {
		change func(*notify.Settings)
		play   func(w *world) []string
		want   []string
	}{
		"first, escalated, reminded with growing pauses": {
			play: func(w *world) []string {
				w.raise(1, "north-1", "outlet/3", major)
				return w.run(25 * time.Minute)
			},
			want: []string{
				"0s raised li 1", "2m0s reminder li 1", "5m0s escalated wang 1", "7m0s reminder li 1", "7m0s reminder wang 1",
				"12m0s reminder wang 1", "17m0s reminder li 1", "22m0s reminder wang 1",
			},
		},
		"the last pause repeats": {
			change: func(s *notify.Settings) {
				s.Resend = []time.Duration{time.Minute, 3 * time.Minute}
				s.Routes = s.Routes[:1]
				s.Routes[0].Steps = s.Routes[0].Steps[:1]
			},
			play: func(w *world) []string {
				w.raise(1, "north-1", "outlet/3", major)
				return w.run(11 * time.Minute)
			},
			want: []string{"0s raised li 1", "1m0s reminder li 1", "4m0s reminder li 1", "7m0s reminder li 1", "10m0s reminder li 1"},
		},
		"acknowledging stops both, clearing is told once to those who know": {
			play: func(w *world) []string {
				a := w.raise(1, "north-1", "outlet/3", major)
				said := w.run(time.Minute)
				a.Acknowledged = &book.Acknowledgement{By: "li", At: w.now}
				said = append(said, w.run(time.Hour)...)
				clearAlarm(w, a)
				return append(said, w.run(time.Hour)...)
			},
			want: []string{"0s raised li 1", "0s cleared li 1"},
		},
		"clearing is not told when the settings say so": {
			change: func(s *notify.Settings) { s.TellCleared = new(false) },
			play: func(w *world) []string {
				a := w.raise(1, "north-1", "outlet/3", major)
				said := w.run(time.Minute)
				clearAlarm(w, a)
				return append(said, w.run(time.Hour)...)
			},
			want: []string{"0s raised li 1"},
		},
		"a milder alarm than the route's is nobody's, another shed's too": {
			play: func(w *world) []string {
				w.raise(1, "south-1", "outlet/3", major)
				return w.run(time.Hour)
			},
		},
		"a critical alarm goes by every route, each person once": {
			play: func(w *world) []string {
				w.raise(1, "north-1", "outlet/3", critical)
				w.raise(2, "south-1", "outlet/3", critical)
				return w.run(time.Minute)
			},
			want: []string{"0s raised group 1", "0s raised group 2", "0s raised li 1"},
		},
		"a warning waits for the end of quiet hours, with its escalation": {
			play: func(w *world) []string {
				w.now = noon.Add(150 * time.Minute) // 22:30
				w.raise(1, "north-1", "outlet/3", warning)
				return w.run(8*time.Hour + 36*time.Minute)
			},
			want: []string{"8h30m0s raised li 1", "8h32m0s reminder li 1", "8h35m0s escalated wang 1"},
		},
		"minor and worse never wait": {
			play: func(w *world) []string {
				w.now = noon.Add(150 * time.Minute)
				w.raise(1, "north-1", "outlet/3", minor)
				return w.run(time.Minute)
			},
			want: []string{"0s raised li 1"},
		},
		"a warning that ends in quiet hours is never told": {
			play: func(w *world) []string {
				w.now = noon.Add(150 * time.Minute)
				a := w.raise(1, "north-1", "outlet/3", warning)
				said := w.run(time.Hour)
				clearAlarm(w, a)
				return append(said, w.run(12*time.Hour)...)
			},
		},
		"worse after an acknowledgement is told at once, and only once": {
			play: func(w *world) []string {
				a := w.raise(1, "north-1", "outlet/3", warning)
				said := w.run(time.Minute)
				a.Acknowledged = &book.Acknowledgement{By: "li", At: w.now}
				said = append(said, w.run(time.Hour)...)
				a.Severity = critical
				return append(said, w.run(time.Hour)...)
			},
			want: []string{"0s raised li 1", "0s worse group 1", "0s worse li 1"},
		},
		"acknowledged before anybody was told, then worse": {
			play: func(w *world) []string {
				a := w.raise(1, "north-1", "outlet/3", warning)
				a.Acknowledged = &book.Acknowledgement{By: "li", At: w.now}
				said := w.run(time.Hour)
				a.Severity = critical
				return append(said, w.run(time.Hour)...)
			},
			want: []string{"0s worse group 1", "0s worse li 1"},
		},
		"a severe alarm that came and went unseen is told once": {
			play: func(w *world) []string {
				clearAlarm(w, w.raise(1, "north-1", "outlet/3", major))
				return w.run(time.Hour)
			},
			want: []string{"0s raised li 1"},
		},
		"a mild one that came and went unseen is not": {
			play: func(w *world) []string {
				clearAlarm(w, w.raise(1, "north-1", "outlet/3", minor))
				return w.run(time.Hour)
			},
		},
		"flapping is told three times, then only once it stays": {
			change: func(s *notify.Settings) { s.TellCleared = new(false) },
			play: func(w *world) (said []string) {
				for n := range 6 {
					a := w.raise(n+1, "north-1", "outlet/3", minor)
					said = append(said, w.run(time.Minute)...)
					clearAlarm(w, a)
					said = append(said, w.run(time.Minute)...)
				}
				w.raise(7, "north-1", "outlet/3", minor)
				w.raise(8, "north-1", "outlet/4", minor)
				return append(said, w.run(6*time.Minute)...)
			},
			want: []string{
				"0s raised li 1", "0s raised li 2", "0s raised li 3",
				"0s raised li 8", "2m0s reminder li 8", "5m0s raised li 7", "5m0s escalated wang 8",
			},
		},
		"a critical alarm that flaps is always told": {
			change: func(s *notify.Settings) { s.TellCleared = new(false); s.Routes = s.Routes[1:] },
			play: func(w *world) (said []string) {
				for n := range 5 {
					a := w.raise(n+1, "north-1", "outlet/3", critical)
					said = append(said, w.run(time.Minute)...)
					clearAlarm(w, a)
				}
				return said
			},
			want: []string{"0s raised group 1", "0s raised group 2", "0s raised group 3", "0s raised group 4", "0s raised group 5"},
		},
		"a storm becomes a summary, its critical alarm does not": {
			change: func(s *notify.Settings) { s.Flood.Messages = 3; s.Resend = []time.Duration{time.Hour} },
			play: func(w *world) (said []string) {
				for n := range 5 {
					w.raise(n+1, "north-1", fmt.Sprintf("outlet/%d", n+1), major)
				}
				w.raise(6, "north-1", "outlet/6", critical)
				said = w.run(30 * time.Second)
				for _, n := range []int{7, 9, 10} {
					w.raise(n, "north-1", fmt.Sprintf("outlet/%d", n), minor)
				}
				w.raise(8, "north-1", "outlet/8", critical)
				return append(said, w.run(3*time.Minute)...)
			},
			want: []string{
				"0s raised group 6", "0s raised li 6", "0s summary li 1,2,3,4,5",
				"0s raised group 8", "0s raised li 8", "1m30s summary li 10,7,9",
			},
		},
		"worse is told to each, though the flood holds one back": {
			change: func(s *notify.Settings) {
				s.Flood.Messages, s.Resend = 1, []time.Duration{time.Hour}
				s.Routes = s.Routes[:1]
				s.Routes[0].Steps[1].After = 10 * time.Second
			},
			play: func(w *world) []string {
				w.raise(1, "north-1", "outlet/1", minor)
				said := w.run(10 * time.Second)
				w.now = w.now.Add(11 * time.Minute) // the flood window of both is over
				w.raise(2, "north-1", "outlet/2", minor)
				w.raise(3, "north-1", "outlet/3", minor)
				said = append(said, w.step()...)
				w.alarms[0].Severity = major
				w.now = w.now.Add(10 * time.Second)
				return append(said, w.run(2*time.Minute)...)
			},
			want: []string{
				"0s raised li 1", "10s escalated wang 1", "summary li 2,3",
				"0s summary wang 1,2,3", "1m50s summary li 1",
			},
		},
		"outlets that are cut for their zone are one message each, the zone's own at once": {
			change: func(s *notify.Settings) { s.Resend = []time.Duration{time.Minute, time.Hour} },
			play: func(w *world) (said []string) {
				w.raise(13, "north-1", "zone/bay-1", critical).Cause = shedguard.CauseSmokeContact
				for n := range 12 {
					w.now = noon.Add(time.Duration(n) * 90 * time.Millisecond)
					w.raise(n+1, "north-1", shedguard.OutletSubject(n+1), critical).Cause = shedguard.CauseSmokeContact
					for _, s := range w.step() {
						said = append(said, fmt.Sprintf("%v %s", w.now.Sub(noon), s))
					}
				}
				for w.now = noon.Add(time.Second); w.now.Before(noon.Add(4 * time.Minute)); w.now = w.now.Add(200 * time.Millisecond) {
					for _, s := range w.step() {
						said = append(said, fmt.Sprintf("%v %s", w.now.Sub(noon), s))
					}
				}
				return said
			},
			want: []string{
				"0s raised group 13", "0s raised li 13",
				"2s raised group 1,10,11,12,2,3,4,5,6,7,8,9", "2s raised li 1,10,11,12,2,3,4,5,6,7,8,9",
				"1m0s reminder group 13", "1m0s reminder li 13",
				"1m2s reminder group 1,10,11,12,2,3,4,5,6,7,8,9", "1m2s reminder li 1,10,11,12,2,3,4,5,6,7,8,9",
			},
		},
		"of two sheds, two causes and two moments, each is a message": {
			change: func(s *notify.Settings) { s.Resend, s.Routes = []time.Duration{time.Hour}, s.Routes[1:] },
			play: func(w *world) (said []string) {
				n := 0
				raise := func(shed string, cause shedguard.Cause) {
					n++
					w.raise(n, shed, shedguard.OutletSubject(n), critical).Cause = cause
				}
				raise("north-1", shedguard.CauseFire)
				raise("north-2", shedguard.CauseFire)
				raise("north-1", shedguard.CauseSmokeSeen)
				raise("north-1", shedguard.CauseFlameSeen)
				raise("north-1", shedguard.CauseShortCircuit)
				raise("north-1", shedguard.CauseShortCircuit)
				for range 60 {
					for _, s := range w.step() {
						said = append(said, fmt.Sprintf("%v %s", w.now.Sub(noon), s))
					}
					w.now = w.now.Add(100 * time.Millisecond)
					if d := w.now.Sub(noon); d == 1900*time.Millisecond || d == 2*time.Second {
						raise("north-1", shedguard.CauseFire)
					}
				}
				return said
			},
			want: []string{
				"0s raised group 5", "0s raised group 6",
				"2s raised group 1,7", "2s raised group 2", "2s raised group 3", "2s raised group 4", "3.9s raised group 8",
			},
		},
		"cut outlets that are less than critical count as one message": {
			change: func(s *notify.Settings) { s.Flood.Messages, s.Resend = 3, []time.Duration{time.Hour} },
			play: func(w *world) []string {
				for n := range 5 {
					w.raise(n+1, "north-1", shedguard.OutletSubject(n+1), major).Cause = shedguard.CauseSmokeContact
				}
				w.raise(6, "north-1", "outlet/6", major)
				said := w.run(time.Minute)
				for i := range w.alarms[:5] {
					clearAlarm(w, &w.alarms[i])
				}
				return append(said, w.run(10*time.Minute)...)
			},
			want: []string{"0s raised li 6", "10s raised li 1,2,3,4,5", "0s cleared li 1,2,3,4,5", "4m0s escalated wang 6"},
		},
		"a pending message is not doubled, and withdrawn when acknowledged": {
			play: func(w *world) []string {
				w.stuck = true
				a := w.raise(1, "north-1", "outlet/3", major)
				said := w.run(4 * time.Minute)
				a.Acknowledged = &book.Acknowledgement{By: "li", At: w.now}
				said = append(said, w.run(time.Minute)...)
				return append(said, string(w.made[0].State))
			},
			want: []string{"0s raised li 1", "withdrawn"},
		},
		"a severe alarm that is over stays to be told while no channel takes it": {
			play: func(w *world) []string {
				w.stuck = true
				a := w.raise(1, "north-1", "outlet/3", major)
				said := w.run(time.Minute)
				clearAlarm(w, a)
				said = append(said, w.run(time.Hour)...)
				said = append(said, string(w.made[0].State))
				w.deliver(&w.made[0])
				said = append(said, w.run(time.Hour)...)
				return append(said, string(w.made[0].State), fmt.Sprint(w.seen[id(1)]))
			},
			want: []string{"0s raised li 1", "pending", "sent", "true"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := settings()
			if tt.change != nil {
				tt.change(&s)
			}
			if diff := cmp.Diff(tt.want, tt.play(newWorld(t, s))); diff != "" {
				t.Errorf("said (-want +got):\n%s", diff)
			}
		})
	}
}

// Quiet hours follow the wall clock of the time zone, over midnight and over
// the change to summer time.
func TestQuietHours(t *testing.T) {
	tests := map[string]struct{ zone, from, to, at, told string }{
		"before":               {"Asia/Shanghai", "22:00", "07:00", "2026-03-01T21:59:00+08:00", "2026-03-01T21:59:00+08:00"},
		"begins":               {"Asia/Shanghai", "22:00", "07:00", "2026-03-01T22:00:00+08:00", "2026-03-02T07:00:00+08:00"},
		"after midnight":       {"Asia/Shanghai", "22:00", "07:00", "2026-03-02T06:59:50+08:00", "2026-03-02T07:00:00+08:00"},
		"ends":                 {"Asia/Shanghai", "22:00", "07:00", "2026-03-02T07:00:00+08:00", "2026-03-02T07:00:00+08:00"},
		"within a day":         {"Asia/Shanghai", "12:30", "14:00", "2026-03-01T13:00:00+08:00", "2026-03-01T14:00:00+08:00"},
		"the short night":      {"Europe/Berlin", "22:00", "07:00", "2026-03-28T23:00:00+01:00", "2026-03-29T07:00:00+02:00"},
		"the long night":       {"Europe/Berlin", "22:00", "07:00", "2026-10-24T23:00:00+02:00", "2026-10-25T07:00:00+01:00"},
		"an end that is not":   {"Europe/Berlin", "22:00", "02:30", "2026-03-28T23:00:00+01:00", "2026-03-29T03:30:00+02:00"},
		"up to the last of it": {"Asia/Shanghai", "00:00", "23:59", "2026-03-01T00:00:00+08:00", "2026-03-01T23:59:00+08:00"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := settings()
			s.TimeZone, s.People[0].Quiet = tt.zone, &notify.Quiet{From: tt.from, To: tt.to}
			w := newWorld(t, s)
			at, err := time.Parse(time.RFC3339, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			w.now = at
			w.raise(1, "north-1", "outlet/1", shedguard.SeverityWarning)
			st := w.state()
			p := w.policy.Plan(&st, at)
			told := p.Next
			if len(p.Deliveries) > 0 {
				told = at
			}
			if want, _ := time.Parse(time.RFC3339, tt.told); !told.Equal(want) {
				t.Errorf("told at %v, want %v", told, want)
			}
		})
	}
}

// Whatever happens to alarms and channels: nothing is made twice, the same
// moment has nothing more due, critical alarms are told at once and alone,
// acknowledged ones not again, and nobody gets more than the flood bound.
func TestPlanLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := settings()
		s.Flood = notify.Flood{Messages: rapid.IntRange(1, 5).Draw(t, "messages"), Window: 10 * time.Minute, SummaryEvery: 2 * time.Minute}
		s.TellCleared = new(rapid.Bool().Draw(t, "tell_cleared"))
		p, err := notify.NewPolicy(s)
		if err != nil {
			t.Fatal(err)
		}
		w := &world{tb: quietTB{}, policy: p, now: noon, seen: map[string]bool{}}
		type key struct {
			alarm, person string
			kind          book.NoticeKind
			round         int
		}
		made := map[key]bool{}
		checked := 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			pick := func() *book.Alarm { return &w.alarms[rapid.IntRange(0, len(w.alarms)-1).Draw(t, "alarm")] }
			switch do := rapid.IntRange(0, 9).Draw(t, "do"); {
			case do <= 2 || len(w.alarms) == 0:
				w.raise(len(w.alarms)+1, rapid.SampledFrom([]string{"north-1", "north-2", "south-1"}).Draw(t, "shed"),
					rapid.SampledFrom([]string{"outlet/1", "outlet/2"}).Draw(t, "subject"),
					shedguard.Severity(rapid.IntRange(1, 4).Draw(t, "severity")))
			case do == 3:
				if a := pick(); a.State == book.AlarmOpen {
					clearAlarm(w, a)
				}
			case do == 4:
				if a := pick(); a.Acknowledged == nil {
					a.Acknowledged = &book.Acknowledgement{By: "li", At: w.now}
				}
			case do == 5:
				if a := pick(); a.State == book.AlarmOpen {
					a.Severity = shedguard.Severity(rapid.IntRange(1, 4).Draw(t, "severity"))
				}
			case do == 6:
				w.stuck = !w.stuck
			case do == 7:
				for i := range w.made {
					if w.made[i].State == book.DeliveryPending {
						w.deliver(&w.made[i])
					}
				}
			}
			w.now = w.now.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "seconds")) * time.Second)
			w.step()
			for _, d := range w.made[checked:] {
				for _, n := range d.Notices {
					k := key{n.AlarmID, n.Person, n.Kind, n.Round}
					if made[k] {
						t.Fatalf("made twice: %+v", k)
					}
					made[k] = true
					a := w.alarms[slices.IndexFunc(w.alarms, func(a book.Alarm) bool { return a.ID == n.AlarmID })]
					critical := a.Severity == shedguard.SeverityCritical && n.Kind != book.NoticeCleared
					if critical && len(d.Notices) > 1 {
						t.Fatalf("critical alarm in a summary: %+v", d)
					}
					if a.Acknowledged != nil && n.Kind != book.NoticeWorse && n.Kind != book.NoticeCleared {
						t.Fatalf("told although acknowledged: %+v", n)
					}
					if local := w.now.Add(8 * time.Hour).Hour(); n.Person == "li" && a.State == book.AlarmOpen && a.Severity == shedguard.SeverityWarning && (local >= 22 || local < 7) {
						t.Fatalf("a warning in quiet hours: %+v at %v", n, w.now)
					}
				}
			}
			checked = len(w.made)
			for _, a := range w.alarms {
				if a.Severity != shedguard.SeverityCritical || a.State != book.AlarmOpen || a.Acknowledged != nil {
					continue
				}
				if !slices.ContainsFunc(w.made, func(d book.Delivery) bool {
					return d.Person == "group" && len(d.Notices) == 1 && d.Notices[0].AlarmID == a.ID && d.Notices[0].Severity == shedguard.SeverityCritical
				}) {
					t.Fatalf("critical alarm %s was not told at once", a.ID)
				}
			}
			if again := w.step(); len(again) > 0 {
				t.Fatalf("the same moment again: %v", again)
			}
			routine := map[string]int{}
			for _, d := range w.made {
				if w.now.Sub(d.CreatedAt) < s.Flood.Window && (d.Kind == book.NoticeCleared || d.Notices[0].Severity != shedguard.SeverityCritical) {
					routine[d.Person]++
				}
			}
			for person, n := range routine {
				if most := s.Flood.Messages + int(s.Flood.Window/s.Flood.SummaryEvery); n > most {
					t.Fatalf("%s got %d messages in %v, want at most %d", person, n, s.Flood.Window, most)
				}
			}
		}
		// In the end each who was told of an open alarm knows how bad it is.
		w.now = w.now.Add(time.Hour)
		w.step()
		for _, a := range w.alarms {
			knows := map[string]shedguard.Severity{}
			for _, d := range w.made {
				for _, n := range d.Notices {
					if n.AlarmID == a.ID && (knows[n.Person] == 0 || n.Severity < knows[n.Person]) {
						knows[n.Person] = n.Severity
					}
				}
			}
			for person, told := range knows {
				if a.State == book.AlarmOpen && a.Severity < told {
					t.Fatalf("%s knows alarm %s as %s, it is %s", person, a.ID, told, a.Severity)
				}
			}
		}
	})
}

// quietTB is a testing.TB for worlds inside rapid, which has its own.
type quietTB struct{ testing.TB }

func (quietTB) Helper() {}
