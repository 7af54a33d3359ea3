// Package status is the gateway's window on the machine itself: a small page,
// health, metrics and the state as JSON over HTTP.
//
// # Model
//
//	/               page in Chinese or English, for a person at the box
//	/healthz        200 while the guard works, else 503 with the reason
//	/metrics        Prometheus, names gateway_*, base units
//	/api/v1/state   shedguard.ShedState, the same as get_state gives
//
// The server owns nothing that it shows: it calls the functions of [Options],
// which return copies, and is never waited for. It only reads; power is
// switched at the box or by a command of the collector.
//
// /healthz is about the guard alone: alive means that it completed a tick
// within the last [Alive]. A broker that is away is no reason to restart a
// gateway that protects.
//
// # Caveats
//
// There is no login, so that only a loopback address is taken unless
// [Options].AllowRemote says otherwise. The page needs no script and nothing
// from elsewhere.
package status
