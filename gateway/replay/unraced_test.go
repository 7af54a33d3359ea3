//go:build !race

package replay_test

// raced is true under the race detector, where arithmetic takes ten times as long.
const raced = false
