package notify

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
)

// Message is what a channel sends to one person.
type Message struct {
	ID       string // ULID of the delivery, the same at every attempt
	Kind     book.NoticeKind
	Person   string
	At       time.Time
	Severity shedguard.Severity // of the worst alarm; cleared for good news
	Subject  string             // one line
	Text     string             // plain, a few lines
	Link     string             // to the page; empty without a base_url
	Alarms   []book.Alarm
	Place    string // of the shed, when all alarms are of one
}

// maxListed is how many alarms a summary names; the others are counted.
const maxListed = 10

// writer writes messages in the languages, time zone and with the links of the
// settings.
type writer struct {
	base string
	zone *time.Location
}

// pair is one text in the two languages.
type pair = shedguard.Text

func sprintf(zh, en string, args ...any) pair {
	return pair{ZH: fmt.Sprintf(zh, args...), EN: fmt.Sprintf(en, args...)}
}

// pick is the text in a person's language.
func pick(l Language, t pair, between string) string {
	switch l {
	case LanguageEnglish:
		return t.EN
	case LanguageBoth:
		return t.ZH + between + t.EN
	case LanguageChinese:
		return t.ZH
	default:
		return t.ZH
	}
}

func (w *writer) link(path string) string {
	if w.base == "" {
		return ""
	}
	return strings.TrimSuffix(w.base, "/") + path
}

// fill writes subject, text and link of m for a person from its kind and
// alarms. round counts reminders.
func (w *writer) fill(m *Message, l Language, round int) {
	var subject, text pair
	switch {
	case m.Kind == book.NoticeTest:
		subject = sprintf("【测试】shedguard 通知", "[test] shedguard notification")
		text = sprintf("这是一条测试消息，发给 %s，时间 %s。收到即表示该渠道可用，无需处理。",
			"This is a test for %s, sent at %s. Getting it shows that this channel works; there is nothing to do.", m.Person, w.clock(m.At))
		m.Link = w.link("/")
	case len(m.Alarms) > 0 && m.Kind != book.NoticeSummary:
		a := &m.Alarms[0]
		m.Severity = a.Severity
		if a.State == book.AlarmCleared {
			m.Severity = shedguard.SeverityCleared
		}
		subject, text = w.headline(m, a, round), w.body(m, a, round)
		m.Link = w.link("/alarms/" + a.ID)
		if len(m.Alarms) > 1 {
			m.Link = w.link("/alarms")
		}
	default:
		subject, text = w.summary(m)
		m.Link = w.link("/alarms")
	}
	m.Subject = oneLine(pick(l, subject, " / "))
	m.Text = pick(l, text, "\n\n")
	if m.Link != "" {
		m.Text += "\n" + m.Link
	}
}

// headline is a subject: how bad, where, what.
func (w *writer) headline(m *Message, a *book.Alarm, round int) pair {
	severity, what, where := a.Severity.Text(), a.Cause.Text(), spot(a)
	if n := len(m.Alarms); n > 1 {
		where = sprintf("%[1]s %[2]d 个插座", "%[1]s, %[2]d outlets", a.ShedName, n)
	}
	if a.Grade == shedguard.GradeFire {
		what = shedguard.CauseFire.Text()
	}
	var more pair
	switch m.Kind {
	case book.NoticeReminder:
		more = sprintf("·第%d次提醒", ", reminder %d", round)
	case book.NoticeEscalated:
		more = pair{ZH: "·无人应答", EN: ", nobody answered"}
	case book.NoticeWorse:
		more = pair{ZH: "·加重", EN: ", now worse"}
	case book.NoticeRaised, book.NoticeCleared, book.NoticeSeen, book.NoticeSummary, book.NoticeTest:
	}
	if a.State == book.AlarmCleared {
		severity, more = shedguard.SeverityCleared.Text(), pair{}
	}
	return pair{
		ZH: fmt.Sprintf("【%s%s】%s：%s", severity.ZH, more.ZH, where.ZH, what.ZH),
		EN: fmt.Sprintf("[%s%s] %s: %s", severity.EN, more.EN, where.EN, what.EN),
	}
}

// spot is the name of the shed and what of it the alarm is about.
func spot(a *book.Alarm) pair {
	if a.Subject == "" || a.Subject == "shed" {
		return pair{ZH: a.ShedName, EN: a.ShedName}
	}
	subject := shedguard.SubjectText(a.Subject)
	return pair{ZH: a.ShedName + " " + subject.ZH, EN: a.ShedName + " " + subject.EN}
}

// sentences are what happened, where, how high, what the gateway did and what
// to do now.
func sentences(a *book.Alarm) pair {
	return shedguard.AlarmText(a.Subject, &shedguard.Alarm{
		Cause: a.Cause, Severity: a.Severity, Grade: a.Grade, Value: a.Value, Limit: a.Limit, Unit: a.Unit,
		Action: a.Action, Latched: a.Latched,
	})
}

