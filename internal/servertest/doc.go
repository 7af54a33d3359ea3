// Package servertest runs servers of other projects as processes for tests: on a
// free port, in a folder that goes with the test, until it ends. The packages of
// the servers say how each is called and when it is up.
package servertest
