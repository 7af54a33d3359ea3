// Package programs builds this project's programs for tests that run them as processes:
// once, before the first of them, into a folder that goes when they are through.
package programs
