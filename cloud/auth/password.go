package auth

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The bounds of a password. There are no rules about its characters: length is
// what helps (NIST SP 800-63B 5.1.1.2).
const (
	MinPasswordBytes = 10
	MaxPasswordBytes = 200
)

// The cost of one hash: 19 MiB, two passes, one lane, the least that the
// OWASP password storage guide recommends for argon2id.
const (
	memoryKiB = 19 * 1024
	passes    = 2
	lanes     = 1
	saltBytes = 16
	keyBytes  = 32
)

// ErrHash comes from Verify when the kept hash is not one of this package.
var ErrHash = errors.New("auth: not an argon2id hash")

// CheckPassword says what is wrong with a new password.
func CheckPassword(password string) error {
	if len(password) < MinPasswordBytes || len(password) > MaxPasswordBytes {
		return fmt.Errorf("password: %d bytes: want %d to %d", len(password), MinPasswordBytes, MaxPasswordBytes)
	}
	return nil
}

// Hash is the password's argon2id hash with a new salt:
// $argon2id$v=19$m=19456,t=2,p=1$salt$key.
func Hash(password string) string {
	salt := make([]byte, saltBytes)
	rand.Read(salt) // never fails: it ends the process instead
	key := argon2.IDKey([]byte(password), salt, passes, memoryKiB, lanes, keyBytes)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memoryKiB, passes, lanes,
		b64.EncodeToString(salt), b64.EncodeToString(key))
}

// Verify reports whether the password is the one of the hash, in a time that
// does not tell how much of it was right.
func Verify(hash, password string) (bool, error) {
	var (
		version      int
		m, t         uint32
		p            uint8
		parts        = strings.Split(hash, "$")
		b64          = base64.RawStdEncoding
		wrong        = func() (bool, error) { return false, ErrHash }
		salt, key    []byte
		errSalt, err error
	)
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return wrong()
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return wrong()
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &m, &t, &p); err != nil {
		return wrong()
	}
	// A hash that asks for gigabytes is damage, not a password.
	if m < 8 || m > 256<<10 || t < 1 || t > 16 || p < 1 || p > 16 || fmt.Sprintf("m=%d,t=%d,p=%d", m, t, p) != parts[3] {
		return wrong()
	}
	salt, errSalt = b64.DecodeString(parts[4])
	key, err = b64.DecodeString(parts[5])
	if errSalt != nil || err != nil || len(salt) < 8 || len(salt) > 64 || len(key) < 16 || len(key) > 64 {
		return wrong()
	}
	got := argon2.IDKey([]byte(password), salt, t, m, p, uint32(len(key)))
	return subtle.ConstantTimeCompare(got, key) == 1, nil
}

// NewPassword is a random password of 100 bits that a person can type.
func NewPassword() string {
	s := strings.ToLower(rand.Text()[:20])
	return s[:5] + "-" + s[5:10] + "-" + s[10:15] + "-" + s[15:]
}
