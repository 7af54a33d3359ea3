package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/shedguard/shedguard/cloud/book"
	"github.com/shedguard/shedguard/cloud/notify/webhook"
)

// Sender sends messages over one channel. It is used by several goroutines.
type Sender interface {
	// Send returns nil once the service has taken the message. retry says
	// whether trying again can help. The error names no secret.
	Send(ctx context.Context, m *Message) (retry bool, err error)
}

// NewSender is the sender of a channel. It reads the channel's secrets, and
// tells of every file that is not as it should be.
func NewSender(c Channel) (Sender, error) {
	c = c.withDefaults()
	f := &faults{}
	f.channel("channel "+c.Name, &c)
	if len(f.errs) > 0 {
		return nil, errors.Join(f.errs...)
	}
	r := &secrets{}
	s := r.sender(&c)
	if err := errors.Join(r.errs...); err != nil {
		return nil, fmt.Errorf("channel %s: %w", c.Name, err)
	}
	return s, nil
}

// secrets reads files of secrets and remembers them, to be taken out of
// errors.
type secrets struct {
	errs  []error
	words []string
}

// maxSecret bounds a file of one secret.
const maxSecret = 4 << 10

// read is the trimmed content of a file; "" without a name.
func (r *secrets) read(key, name string) string {
	if name == "" {
		return ""
	}
	f, err := os.Open(name)
	if err != nil {
		r.errs = append(r.errs, fmt.Errorf("%s: %w", key, err))
		return ""
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	info, statErr := f.Stat()
	if err := errors.Join(err, statErr, f.Close()); err != nil {
		r.errs = append(r.errs, fmt.Errorf("%s: %w", key, err))
		return ""
	}
	s := strings.TrimSpace(string(b))
	switch {
	case s == "" || len(b) > maxSecret || strings.ContainsFunc(s, control):
		r.errs = append(r.errs, fmt.Errorf("%s: %s: want one line of 1 to %d bytes", key, name, maxSecret))
	case info.Mode().Perm()&(fs.ModePerm&0o007) != 0:
		r.errs = append(r.errs, fmt.Errorf("%s: %s: mode %v: want a file that others cannot read (chmod 600 or 640)", key, name, info.Mode().Perm()))
	}
	r.words = append(r.words, s)
	return s
}

func (r *secrets) sender(c *Channel) Sender {
	clean := func(err error) error { return redact(err, r.words) }
	switch {
	case c.DingTalk != nil:
		d := &dingTalk{server: c.DingTalk.Server, clean: clean}
		d.token = r.read("dingtalk.token_file", c.DingTalk.TokenFile)
		d.secret = r.read("dingtalk.secret_file", c.DingTalk.SecretFile)
		return d
	case c.Telegram != nil:
		return &telegram{
			server: c.Telegram.Server, chat: c.Telegram.Chat, clean: clean,
			token: r.read("telegram.token_file", c.Telegram.TokenFile),
		}
	case c.Webhook != nil:
		secret := r.read("webhook.secret_file", c.Webhook.SecretFile)
		if secret != "" && len(secret) < webhook.MinSecret {
			r.errs = append(r.errs, fmt.Errorf("webhook.secret_file: %s: %d bytes: want at least %d", c.Webhook.SecretFile, len(secret), webhook.MinSecret))
		}
		return &signed{url: c.Webhook.URL, secret: []byte(secret), clean: clean}
	default:
		s := newShoutrrr(c, r)
		s.clean = clean
		return s
	}
}

// redact is err without secrets. Of addresses only scheme and host stay.
func redact(err error, words []string) error {
	if err == nil {
		return nil
	}
	s := err.Error()
	for _, w := range words {
		for _, form := range []string{w, url.QueryEscape(w), url.PathEscape(w)} {
			if len(form) >= 4 {
				s = strings.ReplaceAll(s, form, "***")
			}
		}
	}
	s = regexp.MustCompile(`([a-z][a-z0-9+.-]*://)([^/@\s"]*@)?([^/?\s":]*(?::\d+)?)(?:[^\s"]*[^\s":])?`).ReplaceAllString(s, "$1$3/***")
	return errors.New(shorten(oneLine(s), 500))
}

// client is for one channel's requests: no proxy surprises beyond the
// environment's, no redirects (a moved address would get the secret).
func client() *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// post sends a JSON body and gives the status and the first bytes of the
// answer.
func post(ctx context.Context, address string, h http.Header, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	maps.Copy(req.Header, h)
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "shedguard")
	res, err := client().Do(req)
	if err != nil {
		return 0, nil, err
	}
	answer, err = io.ReadAll(io.LimitReader(res.Body, 64<<10))
	return res.StatusCode, answer, errors.Join(err, res.Body.Close())
}

