package alarm_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/alarm"
	"github.com/shedguard/shedguard/gateway/protect"
)

var (
	errDead = errors.New("killed")
	errFull = errors.New("no space left on device")
)

// memory is a file system that dies after a number of steps. Content is
// durable when Write returns; a name is durable only after Sync, and before
// that may or may not outlive the crash, in the order things were done.
type memory struct {
	steps   int // left to live; negative: for ever
	dead    bool
	full    bool
	nodes   map[int][]byte
	names   map[string]int // as a running program sees them
	durable map[string]int
	pending []func(names map[string]int)
}

func newMemory(steps int) *memory {
	return &memory{steps: steps, nodes: map[int][]byte{}, names: map[string]int{}, durable: map[string]int{}}
}

// step reports whether the program is still alive.
func (m *memory) step() bool {
	if m.dead || m.steps == 0 {
		m.dead = true
		return false
	}
	m.steps--
	return true
}

// crash ends the program: of the names not synced, the first kept are there.
func (m *memory) crash(kept, steps int) {
	for _, op := range m.pending[:min(kept, len(m.pending))] {
		op(m.durable)
	}
	m.names, m.pending, m.dead, m.steps = maps.Clone(m.durable), nil, false, steps
}

func (m *memory) do(op func(names map[string]int)) {
	op(m.names)
	m.pending = append(m.pending, op)
}

func (m *memory) Read(name string) ([]byte, error) {
	if m.dead {
		return nil, errDead
	}
	n, ok := m.names[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return m.nodes[n], nil
}

func (m *memory) Write(name string, b []byte) error {
	if !m.step() {
		return errDead
	}
	n, ok := m.names[name]
	if !ok {
		n = len(m.nodes) + 1
		m.do(func(names map[string]int) { names[name] = n })
	}
	m.nodes[n] = nil
	if m.full {
		return errFull
	}
	m.nodes[n] = slices.Clone(b[:len(b)/2])
	if !m.step() {
		return errDead
	}
	m.nodes[n] = slices.Clone(b)
	if !m.step() {
		return errDead
	}
	return nil
}

func (m *memory) Rename(from, to string) error {
	if !m.step() {
		return errDead
	}
	m.do(func(names map[string]int) {
		names[to] = names[from]
		delete(names, from)
	})
	if !m.step() {
		return errDead
	}
	return nil
}

func (m *memory) Sync(string) error {
	if !m.step() {
		return errDead
	}
	m.durable, m.pending = maps.Clone(m.names), nil
	if !m.step() {
		return errDead
	}
	return nil
}

// fault names one fault of the world.
type fault struct {
	subject string
	cause   shedguard.Cause
}

// world is what is true, and how often each fault came and went.
type world struct {
	level      map[fault]protect.Decision
	came, went map[fault]int
}

func (w *world) decisions(subject string) []protect.Decision {
	var ds []protect.Decision
	for _, c := range protect.All().List() {
		if d, ok := w.level[fault{subject, c}]; ok {
			ds = append(ds, d)
		}
	}
	return ds
}

// check replays what the outbox took: every fault that came was raised once,
// every one that went was cleared once, under one identity, and nothing else.
func (w *world) check(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, events []shedguard.Event, book *alarm.Book,
) {
	t.Helper()
	raised, cleared, open := map[fault]int{}, map[fault]int{}, map[fault]string{}
	identities := map[string]bool{}
	for _, e := range events {
		a, err := e.Alarm()
		if err != nil {
			t.Fatalf("%v", err)
		}
		f := fault{e.Subject, a.Cause}
		switch e.Type {
		case shedguard.EventAlarmRaised:
			if open[f] != "" || identities[a.ID] {
				t.Fatalf("%v raised as %s while open as %q", f, a.ID, open[f])
			}
			raised[f]++
			open[f], identities[a.ID] = a.ID, true
		case shedguard.EventAlarmUpdated:
			if open[f] != a.ID {
				t.Fatalf("%v updated as %s, open as %q", f, a.ID, open[f])
			}
		case shedguard.EventAlarmCleared:
			if open[f] != a.ID {
				t.Fatalf("%v cleared as %s, open as %q", f, a.ID, open[f])
			}
			cleared[f]++
			delete(open, f)
		}
	}
	if !maps.Equal(raised, w.came) || !maps.Equal(cleared, w.went) {
		t.Fatalf("came %v, raised %v; went %v, cleared %v", w.came, raised, w.went, cleared)
	}
	inBook := map[fault]string{}
	for _, e := range book.Open() {
		inBook[fault{e.Subject, e.Alarm.Cause}] = e.Alarm.ID
	}
	if !maps.Equal(inBook, open) {
		t.Fatalf("open in the book %v, in the outbox %v", inBook, open)
	}
}

// play runs a life of the book. Every dying step is followed by a restart and
// by telling the same level again, as the guard would.
type play struct {
	t     testing.TB
	s     *shed
	disk  *memory
	kept  func(n int) int // names that outlive a crash, of n
	life  func() int      // steps of the next life
	world *world
	dead  int
}

func newPlay(t testing.TB, first int) *play {
	t.Helper()
	p := &play{
		t: t, disk: newMemory(first),
		kept: func(n int) int { return n }, life: func() int { return -1 },
		world: &world{level: map[fault]protect.Decision{}, came: map[fault]int{}, went: map[fault]int{}},
	}
	p.s = &shed{t: t, path: "/state/alarms.json", disk: p.disk, clock: shedguard.ClockSynced, now: time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)}
	p.s.put = func(shedguard.Event) error {
		if !p.disk.step() {
			return errDead
		}
		return nil
	}
	p.s.restart()
	return p
}

