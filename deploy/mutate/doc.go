// Command mutate breaks the protection rules on purpose, one place at a time,
// and tells which broken rules no test notices.
//
// # Model
//
// A mutant is the text of a package with one place changed: a comparison that
// is wrong by one step or the wrong way round, a condition that never holds or
// lost a part, a statement that is dropped (a latch that is not set, a state
// that is not kept), a limit swapped for its neighbour of the same type, a delay
// that is skipped, a constant or a sign that is another. Changes are found in the
// typed syntax tree and made in the text, so what is tested is the rest of the
// file, untouched.
//
// Each mutant is built with an overlay, so that no file of the tree changes, and
// the package's own tests run against it. A mutant is killed when a test fails or
// hangs, and has survived when all pass. One that does not build says nothing and
// is not counted.
//
// A few mutants do the same as the original. They stand in equivalent.txt with
// the reason. A survivor that does not stand there makes the program fail, and so
// does an entry that no survivor needs any more.
package main