func (w *writer) body(m *Message, a *book.Alarm, round int) pair {
	var zh, en []string
	add := func(t pair) { zh, en = append(zh, t.ZH), append(en, t.EN) }
	where := strings.TrimSpace(m.Place + " " + a.ShedName)
	if a.State == book.AlarmCleared {
		subject, cause := shedguard.SubjectText(a.Subject), a.Cause.Text()
		add(pair{ZH: subject.ZH + "：" + cause.ZH + "已解除。", EN: "Over: " + subject.EN + ", " + cause.EN + "."})
		if len(m.Alarms) > 1 {
			add(beside(m))
		}
		add(sprintf("地点：%s", "Place: %s", where))
		if a.ClearedAt != nil {
			span := lasted(a.ClearedAt.Sub(a.Since))
			add(sprintf("开始 %[1]s，解除 %[2]s，持续%[3]s", "From %[1]s to %[2]s, %[4]s", w.clock(a.Since), w.clock(*a.ClearedAt), span.ZH, span.EN))
		}
		if a.Latched {
			add(pair{ZH: "若已跳闸，送电前请先到现场确认。", EN: "If it had tripped, have a look in place before power is restored."})
		}
	} else {
		add(sentences(a))
		if len(m.Alarms) > 1 {
			add(beside(m))
		}
		add(sprintf("地点：%s", "Place: %s", where))
		span := lasted(m.At.Sub(a.Since))
		add(sprintf("开始：%[1]s（已持续%[2]s）", "Since: %[1]s (for %[3]s)", w.clock(a.Since), span.ZH, span.EN))
		switch {
		case a.Acknowledged != nil:
			add(sprintf("%s 已确认过较轻的级别，现已加重。", "%s acknowledged it when it was less severe.", a.Acknowledged.By))
		case m.Kind == book.NoticeReminder:
			add(sprintf("尚无人确认，这是第 %d 次提醒。请在页面确认以停止提醒。",
				"Nobody has acknowledged it yet; this is reminder %d. Acknowledge it on the page to stop them.", round))
		case m.Kind == book.NoticeEscalated:
			add(pair{ZH: "前面的负责人没有应答，请您处理并在页面确认。", EN: "Those who were told before have not answered. Please take it and acknowledge it on the page."})
		}
	}
	return pair{ZH: strings.Join(zh, "\n"), EN: strings.Join(en, "\n")}
}

// beside lists the outlets of a message about several of them, which says what
// happened of the first.
func beside(m *Message) pair {
	var open, over []int
	for i := range m.Alarms {
		a := &m.Alarms[i]
		n, ok := shedguard.SubjectOutlet(a.Subject)
		switch {
		case !ok:
		case a.State == book.AlarmCleared:
			over = append(over, n)
		default:
			open = append(open, n)
		}
	}
	list := func(all []int, between string) string {
		slices.Sort(all)
		words := make([]string, len(all))
		for i, n := range all {
			words[i] = strconv.Itoa(n)
		}
		return strings.Join(words, between)
	}
	var zh, en []string
	if len(open) > 0 {
		zh = append(zh, fmt.Sprintf("以上情况涉及 %d 个插座：%s 号。", len(open), list(open, "、")))
		en = append(en, fmt.Sprintf("The same at %d outlets: %s.", len(open), list(open, ", ")))
	}
	if len(over) > 0 {
		zh = append(zh, fmt.Sprintf("已解除的插座：%s 号。", list(over, "、")))
		en = append(en, fmt.Sprintf("Over at the outlets: %s.", list(over, ", ")))
	}
	return pair{ZH: strings.Join(zh, "\n"), EN: strings.Join(en, "\n")}
}

// summary puts many alarms into one message, worst first.
func (w *writer) summary(m *Message) (subject, text pair) {
	open, sheds := 0, map[string]bool{}
	worst := shedguard.SeverityCleared
	var zh, en []string
	for i := range m.Alarms {
		a := &m.Alarms[i]
		sheds[a.Shed] = true
		state := a.Severity.Text()
		if a.State == book.AlarmCleared {
			state = shedguard.SeverityCleared.Text()
		} else {
			open++
			if worst == shedguard.SeverityCleared || a.Severity < worst {
				worst = a.Severity
			}
		}
		if i < maxListed {
			where, what := spot(a), a.Cause.Text()
			zh = append(zh, fmt.Sprintf("· [%s] %s：%s", state.ZH, where.ZH, what.ZH))
			en = append(en, fmt.Sprintf("- [%s] %s: %s", state.EN, where.EN, what.EN))
		}
	}
	m.Severity = worst
	total, over := len(m.Alarms), len(m.Alarms)-open
	how := worst.Text()
	if open == 0 {
		subject = sprintf("【已解除】%d 条报警已解除", "[cleared] alarms over: %d", total)
	} else {
		subject = sprintf("【%[1]s】汇总：%[3]d 条报警，%[4]d 个车棚", "[%[2]s] summary: alarms %[3]d, sheds %[4]d", how.ZH, how.EN, open, len(sheds))
	}
	head := sprintf("报警较多，合并为一条：%d 条未解除，%d 条已解除。紧急报警另行立即通知。",
		"Many alarms, told in one message: %d open, %d over. Critical alarms are told besides, at once.", open, over)
	if rest := total - maxListed; rest > 0 {
		zh = append(zh, fmt.Sprintf("…另有 %d 条，请看页面。", rest))
		en = append(en, fmt.Sprintf("… and %d more; see the page.", rest))
	}
	return subject, pair{ZH: head.ZH + "\n" + strings.Join(zh, "\n"), EN: head.EN + "\n" + strings.Join(en, "\n")}
}

func (w *writer) clock(t time.Time) string { return t.In(w.zone).Format("2006-01-02 15:04:05") }

// lasted is a duration for people.
func lasted(d time.Duration) pair {
	switch d = max(d, 0); {
	case d < time.Minute:
		return sprintf(" %d 秒", "%d s", int(d.Seconds()))
	case d < time.Hour:
		return sprintf(" %d 分钟", "%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return sprintf(" %d 小时 %d 分钟", "%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return sprintf(" %d 天", "%d days", int(d.Hours())/24)
	}
}

// oneLine is s without anything that could begin another header.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if control(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
}

// shorten cuts s to at most limit bytes, at a rune and with an ellipsis.
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	const ellipsis = "…"
	cut := limit - len(ellipsis)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:max(cut, 0)] + ellipsis
}
