// Package mosquittotest runs a real Mosquitto broker for the length of one
// test.
//
// The broker is the one of the machine (Debian package mosquitto); it listens
// on a free port of 127.0.0.1, keeps its store in a temporary folder and logs
// to a file that is shown when the test fails. Without the program a test is
// skipped, unless SHEDGUARD_REQUIRE_SERVERS=1 is set: then it fails, so that a
// build server cannot pass by having nothing to test against.
package mosquittotest
