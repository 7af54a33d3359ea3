package notify

import (
	"errors"
	"fmt"
	"maps"
	"net/mail"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // quiet hours must work on a machine without zone files

	"github.com/shedguard/shedguard"
)

// Settings say who is told of which alarms, and how. They are one section of
// the collector's YAML file; a value that is left out, or 0, has the default
// that its comment names. Secrets stand in files of their own.
type Settings struct {
	// BaseURL is the address of the page, for links: https://sheds.example.com.
	// Without one, messages carry no link.
	BaseURL string `yaml:"base_url"`
	// TimeZone is that of the times in messages and of quiet hours, as
	// Asia/Shanghai, which is the default.
	TimeZone string `yaml:"time_zone"`
	// Resend is how long to wait before telling a person again, while nobody has
	// acknowledged: first pause, second pause, …; the last one repeats. Default
	// 2m, 5m, 10m, 30m.
	Resend []time.Duration `yaml:"resend"`
	// TellCleared is whether those who were told of an alarm are told that it is
	// over. Default true.
	TellCleared *bool     `yaml:"tell_cleared"`
	Flap        Flap      `yaml:"flap"`
	Flood       Flood     `yaml:"flood"`
	Channels    []Channel `yaml:"channels"`
	People      []Person  `yaml:"people"`
	Routes      []Route   `yaml:"routes"`
}

// Flap damps a fault that comes and goes. The same cause at the same place is
// told Count times within Window; after that it is told again only once it has
// stood for Settle. Critical alarms are never damped.
type Flap struct {
	Count  int           `yaml:"count"`  // 1 to 100, default 3
	Window time.Duration `yaml:"window"` // 1m to 24h, default 30m
	Settle time.Duration `yaml:"settle"` // 10s to 2h, default 5m
}

// Flood bounds how many messages a person gets. More than Messages within
// Window are put together into summaries, one at most every SummaryEvery.
// Critical alarms are never in a summary and always told at once; those of
// outlets that are cut for their zone are one message.
type Flood struct {
	Messages     int           `yaml:"messages"`      // 1 to 1000, default 10
	Window       time.Duration `yaml:"window"`        // 1m to 24h, default 10m
	SummaryEvery time.Duration `yaml:"summary_every"` // 10s to 1h, default 2m
}

// Language is the language of a person's messages.
type Language string

// The languages.
const (
	LanguageChinese Language = "zh"
	LanguageEnglish Language = "en"
	LanguageBoth    Language = "both" // Chinese first
)

// Person is somebody, or a group, that is told.
type Person struct {
	Name     string   `yaml:"name"`
	Language Language `yaml:"language"` // zh (default), en or both
	// Channels are tried in this order: when one fails the next one is tried.
	Channels []string `yaml:"channels"`
	// Quiet is when warnings wait until its end. Minor and more severe alarms
	// never wait.
	Quiet *Quiet `yaml:"quiet_hours"`
}

// Quiet is a daily time span, as 22:00 to 07:00.
type Quiet struct {
	From string `yaml:"from"`
	To   string `yaml:"to"`
}

// Route says who is told of the alarms of some sheds.
type Route struct {
	// Sheds are shell patterns of shed ids, as "north-*"; "*" is every shed.
	Sheds []string `yaml:"sheds"`
	// Severity is the least severe that is told: critical, major, minor or
	// warning (default).
	Severity shedguard.Severity `yaml:"severity"`
	Steps    []Step             `yaml:"steps"`
}

// Step tells people who were not told before. After counts, for the first
// step, from the receipt of the alarm, for the others from the first word to
// anybody of the first step.
type Step struct {
	After  time.Duration `yaml:"after"`
	People []string      `yaml:"people"`
}

