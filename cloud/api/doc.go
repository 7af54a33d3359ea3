// Package api is the collector's HTTP interface: the JSON API under /api/v1,
// the stream of changes, the page, health and metrics.
//
// # Paths
//
// Below /api/v1, described in full by /openapi.json:
//
//	POST  /login                            POST  /logout
//	GET   /me                               GET   /stream
//	GET   /sheds                            GET   /sheds/{shed}
//	PATCH /sheds/{shed}                     POST  /sheds/{shed}/commands
//	GET   /sheds/{shed}/series              GET   /sheds/{shed}/events
//	GET   /sheds/{shed}/cameras
//	GET   /sheds/{shed}/cameras/{camera}/snapshot
//	GET   /alarms                           POST  /alarms/acknowledge
//	GET   /alarms/{id}                      POST  /alarms/{id}/acknowledge
//	POST  /alarms/{id}/comment              GET   /alarms/{id}/evidence/{n}
//	GET   /notify                           POST  /notify/test
//	GET   /notify/deliveries                GET   /dead-letters
//	GET   /audit
//
// Questions in PromQL are answered below /api/v1/prom, in the format of
// Prometheus: see package promapi. Beside these: /healthz, /metrics, and the
// page everywhere else.
//
// # Rules
//
// Errors are RFC 9457 problem details; what is wrong with a request is listed
// member by member. Everything but login, /healthz and the page wants a
// session, a cookie that scripts cannot read, or a token in the header
// Authorization, which may only read, and not what is for admins. A request of
// another site is refused. Instants are RFC 3339 in UTC with milliseconds at
// most.
//
// # Commands
//
// A command is kept in the book, sent, and its reply waited for. Nothing sent
// while a gateway is away waits for it: a shed whose gateway is not connected
// is answered at once with 409. An answer of 504 means that the gateway may or
// may not have acted; the shed's next status tells.
//
// # Pictures
//
// Pictures of alarms, and the last snapshot that somebody asked of each camera,
// are people's pictures: who asks for one and who looks at one is in the audit
// trail, the same person at the same picture once in ten minutes. They are kept
// for the configured time and no longer.
//
// # Caveats
//
// /metrics answers only a client on this machine that was not forwarded by a
// proxy. Attempts to log in are limited by user and by address; the address
// behind a proxy is believed only of a proxy on this machine.
package api
