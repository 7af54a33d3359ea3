package notify_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
	"github.com/shedguard/shedguard/cloud/notify"
	"github.com/shedguard/shedguard/cloud/notify/webhook"
)

// secret writes a file of one secret and gives its name.
func secret(tb testing.TB, word string) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(word+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	return name
}

// received is a request as a receiver saw it.
type received struct {
	method, path string
	host         string
	query        url.Values
	header       http.Header
	body         string
}

// receiver is a real HTTP server that answers with status and answer.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []received
	status int
	answer string
}

func newReceiver(tb testing.TB, status int, answer string) *receiver {
	tb.Helper()
	r := &receiver{status: status, answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.got = append(r.got, received{req.Method, req.URL.Path, req.Host, req.URL.Query(), req.Header, string(body)})
		status, answer := r.status, r.answer
		r.mu.Unlock()
		if status == http.StatusFound {
			w.Header().Set("Location", "/moved")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	tb.Cleanup(r.Close)
	return r
}

func (r *receiver) last(tb testing.TB) received {
	tb.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.got) == 0 {
		tb.Fatal("nothing was received")
	}
	return r.got[len(r.got)-1]
}

// redirected sends every request of http.DefaultTransport to a receiver, for
// services whose host cannot be set: what is tested is the request as it
// leaves the library.
func redirected(t *testing.T, r *receiver) {
	t.Helper()
	to, err := url.Parse(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	before := http.DefaultTransport
	inner := &http.Transport{}
	http.DefaultTransport = roundTripper(func(req *http.Request) (*http.Response, error) {
		if req.URL.Scheme != "https" {
			return nil, fmt.Errorf("scheme %s", req.URL.Scheme)
		}
		out := req.Clone(req.Context())
		out.Host = req.URL.Host
		out.URL.Scheme, out.URL.Host = "http", to.Host
		return inner.RoundTrip(out)
	})
	t.Cleanup(func() { http.DefaultTransport = before; inner.CloseIdleConnections() })
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func sender(tb testing.TB, c notify.Channel) notify.Sender {
	tb.Helper()
	c.Name = "c"
	s, err := notify.NewSender(c)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func message() *notify.Message {
	return &notify.Message{
		ID: id(7), Kind: book.NoticeRaised, Person: "li", At: noon, Severity: shedguard.SeverityCritical,
		Subject: "【紧急】三号棚 3 号插座：短路", Text: "3 号插座：短路（31 A，限值 30 A）。\n地点：三号棚", Link: "https://sheds.example.com/alarms/1",
		Alarms: []book.Alarm{{ID: id(1), Shed: "north-1", Severity: shedguard.SeverityCritical, State: book.AlarmOpen}},
	}
}

// decode reads JSON into a generic value.
func decode(tb testing.TB, s string) map[string]any {
	tb.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		tb.Fatalf("body %q: %v", s, err)
	}
	return v
}

func at(v any, path ...string) any {
	for _, key := range path {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

// Every web service gets the request that its contract asks for, and what it
// answers decides between sent, again and never. No error names a secret.
func TestWebServices(t *testing.T) {
	type outcome struct{ retry, fails bool }
	sent, again, never := outcome{}, outcome{true, true}, outcome{false, true}
	const token, key = "T0KEN-abcdef", "SECret-0123456789"
	tests := map[string]struct {
		channel func(t *testing.T, url string) notify.Channel
		seam    bool // the host is fixed
		ok      string
		check   func(t *testing.T, r received, m *notify.Message)
		answers map[string]outcome // "status body" to outcome
	}{
		"wecom": {
			seam: true,
			channel: func(t *testing.T, _ string) notify.Channel {
				return notify.Channel{WeCom: &notify.WeCom{KeyFile: secret(t, token)}}
			},
			ok: `{"errcode":0,"errmsg":"ok"}`,
			check: func(t *testing.T, r received, m *notify.Message) {
				if r.host != "qyapi.weixin.qq.com" || r.path != "/cgi-bin/webhook/send" || r.query.Get("key") != token {
					t.Errorf("request to %s%s?%s", r.host, r.path, r.query.Encode())
				}
				if b := decode(t, r.body); at(b, "msgtype") != "text" || at(b, "text", "content") != m.Subject+"\n"+m.Text {
					t.Errorf("body %s", r.body)
				}
			},
			answers: map[string]outcome{`200 {"errcode":45009,"errmsg":"too fast"}`: again, "502 x": again, "404 x": never},
		},
		"lark, signed": {
			seam: true,
			channel: func(t *testing.T, _ string) notify.Channel {
				return notify.Channel{Lark: &notify.Lark{TokenFile: secret(t, token), SecretFile: secret(t, key)}}
			},
			ok: `{"code":0,"msg":"success"}`,
			check: func(t *testing.T, r received, m *notify.Message) {
				if r.host != "open.feishu.cn" || r.path != "/open-apis/bot/v2/hook/"+token {
					t.Errorf("request to %s%s", r.host, r.path)
				}
				b := decode(t, r.body)
				if at(b, "content", "text") != m.Subject+"\n"+m.Text || at(b, "sign") == nil || at(b, "timestamp") == nil {
					t.Errorf("body %s", r.body)
				}
			},
			answers: map[string]outcome{`200 {"code":9499,"msg":"too fast"}`: again, "500 x": again, "400 x": never},
		},
		"dingtalk": {
			channel: func(t *testing.T, url string) notify.Channel {
				return notify.Channel{DingTalk: &notify.DingTalk{Server: url, TokenFile: secret(t, token), SecretFile: secret(t, key)}}
			},
			ok: `{"errcode":0,"errmsg":"ok"}`,
			check: func(t *testing.T, r received, m *notify.Message) {
				var ms int64
				if _, err := fmt.Sscan(r.query.Get("timestamp"), &ms); err != nil || time.Since(time.UnixMilli(ms)).Abs() > time.Minute {
					t.Errorf("timestamp %q", r.query.Get("timestamp"))
				}
				if r.path != "/robot/send" || r.query.Get("access_token") != token || r.query.Get("sign") != notify.DingTalkSign(key, ms) {
					t.Errorf("request to %s?%s", r.path, r.query.Encode())
				}
				if b := decode(t, r.body); at(b, "msgtype") != "text" || at(b, "text", "content") != m.Subject+"\n"+m.Text {
					t.Errorf("body %s", r.body)
				}
			},
			answers: map[string]outcome{
				`200 {"errcode":130101,"errmsg":"send too fast"}`: again, `200 {"errcode":310000,"errmsg":"sign not match"}`: never,
				`200 {"errcode":300001,"errmsg":"token is not exist"}`: never, "200 <html>": again, "200 {}": again, "503 x": again,
			},
		},
		"telegram": {
			channel: func(t *testing.T, url string) notify.Channel {
				return notify.Channel{Telegram: &notify.Telegram{Server: url, TokenFile: secret(t, "123:"+token), Chat: "-100"}}
			},
			ok: `{"ok":true,"result":{}}`,
			check: func(t *testing.T, r received, m *notify.Message) {
				if r.path != "/bot123:"+token+"/sendMessage" {
					t.Errorf("request to %s", r.path)
				}
				if b := decode(t, r.body); at(b, "chat_id") != "-100" || at(b, "text") != m.Subject+"\n"+m.Text {
					t.Errorf("body %s", r.body)
				}
			},
			answers: map[string]outcome{
				`403 {"ok":false,"error_code":403,"description":"bot was blocked"}`:   never,
				`429 {"ok":false,"error_code":429,"description":"too many requests"}`: again, "502 <html>": again, "200 x": again,
			},
		},
		"ntfy": {
			channel: func(t *testing.T, url string) notify.Channel {
				return notify.Channel{Ntfy: &notify.Ntfy{Server: url, TopicFile: secret(t, token), Username: "u", PasswordFile: secret(t, key)}}
			},
			ok: `{"id":"x"}`,
			check: func(t *testing.T, r received, m *notify.Message) {
				title, err := new(mime.WordDecoder).DecodeHeader(r.header.Get("Title"))
				if err != nil || title != m.Subject || r.body != m.Text || r.path != "/"+token {
					t.Errorf("request to %s: title %q, body %q", r.path, title, r.body)
				}
				if !strings.EqualFold(r.header.Get("Priority"), "max") || r.header.Get("Click") != m.Link {
					t.Errorf("priority %q, click %q", r.header.Get("Priority"), r.header.Get("Click"))
				}
				if r.header.Get("Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("u:"+key)) {
					t.Errorf("authorization %q", r.header.Get("Authorization"))
				}
			},
			answers: map[string]outcome{`500 {"code":50001,"error":"internal"}`: again, "502 <html>": again, "404 <html>": never},
		},
		"generic": {
			channel: func(t *testing.T, url string) notify.Channel {
				return notify.Channel{Generic: &notify.Generic{URLFile: secret(t, url+"/hook/"+token+"?a=b")}}
			},
			ok: "ok",
			check: func(t *testing.T, r received, m *notify.Message) {
				b := decode(t, r.body)
				if r.path != "/hook/"+token || r.query.Get("a") != "b" || at(b, "title") != m.Subject || at(b, "message") != m.Text || at(b, "id") != m.ID {
					t.Errorf("request to %s?%s: %s", r.path, r.query.Encode(), r.body)
				}
			},
			answers: map[string]outcome{"500 x": again, "429 x": again, "403 x": never},
		},
		"webhook": {
			channel: func(t *testing.T, url string) notify.Channel {
				return notify.Channel{Webhook: &notify.Webhook{URL: url + "/in", SecretFile: secret(t, key)}}
			},
			check: func(t *testing.T, r received, m *notify.Message) {
				if err := webhook.Verify(r.header, []byte(key), []byte(r.body), time.Now()); err != nil {
					t.Error(err)
				}
				var p webhook.Payload
				if err := json.Unmarshal([]byte(r.body), &p); err != nil {
					t.Fatal(err)
				}
				if p.ID != m.ID || p.Kind != "raised" || p.Level != 1 || p.Subject != m.Subject || len(p.Alarms) != 1 || p.Alarms[0].Severity != "critical" {
					t.Errorf("payload %+v", p)
				}
			},
			answers: map[string]outcome{"500 x": again, "408 x": again, "425 x": again, "429 x": again, "410 x": never, "302 x": never},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, http.StatusOK, tt.ok)
			if tt.seam {
				redirected(t, r)
			}
			s, m := sender(t, tt.channel(t, r.URL)), message()
			try := func(what string, want outcome) {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				retry, err := s.Send(ctx, m)
				if got := (outcome{retry, err != nil}); got != want {
					t.Errorf("%s: %+v, want %+v (%v)", what, got, want, err)
				}
				if err != nil && (strings.Contains(err.Error(), token) || strings.Contains(err.Error(), key)) {
					t.Errorf("%s: the error names a secret: %v", what, err)
				}
			}
			try("ok", sent)
			tt.check(t, r.last(t), m)
			m.Subject = "second" // nothing of the first message may stay
			try("second", sent)
			tt.check(t, r.last(t), m)
			for answer, want := range tt.answers {
				status, body, _ := strings.Cut(answer, " ")
				r.mu.Lock()
				_, err := fmt.Sscan(status, &r.status)
				r.answer = body
				r.mu.Unlock()
				if err != nil {
					t.Fatal(err)
				}
				try(answer, want)
			}
			r.Close()
			try("nobody listens", again)
		})
	}
}

// The example of DingTalk's document on security settings, computed with its
// Python program: timestamp 1577262236757, secret "this is secret".
func TestDingTalkSign(t *testing.T) {
	if got, want := notify.DingTalkSign("this is secret", 1577262236757), "hmPWwU+7lVdm3ZZz0r9tSfx0L4Q26jWOZr9+Gs6EZQM="; got != want {
		t.Errorf("sign = %s, want %s", got, want)
	}
}

// The reasons for what is done differently from shoutrrr's own way; when one
// of these fails the library has changed, and the detour may go.
func TestShoutrrrAsItIs(t *testing.T) {
	bad := newReceiver(t, http.StatusBadGateway, "<html>bad gateway</html>")
	redirected(t, bad)
	r, err := router.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Locate("telegram://123456789:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA@telegram?chats=1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send("x", nil); err != nil {
		t.Errorf("telegram now tells of a 502: %v", err)
	}
	if len(bad.got) != 1 {
		t.Errorf("%d requests", len(bad.got))
	}
}

// smtpServer takes mail on 127.0.0.1 and answers RCPT with a code that the
// address says ("550-x@…" is refused).
type smtpServer struct {
	host string
	port int

	mu    sync.Mutex
	got   []envelope
	conns []net.Conn
}

type envelope struct{ from, to, data string }

func newSMTP(t *testing.T) *smtpServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal("not TCP")
	}
	s := &smtpServer{host: "127.0.0.1", port: addr.Port}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			wg.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		for _, conn := range s.conns { // shoutrrr leaves those open that it gave up
			_ = conn.Close()
		}
		s.mu.Unlock()
		wg.Wait()
	})
	return s
}

