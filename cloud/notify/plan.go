package notify

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
)

// Policy decides who is to be told of what and when. It is the settings made
// ready, holds no state and is safe for concurrent use.
type Policy struct {
	settings Settings
	zone     *time.Location
	people   map[string]*Person
}

// NewPolicy is the policy of settings, which must be valid.
func NewPolicy(s Settings) (*Policy, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	s = s.withDefaults()
	zone, err := time.LoadLocation(s.TimeZone)
	if err != nil {
		return nil, err
	}
	p := &Policy{settings: s, zone: zone, people: map[string]*Person{}}
	for i := range s.People {
		p.people[s.People[i].Name] = &s.People[i]
	}
	return p, nil
}

// Plan is what is to be done at one moment.
type Plan struct {
	Deliveries []book.Delivery // to be made, most urgent first; without id, num and channel
	Seen       []book.Notice
	Withdraw   map[int64]string // pending deliveries that are not wanted any more, and why
	Settle     []string         // alarms of which nothing more is to be told
	Unrouted   []string         // open alarms that no route covers, first seen now
	Next       time.Time        // when something is due if nothing changes; zero: never
}

// Memory is how far back notices of settled alarms matter.
func (p *Policy) Memory() time.Duration { return max(p.settings.Flap.Window, p.settings.Flood.Window) }

// Plan works out what is due at now. It depends on its arguments alone, and
// once its result is kept the same moment has nothing more due.
func (p *Policy) Plan(st *book.NotifyState, now time.Time) Plan {
	t := &planner{Policy: p, state: st, now: now, plan: Plan{Withdraw: map[int64]string{}}, due: map[string][]book.Notice{}}
	t.index()
	for i := range st.Alarms {
		a := &st.Alarms[i]
		switch {
		case a.State != book.AlarmOpen:
			t.over(a)
		default:
			t.open(a)
		}
	}
	t.withdraw()
	for _, person := range slices.Sorted(maps.Keys(t.due)) {
		t.deliver(person, t.due[person])
	}
	slices.SortStableFunc(t.plan.Deliveries, func(a, b book.Delivery) int {
		return cmp.Compare(urgency(a.Notices), urgency(b.Notices))
	})
	return t.plan
}

// gather is how long the first word of an outlet that is cut for its zone waits
// for the outlets beside it. The zone's own alarm does not wait.
const gather = 2 * time.Second

// planner is one run of Plan.
type planner struct {
	*Policy
	state *book.NotifyState
	now   time.Time
	plan  Plan

	of       map[string][]book.Notice // notices by alarm, oldest first
	wanted   map[int64]bool           // pending deliveries that an alarm still wants
	why      map[int64]string         // pending deliveries that an alarm wants no more
	due      map[string][]book.Notice // by person
	episodes map[episode][]book.Notice
	struck   map[strike][]time.Time // when the alarms that stand were received
}

// strike is what many outlets of a shed may be hit by in the same moment.
type strike struct {
	shed  string
	cause shedguard.Cause
}

// struckBy is the strike that an alarm is a part of; false when it is one for
// itself. What a zone's detectors see is told of the zone, and of each outlet
// that is held open for it.
func struckBy(shed, subject string, cause shedguard.Cause) (strike, bool) {
	switch cause {
	case shedguard.CauseFire, shedguard.CauseSmokeContact, shedguard.CauseFlameSeen, shedguard.CauseSmokeSeen:
		_, ok := shedguard.SubjectOutlet(subject)
		return strike{shed, cause}, ok
	default:
		return strike{}, false
	}
}

// gathered is when the first word of an alarm is due at the soonest: one of
// several outlets that are struck in the same moment waits for the others, so
// that all are one message.
func (t *planner) gathered(a *book.Alarm) time.Time {
	k, ok := struckBy(a.Shed, a.Subject, a.Cause)
	if !ok {
		return a.ReceivedAt
	}
	began := a.ReceivedAt
	for _, at := range t.struck[k] {
		if at.Before(began) && a.ReceivedAt.Sub(at) < gather {
			began = at
		}
	}
	return began.Add(gather)
}

// episode is what flapping is judged by: the same cause at the same place.
type episode struct {
	shed, subject string
	cause         shedguard.Cause
}