// must repeats an action over restarts until it is done.
func (p *play) must(action func() error) {
	p.t.Helper()
	for {
		err := action()
		// The outbox may have taken an event just before the end.
		if err == nil && p.disk.step() {
			return
		}
		if !p.disk.dead {
			p.t.Fatalf("error without a crash: %v", err)
		}
		p.dead++
		p.disk.crash(p.kept(len(p.disk.pending)), p.life())
		p.s.restart()
		if p.s.book.Lost() && !p.disk.dead { // dead: killed again while opening
			p.t.Fatalf("a crash lost the book")
		}
	}
}

func (p *play) observe(subject string) {
	p.t.Helper()
	p.must(func() error {
		o := alarm.Observation{Subject: subject, Decisions: p.world.decisions(subject), Judged: true, By: "wang"}
		return p.s.book.Observe(p.t.Context(), o, p.s.now)
	})
	for f, d := range p.world.level {
		outlet, _ := shedguard.SubjectOutlet(f.subject)
		if f.subject == subject && d.Latched && !p.s.book.Latched(outlet).Has(f.cause) {
			p.t.Fatalf("%v was told and is not latched", f)
		}
	}
}

func (p *play) come(f fault, value float64) {
	p.s.pass(11 * time.Second)
	if _, ok := p.world.level[f]; !ok {
		p.world.came[f]++
	}
	p.world.level[f] = protect.Decision{
		Cause: f.cause, Severity: shedguard.SeverityMajor, Action: shedguard.ActionTripped, Value: value, Limit: 10, Unit: "A",
		Since: p.s.now, At: p.s.now, Standing: true, Latched: f.cause != shedguard.CauseMeterStale,
	}
	p.observe(f.subject)
}

func (p *play) goAway(f fault) {
	p.s.pass(11 * time.Second)
	if _, ok := p.world.level[f]; ok {
		p.world.went[f]++
	}
	delete(p.world.level, f)
	p.observe(f.subject)
}

func (p *play) finish() {
	p.t.Helper()
	p.disk.steps = -1
	p.must(func() error { return p.s.book.Save(p.t.Context(), p.s.now) })
	if p.s.book.Waiting() != 0 {
		p.t.Fatalf("%d events wait", p.s.book.Waiting())
	}
	p.world.check(p.t, p.s.events, p.s.book)
}

// TestCrashAtEachStep kills the book at every step of a life, with every
// number of unsynced names outliving the crash.
func TestCrashAtEachStep(t *testing.T) {
	overcurrent := fault{"outlet/3", shedguard.CauseOvercurrent}
	stale := fault{"outlet/2", shedguard.CauseMeterStale}
	for kept := range 3 {
		for at := 0; ; at++ {
			p := newPlay(t, at)
			p.kept = func(n int) int { return min(kept, n) }
			p.come(overcurrent, 25)
			p.come(stale, 3)
			p.come(overcurrent, 40)
			p.goAway(stale)
			p.must(func() error { return p.s.book.Save(t.Context(), p.s.now) })
			p.come(stale, 3)
			p.goAway(overcurrent)
			p.come(overcurrent, 12)
			died := p.dead
			p.finish()
			if died == 0 {
				t.Logf("%d steps, %d unsynced names kept: nothing lost, nothing twice", at, kept)
				break
			}
		}
	}
}

// TestCrashes kills the book again and again at any step.
func TestCrashes(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := newPlay(t, rapid.IntRange(0, 60).Draw(r, "first"))
		p.life = func() int { return rapid.IntRange(0, 60).Draw(r, "steps") }
		p.kept = func(n int) int { return rapid.IntRange(0, n).Draw(r, "kept") }
		causes := []shedguard.Cause{shedguard.CauseOvercurrent, shedguard.CauseMeterStale, shedguard.CauseRelayWelded}
		for range rapid.IntRange(1, 20).Draw(r, "changes") {
			f := fault{
				shedguard.OutletSubject(rapid.IntRange(1, 2).Draw(r, "outlet")),
				rapid.SampledFrom(causes).Draw(r, "cause"),
			}
			switch rapid.IntRange(0, 3).Draw(r, "what") {
			case 0:
				p.goAway(f)
			case 1:
				p.must(func() error { return p.s.book.Save(t.Context(), p.s.now) })
			default:
				p.come(f, rapid.Float64Range(0, 100).Draw(r, "value"))
			}
		}
		p.finish()
	})
}

