package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a request.
const (
	HeaderTimestamp = "X-Shedguard-Timestamp" // seconds since 1970, decimal
	HeaderSignature = "X-Shedguard-Signature" // "v1=" and the signature in lower-case hex
)

// MinSecret is the least length of a secret in bytes.
const MinSecret = 16

// Window is how far the timestamp may be from the receiver's clock.
const Window = 5 * time.Minute

// The reasons to refuse a request.
var (
	ErrUnsigned  = errors.New("webhook: no valid timestamp and signature headers")
	ErrSignature = errors.New("webhook: the signature does not fit body and secret")
	ErrExpired   = errors.New("webhook: the timestamp is too far from this clock")
)

// Payload is the body of a request.
type Payload struct {
	ID      string    `json:"id"`      // ULID of the delivery; the same when it is sent again
	Kind    string    `json:"kind"`    // raised, escalated, reminder, worse, cleared, summary, test
	Person  string    `json:"person"`  // who is told
	SentAt  time.Time `json:"sent_at"` // of the message
	Level   int       `json:"level"`   // 1 critical to 4 warning, 0 for good news
	Subject string    `json:"subject"` // one line
	Text    string    `json:"text"`    // for people
	Link    string    `json:"link"`    // to the page; may be empty
	Alarms  []Alarm   `json:"alarms"`  // empty for a test
}

// Alarm is one alarm of a [Payload].
type Alarm struct {
	ID           string    `json:"alarm_id"`
	Shed         string    `json:"shed"`
	ShedName     string    `json:"shed_name"`
	Place        string    `json:"place"`
	Subject      string    `json:"subject"` // outlet/3, bus/main, shed
	Cause        string    `json:"cause"`
	Severity     string    `json:"severity"`
	State        string    `json:"state"` // open, cleared
	RaisedAt     time.Time `json:"raised_at"`
	Since        time.Time `json:"since"`
	Value        float64   `json:"value"`
	Limit        float64   `json:"limit"`
	Unit         string    `json:"unit"`
	Action       string    `json:"action"` // what the gateway did
	Latched      bool      `json:"latched"`
	Acknowledged bool      `json:"acknowledged"`
}

// Sign sets the headers of a request with that body, sent at that time.
func Sign(h http.Header, secret, body []byte, at time.Time) {
	ts := strconv.FormatInt(at.Unix(), 10)
	h.Set(HeaderTimestamp, ts)
	h.Set(HeaderSignature, "v1="+hex.EncodeToString(sum(secret, ts, body)))
}

func sum(secret []byte, ts string, body []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte(ts + ".")) // a hash never errs
	_, _ = mac.Write(body)
	return mac.Sum(nil)
}

// Verify checks the headers of a request with that body, received at now. A
// nil error means that the body is what the holder of the secret signed within
// [Window]; whether it was seen before, the receiver tells by [Payload.ID].
func Verify(h http.Header, secret, body []byte, now time.Time) error {
	ts := h.Get(HeaderTimestamp)
	seconds, err := strconv.ParseInt(ts, 10, 64)
	if err != nil || len(ts) > 15 {
		return fmt.Errorf("%w: %s: want seconds since 1970", ErrUnsigned, HeaderTimestamp)
	}
	word, ok := strings.CutPrefix(h.Get(HeaderSignature), "v1=")
	got, err := hex.DecodeString(word)
	if !ok || err != nil || len(got) != sha256.Size {
		return fmt.Errorf("%w: %s: want v1= and 64 hex digits", ErrUnsigned, HeaderSignature)
	}
	if !hmac.Equal(got, sum(secret, ts, body)) {
		return ErrSignature
	}
	if off := now.Sub(time.Unix(seconds, 0)); off > Window || off < -Window {
		return fmt.Errorf("%w: by %v, at most %v", ErrExpired, off, Window)
	}
	return nil
}
