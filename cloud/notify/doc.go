// Package notify tells people about alarms until somebody answers.
//
// # Model
//
// The alarm book is the level: which alarms stand, who has acknowledged, what
// was told to whom. [Policy.Plan] is a pure function of that level and the
// time; it says which messages are due, which pending ones are not wanted any
// more, and when to look again. A [Notifier] plans whenever the book changes
// and when something is due, writes the result to the book, and only then hands
// messages to the channels. Each channel has workers and a queue of its own,
// most urgent first: a slow or dead one delays no other.
//
// An open alarm is told to the people of the first step of every route that
// covers it, then after each further step's time to the next people, and again
// to each of them with growing pauses. Acknowledging stops that; clearing tells
// those who were told that it is over. An alarm that becomes more severe is
// told at once to those who knew the milder one, acknowledged or not. A
// critical or major alarm that came and went before anybody was told is told
// once.
//
// What the detectors of a zone see is told of the zone, and as a latched alarm of
// each outlet that is cut for it. The zone's own is told at once. Those of the
// outlets, and every reminder of them, are one message a person: the first of
// them waits two seconds for the others.
//
// Three things hold messages back, none of them a critical alarm: quiet hours
// hold warnings; a fault that comes and goes is told only when it stays; and
// more than a person can read is put into summaries.
//
// # What a restart does
//
// A delivery is on the disk before it is sent and marked after. What was
// marked is never sent again, what was not is sent. A crash in the moment
// between the two sends that one message twice, with the same id: a message
// too many is better than one too few.
//
// # Failure
//
// A failed attempt goes on to the person's next channel at once; after the last
// one it begins again with growing pauses (5 s to 5 min) until it is sent or
// not wanted any more, for a day at most. A channel that refuses for good (an
// unknown mailbox, a wrong key) is left out for that message. When every
// channel refuses, the delivery fails, is logged as an error and counted, and
// escalation goes on by time as if it had been sent.
//
// # Caveats
//
// Sent means that the service took the message, not that a person read it;
// only an acknowledgement says that. A book has one notifier.
package notify
