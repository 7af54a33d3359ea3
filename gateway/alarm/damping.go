package alarm

import (
	"slices"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/protect"
)

const (
	maxFlaps  = 50   // bounds Damping.FlapCount
	maxOnsets = 2048 // that are remembered, the newest
)

// Damping keeps what comes and goes from filling people's inboxes, without
// hiding it.
type Damping struct {
	// ReportAfter is how long a fault must stand that neither is critical nor
	// made the gateway act. Everything else is told at once.
	ReportAfter time.Duration
	// ClearAfter is how long a fault must be gone before its alarm clears. A
	// person's reset clears at once, and so does the end of a latch.
	ClearAfter time.Duration
	// A fault that came FlapCount times within FlapWindow flaps: its alarm says
	// so and stays open until the fault has been gone for FlapCalm.
	FlapCount            int
	FlapWindow, FlapCalm time.Duration
}

// Inhibition is an alarm that stands for others: while it is open and its fault
// stands, theirs are not raised, and it lists their subjects. They are raised
// when they outlive it. What is more severe than it, or latched, is never hidden.
type Inhibition struct {
	Subject string
	Cause   shedguard.Cause
	Hides   []shedguard.Cause
	Of      []string // subjects
}

func (i *Inhibition) hides(subject string, cause shedguard.Cause) bool {
	return slices.Contains(i.Hides, cause) && slices.Contains(i.Of, subject)
}

// key names a fault.
type key struct {
	subject string
	cause   shedguard.Cause
}

// onset is when a fault came.
type onset struct {
	Subject string          `json:"subject"`
	Cause   shedguard.Cause `json:"cause"`
	At      time.Time       `json:"at"`
}

// restore reads onsets of an earlier boot. One that lies ahead, because the
// clock was set back or is not set yet, counts as of now.
func restore(onsets []onset, now time.Time) []onset {
	for i := range onsets {
		if onsets[i].At.After(now) {
			onsets[i].At = wall(now)
		}
	}
	return onsets
}

// stand takes in that a fault stands. At is when it was decided; zero for a
// latch of an earlier boot, of which the book knows more.
func (b *Book) stand(subject string, f Fault, observed bool, at, now time.Time) {
	r := b.find(subject, f.Cause)
	if cover := b.cover(subject, &f, now); cover != nil {
		b.hide(r, cover, subject, now)
		return
	}
	if r != nil {
		if !at.IsZero() {
			r.now = f
		}
		if !r.gone.IsZero() {
			r.gone = time.Time{}
			b.came(r, now)
			// Not hidden by the alarm that is open already.
			r.due = r.due || f.Severity == shedguard.SeverityCritical
		}
		return
	}
	if at.IsZero() {
		at = now
	}
	if b.tooEarly(subject, &f, now) {
		return
	}
	b.raise(subject, f, observed, at, now)
}

// tooEarly reports whether a fault is not told yet.
func (b *Book) tooEarly(subject string, f *Fault, now time.Time) bool {
	d := b.opts.Damping
	// What has a grade was confirmed over time already.
	if d == nil || f.Latched || f.Grade != shedguard.GradeNone || f.Severity == shedguard.SeverityCritical || f.Action != shedguard.ActionNone {
		return false
	}
	k := key{subject, f.Cause}
	since, known := b.early[k]
	if !known {
		since = now
		b.early[k] = now
	}
	if now.Sub(since) < d.ReportAfter {
		return true
	}
	delete(b.early, k)
	return false
}

// came counts an onset, and marks an alarm that flaps.
func (b *Book) came(r *record, now time.Time) {
	d := b.opts.Damping
	if d == nil {
		return
	}
	b.onsets = slices.DeleteFunc(b.onsets, func(o onset) bool { return now.Sub(o.At) >= d.FlapWindow })
	b.onsets = append(b.onsets, onset{r.Subject, r.Alarm.Cause, wall(now)})
	b.onsets = b.onsets[max(0, len(b.onsets)-maxOnsets):]
	b.stale = true
	n := 0
	for _, o := range b.onsets {
		if o.Subject == r.Subject && o.Cause == r.Alarm.Cause {
			n++
		}
	}
	if n < d.FlapCount {
		return
	}
	r.due = r.due || r.Alarm.Flaps == 0
	r.Alarm.Flaps = max(r.Alarm.Flaps+1, n)
}

// end takes in that a fault no longer stands.
func (b *Book) end(r *record, by string, now time.Time) {
	if by != "" || r.Alarm.Latched || r.now.Latched || b.opts.Damping == nil {
		b.clear(r, by, now)
		return
	}
	if r.gone.IsZero() {
		r.gone = now
	}
}

// expire clears what has been gone for long enough.
func (b *Book) expire(now time.Time) {
	d := b.opts.Damping
	if d == nil {
		return
	}
	for _, r := range slices.Clone(b.alarms) {
		wait := d.ClearAfter
		if r.Alarm.Flaps > 0 {
			wait = d.FlapCalm
		}
		if r.gone.IsZero() || now.Sub(r.gone) < wait {
			continue
		}
		if r.Alarm.Flaps > 0 {
			b.onsets = slices.DeleteFunc(b.onsets, func(o onset) bool { return o.Subject == r.Subject && o.Cause == r.Alarm.Cause })
		}
		b.clear(r, "", now)
	}
}

// cover is the open alarm that stands for a fault, or nil.
func (b *Book) cover(subject string, f *Fault, now time.Time) *record {
	if f.Latched {
		return nil
	}
	for i := range b.opts.Inhibit {
		in := &b.opts.Inhibit[i]
		if !in.hides(subject, f.Cause) {
			continue
		}
		r := b.find(in.Subject, in.Cause)
		if r == nil || r.now.Severity > f.Severity {
			continue
		}
		// What went a moment ago still covers: its outlets need that moment. What
		// is only kept open because it flaps does not.
		if r.gone.IsZero() || now.Sub(r.gone) < b.opts.Damping.ClearAfter {
			return r
		}
	}
	return nil
}

// hide lets one alarm stand for the fault of a subject, whose own alarm is
// cleared if it is open already.
func (b *Book) hide(r, cover *record, subject string, now time.Time) {
	if i, found := slices.BinarySearch(cover.Alarm.Covers, subject); !found {
		cover.Alarm.Covers = slices.Insert(slices.Clone(cover.Alarm.Covers), i, subject)
		cover.due = true
		b.stale = true
	}
	if r != nil {
		r.Alarm.CoveredBy = cover.Alarm.ID
		b.clear(r, "", now)
	}
}

// uncover takes a subject out of the lists of alarms that do not stand for it any
// more.
func (b *Book) uncover(subject string, ds []protect.Decision, now time.Time) {
	for i := range b.opts.Inhibit {
		r := b.find(b.opts.Inhibit[i].Subject, b.opts.Inhibit[i].Cause)
		if r == nil {
			continue
		}
		at, listed := slices.BinarySearch(r.Alarm.Covers, subject)
		if !listed || slices.ContainsFunc(ds, func(d protect.Decision) bool {
			return b.cover(subject, &Fault{Cause: d.Cause, Severity: d.Severity, Latched: d.Latched}, now) == r
		}) {
			continue
		}
		r.Alarm.Covers = slices.Delete(slices.Clone(r.Alarm.Covers), at, at+1)
		r.due, b.stale = true, true
	}
}
