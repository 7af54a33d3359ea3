package notify

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/textproto"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/lark"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
)

// maxHanging is how many calls of one channel may be past their deadline.
const maxHanging = 4

// service sends through shoutrrr. What its version 0.13.2 needs (read in its
// source, and pinned by tests):
//
//   - Its calls take no context and some never end by themselves (generic and
//     SMTP have no deadline once connected). So each runs aside and is left
//     behind at the deadline; when [maxHanging] of a channel hang, further sends
//     are refused until one ends.
//   - A service keeps values of the last message (ntfy would send the title of
//     the first message for ever). So each send makes a new one.
//   - Its errors and its log carry addresses with their secrets. So errors are
//     redacted and the log is off.
//   - Its Telegram hides failures. So Telegram is not sent through it.
type service struct {
	kind    string
	urls    []string // each is one receiver; sent one after the other
	most    int      // bytes of text
	inline  bool     // the subject is the first line of the text
	params  func(m *Message) types.Params
	clean   func(error) error
	calls   sync.WaitGroup
	mu      sync.Mutex
	hanging int // guarded by mu
}

// newShoutrrr is the service of a channel; faults are left in r.
func newShoutrrr(c *Channel, r *secrets) *service {
	s := &service{inline: true, most: 4000, params: func(*Message) types.Params { return types.Params{} }}
	switch {
	case c.WeCom != nil:
		s.kind, s.most = "wecom", 2048 // the service's own bound for text
		s.urls = []string{(&url.URL{Scheme: "wecom", Host: r.read("wecom.key_file", c.WeCom.KeyFile)}).String()}
	case c.Lark != nil:
		s.kind = "lark"
		u := url.URL{Scheme: "lark", Host: c.Lark.Host, Path: "/" + r.read("lark.token_file", c.Lark.TokenFile)}
		if secret := r.read("lark.secret_file", c.Lark.SecretFile); secret != "" {
			u.RawQuery = url.Values{"secret": {secret}}.Encode()
		}
		s.urls = []string{u.String()}
	case c.Ntfy != nil:
		s.ntfy(c.Ntfy, r)
	case c.SMTP != nil:
		s.smtp(c.SMTP, r)
	case c.Generic != nil:
		s.kind, s.inline = "generic", false
		s.urls = []string{"generic+" + r.read("generic.url_file", c.Generic.URLFile)}
		if u, err := url.Parse(s.urls[0]); err == nil {
			q := u.Query()
			q.Set("template", "json")
			u.RawQuery = q.Encode()
			s.urls[0] = u.String()
		}
		s.params = func(m *Message) types.Params { return types.Params{"title": m.Subject, "id": m.ID} }
	default:
		s.kind = "shoutrrr"
		s.urls = []string{r.read("shoutrrr.url_file", c.Shoutrrr.URLFile)}
		if strings.HasPrefix(strings.ToLower(s.urls[0]), "telegram:") {
			r.errs = append(r.errs, errors.New("shoutrrr.url_file: telegram: want the kind telegram, which notices failures"))
		}
	}
	if len(r.errs) > 0 {
		return s
	}
	for _, u := range s.urls {
		r.words = append(r.words, u)
		if _, err := s.locate(u); err != nil {
			r.errs = append(r.errs, fmt.Errorf("%s: %w", s.kind, redact(err, r.words)))
		}
	}
	return s
}

func (s *service) ntfy(n *Ntfy, r *secrets) {
	s.kind, s.inline = "ntfy", false
	server, err := url.Parse(n.Server)
	if err != nil {
		r.errs = append(r.errs, fmt.Errorf("ntfy.server: %w", err))
		return
	}
	u := url.URL{Scheme: "ntfy", Host: server.Host, Path: strings.TrimSuffix(server.Path, "/") + "/" + r.read("ntfy.topic_file", n.TopicFile)}
	u.RawQuery = url.Values{"scheme": {server.Scheme}}.Encode()
	if n.Username != "" {
		u.User = url.UserPassword(n.Username, r.read("ntfy.password_file", n.PasswordFile))
	}
	s.urls = []string{u.String()}
	s.params = func(m *Message) types.Params {
		p := types.Params{"title": mime.BEncoding.Encode("UTF-8", m.Subject), "priority": "default"}
		if m.Link != "" {
			p["click"] = m.Link
		}
		switch {
		case m.Severity == 1:
			p["priority"] = "max"
		case isSevere(m):
			p["priority"] = "high"
		}
		return p
	}
}

