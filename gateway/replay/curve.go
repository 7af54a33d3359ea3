package replay

import (
	"fmt"
	"math"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/charge"
	"github.com/shedguard/shedguard/gateway/session"
)

// follows takes the charging curve a step further and tells what is new.
func (p *Player) follows(at time.Duration, now time.Time) session.Curve {
	if p.charge == nil {
		return session.Curve{}
	}
	running, _ := p.session.Session()
	out := p.charge.Next(&p.curve, &charge.Input{
		Session: running.ID, Fed: p.in.Closed, Reading: p.in.Reading, Fresh: p.in.Fresh,
	}, now)
	if running.ID == "" && out.Load != p.load && out.Load != charge.LoadUnknown && out.Load != charge.LoadCharge {
		e := p.fresh(at, KindPhase)
		e.Phase, e.Text = string(out.Load), loadText(out.Load, math.Abs(p.in.Reading.Watts))
		p.emit()
		p.load = out.Load
	}
	if running.ID != "" {
		p.load = charge.LoadUnknown
	}
	p.tellNotices(out.Findings, at)
	p.conditions = charge.Conditions(p.conditions[:0], out.Findings)
	return session.Curve{Phase: string(out.Phase), Attached: out.Attached, Over: out.Over}
}

// tellNotices tells of findings that raise no alarm, once each.
func (p *Player) tellNotices(found []charge.Finding, at time.Duration) {
	for i := range p.grades {
		if i >= len(found) {
			p.grades[i] = 0
			continue
		}
		f := &found[i]
		if f.Grade == p.grades[i] {
			continue
		}
		p.grades[i] = f.Grade
		if f.Grade == charge.Notice {
			e := p.fresh(at, KindPhase)
			e.Cause, e.Phase = f.Cause, charge.Notice.String()
			value, limit := f.Value, f.Limit
			e.Value, e.Limit, e.Unit = &value, &limit, f.Unit
			e.Text = "Notice: " + f.Text().EN + "."
			p.emit()
		}
	}
}

// phaseText says what a phase of a session is.
func phaseText(phase string, watts float64) string {
	w := fmt.Sprintf("%.4g W", math.Abs(watts))
	switch charge.Phase(phase) {
	case charge.PhaseInrush:
		return "The charger has just been switched on (" + w + ")."
	case charge.PhaseConstantCurrent:
		return "The battery is charged with constant current (" + w + ")."
	case charge.PhaseConstantVoltage:
		return "The battery is charged with constant voltage: power falls (" + w + ")."
	case charge.PhaseTrickle:
		return "The battery takes next to nothing any more (" + w + ")."
	case charge.PhaseFull:
		return "The battery is full (" + w + ")."
	case charge.PhaseIdle:
		return "What is plugged in does not charge: a steady " + w + "."
	case charge.PhaseUnclear:
		return "Power is drawn, but not as a charger does (" + w + ")."
	default:
		return "The charging session is " + phase + "."
	}
}

// loadText says what an outlet without a session has plugged in.
func loadText(l charge.Load, watts float64) string {
	w := fmt.Sprintf("%.3g W", watts)
	switch l {
	case charge.LoadNothing:
		return "Nothing is plugged in (" + w + ")."
	case charge.LoadIdleCharger:
		return "A charger without a battery is plugged in (" + w + ")."
	case charge.LoadFullBattery:
		return "A full battery, or a small device, is plugged in (" + w + ")."
	default:
		return "A charger that idles, or a small device, is plugged in (" + w + ")."
	}
}

// judgesCurve lists the causes that the charging curve is judged for.
func judgesCurve() []shedguard.Cause {
	return []shedguard.Cause{shedguard.CauseChargeTooLong, shedguard.CauseFloatTooHigh, shedguard.CausePowerUnstable}
}