func (s *smtpServer) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	say := func(line string) { _, _ = io.WriteString(conn, line+"\r\n") }
	in := bufio.NewReader(conn)
	say("220 test")
	var e envelope
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		switch verb := strings.ToUpper(strings.SplitN(line, " ", 2)[0]); verb {
		case "EHLO", "HELO":
			say("250 test")
		case "MAIL":
			e = envelope{from: line}
			say("250 ok")
		case "RCPT":
			e.to = line
			if _, code, ok := strings.Cut(line, "<refused-"); ok {
				say(code[:3] + " no")
				continue
			}
			say("250 ok")
		case "DATA":
			say("354 go on")
			var data strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				data.WriteString(line)
			}
			e.data = data.String()
			s.mu.Lock()
			s.got = append(s.got, e)
			s.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("500 what")
		}
	}
}

func (s *smtpServer) channel(to ...string) notify.Channel {
	return notify.Channel{SMTP: &notify.SMTP{
		Host: s.host, Port: s.port, Security: "none", From: "guard+sheds@example.com", FromName: "车棚卫士", To: to,
	}}
}

func TestSMTP(t *testing.T) {
	server := newSMTP(t)
	m := message()
	m.Subject += "\r\nBcc: x@example.com"
	if retry, err := sender(t, server.channel("first@example.com", "second+night@example.com")).Send(t.Context(), m); err != nil {
		t.Fatalf("send: %v (retry %v)", err, retry)
	}
	if len(server.got) != 2 {
		t.Fatalf("%d mails, want 2", len(server.got))
	}
	for i, to := range []string{"first@example.com", "second+night@example.com"} {
		e := server.got[i]
		if !strings.Contains(e.to, "<"+to+">") || !strings.Contains(e.from, "<guard+sheds@example.com>") {
			t.Errorf("envelope %q to %q", e.from, e.to)
		}
		got, err := mail.ReadMessage(strings.NewReader(e.data))
		if err != nil {
			t.Fatalf("mail %q: %v", e.data, err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
		if err != nil || subject != m.Subject || got.Header.Get("Bcc") != "" {
			t.Errorf("subject %q: %v, headers %v", subject, err, got.Header)
		}
		from, err := mail.ParseAddress(got.Header.Get("From"))
		if err != nil || from.Name != "车棚卫士" {
			t.Errorf("from %v: %v", from, err)
		}
		body, err := io.ReadAll(got.Body)
		if err != nil || strings.TrimSpace(strings.ReplaceAll(string(body), "\r\n", "\n")) != m.Text {
			t.Errorf("body %q", body)
		}
	}
	tests := map[string]struct {
		to    []string
		retry bool
	}{
		"mailbox unknown":      {[]string{"refused-550@example.com"}, false},
		"mailbox busy":         {[]string{"refused-450@example.com"}, true},
		"one of two has it":    {[]string{"first@example.com", "refused-450@example.com"}, false},
		"one of two may later": {[]string{"refused-550@example.com", "refused-450@example.com"}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if retry, err := sender(t, server.channel(tt.to...)).Send(t.Context(), m); err == nil || retry != tt.retry {
				t.Errorf("retry %v, %v: want %v and an error", retry, err, tt.retry)
			}
		})
	}
	c := server.channel("first@example.com")
	c.SMTP.Security = "starttls"
	if _, err := sender(t, c).Send(t.Context(), m); err == nil {
		t.Error("a server without STARTTLS was trusted with the message")
	}
}

// A service that takes the connection and never answers ends at the timeout,
// and cannot pile up calls without end.
func TestServiceThatHangs(t *testing.T) {
	stop := make(chan struct{})
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}))
	defer hung.Close()
	defer close(stop)
	s := sender(t, notify.Channel{Generic: &notify.Generic{URLFile: secret(t, hung.URL+"/x")}})
	for n := range 6 {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		retry, err := s.Send(ctx, message())
		cancel()
		if err == nil || !retry {
			t.Fatalf("retry %v, %v", retry, err)
		}
		if refused := strings.Contains(err.Error(), "still wait"); refused != (n >= 4) {
			t.Errorf("send %d: %v", n+1, err)
		}
	}
}

