package guard

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/protect"
)

const (
	contactEvery = 100 * time.Millisecond // two reads and more in the shortest debounce
	// contactBlind is how long a contact may be unreadable before that is a
	// fault of its zone.
	contactBlind = 3 * time.Second
)

// Contact is the relay contact of a smoke detector, on a pin of an expander that
// drives relays.
type Contact struct {
	Zone string
	actuate.Pin
	// NormallyClosed is a contact that opens for smoke, and so for a broken wire.
	// ActiveLow of the pin: a closed contact makes it low.
	NormallyClosed bool
	Debounce       time.Duration // how long it must say so
	Severity       shedguard.Severity
	Action         shedguard.Action // none, cut_zone or cut_shed
	Outlets        []int            // that the action is about
}

func (c *Contact) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Zone != "", "zone: required")
	check(c.Debounce >= contactEvery && c.Debounce <= 10*time.Second, "debounce: %s: want %s to 10s", c.Debounce, contactEvery)
	check(c.Severity >= shedguard.SeverityCritical && c.Severity <= shedguard.SeverityWarning, "severity: %s: want critical, major, minor or warning", c.Severity)
	check(slices.Contains([]shedguard.Action{shedguard.ActionNone, shedguard.ActionCutZone, shedguard.ActionCutShed}, c.Action), "action: %q: want none, cut_zone or cut_shed", c.Action)
	check(len(c.Outlets) > 0, "outlets: want at least one")
	return errors.Join(errs...)
}

// contact is a Contact and what was last seen of it. It belongs to the first
// line.
type contact struct {
	Contact
	smoke bool      // decided
	odd   time.Time // since when the pin says the contrary of smoke
	since time.Time // of smoke
	fault part      // of the zone: it cannot be read

	read   time.Time // last time without an error
	marked bool
	sent   time.Time
}

// addContacts takes the contacts of the options, those of one expander beside
// each other.
func (g *Guard) addContacts() (errs []error) {
	for i := range g.opts.Contacts {
		c := &g.opts.Contacts[i]
		if err := c.validate(); err != nil {
			errs = append(errs, fmt.Errorf("contacts[%d]: %w", i, err))
		}
		for _, n := range c.Outlets {
			if g.owner[n] == nil {
				errs = append(errs, fmt.Errorf("contacts[%d]: outlet %d: there is none", i, n))
			}
		}
		g.contacts = append(g.contacts, contact{
			Contact: *c, read: g.base, marked: true,
			fault: part{subject: "contact/" + c.Zone, cause: shedguard.CauseBusFault},
		})
	}
	slices.SortStableFunc(g.contacts, func(a, b contact) int { return a.Expander - b.Expander })
	return errs
}

// lookAtContacts reads the smoke contacts, each expander once.
func (g *Guard) lookAtContacts(now time.Time) {
	if len(g.contacts) == 0 || now.Before(g.contactsAt) {
		return
	}
	g.contactsAt = now.Add(contactEvery)
	for i := range g.contacts {
		c := &g.contacts[i]
		if i == 0 || c.Expander != g.contacts[i-1].Expander { // they are in that order
			g.pins, g.pinsErr = g.relays.Pins(c.Expander)
		}
		if g.pinsErr == nil {
			c.read = now
			high := g.pins&(1<<c.Pin.Pin) != 0
			closed := high != c.ActiveLow
			g.hear(c, closed != c.NormallyClosed, now)
		}
		var blind error
		if now.Sub(c.read) > contactBlind {
			blind = g.pinsErr
		}
		g.report(&c.fault, c.read, now, blind)
		g.tellContact(c, now)
	}
}

// hear takes what the pin says now.
func (g *Guard) hear(c *contact, smoke bool, now time.Time) {
	if smoke == c.smoke {
		c.odd = time.Time{}
		return
	}
	if c.odd.IsZero() {
		c.odd = now
	}
	if now.Sub(c.odd) < c.Debounce {
		return
	}
	c.smoke, c.since, c.odd, c.marked = smoke, c.odd, time.Time{}, true
	if c.cuts() {
		g.silenced.Store(false) // silence holds until there is something new
	}
	var list []protect.Condition
	if smoke {
		list = []protect.Condition{{
			Cause: shedguard.CauseSmokeContact, Severity: c.Severity, Action: c.Action,
			Since: c.since, Latch: c.Action != shedguard.ActionNone,
		}}
	}
	g.Impose("smoke_contact "+c.Zone, c.Outlets, list)
}

// cuts reports whether there is smoke for which outlets are cut.
func (c *contact) cuts() bool { return c.smoke && c.Action != shedguard.ActionNone }

// smoke is the signal that the contacts ask for. It does not wait for the
// outlets that are cut: one whose bus is silent has no sample to latch it with.
func (g *Guard) smoke() actuate.Signal {
	for i := range g.contacts {
		if g.contacts[i].cuts() {
			return actuate.SignalFire
		}
	}
	return actuate.SignalNone
}

// tellContact sends the alarm of the zone when it comes, goes, and each second
// while it stands. What the outlets latched is told with them.
func (g *Guard) tellContact(c *contact, now time.Time) {
	if !c.marked && (!c.smoke || now.Sub(c.sent) < refreshEvery) {
		return
	}
	change := Change{Subject: "zone/" + c.Zone, At: now, Judged: true}
	if c.smoke {
		change.Decisions = []protect.Decision{{
			Cause: shedguard.CauseSmokeContact, Grade: shedguard.GradeAlarm, Severity: c.Severity, Action: c.Action,
			Since: c.since, At: c.since, Standing: true,
		}}
	}
	select {
	case g.changes <- change:
		c.marked, c.sent = false, now
	default:
		c.marked = true
		g.deferred.Add(1)
	}
}

// imposed is what one source says of an outlet.
type imposed struct {
	source string
	list   []protect.Condition
}

// Impose says what stands at some outlets by the word of a source outside the
// straight line, in place of what it said of them before; nothing ends it. It
// counts from the outlets' next sample on. Any goroutine may call it; it does
// not wait for the guard, nor the guard for it.
func (g *Guard) Impose(source string, outlets []int, list []protect.Condition) {
	g.imposing.Lock()
	defer g.imposing.Unlock()
	list = slices.Clone(list)
	for _, n := range outlets {
		l := g.owner[n]
		if l == nil || l.byNo[n] == nil {
			continue
		}
		o := l.byNo[n]
		o.sources = slices.DeleteFunc(o.sources, func(i imposed) bool { return i.source == source })
		if len(list) > 0 {
			o.sources = append(o.sources, imposed{source, list})
		}
		var all []protect.Condition
		for _, s := range o.sources {
			all = append(all, s.list...)
		}
		o.imposed.Store(&all)
	}
}
