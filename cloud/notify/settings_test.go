package notify_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
	"github.com/shedguard/shedguard/cloud/notify"
)

// read is the settings in YAML, as the collector's configuration reads them.
func read(b []byte) (notify.Settings, error) {
	var s notify.Settings
	err := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict()).Decode(&s)
	return s, err
}

func TestExampleSettings(t *testing.T) {
	b, err := os.ReadFile("testdata/notify.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := read(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if len(s.Channels) != 9 || len(s.People) != 4 || s.Routes[0].Severity != shedguard.SeverityMinor || s.Routes[0].Steps[1].After != 5*time.Minute ||
		!slices.Equal(s.Resend, []time.Duration{2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute}) || s.Off() {
		t.Errorf("settings %+v", s)
	}
	// The program tells of every secret that is not there, at once.
	_, err = notify.New(notify.Options{Settings: s, Book: (*book.Book)(nil)})
	if err == nil {
		t.Fatal("New without its secrets")
	}
	for _, want := range []string{
		"channel duty-wecom: wecom.key_file", "lark.token_file", "lark.secret_file", "dingtalk.token_file", "smtp.password_file",
		"telegram.token_file", "ntfy.topic_file", "generic.url_file", "webhook.secret_file", "shoutrrr.url_file",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s:\n%v", want, err)
		}
	}
	if _, err := read([]byte("routs: []")); err == nil {
		t.Error("an unknown key was taken")
	}
}