func TestSecretsAreFilesForOneEye(t *testing.T) {
	open := secret(t, "abcdefgh")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		file string
		want string
	}{
		"missing":   {filepath.Join(t.TempDir(), "none"), "no such file"},
		"empty":     {secret(t, ""), "want one line"},
		"two lines": {secret(t, "a\nb"), "want one line"},
		"too long":  {secret(t, strings.Repeat("a", 5000)), "want one line"},
		"readable":  {open, "others cannot read"},
		"short":     {secret(t, "short"), "want at least 16"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := notify.NewSender(notify.Channel{Name: "c", Webhook: &notify.Webhook{URL: "https://example.com/", SecretFile: tt.file}})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "webhook.secret_file") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	_, err := notify.NewSender(notify.Channel{Name: "c", Shoutrrr: &notify.Shoutrrr{URLFile: secret(t, "telegram://123:abc@telegram?chats=1")}})
	if err == nil || strings.Contains(err.Error(), "abc") {
		t.Errorf("telegram through shoutrrr: %v", err)
	}
	_, err = notify.NewSender(notify.Channel{Name: "c", Shoutrrr: &notify.Shoutrrr{URLFile: secret(t, "nothing://tok3n-value@host/path")}})
	if err == nil || strings.Contains(err.Error(), "tok3n") {
		t.Errorf("unknown service: %v", err)
	}
}

func TestRedact(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"path and query": {`Post "https://api.example.com:8443/bot1:xyz/send?key=a": EOF`, `Post "https://api.example.com:8443/***": EOF`},
		"user":           {`dial smtp://user:pass@mail.example.com:25/?to=a: refused`, `dial smtp://mail.example.com:25/***: refused`},
		"bare word":      {`bad token hunter22`, `bad token ***`},
		"escaped word":   {`bad token a%2Fb%2Bc d`, `bad token *** d`},
		"lines":          {"a\r\nb", "a  b"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := notify.Redact(errors.New(tt.in), []string{"hunter22", "a/b+c"}).Error(); got != tt.want {
				t.Errorf("redact = %q, want %q", got, tt.want)
			}
		})
	}
	if notify.Redact(nil, nil) != nil {
		t.Error("no error became one")
	}
}

func FuzzShorten(f *testing.F) {
	f.Add("三号棚 3 号插座", 7)
	f.Add("", 1)
	f.Add("abc", 3)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		if limit < 3 || limit > 1<<20 {
			return
		}
		got := notify.Shorten(s, limit)
		if len(got) > limit || len(s) <= limit && got != s {
			t.Errorf("shorten(%q, %d) = %q", s, limit, got)
		}
	})
}