// TestCrashWhileSettingAside: from the moment the file is found unreadable no
// crash at any step lets an outlet start without its latch.
func TestCrashWhileSettingAside(t *testing.T) {
	for kept := range 4 {
		for at := 0; ; at++ {
			d := newMemory(-1)
			s := &shed{t: t, path: "/state/alarms.json", disk: d, clock: shedguard.ClockSynced, now: time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)}
			if err := errors.Join(d.Write(s.path, []byte("not a book")), d.Sync("/state")); err != nil {
				t.Fatal(err)
			}
			d.steps = at
			s.restart()
			died := d.dead
			if !s.book.Latched(1).Has(shedguard.CauseStateLost) {
				t.Fatal("not latched at once")
			}
			d.crash(kept, -1)
			s.restart()
			if got := s.book.Latched(1); !got.Has(shedguard.CauseStateLost) {
				t.Fatalf("killed at step %d with %d names kept: latched %v", at, kept, got)
			}
			if !died {
				break
			}
		}
	}
}

// TestKill runs the book in a program of its own on the machine's own disk,
// kills that again and again, and looks at what its outbox took.
func TestKill(t *testing.T) {
	if dir := os.Getenv("ALARM_TEST_KILL"); dir != "" {
		live(t, dir)
		return
	}
	dir := t.TempDir()
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "ALARM_TEST_KILL="+dir, fmt.Sprintf("ALARM_TEST_ROUND=%d", round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 3+5*round && lines.Scan(); n++ { // the program is somewhere past this line
			if strings.HasPrefix(lines.Text(), "---") {
				t.Fatalf("round %d: %s", round, lines.Text())
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
	}

	var open string
	changes, seen, ids := 0, map[string]string{}, map[string]bool{}
	for _, e := range outbox(t, dir) {
		a, err := e.Alarm()
		if err != nil {
			t.Fatal(err)
		}
		if was, again := seen[e.ID]; again {
			if was != e.Type+a.ID {
				t.Fatalf("event %s came again as another", e.ID)
			}
			continue
		}
		seen[e.ID] = e.Type + a.ID
		changes++
		switch {
		case e.Type == shedguard.EventAlarmRaised && open == "" && !ids[a.ID]:
			open, ids[a.ID] = a.ID, true
		case e.Type == shedguard.EventAlarmCleared && open == a.ID:
			open = ""
		default:
			t.Fatalf("change %d: %s of %s while %q is open", changes, e.Type, a.ID, open)
		}
	}
	if changes < rounds {
		t.Errorf("%d changes in %d lives", changes, rounds)
	}
	t.Logf("%d changes over %d kills, each once and in order", changes, rounds)
}

// live raises and clears one fault for ever, starting from what the book says.
func live(t *testing.T, dir string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "outbox"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	now := time.Now()
	var round int
	if _, err := fmt.Sscan(os.Getenv("ALARM_TEST_ROUND"), &round); err != nil {
		t.Fatal(err)
	}
	book, err := alarm.Open(alarm.Options{
		Path: filepath.Join(dir, "alarms.json"), Shed: "shed-7", BootID: bootID(round), Outlets: []int{3}, Started: now,
		Clock: func() shedguard.ClockQuality { return shedguard.ClockSynced }, Log: slog.New(slog.DiscardHandler),
		Put: func(_ context.Context, e shedguard.Event) error {
			b, err := json.Marshal(e)
			if err != nil {
				return err
			}
			if _, err := f.Write(append(b, '\n')); err != nil {
				return err
			}
			return f.Sync()
		},
	}, now)
	if err != nil || book.Lost() {
		t.Fatalf("lost %t: %v", book != nil && book.Lost(), err)
	}
	if err := book.Save(t.Context(), now); err != nil { // what waits
		t.Fatal(err)
	}
	stands := len(book.Open()) == 1
	for {
		stands = !stands
		o := alarm.Observation{Subject: "outlet/3", Judged: true}
		if stands {
			o.Decisions = []protect.Decision{{Cause: shedguard.CauseOvercurrent, Severity: shedguard.SeverityMajor, At: now, Latched: true}}
		}
		if err := book.Observe(t.Context(), o, now); err != nil {
			t.Fatal(err)
		}
		fmt.Println(stands)
	}
}

// outbox reads what was put; a torn last line of a life was not.
func outbox(t *testing.T, dir string) []shedguard.Event {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "outbox"))
	if err != nil {
		t.Fatal(err)
	}
	var events []shedguard.Event
	for line := range strings.Lines(string(b)) {
		var e shedguard.Event
		if json.Unmarshal([]byte(line), &e) == nil {
			events = append(events, e)
		}
	}
	return events
}