// Channel is one way to reach people; exactly one of the kinds is set.
type Channel struct {
	Name     string        `yaml:"name"`
	Timeout  time.Duration `yaml:"timeout"` // of one attempt, 1s to 2m, default 10s
	WeCom    *WeCom        `yaml:"wecom"`
	Lark     *Lark         `yaml:"lark"`
	DingTalk *DingTalk     `yaml:"dingtalk"`
	SMTP     *SMTP         `yaml:"smtp"`
	Telegram *Telegram     `yaml:"telegram"`
	Ntfy     *Ntfy         `yaml:"ntfy"`
	Generic  *Generic      `yaml:"generic"`
	Webhook  *Webhook      `yaml:"webhook"`
	Shoutrrr *Shoutrrr     `yaml:"shoutrrr"`
}

// WeCom is a group robot of WeCom (企业微信).
type WeCom struct {
	KeyFile string `yaml:"key_file"` // the key of the robot's webhook address
}

// Lark is a custom robot of Lark or Feishu (飞书).
type Lark struct {
	Host       string `yaml:"host"`        // open.feishu.cn (default) or open.larksuite.com
	TokenFile  string `yaml:"token_file"`  // last part of the robot's webhook address
	SecretFile string `yaml:"secret_file"` // signing secret; may be left out
}

// DingTalk is a custom robot of DingTalk (钉钉) whose security setting is
// "sign" (加签).
type DingTalk struct {
	Server     string `yaml:"server"` // default https://oapi.dingtalk.com
	TokenFile  string `yaml:"token_file"`
	SecretFile string `yaml:"secret_file"` // begins with SEC
}

// SMTP sends mail.
type SMTP struct {
	Host         string   `yaml:"host"`
	Port         int      `yaml:"port"`     // default 587, 465 for tls, 25 for none
	Security     string   `yaml:"security"` // starttls (default, refused when the server has none), tls or none
	Username     string   `yaml:"username"`
	PasswordFile string   `yaml:"password_file"`
	From         string   `yaml:"from"`
	FromName     string   `yaml:"from_name"`
	To           []string `yaml:"to"`
}

// Telegram is a bot.
type Telegram struct {
	Server    string `yaml:"server"`     // default https://api.telegram.org; another one for a self-hosted Bot API
	TokenFile string `yaml:"token_file"` // as the BotFather gave it, 123456:ABC…
	Chat      string `yaml:"chat"`       // number or @channel
}

// Ntfy is a topic of an ntfy server.
type Ntfy struct {
	Server       string `yaml:"server"`     // default https://ntfy.sh
	TopicFile    string `yaml:"topic_file"` // who knows a topic can read it
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
}

// Generic posts {"title": …, "message": …} to an address.
type Generic struct {
	URLFile string `yaml:"url_file"`
}

// Webhook posts the whole message as JSON, signed; package webhook documents
// and verifies it.
type Webhook struct {
	URL        string `yaml:"url"`
	SecretFile string `yaml:"secret_file"` // at least 16 bytes
}

// Shoutrrr is any other service that shoutrrr knows, by its address.
type Shoutrrr struct {
	URLFile string `yaml:"url_file"` // as slack://…, bark://…
}

// DefaultSettings are the settings that name nobody, with every default
// written out.
func DefaultSettings() Settings { return Settings{}.withDefaults() }

// withDefaults is s with every value that was left out.
func (s Settings) withDefaults() Settings {
	def(&s.TimeZone, "Asia/Shanghai")
	if len(s.Resend) == 0 {
		s.Resend = []time.Duration{2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute}
	}
	if s.TellCleared == nil {
		s.TellCleared = new(true)
	}
	def(&s.Flap.Count, 3)
	def(&s.Flap.Window, 30*time.Minute)
	def(&s.Flap.Settle, 5*time.Minute)
	def(&s.Flood.Messages, 10)
	def(&s.Flood.Window, 10*time.Minute)
	def(&s.Flood.SummaryEvery, 2*time.Minute)
	s.Channels, s.People, s.Routes = slices.Clone(s.Channels), slices.Clone(s.People), slices.Clone(s.Routes)
	for i := range s.Channels {
		s.Channels[i] = s.Channels[i].withDefaults()
	}
	for i := range s.People {
		def(&s.People[i].Language, LanguageChinese)
	}
	for i := range s.Routes {
		def(&s.Routes[i].Severity, shedguard.SeverityWarning)
	}
	return s
}

