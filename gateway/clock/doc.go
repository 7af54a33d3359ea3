// Package clock says how far the wall clock can be trusted, and what wall time
// a moment was that is known by its monotonic reading only.
//
// # Model
//
// A box without a battery clock starts in 1970 or at its build time and is set
// seconds or days later, or never. The quality of its clock is
//
//   - unsynced until a time source has disciplined it in this boot of the
//     program, or while it shows a time before the floor,
//   - synced while one does,
//   - holdover when one did and is lost.
//
// The kernel knows (adjtimex). The floor is the latest moment that is known to
// have passed: when the program was built, or what was saved last in a small
// file. A clock below the floor is wrong, whoever vouches for it.
//
// Everything inside the gateway that measures time uses the monotonic part of
// time.Time, which no step of the wall clock disturbs. [Clock.Wall] gives the
// wall time of such an instant by the clock as it is now: once the clock is
// synced, it is right also for what happened before.
//
// # Caveats
//
// The kernel's word is that a time daemon runs well, not that its server tells
// the truth. In trust mode nobody is asked. A suspended machine stops the
// monotonic clock; gateways do not suspend.
package clock
