package actuate

import "time"

// Signal is what the siren and the lamp of a shed tell.
type Signal uint8

// The signals, least urgent first. Of several the most urgent one is given.
const (
	SignalNone           Signal = iota
	SignalUnsent                // an alarm cannot be sent: the lamp blinks slowly
	SignalUnsentCritical        // a critical one: the siren tells it, too, in short tones
	SignalElectrical            // an outlet stays live that must not: the siren pulses
	SignalFire                  // the siren sounds without a break
)

// The rhythms: on for so long of each period. A person tells them apart without
// counting.
const (
	pulseOn, pulsePeriod = 500 * time.Millisecond, time.Second
	toneOn, tonePeriod   = 500 * time.Millisecond, 4 * time.Second
	blinkOn, blinkPeriod = time.Second, 3 * time.Second
)

// Siren reports whether the siren is on when the signal has been given for so
// long.
func (s Signal) Siren(d time.Duration) bool {
	switch s {
	case SignalFire:
		return true
	case SignalElectrical:
		return within(d, pulseOn, pulsePeriod)
	case SignalUnsentCritical:
		return within(d, toneOn, tonePeriod)
	case SignalNone, SignalUnsent:
	}
	return false
}

// Lamp reports whether the lamp is on when the signal has been given for so
// long.
func (s Signal) Lamp(d time.Duration) bool {
	switch s {
	case SignalFire:
		return true
	case SignalElectrical:
		return within(d, pulseOn, pulsePeriod)
	case SignalUnsent, SignalUnsentCritical:
		return within(d, blinkOn, blinkPeriod)
	case SignalNone:
	}
	return false
}

// Sounds reports whether the siren has a part in the signal.
func (s Signal) Sounds() bool { return s >= SignalUnsentCritical }

func (s Signal) String() string {
	switch s {
	case SignalNone:
		return "none"
	case SignalUnsent:
		return "unsent"
	case SignalUnsentCritical:
		return "unsent_critical"
	case SignalElectrical:
		return "electrical"
	case SignalFire:
		return "fire"
	default:
		return "unknown"
	}
}

func within(d, on, period time.Duration) bool {
	return max(d, 0)%period < on
}
