package status

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/shedguard/shedguard"
)

//go:embed page.html
var pageHTML string

//go:embed style.css
var pageCSS []byte

// uplinkConnected is the word of ShedState.Uplink for a live connection.
const uplinkConnected = "connected"

// words are the words of the page in one language.
type words struct {
	Lang, Title, Guard, GuardAlive, GuardDead, Uplink, Connected, Connecting, UplinkOff,
	Backlog, Clock, Synced, Holdover, Unsynced, Siren, On, Off, Alarms, NoAlarms,
	Outlets, NoReading, Relay, Closed, Open, Latched, ResetNote, Uptime string

	pick func(shedguard.Text) string
}

func chinese() *words {
	return &words{
		Lang: "zh", Title: "充电棚网关", Guard: "保护回路", GuardAlive: "正常", GuardDead: "停止",
		Uplink: "平台连接", Connected: "已连接", Connecting: "连接中", UplinkOff: "未启用",
		Backlog: "待发记录", Clock: "时钟", Synced: "已同步", Holdover: "守时", Unsynced: "未同步",
		Siren: "警号", On: "开", Off: "关", Alarms: "未消除告警", NoAlarms: "没有告警",
		Outlets: "插座", NoReading: "没有可信读数", Relay: "继电器", Closed: "闭合", Open: "断开",
		Latched:   "已锁定",
		ResetNote: "锁定的插座须由人检查现场、排除原因后，通过平台复位。原因未消除时复位会被拒绝。",
		Uptime:    "已运行",
		pick:      func(t shedguard.Text) string { return t.ZH },
	}
}

func english() *words {
	return &words{
		Lang: "en", Title: "charging shed gateway", Guard: "Guard", GuardAlive: "working", GuardDead: "stopped",
		Uplink: "Uplink", Connected: "connected", Connecting: "connecting", UplinkOff: "off",
		Backlog: "Records waiting", Clock: "Clock", Synced: "synced", Holdover: "holdover", Unsynced: "not synced",
		Siren: "Siren", On: "on", Off: "off", Alarms: "Open alarms", NoAlarms: "No alarms",
		Outlets: "Outlets", NoReading: "no reading to rely on", Relay: "relay", Closed: "closed", Open: "open",
		Latched:   "Latched",
		ResetNote: "A latched outlet stays off until a person has looked at it, removed the cause and reset it from the platform. A reset is refused while the cause stands.",
		Uptime:    "running for",
		pick:      func(t shedguard.Text) string { return t.EN },
	}
}

// view is what the template shows.
type view struct {
	Words      *words
	State      *shedguard.ShedState
	Dead       bool
	Uplink     string
	Clock      string
	Time       string
	Uptime     string
	Alarms     []alarmView
	Outlets    []outletView
	AnyLatched bool
}

type alarmView struct {
	Severity, Level, Text, Time string
}

type outletView struct {
	Number                      int
	Class, State                string
	Values                      bool
	Watts, Volts, Amps, Celsius string
	EnergyWh, Latched           string
	Closed                      bool
}

// page shows the state to a person.
type page struct {
	opts     *Options
	template *template.Template
}

func newPage(opts *Options) (*page, error) {
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	return &page{opts: opts, template: t}, nil
}

func (p *page) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	write(w, p.opts.Log, pageCSS)
}

func (p *page) show(w http.ResponseWriter, r *http.Request) {
	state := p.opts.State()
	v := newView(&state, language(r), alive(p.opts.LastTick(), time.Now()) != nil)
	var b bytes.Buffer
	if err := p.template.Execute(&b, v); err != nil {
		p.opts.Log.Error("page not rendered", "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", v.Words.Lang)
	w.Header().Set("Vary", "Accept-Language")
	write(w, p.opts.Log, b.Bytes())
}

// language is the one that the switch asked for, else the one of the two that
// the browser likes better, else Chinese.
func language(r *http.Request) *words {
	switch r.URL.Query().Get("lang") {
	case "zh":
		return chinese()
	case "en":
		return english()
	}
	zh, en := 0.0, 0.0
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		weight := 1.0
		if q, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			if parsed, err := strconv.ParseFloat(q, 64); err == nil {
				weight = parsed
			}
		}
		switch primary, _, _ := strings.Cut(strings.ToLower(tag), "-"); primary {
		case "zh":
			zh = max(zh, weight)
		case "en":
			en = max(en, weight)
		}
	}
	if en > zh {
		return english()
	}
	return chinese()
}

func newView(s *shedguard.ShedState, w *words, dead bool) *view {
	v := &view{
		Words:  w,
		State:  s,
		Dead:   dead,
		Uplink: map[string]string{uplinkConnected: w.Connected, "connecting": w.Connecting, "off": w.UplinkOff}[s.Uplink],
		Clock: map[shedguard.ClockQuality]string{
			shedguard.ClockSynced: w.Synced, shedguard.ClockHoldover: w.Holdover, shedguard.ClockUnsynced: w.Unsynced,
		}[s.Clock],
		Time:   stamp(s.At),
		Uptime: (time.Duration(s.UptimeMS) * time.Millisecond).Truncate(time.Second).String(),
	}
	for _, a := range sorted(s.Alarms) {
		text := w.pick(a.Text)
		if text == "" {
			text = string(a.Cause)
		}
		v.Alarms = append(v.Alarms, alarmView{a.Severity.String(), w.pick(a.Severity.Text()), text, stamp(a.RaisedAt)})
	}
	for i := range s.Outlets {
		o := &s.Outlets[i]
		out := outletView{
			Number: o.Outlet,
			Class:  o.State.String(),
			State:  w.pick(o.State.Text()),
			Values: o.Quality == shedguard.QualityGood || o.Quality == shedguard.QualitySuspect,
			Watts:  fmt.Sprintf("%.0f", o.Watts),
			Volts:  fmt.Sprintf("%.1f", o.Volts),
			Amps:   fmt.Sprintf("%.2f", o.Amps),
			Closed: o.Closed,
		}
		if o.Celsius != nil {
			out.Celsius = fmt.Sprintf("%.1f", *o.Celsius)
		}
		if o.Session != nil {
			out.EnergyWh = fmt.Sprintf("%.0f", o.Session.EnergyWh)
		}
		var causes []string
		for _, c := range o.Latched {
			causes = append(causes, w.pick(c.Text()))
		}
		out.Latched = strings.Join(causes, ", ")
		v.AnyLatched = v.AnyLatched || len(causes) > 0
		v.Outlets = append(v.Outlets, out)
	}
	return v
}

// stamp writes an instant with its zone; the box need not know where it stands.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}