func (t *planner) index() {
	t.of, t.wanted, t.why = map[string][]book.Notice{}, map[int64]bool{}, map[int64]string{}
	t.episodes = map[episode][]book.Notice{}
	for _, n := range t.state.Notices {
		t.of[n.AlarmID] = append(t.of[n.AlarmID], n)
		if n.Kind == book.NoticeRaised && t.now.Sub(n.At) < t.settings.Flap.Window {
			k := episode{n.Shed, n.Subject, n.Cause}
			if !slices.ContainsFunc(t.episodes[k], func(o book.Notice) bool { return o.AlarmID == n.AlarmID }) {
				t.episodes[k] = append(t.episodes[k], n)
			}
		}
	}
	t.struck = map[strike][]time.Time{}
	for i := range t.state.Alarms {
		a := &t.state.Alarms[i]
		if k, ok := struckBy(a.Shed, a.Subject, a.Cause); ok && a.State == book.AlarmOpen {
			t.struck[k] = append(t.struck[k], a.ReceivedAt)
		}
	}
}

// later notes that something is due at a time to come.
func (t *planner) later(at time.Time) {
	if t.plan.Next.IsZero() || at.Before(t.plan.Next) {
		t.plan.Next = at
	}
}

func (t *planner) notice(a *book.Alarm, person string, kind book.NoticeKind, round int) book.Notice {
	return book.Notice{
		AlarmID: a.ID, Person: person, Kind: kind, Round: round, Severity: a.Severity, At: t.now,
		Shed: a.Shed, Subject: a.Subject, Cause: a.Cause, State: book.DeliveryPending,
	}
}

func (t *planner) tell(a *book.Alarm, person string, kind book.NoticeKind, round int) {
	t.due[person] = append(t.due[person], t.notice(a, person, kind, round))
}

// severe alarms are told even when they are over before anybody was told.
func severe(s shedguard.Severity) bool {
	return s == shedguard.SeverityCritical || s == shedguard.SeverityMajor
}

// over plans for an alarm that is not open any more.
func (t *planner) over(a *book.Alarm) {
	notices := t.of[a.ID]
	if len(notices) == 0 {
		due := t.routes(a, nil)
		if a.Severity != shedguard.SeverityCritical && t.flaps(a) {
			due = nil
		}
		for _, d := range due { // of the first steps: nobody was told
			t.tell(a, d.person, book.NoticeRaised, 1)
		}
		if len(due) == 0 {
			t.plan.Seen = append(t.plan.Seen, t.notice(a, "", book.NoticeSeen, int(a.Severity)))
		}
		return
	}
	told, knows, waits := map[string]bool{}, map[string]bool{}, false
	for _, n := range notices {
		switch {
		case n.Person == "":
		case n.State == book.DeliveryPending && (n.Kind == book.NoticeCleared || severe(n.Severity) && first(n.Kind)):
			t.wanted[n.Delivery] = true
			told[n.Person], knows[n.Person], waits = true, true, true
		case n.State == book.DeliveryPending:
			t.why[n.Delivery] = "the alarm is over"
		case n.Kind == book.NoticeCleared || n.State == book.DeliverySent && n.SaidOver:
			knows[n.Person] = true
		case n.State == book.DeliverySent:
			told[n.Person] = true
		}
	}
	if *t.settings.TellCleared {
		for _, person := range slices.Sorted(maps.Keys(told)) {
			if !knows[person] && t.people[person] != nil {
				t.tell(a, person, book.NoticeCleared, 1)
				waits = true
			}
		}
	}
	if !waits {
		t.plan.Settle = append(t.plan.Settle, a.ID)
	}
}

// first reports whether a notice is somebody's first word of something.
func first(k book.NoticeKind) bool {
	return k == book.NoticeRaised || k == book.NoticeEscalated || k == book.NoticeWorse
}

// worst is the most severe of notices; cleared when there are none.
func worst(notices []book.Notice) shedguard.Severity {
	w := shedguard.SeverityCleared
	for _, n := range notices {
		if n.Severity != shedguard.SeverityCleared && (w == shedguard.SeverityCleared || n.Severity < w) {
			w = n.Severity
		}
	}
	return w
}