// temporary reports whether a status may be another one later.
func temporary(status int) bool {
	return status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooEarly || status == http.StatusTooManyRequests
}

// signed posts the whole message, signed.
type signed struct {
	url    string
	secret []byte
	clean  func(error) error
}

func (s *signed) Send(ctx context.Context, m *Message) (retry bool, err error) {
	body, err := json.Marshal(payload(m))
	if err != nil {
		return false, fmt.Errorf("webhook: encode: %w", err)
	}
	h := http.Header{}
	webhook.Sign(h, s.secret, body, time.Now())
	status, _, err := post(ctx, s.url, h, body)
	switch {
	case err != nil:
		return true, fmt.Errorf("webhook: %w", s.clean(err))
	case status < 200 || status > 299:
		return temporary(status), fmt.Errorf("webhook: the receiver answered %d %s", status, http.StatusText(status))
	}
	return false, nil
}

func payload(m *Message) webhook.Payload {
	p := webhook.Payload{
		ID: m.ID, Kind: string(m.Kind), Person: m.Person, SentAt: m.At.UTC(), Level: int(m.Severity),
		Subject: m.Subject, Text: m.Text, Link: m.Link, Alarms: []webhook.Alarm{},
	}
	for i := range m.Alarms {
		a := &m.Alarms[i]
		p.Alarms = append(p.Alarms, webhook.Alarm{
			ID: a.ID, Shed: a.Shed, ShedName: a.ShedName, Place: m.Place, Subject: a.Subject, Cause: string(a.Cause),
			Severity: a.Severity.String(), State: string(a.State), RaisedAt: a.RaisedAt, Since: a.Since, Value: a.Value, Limit: a.Limit,
			Unit: a.Unit, Action: string(a.Action), Latched: a.Latched, Acknowledged: a.Acknowledged != nil,
		})
	}
	return p
}

// telegram posts sendMessage itself: shoutrrr v0.13.2 reports success when its
// request failed or was answered by anything but Telegram's JSON.
type telegram struct {
	server, token, chat string
	clean               func(error) error
}

func (t *telegram) Send(ctx context.Context, m *Message) (retry bool, err error) {
	const most = 4096 // characters; bytes are never fewer
	body, err := json.Marshal(map[string]any{
		"chat_id": t.chat, "text": shorten(m.Subject+"\n"+m.Text, most), "disable_web_page_preview": true,
	})
	if err != nil {
		return false, fmt.Errorf("telegram: encode: %w", err)
	}
	status, answer, err := post(ctx, strings.TrimSuffix(t.server, "/")+"/bot"+t.token+"/sendMessage", nil, body)
	if err != nil {
		return true, fmt.Errorf("telegram: %w", t.clean(err))
	}
	var said struct {
		OK          bool   `json:"ok"`
		Description string `json:"description"`
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		return true, fmt.Errorf("telegram: status %d: the answer is not Telegram's", status)
	}
	if !said.OK {
		return temporary(status), fmt.Errorf("telegram: status %d: %w", status, t.clean(errors.New(said.Description)))
	}
	return false, nil
}

// isSevere reports whether a message is about a critical or major alarm.
func isSevere(m *Message) bool {
	return m.Kind != book.NoticeCleared && m.Severity != 0 && m.Severity <= 2
}
