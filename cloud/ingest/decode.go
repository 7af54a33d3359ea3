package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/shedguard/shedguard"
)

// The bounds of what is accepted.
const (
	MaxAhead          = 5 * time.Minute    // a line may be that far before the collector's clock
	MaxBehind         = 8 * 24 * time.Hour // and that far behind it
	MaxTelemetryBytes = 1 << 20
	MaxEvidenceBytes  = 256 << 10
	MaxEvidence       = 100 // pictures of one alarm
)

// The reasons for which something is refused.
const (
	ReasonTopic     = "topic is not of the contract"
	ReasonTooLarge  = "payload is too large"
	ReasonLine      = "line is not valid line protocol"
	ReasonShed      = "names another shed than its topic"
	ReasonAhead     = "time is too far ahead"
	ReasonBehind    = "time is too long ago"
	ReasonEmpty     = "payload is empty"
	ReasonEvent     = "event is not valid"
	ReasonAlarm     = "alarm is not valid"
	ReasonStatus    = "status is not valid"
	ReasonReply     = "reply is not valid"
	ReasonEvidence  = "evidence is not valid"
	ReasonNoStore   = "evidence is not kept by this collector"
	ReasonBook      = "book refuses it"
	ReasonDirection = "topic carries commands, not reports"
)

// refusal is why a payload, or a line of it, can never be stored.
type refusal struct {
	reason string
	err    error
}

func (r *refusal) Error() string { return r.reason + ": " + r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(reason string, err error) *refusal { return &refusal{reason: reason, err: err} }

// batch holds the points of some telemetry messages. Its memory is used again.
type batch struct {
	points []shedguard.Point // the first used are filled
	used   int
	values int
	reader shedguard.LineReader
	bad    []badLine // of the last message, one per reason
}

// badLine is the first line of a message that was refused for a reason.
type badLine struct {
	refusal
	line  []byte // part of the payload
	count int
}

func (b *batch) reset() { b.used, b.values = 0, 0 }

func (b *batch) filled() []shedguard.Point { return b.points[:b.used] }

// add reads a telemetry payload. It returns how many lines were taken, and how
// many were refused for their time; b.bad holds what was refused for anything.
func (b *batch) add(shed string, payload []byte, now time.Time) (good, untimely int) {
	b.bad = b.bad[:0]
	if len(payload) > MaxTelemetryBytes {
		b.refuse(ReasonTooLarge, fmt.Errorf("%d bytes: want at most %d", len(payload), MaxTelemetryBytes), payload)
		return 0, 0
	}
	seen := false
	for len(payload) > 0 {
		var line []byte
		line, payload, _ = bytes.Cut(payload, []byte{'\n'})
		if line = bytes.TrimSuffix(line, []byte{'\r'}); len(line) == 0 {
			continue
		}
		seen = true
		if b.used == len(b.points) {
			b.points = append(b.points, shedguard.Point{})
		}
		p := &b.points[b.used]
		if err := b.reader.Parse(line, p); err != nil {
			b.refuse(ReasonLine, err, line)
			continue
		}
		if got := p.Tag("shed"); got != shed {
			b.refuse(ReasonShed, fmt.Errorf("tag shed=%q on the topic of %q", got, shed), line)
			continue
		}
		if ahead := p.Time.Sub(now); ahead > MaxAhead {
			b.refuse(ReasonAhead, fmt.Errorf("%s is %v ahead: want at most %v", p.Time.Format(shedguard.TimeFormat), ahead.Round(time.Second), MaxAhead), line)
			untimely++
			continue
		} else if ahead < -MaxBehind {
			b.refuse(ReasonBehind, fmt.Errorf("%s is %v old: want at most %v", p.Time.Format(shedguard.TimeFormat), -ahead.Round(time.Second), MaxBehind), line)
			untimely++
			continue
		}
		b.used++
		b.values += len(p.Fields)
		good++
	}
	if !seen {
		b.refuse(ReasonEmpty, fmt.Errorf("telemetry without a line"), nil)
	}
	return good, untimely
}

func (b *batch) refuse(reason string, err error, line []byte) {
	for i := range b.bad {
		if b.bad[i].reason == reason {
			b.bad[i].count++
			return
		}
	}
	b.bad = append(b.bad, badLine{refusal: refusal{reason: reason, err: err}, line: line, count: 1})
}

// decodeEvent reads an alarm or another event of a shed.
func decodeEvent(shed string, payload []byte) (shedguard.Event, error) {
	var e shedguard.Event
	if len(payload) > shedguard.MaxEventBytes {
		return e, refuse(ReasonTooLarge, fmt.Errorf("%d bytes: want at most %d", len(payload), shedguard.MaxEventBytes))
	}
	if err := json.Unmarshal(payload, &e); err != nil {
		return e, refuse(ReasonEvent, err)
	}
	if e.Shed() != shed {
		return e, refuse(ReasonShed, fmt.Errorf("source %q on the topic of %q", e.Source, shed))
	}
	if e.IsAlarm() {
		if _, err := e.Alarm(); err != nil {
			return e, refuse(ReasonAlarm, err)
		}
	}
	return e, nil
}

// decodeEvidence checks a picture and reads what its topic says of it.
func decodeEvidence(rest string, payload []byte) (alarmID string, n int, err error) {
	alarmID, number, _ := strings.Cut(rest, "/")
	n, err = strconv.Atoi(number)
	if !shedguard.ValidID(alarmID) || err != nil || n < 0 || n >= MaxEvidence || strconv.Itoa(n) != number {
		return "", 0, refuse(ReasonEvidence, fmt.Errorf("topic ends in %q: want <alarm id>/<0 to %d>", rest, MaxEvidence-1))
	}
	if len(payload) > MaxEvidenceBytes {
		return "", 0, refuse(ReasonTooLarge, fmt.Errorf("%d bytes: want at most %d", len(payload), MaxEvidenceBytes))
	}
	if !bytes.HasPrefix(payload, []byte{0xff, 0xd8, 0xff}) {
		return "", 0, refuse(ReasonEvidence, fmt.Errorf("%d bytes that do not begin as a JPEG", len(payload)))
	}
	return alarmID, n, nil
}