// open plans for an alarm that stands.
func (t *planner) open(a *book.Alarm) {
	notices, ack := t.of[a.ID], a.Acknowledged
	for _, n := range notices {
		if n.State != book.DeliveryPending {
			continue
		}
		if ack != nil && (n.Kind != book.NoticeWorse || !n.At.After(ack.At)) {
			t.why[n.Delivery] = "the alarm was acknowledged"
		} else {
			t.wanted[n.Delivery] = true
		}
	}
	if ack != nil && len(notices) == 0 {
		t.plan.Seen = append(t.plan.Seen, t.notice(a, "", book.NoticeSeen, int(a.Severity)))
		return
	}
	due := t.routes(a, notices)
	if len(due) == 0 && (len(notices) == 0 || a.Severity < worst(notices)) {
		t.plan.Seen = append(t.plan.Seen, t.notice(a, "", book.NoticeSeen, int(a.Severity)))
		t.plan.Unrouted = append(t.plan.Unrouted, a.ID)
		return
	}
	var answered []book.Notice // what was known when somebody acknowledged
	for _, n := range notices {
		if ack != nil && (n.Kind != book.NoticeWorse || !n.At.After(ack.At)) {
			answered = append(answered, n)
		}
	}
	for _, d := range due {
		var mine []book.Notice
		for _, n := range notices {
			if n.Person == d.person {
				mine = append(mine, n)
			}
		}
		switch {
		case len(mine) > 0 && a.Severity < worst(mine), // each for himself: another one's may be held back
			ack != nil && len(mine) == 0 && d.step == 0 && a.Severity < worst(answered):
			t.when(a, d.person, book.NoticeWorse, int(a.Severity), t.now)
		case ack == nil:
			t.person(a, d, mine)
		}
	}
}

// when plans a notice for a time, or for the end of quiet hours.
func (t *planner) when(a *book.Alarm, person string, kind book.NoticeKind, round int, at time.Time) {
	if a.Severity == shedguard.SeverityWarning {
		if at.Before(t.now) {
			at = t.now
		}
		at = t.awake(t.people[person], at)
	}
	if at.After(t.now) {
		t.later(at)
		return
	}
	t.tell(a, person, kind, round)
}

// person plans the first word to a person, or the next reminder.
func (t *planner) person(a *book.Alarm, d duty, mine []book.Notice) {
	if len(mine) == 0 {
		at, kind := d.at, book.NoticeRaised
		if d.step > 0 {
			kind = book.NoticeEscalated
		}
		if settled := a.ReceivedAt.Add(t.settings.Flap.Settle); settled.After(at) && a.Severity != shedguard.SeverityCritical && t.flaps(a) {
			at = settled
		}
		t.when(a, d.person, kind, 1, at)
		return
	}
	last, round := mine[len(mine)-1], 1
	for _, n := range mine {
		if n.State == book.DeliveryPending {
			return
		}
		if n.Kind == book.NoticeReminder {
			round = max(round, n.Round+1)
		}
	}
	said := last.At
	if last.Sent.After(said) {
		said = last.Sent
	}
	t.when(a, d.person, book.NoticeReminder, round, said.Add(t.settings.Resend[min(round, len(t.settings.Resend))-1]))
}

// flaps reports whether the alarm's fault was told often enough lately.
func (t *planner) flaps(a *book.Alarm) bool {
	others := 0
	told := t.episodes[episode{a.Shed, a.Subject, a.Cause}]
	for _, n := range told {
		if n.AlarmID != a.ID {
			others++
		}
	}
	return others >= t.settings.Flap.Count
}

// duty is that a person is to be told of an alarm from a time on.
type duty struct {
	person string
	step   int
	at     time.Time
}

// routes is who is to be told of an alarm, each person once, soonest first.
func (t *planner) routes(a *book.Alarm, notices []book.Notice) []duty {
	best := map[string]duty{}
	for i := range t.settings.Routes {
		r := &t.settings.Routes[i]
		if a.Severity == shedguard.SeverityCleared || a.Severity > r.Severity || !r.covers(a.Shed) {
			continue
		}
		var began time.Time // first word to anybody of the first step
		for _, n := range notices {
			if slices.Contains(r.Steps[0].People, n.Person) && first(n.Kind) && (began.IsZero() || n.At.Before(began)) {
				began = n.At
			}
		}
		for j, step := range r.Steps {
			at := t.gathered(a).Add(step.After)
			if j > 0 {
				if began.IsZero() {
					continue
				}
				at = began.Add(step.After - r.Steps[0].After)
			}
			for _, person := range step.People {
				if b, ok := best[person]; !ok || at.Before(b.at) {
					best[person] = duty{person, j, at}
				}
			}
		}
	}
	return slices.SortedFunc(maps.Values(best), func(a, b duty) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.person, b.person))
	})
}

func (r *Route) covers(shed string) bool {
	return slices.ContainsFunc(r.Sheds, func(glob string) bool {
		ok, err := path.Match(glob, shed)
		return ok && err == nil
	})
}