// Every fault is told at once, with its path, its value and what is allowed.
func TestValidate(t *testing.T) {
	tests := map[string]struct {
		change func(s *notify.Settings)
		want   []string
	}{
		"good":           {},
		"nothing at all": {change: func(s *notify.Settings) { *s = notify.Settings{} }},
		"the whole": {
			change: func(s *notify.Settings) {
				s.BaseURL, s.TimeZone = "sheds.example.com", "Mars/Olympus"
				s.Resend = []time.Duration{time.Second, 5 * time.Minute, 2 * time.Minute}
				s.Flap = notify.Flap{Count: -1, Window: time.Second, Settle: time.Hour * 3}
				s.Flood = notify.Flood{Messages: 5000, Window: 48 * time.Hour, SummaryEvery: time.Second}
			},
			want: []string{
				`base_url: sheds.example.com: want http:// or https://`, `time_zone: "Mars/Olympus": want a name of the IANA time zones`,
				`resend[0]: 1s: want 10s to 24h0m0s`, `resend[2]: 2m0s: want at least the pause before, 5m0s`,
				`flap.count: -1: want 1 to 100`, `flap.window: 1s: want 1m0s to 24h0m0s`, `flap.settle: 3h0m0s: want 10s to 2h0m0s`,
				`flood.messages: 5000: want 1 to 1000`, `flood.window: 48h0m0s`, `flood.summary_every: 1s`,
			},
		},
		"people": {
			change: func(s *notify.Settings) {
				s.People = []notify.Person{
					{Name: "li", Language: "fr", Channels: []string{"c-li", "nowhere", "c-li"}, Quiet: &notify.Quiet{From: "25:00", To: "7"}},
					{Name: "li"},
					{Name: "c-wang", Channels: []string{"c-wang"}, Quiet: &notify.Quiet{From: "07:00", To: "07:00"}},
					{Name: " x\n", Channels: []string{"c-wang"}},
				}
				s.Routes = s.Routes[:0:0]
			},
			want: []string{
				`people[0].language: "fr": want zh, en or both`, `people[0].channels[1]: "nowhere": want one of ["c-group" "c-li" "c-li-2" "c-wang"]`,
				`people[0].channels[2]: "c-li": want each channel once`, `people[0].quiet_hours.from: "25:00": want a time of day`, `people[0].quiet_hours.to: "7"`,
				`people[1].name: "li": want a name that is not taken`, `people[1].channels: none`, `people[2].name: "c-wang": want a name that no channel has`,
				`people[2].quiet_hours.to: "07:00": want another time`, `people[3].name: " x\n": want 1 to 100 bytes`, `routes: none: want at least one`,
			},
		},
		"routes": {
			change: func(s *notify.Settings) {
				s.Routes = []notify.Route{
					{},
					{Sheds: []string{"[", ""}, Severity: 9, Steps: []notify.Step{
						{After: -time.Second, People: []string{"li", "nobody"}}, {After: -time.Second, People: []string{"li"}}, {After: 25 * time.Hour},
					}},
				}
			},
			want: []string{
				`routes[0].sheds: none`, `routes[0].steps: none`, `routes[1].sheds[0]: "["`, `routes[1].sheds[1]: ""`, `routes[1].severity: severity(9): want critical`,
				`routes[1].steps[0].after: -1s: want 0s to 24h0m0s`, `routes[1].steps[0].people[1]: "nobody": want one of ["group" "li" "wang"]`,
				`routes[1].steps[1].after: -1s: want more than the step before`, `routes[1].steps[1].people[0]: "li": want a person who is not in the route already`,
				`routes[1].steps[2].after: 25h0m0s`, `routes[1].steps[2].people: none`,
			},
		},
		"channels": {
			change: func(s *notify.Settings) {
				s.Channels = append(
					s.Channels,
					notify.Channel{Name: "none", Timeout: time.Hour},
					notify.Channel{Name: "two", WeCom: &notify.WeCom{}, Lark: &notify.Lark{Host: "example.com"}},
					notify.Channel{Name: "dd", DingTalk: &notify.DingTalk{Server: "https://me:word@example.com"}},
					notify.Channel{Name: "mail", SMTP: &notify.SMTP{Security: "ssl", Port: 70000, Username: "u", From: "x", FromName: "a\nb", To: []string{"First <first@example.com>"}}},
					notify.Channel{Name: "plain", SMTP: &notify.SMTP{Host: "a", Security: "none", Username: "u", PasswordFile: "f", From: "a@example.com"}},
					notify.Channel{Name: "tg", Telegram: &notify.Telegram{Chat: "li"}},
					notify.Channel{Name: "nt", Ntfy: &notify.Ntfy{Server: "ftp://x", Username: "u"}},
					notify.Channel{Name: "more", Generic: &notify.Generic{}, Webhook: &notify.Webhook{}, Shoutrrr: &notify.Shoutrrr{}},
				)
			},
			want: []string{
				`channels[4].timeout: 1h0m0s: want 1s to 2m0s`, `channels[4]: 0 kinds: want exactly one of`, `channels[5]: 2 kinds`, `channels[5].wecom.key_file: missing`,
				`channels[5].lark.host: "example.com": want open.feishu.cn or open.larksuite.com`, `channels[5].lark.token_file: missing`,
				`channels[6].dingtalk.server: https://me:xxxxx@example.com: want`, `channels[6].dingtalk.secret_file: missing`,
				`channels[7].smtp.host: ""`, `channels[7].smtp.port: 70000: want 1 to 65535`, `channels[7].smtp.security: "ssl": want starttls, tls or none`,
				`channels[7].smtp.password_file: ""`, `channels[7].smtp.from: "x"`, `channels[7].smtp.from_name`, `channels[7].smtp.to[0]: "First <first@example.com>"`,
				`channels[8].smtp.security: none: want starttls or tls when there is a username`, `channels[8].smtp.to: none`,
				`channels[9].telegram.chat: "li"`, `channels[9].telegram.token_file: missing`, `channels[10].ntfy.server: ftp://x`, `channels[10].ntfy.password_file: missing`,
				`channels[11].generic.url_file: missing`, `channels[11].webhook.url`, `channels[11].shoutrrr.url_file: missing`, `channels[11]: 3 kinds`,
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := settings()
			if tt.change != nil {
				tt.change(&s)
			}
			err := s.Validate()
			if (err != nil) != (tt.want != nil) {
				t.Fatalf("Validate: %v", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in:\n%v", want, err)
				}
			}
		})
	}
}

// No file of settings crashes the reader, and what is valid makes a policy.
func FuzzSettings(f *testing.F) {
	b, err := os.ReadFile("testdata/notify.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("people: [{name: a, channels: [a]}]"))
	f.Add([]byte("resend: [x]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 || bytes.ContainsAny(b, "&*") { // anchors are the decoder's affair
			return
		}
		s, err := read(b)
		if err != nil {
			return
		}
		valid := s.Validate()
		if _, err := notify.NewPolicy(s); (err == nil) != (valid == nil) {
			t.Errorf("valid: %v, policy: %v", valid, err)
		}
	})
}