func (c Channel) withDefaults() Channel {
	def(&c.Timeout, 10*time.Second)
	if c.Lark != nil {
		c.Lark = new(*c.Lark)
		def(&c.Lark.Host, "open.feishu.cn")
	}
	if c.DingTalk != nil {
		c.DingTalk = new(*c.DingTalk)
		def(&c.DingTalk.Server, "https://oapi.dingtalk.com")
	}
	if c.Telegram != nil {
		c.Telegram = new(*c.Telegram)
		def(&c.Telegram.Server, "https://api.telegram.org")
	}
	if c.Ntfy != nil {
		c.Ntfy = new(*c.Ntfy)
		def(&c.Ntfy.Server, "https://ntfy.sh")
	}
	if c.SMTP != nil {
		c.SMTP = new(*c.SMTP)
		def(&c.SMTP.Security, "starttls")
		def(&c.SMTP.Port, map[string]int{"starttls": 587, "tls": 465, "none": 25}[c.SMTP.Security])
		def(&c.SMTP.FromName, "shedguard")
	}
	return c
}

func def[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Off reports whether the settings name nobody to tell: no channels, no people
// and no routes.
func (s *Settings) Off() bool { return len(s.Channels)+len(s.People)+len(s.Routes) == 0 }

// faults gathers what is wrong, each with the path of its value.
type faults struct{ errs []error }

func (f *faults) check(ok bool, format string, args ...any) {
	if !ok {
		f.errs = append(f.errs, fmt.Errorf(format, args...))
	}
}

func within[T int | time.Duration](f *faults, where string, v, least, most T) {
	f.check(v >= least && v <= most, "%s: %v: want %v to %v", where, v, least, most)
}

// Validate reports what is wrong, every fault at once, each with its path
// within the settings, what was found and what is allowed. It reads no files;
// [New] does.
func (s Settings) Validate() error {
	s = s.withDefaults()
	f := &faults{}
	if s.BaseURL != "" {
		f.webAddress("base_url", s.BaseURL)
	}
	_, err := time.LoadLocation(s.TimeZone)
	f.check(err == nil, "time_zone: %q: want a name of the IANA time zones, as Asia/Shanghai", s.TimeZone)
	for i, pause := range s.Resend {
		within(f, fmt.Sprintf("resend[%d]", i), pause, 10*time.Second, 24*time.Hour)
		f.check(i == 0 || pause >= s.Resend[i-1], "resend[%d]: %v: want at least the pause before, %v", i, pause, s.Resend[max(i-1, 0)])
	}
	within(f, "flap.count", s.Flap.Count, 1, 100)
	within(f, "flap.window", s.Flap.Window, time.Minute, 24*time.Hour)
	within(f, "flap.settle", s.Flap.Settle, 10*time.Second, 2*time.Hour)
	within(f, "flood.messages", s.Flood.Messages, 1, 1000)
	within(f, "flood.window", s.Flood.Window, time.Minute, 24*time.Hour)
	within(f, "flood.summary_every", s.Flood.SummaryEvery, 10*time.Second, time.Hour)

	channels, people := map[string]bool{}, map[string]bool{}
	for i := range s.Channels {
		where := fmt.Sprintf("channels[%d]", i)
		f.name(where, s.Channels[i].Name, channels)
		f.channel(where, &s.Channels[i])
	}
	for i := range s.People {
		where := fmt.Sprintf("people[%d]", i)
		f.name(where, s.People[i].Name, people)
		f.check(!channels[s.People[i].Name], "%s.name: %q: want a name that no channel has", where, s.People[i].Name)
		f.person(where, &s.People[i], channels)
	}
	for i := range s.Routes {
		f.route(fmt.Sprintf("routes[%d]", i), &s.Routes[i], people)
	}
	f.check(s.Off() || len(s.Routes) > 0, "routes: none: want at least one, or nobody is told")
	return errors.Join(f.errs...)
}

func (f *faults) name(where, name string, taken map[string]bool) {
	ok := name != "" && len(name) <= 100 && strings.TrimSpace(name) == name && !strings.ContainsFunc(name, control)
	f.check(ok, "%s.name: %q: want 1 to 100 bytes without blanks around", where, name)
	f.check(!taken[name], "%s.name: %q: want a name that is not taken", where, name)
	taken[name] = true
}

func control(r rune) bool { return r < ' ' || r == 0x7f }

func names(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }

func (f *faults) person(where string, p *Person, channels map[string]bool) {
	f.check(slices.Contains([]Language{LanguageChinese, LanguageEnglish, LanguageBoth}, p.Language),
		"%s.language: %q: want zh, en or both", where, p.Language)
	f.check(len(p.Channels) > 0, "%s.channels: none: want at least one of %q", where, names(channels))
	for i, c := range p.Channels {
		f.check(channels[c], "%s.channels[%d]: %q: want one of %q", where, i, c, names(channels))
		f.check(slices.Index(p.Channels, c) == i, "%s.channels[%d]: %q: want each channel once", where, i, c)
	}
	if p.Quiet != nil {
		_, err := time.Parse("15:04", p.Quiet.From)
		f.check(err == nil, "%s.quiet_hours.from: %q: want a time of day, as 22:00", where, p.Quiet.From)
		_, err = time.Parse("15:04", p.Quiet.To)
		f.check(err == nil, "%s.quiet_hours.to: %q: want a time of day, as 07:00", where, p.Quiet.To)
		f.check(p.Quiet.From != p.Quiet.To, "%s.quiet_hours.to: %q: want another time than from", where, p.Quiet.To)
	}
}

func (f *faults) route(where string, r *Route, people map[string]bool) {
	f.check(len(r.Sheds) > 0, `%s.sheds: none: want patterns of shed ids, "*" for every shed`, where)
	for i, glob := range r.Sheds {
		_, err := path.Match(glob, "")
		f.check(err == nil && glob != "", "%s.sheds[%d]: %q: want a pattern of shed ids, as north-*", where, i, glob)
	}
	f.check(r.Severity >= shedguard.SeverityCritical && r.Severity <= shedguard.SeverityWarning,
		"%s.severity: %s: want critical, major, minor or warning", where, r.Severity)
	f.check(len(r.Steps) > 0, "%s.steps: none: want at least one", where)
	told := map[string]bool{}
	for i, step := range r.Steps {
		at := fmt.Sprintf("%s.steps[%d]", where, i)
		within(f, at+".after", step.After, 0, 24*time.Hour)
		f.check(i == 0 || step.After > r.Steps[i-1].After, "%s.after: %v: want more than the step before, %v", at, step.After, r.Steps[max(i-1, 0)].After)
		f.check(len(step.People) > 0, "%s.people: none: want at least one of %q", at, names(people))
		for j, p := range step.People {
			f.check(people[p], "%s.people[%d]: %q: want one of %q", at, j, p, names(people))
			f.check(!told[p], "%s.people[%d]: %q: want a person who is not in the route already", at, j, p)
			told[p] = true
		}
	}
}

func (f *faults) channel(where string, c *Channel) {
	within(f, where+".timeout", c.Timeout, time.Second, 2*time.Minute)
	kinds := 0
	file := func(set bool, key, value string) {
		f.check(!set || value != "", "%s.%s: missing: want the name of a file", where, key)
	}
	if c.WeCom != nil {
		kinds++
		file(true, "wecom.key_file", c.WeCom.KeyFile)
	}
	if c.Lark != nil {
		kinds++
		f.check(c.Lark.Host == "open.feishu.cn" || c.Lark.Host == "open.larksuite.com",
			"%s.lark.host: %q: want open.feishu.cn or open.larksuite.com", where, c.Lark.Host)
		file(true, "lark.token_file", c.Lark.TokenFile)
	}
	if c.DingTalk != nil {
		kinds++
		f.webAddress(where+".dingtalk.server", c.DingTalk.Server)
		file(true, "dingtalk.token_file", c.DingTalk.TokenFile)
		file(true, "dingtalk.secret_file", c.DingTalk.SecretFile)
	}
	if c.SMTP != nil {
		kinds++
		f.mail(where+".smtp", c.SMTP)
	}
	if c.Telegram != nil {
		kinds++
		f.webAddress(where+".telegram.server", c.Telegram.Server)
		file(true, "telegram.token_file", c.Telegram.TokenFile)
		chat := regexp.MustCompile(`^(-?[0-9]+|@[A-Za-z0-9_]+)$`).MatchString(c.Telegram.Chat)
		f.check(chat, "%s.telegram.chat: %q: want a number or @channel", where, c.Telegram.Chat)
	}
	if c.Ntfy != nil {
		kinds++
		f.webAddress(where+".ntfy.server", c.Ntfy.Server)
		file(true, "ntfy.topic_file", c.Ntfy.TopicFile)
		file(c.Ntfy.Username != "", "ntfy.password_file", c.Ntfy.PasswordFile)
	}
	if c.Generic != nil {
		kinds++
		file(true, "generic.url_file", c.Generic.URLFile)
	}
	if c.Webhook != nil {
		kinds++
		f.webAddress(where+".webhook.url", c.Webhook.URL)
		file(true, "webhook.secret_file", c.Webhook.SecretFile)
	}
	if c.Shoutrrr != nil {
		kinds++
		file(true, "shoutrrr.url_file", c.Shoutrrr.URLFile)
	}
	f.check(kinds == 1, "%s: %d kinds: want exactly one of wecom, lark, dingtalk, smtp, telegram, ntfy, generic, webhook, shoutrrr", where, kinds)
}

func (f *faults) mail(where string, m *SMTP) {
	f.check(m.Host != "" && !strings.ContainsAny(m.Host, "/ :@"), "%s.host: %q: want a host name or IPv4 address", where, m.Host)
	within(f, where+".port", m.Port, 1, 65535)
	f.check(slices.Contains([]string{"starttls", "tls", "none"}, m.Security), "%s.security: %q: want starttls, tls or none", where, m.Security)
	f.check((m.Username == "") == (m.PasswordFile == ""), "%s.password_file: %q: want a file when there is a username, and only then", where, m.PasswordFile)
	f.check(m.Username == "" || m.Security != "none", "%s.security: none: want starttls or tls when there is a username", where)
	f.check(address(m.From), "%s.from: %q: want a mail address", where, m.From)
	f.check(!strings.ContainsFunc(m.FromName, control), "%s.from_name: %q: want one line", where, m.FromName)
	f.check(len(m.To) > 0, "%s.to: none: want at least one mail address", where)
	for i, to := range m.To {
		f.check(address(to), "%s.to[%d]: %q: want a mail address", where, i, to)
	}
}

// address reports whether s is a bare mail address. Commas, blanks and plus
// signs in quotes are left to people who want them.
func address(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && !strings.ContainsAny(s, ", \"")
}

func (f *faults) webAddress(where, s string) {
	u, err := url.Parse(s)
	ok := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.Fragment == ""
	if err == nil {
		s = u.Redacted()
	} else {
		s = "an address that cannot be read"
	}
	f.check(ok, "%s: %s: want http:// or https:// and a host, without user and password", where, s)
}