func (s *service) smtp(c *SMTP, r *secrets) {
	s.kind, s.inline, s.most = "smtp", false, 64<<10
	q := url.Values{
		"from": {c.From}, "fromname": {mime.BEncoding.Encode("UTF-8", c.FromName)},
		"usestarttls": {"No"}, "encryption": {"None"}, "auth": {"None"},
	}
	switch c.Security {
	case "starttls":
		q.Set("usestarttls", "Yes")
		q.Set("requirestarttls", "Yes")
		q.Set("encryption", "ExplicitTLS")
	case "tls":
		q.Set("encryption", "ImplicitTLS")
	}
	u := url.URL{Scheme: "smtp", Host: net.JoinHostPort(c.Host, strconv.Itoa(c.Port)), Path: "/"}
	if c.Username != "" {
		q.Set("auth", "Plain")
		u.User = url.UserPassword(c.Username, r.read("smtp.password_file", c.PasswordFile))
	}
	for _, to := range c.To {
		q.Set("to", to)
		u.RawQuery = q.Encode()
		s.urls = append(s.urls, u.String())
	}
	s.params = func(m *Message) types.Params {
		return types.Params{"subject": mime.BEncoding.Encode("UTF-8", m.Subject)}
	}
}

func (s *service) locate(address string) (types.Service, error) {
	r, err := router.New(nil)
	if err != nil {
		return nil, err
	}
	return r.Locate(address)
}

func (s *service) Send(ctx context.Context, m *Message) (retry bool, err error) {
	text := m.Text
	if s.inline {
		text = m.Subject + "\n" + text
	}
	text = shorten(text, s.most)
	var errs []error
	taken := 0
	for _, u := range s.urls {
		again, err := s.one(ctx, u, text, s.params(m))
		if err == nil {
			taken++
			continue
		}
		retry = retry || again
		errs = append(errs, err)
	}
	if taken > 0 && len(errs) > 0 { // not again to those who have it
		return false, fmt.Errorf("%s: %d of %d receivers: %w", s.kind, len(errs), len(s.urls), s.clean(errors.Join(errs...)))
	}
	if len(errs) > 0 {
		return retry, fmt.Errorf("%s: %w", s.kind, s.clean(errors.Join(errs...)))
	}
	return false, nil
}

// one sends to one receiver and waits until the deadline at the longest.
func (s *service) one(ctx context.Context, address, text string, params types.Params) (retry bool, err error) {
	s.mu.Lock()
	busy := s.hanging >= maxHanging
	s.mu.Unlock()
	if busy {
		return true, fmt.Errorf("%d earlier messages still wait for the service", maxHanging)
	}
	made, err := s.locate(address)
	if err != nil {
		return false, err
	}
	done := make(chan error, 1)
	s.calls.Go(func() { done <- made.Send(text, &params) })
	select {
	case err = <-done:
	case <-ctx.Done():
		s.mu.Lock()
		s.hanging++
		s.mu.Unlock()
		s.calls.Go(func() {
			<-done //nolint:errcheck // too late to be told
			s.mu.Lock()
			s.hanging--
			s.mu.Unlock()
		})
		return true, fmt.Errorf("no answer in time: %w", context.Cause(ctx))
	}
	return err != nil && !final(err), err
}

// final reports whether sending again cannot help.
func final(err error) bool {
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		return reply.Code >= 500 && reply.Code != 554 // 554 is also "too many connections"
	}
	if _, network := errors.AsType[net.Error](err); network {
		return false
	}
	if m := statusLine.FindStringSubmatch(err.Error()); m != nil {
		status, _ := strconv.Atoi(m[1]) // three digits
		return !temporary(status)
	}
	return errors.Is(err, lark.ErrInvalidHost) || errors.Is(err, lark.ErrNoPath)
}

// statusLine finds the status of an answer in shoutrrr's words for it.
var statusLine = regexp.MustCompile(`status(?: code)?:? (4\d\d|5\d\d) `)
