// Package app puts the collector together: broker, alarm book, series store,
// ingest, presence, notification and the API, with their order of start, their fate and
// their end.
//
// # Fate of each part
//
//	part            fails at start    fails later
//	book            no start          writes are tried again by ingest, /healthz says so
//	series          no start          points are tried again by ingest; a database on another
//	                                  machine may be away at the start and later: a queue on
//	                                  this machine's disk holds what it has not taken
//	notify          no start          started again, with growing pauses; what is due is in the book
//	broker          no start          ingest reconnects; a broker outside likewise
//	ingest          no start          started again, with growing pauses
//	presence        no start          started again, with growing pauses
//	http            no start          the program ends
//	housekeeping                      logged, tried again
//
// Parts end in the reverse order of their start: first nobody asks any more,
// then nobody writes, then files are closed. What a broker delivered and was
// not stored by then is delivered again.
package app
