// Package certtest makes the certificates of one test: an authority and what
// it signs, as the PEM files that an installer would put in place.
package certtest
