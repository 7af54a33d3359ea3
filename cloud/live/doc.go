// Package live is the in-process feed of changes that the page shows at once:
// an alarm, a shed, the outlets of a shed, a reply.
//
// A [Feed] keeps the last changes in a ring. Every change gets an id; ids grow
// by one and go on growing over a restart, so that a reader who was away asks
// for what came after the last id that it saw. A [Subscription] is a position
// in the ring and nothing more: publishing copies into the ring and wakes the
// readers, it never waits for one. A reader who was overtaken gets [ErrReset]
// and reads the present state afresh.
//
// The feed is for showing, never for keeping: a change is in the book or in
// the series before it is published.
package live