// awake is the first moment from at on that is not in a person's quiet hours.
func (t *planner) awake(p *Person, at time.Time) time.Time {
	if p == nil || p.Quiet == nil {
		return at
	}
	from, errFrom := time.Parse("15:04", p.Quiet.From)
	to, errTo := time.Parse("15:04", p.Quiet.To)
	if errFrom != nil || errTo != nil {
		return at // not after Validate
	}
	local := at.In(t.zone)
	clock := func(day int, c time.Time) time.Time {
		return time.Date(local.Year(), local.Month(), local.Day()+day, c.Hour(), c.Minute(), 0, 0, t.zone)
	}
	for _, day := range []int{-1, 0} { // a span that began yesterday may last
		begin, end := clock(day, from), clock(day, to)
		if !end.After(begin) {
			end = clock(day+1, to)
		}
		if !at.Before(begin) && at.Before(end) {
			return end.UTC()
		}
	}
	return at
}

// withdraw takes back pending deliveries that no alarm wants.
func (t *planner) withdraw() {
	for _, d := range t.state.Pending {
		switch why, unwanted := t.why[d.Num]; {
		case t.people[d.Person] == nil:
			t.plan.Withdraw[d.Num] = "the person is not in the settings any more"
		case d.Kind == book.NoticeTest:
		case unwanted && !t.wanted[d.Num]:
			t.plan.Withdraw[d.Num] = why
		case !d.NextAt.IsZero() && d.NextAt.After(t.now):
			t.later(d.NextAt)
		}
	}
}

// urgency orders deliveries: the severity of the worst alarm, good news last.
func urgency(notices []book.Notice) int {
	u := 100
	for _, n := range notices {
		if n.Kind != book.NoticeCleared && n.Severity != shedguard.SeverityCleared {
			u = min(u, int(n.Severity))
		}
	}
	return u
}

// deliver puts what a person is due into messages: one each, one for all outlets
// that are struck by the same, or a summary of all that is not critical when
// there would be too many.
func (t *planner) deliver(person string, due []book.Notice) {
	slices.SortStableFunc(due, func(a, b book.Notice) int {
		return cmp.Compare(urgency([]book.Notice{a}), urgency([]book.Notice{b}))
	})
	var rest [][]book.Notice
	for _, group := range together(due) {
		if n := group[0]; n.Severity == shedguard.SeverityCritical && n.Kind != book.NoticeCleared {
			t.message(person, n.Kind, group)
		} else {
			rest = append(rest, group)
		}
	}
	recent, summary := t.recent(person)
	if recent+len(rest) <= t.settings.Flood.Messages {
		for _, group := range rest {
			t.message(person, group[0].Kind, group)
		}
		return
	}
	if next := summary.Add(t.settings.Flood.SummaryEvery); !summary.IsZero() && next.After(t.now) {
		t.later(next)
		return
	}
	t.message(person, book.NoticeSummary, slices.Concat(rest...))
}

// together puts the notices of one strike into one group, and every other one
// into a group of its own, in the order in which they came.
func together(due []book.Notice) (groups [][]book.Notice) {
	type key struct {
		strike
		kind     book.NoticeKind
		round    int
		severity shedguard.Severity
	}
	at := map[key]int{}
	for _, n := range due {
		s, ok := struckBy(n.Shed, n.Subject, n.Cause)
		k := key{s, n.Kind, n.Round, n.Severity}
		if i, known := at[k]; ok && known {
			groups[i] = append(groups[i], n)
			continue
		}
		if ok {
			at[k] = len(groups)
		}
		groups = append(groups, []book.Notice{n})
	}
	return groups
}

// recent is how many messages that were not critical a person was made lately,
// and when the last summary was.
func (t *planner) recent(person string) (messages int, summary time.Time) {
	counted := map[int64]bool{}
	for _, n := range t.state.Notices {
		if n.Person != person || n.Delivery == 0 {
			continue
		}
		if n.Grouped && n.At.After(summary) {
			summary = n.At
		}
		routine := n.Severity != shedguard.SeverityCritical || n.Kind == book.NoticeCleared
		if routine && t.now.Sub(n.At) < t.settings.Flood.Window && !counted[n.Delivery] {
			counted[n.Delivery] = true
			messages++
		}
	}
	return messages, summary
}

func (t *planner) message(person string, kind book.NoticeKind, notices []book.Notice) {
	if len(notices) == 0 {
		return
	}
	t.plan.Deliveries = append(t.plan.Deliveries, book.Delivery{
		Person: person, Kind: kind, CreatedAt: t.now, NextAt: t.now, State: book.DeliveryPending, Notices: notices,
	})
}
