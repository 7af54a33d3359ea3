package webhook_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard/cloud/notify/webhook"
)

var now = time.Unix(1772366400, 0)

func TestVerify(t *testing.T) {
	secret, body := []byte("0123456789abcdef"), []byte(`{"id":"1"}`)
	tests := map[string]struct {
		change func(h http.Header)
		secret []byte
		body   string
		later  time.Duration
		want   error
	}{
		"good":                    {},
		"at the window's end":     {later: webhook.Window},
		"at the window's begin":   {later: -webhook.Window},
		"too late":                {later: webhook.Window + time.Second, want: webhook.ErrExpired},
		"from the future":         {later: -webhook.Window - time.Second, want: webhook.ErrExpired},
		"another body":            {body: `{"id":"2"}`, want: webhook.ErrSignature},
		"another secret":          {secret: []byte("0123456789abcdeg"), want: webhook.ErrSignature},
		"another timestamp":       {change: func(h http.Header) { h.Set(webhook.HeaderTimestamp, "1772366401") }, want: webhook.ErrSignature},
		"no timestamp":            {change: func(h http.Header) { h.Del(webhook.HeaderTimestamp) }, want: webhook.ErrUnsigned},
		"timestamp in words":      {change: func(h http.Header) { h.Set(webhook.HeaderTimestamp, "noon") }, want: webhook.ErrUnsigned},
		"no signature":            {change: func(h http.Header) { h.Del(webhook.HeaderSignature) }, want: webhook.ErrUnsigned},
		"signature of another v":  {change: func(h http.Header) { h.Set(webhook.HeaderSignature, "v2="+strings.Repeat("0", 64)) }, want: webhook.ErrUnsigned},
		"signature cut short":     {change: func(h http.Header) { h.Set(webhook.HeaderSignature, "v1=00") }, want: webhook.ErrUnsigned},
		"signature of all zeroes": {change: func(h http.Header) { h.Set(webhook.HeaderSignature, "v1="+strings.Repeat("0", 64)) }, want: webhook.ErrSignature},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			webhook.Sign(h, secret, body, now)
			if tt.change != nil {
				tt.change(h)
			}
			key, got := secret, body
			if tt.secret != nil {
				key = tt.secret
			}
			if tt.body != "" {
				got = []byte(tt.body)
			}
			if err := webhook.Verify(h, key, got, now.Add(tt.later)); !errors.Is(err, tt.want) {
				t.Errorf("Verify: %v, want %v", err, tt.want)
			}
		})
	}
}

// The signature as any language computes it:
//
//	printf '1772366400.{"id":"1"}' | openssl dgst -sha256 -hmac 0123456789abcdef
func TestSignatureIsThatOfTheContract(t *testing.T) {
	h := http.Header{}
	webhook.Sign(h, []byte("0123456789abcdef"), []byte(`{"id":"1"}`), now)
	const want = "v1=7882e0560365bd13a944cb02e7122c4008b5d75207ef47b64fae514da89c76f2"
	if got := h.Get(webhook.HeaderSignature); got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}

// No header that anybody could make up without the secret is taken.
func FuzzVerify(f *testing.F) {
	f.Add("1772366400", "v1="+strings.Repeat("0", 64), []byte("{}"))
	f.Add("", "", []byte(nil))
	f.Add("-1", "v1=", []byte("x"))
	f.Fuzz(func(t *testing.T, ts, signature string, body []byte) {
		h := http.Header{}
		h.Set(webhook.HeaderTimestamp, ts)
		h.Set(webhook.HeaderSignature, signature)
		if webhook.Verify(h, []byte("a secret nobody knows"), body, now) == nil {
			t.Errorf("taken: %q %q %q", ts, signature, body)
		}
	})
}

// A receiver verifies before it parses, and takes each delivery once.
func Example() {
	secret := []byte("read from a file, 16 bytes or more")
	seen := map[string]bool{} // of the last ten minutes, in a real receiver
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, "too long", http.StatusRequestEntityTooLarge)
			return
		}
		if err := webhook.Verify(r.Header, secret, body, time.Now()); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		var p webhook.Payload
		if err := json.Unmarshal(body, &p); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if !seen[p.ID] {
			seen[p.ID] = true
			fmt.Println(p.Subject)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer receiver.Close()

	body := []byte(`{"id":"01KAAAAAAAAAAAAAAAAAAAAAA1","subject":"[critical] shed 3 outlet 3: short circuit"}`)
	for range 2 { // the second time after a crash of the sender
		req, err := http.NewRequest(http.MethodPost, receiver.URL, strings.NewReader(string(body)))
		if err != nil {
			fmt.Println(err)
			return
		}
		webhook.Sign(req.Header, secret, body, time.Now())
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(res.StatusCode)
		_ = res.Body.Close()
	}
	// Output:
	// [critical] shed 3 outlet 3: short circuit
	// 204
	// 204
}
