package uplink

import "time"

// Hurry shortens the waits between connections, so that tests against a real
// broker end soon.
func (u *Uplink) Hurry(base, most time.Duration) { u.wait = backoff{base: base, most: most} }
