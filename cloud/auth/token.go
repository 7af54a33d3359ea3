package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// tokenPrefix begins every token, so that scanners of source code and logs
// find one that was left there.
const tokenPrefix = "shedguard_"

// NewToken is a random token of 130 bits for a program.
func NewToken() string { return tokenPrefix + strings.ToLower(rand.Text()) }

// HashToken is what is kept of a token: its SHA-256 in hex. A token is random
// and long, so that it needs no slow hash. ok is false for what cannot be a
// token.
func HashToken(token string) (hash string, ok bool) {
	random, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || len(random) < 26 || len(random) > 100 {
		return "", false
	}
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:]), true
}
