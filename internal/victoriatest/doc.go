// Package victoriatest runs a real VictoriaMetrics for the length of one test.
//
// The server is the one of the machine (Debian package victoria-metrics). It
// listens on a free port of 127.0.0.1, keeps its data in a temporary folder
// and logs to a file that is shown when the test fails. It runs with the
// switches that shedguard asks for: -dedup.minScrapeInterval=1ms, so that a
// replay is stored once, and -search.latencyOffset=0s, so that fresh points
// can be read. Without the program a test is skipped, unless
// SHEDGUARD_REQUIRE_SERVERS=1 is set: then it fails, so that a build server
// cannot pass by having nothing to test against.
package victoriatest
