package auth_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard/cloud/auth"
)

func TestPassword(t *testing.T) {
	hash := auth.Hash("correct horse")
	if other := auth.Hash("correct horse"); other == hash {
		t.Error("two hashes of one password are equal: no salt")
	}
	if strings.Contains(hash, "correct") {
		t.Error("the hash holds the password")
	}
	for password, want := range map[string]bool{"correct horse": true, "Correct horse": false, "": false, "correct hors": false} {
		if ok, err := auth.Verify(hash, password); err != nil || ok != want {
			t.Errorf("Verify %q: %v, %v, want %v", password, ok, err, want)
		}
	}
}

func TestVerifyRefusesWhatIsNoHash(t *testing.T) {
	good := auth.Hash("correct horse")
	for name, hash := range map[string]string{
		"empty":           "",
		"plain text":      "correct horse",
		"another kind":    strings.Replace(good, "argon2id", "argon2i", 1),
		"another version": strings.Replace(good, "v=19", "v=16", 1),
		"gigabytes":       strings.Replace(good, "m=19456", "m=4194304", 1),
		"no passes":       strings.Replace(good, "t=2", "t=0", 1),
		"trailing":        strings.Replace(good, "p=1$", "p=1,x$", 1),
		"cut":             good[:len(good)-40],
		"bad salt":        strings.Replace(good, "p=1$", "p=1$*", 1),
	} {
		t.Run(name, func(t *testing.T) {
			if ok, err := auth.Verify(hash, "correct horse"); ok || !errors.Is(err, auth.ErrHash) {
				t.Errorf("Verify: %v, %v, want ErrHash", ok, err)
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=8,t=1,p=1$$")
	f.Fuzz(func(t *testing.T, hash string) {
		if strings.Contains(hash, "m=") && !strings.Contains(hash, "m=8,") {
			t.Skip("the cost of a big one is tested elsewhere")
		}
		if ok, err := auth.Verify(hash, "x"); ok && err != nil {
			t.Error("right and wrong at once")
		}
	})
}

func TestNewPassword(t *testing.T) {
	a, b := auth.NewPassword(), auth.NewPassword()
	if a == b || len(a) != 23 || auth.CheckPassword(a) != nil {
		t.Errorf("passwords %q and %q", a, b)
	}
	for _, bad := range []string{"", "short", strings.Repeat("x", 201)} {
		if auth.CheckPassword(bad) == nil {
			t.Errorf("CheckPassword took %d bytes", len(bad))
		}
	}
}

func TestLimiter(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l := auth.NewLimiter(3, time.Minute)
	for i := range 3 {
		if wait := l.Take("li", noon); wait != 0 {
			t.Fatalf("attempt %d waits %s", i, wait)
		}
	}
	if wait := l.Take("li", noon); wait != time.Minute {
		t.Errorf("fourth attempt waits %s, want 1m", wait)
	}
	if wait := l.Take("wang", noon); wait != 0 {
		t.Errorf("another key waits %s", wait)
	}
	if wait := l.Take("li", noon.Add(time.Minute)); wait != 0 {
		t.Errorf("a minute later it waits %s", wait)
	}
	if wait := l.Take("li", noon.Add(time.Minute)); wait == 0 {
		t.Error("and then a second one at once")
	}
	l.Give("li")
	if wait := l.Take("li", noon.Add(time.Minute)); wait != 0 {
		t.Errorf("after one was given back it waits %s", wait)
	}
	for i := range 200_000 { // many strangers cannot fill the memory, nor free the one who is held back
		l.Take(fmt.Sprint(i), noon.Add(time.Minute))
	}
	if wait := l.Take("li", noon.Add(time.Minute)); wait == 0 {
		t.Error("the held back one was forgotten")
	}
}

func BenchmarkVerify(b *testing.B) {
	hash := auth.Hash("correct horse")
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := auth.Verify(hash, "correct horse"); err != nil || !ok {
			b.Fatal(ok, err)
		}
	}
}

func TestToken(t *testing.T) {
	one, two := auth.NewToken(), auth.NewToken()
	h1, ok1 := auth.HashToken(one)
	h2, ok2 := auth.HashToken(two)
	if one == two || h1 == h2 || !ok1 || !ok2 || len(h1) != 64 || strings.Contains(h1, one) {
		t.Errorf("%q %q: %q %q", one, two, h1, h2)
	}
	if again, _ := auth.HashToken(one); again != h1 {
		t.Errorf("%q, then %q", h1, again)
	}
	for _, bad := range []string{"", "shedguard_", "shedguard_short", strings.TrimPrefix(one, "shedguard_"), one + strings.Repeat("x", 100)} {
		if _, ok := auth.HashToken(bad); ok {
			t.Errorf("%q can be a token", bad)
		}
	}
}
