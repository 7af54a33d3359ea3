package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/scan"
	"github.com/shedguard/shedguard/gateway/sim"
)

// aliveWithin is how long a gateway may take to answer.
const aliveWithin = time.Second

// scanKHz is the clock of a bus that no configuration describes.
const scanKHz = 100

// errRunning comes when a gateway uses the buses.
var errRunning = errors.New("a gateway is running on these buses: stop it first; --force scans all the same")

type scanCmd struct {
	Config  string   `short:"c" type:"path" placeholder:"FILE" help:"The configuration to compare with; its buses are scanned."`
	Bus     []string `placeholder:"PATH" help:"A bus to scan without a configuration, as /dev/i2c-1; may be given again."`
	Ade7953 bool     `name:"ade7953" help:"Ask the chip at 0x38 whether it is an ADE7953. Two bytes are written to it; a PCF8574A there would take them for its outputs."`
	JSON    bool     `help:"One JSON object a chip, and a summary last."`
	Force   bool     `help:"Scan although a gateway answers."`
	simFlags
}

// Help is what the command's own help says in full.
func (*scanCmd) Help() string {
	return "Stop the gateway first: both would switch the muxes under each other's hands. Chips are only read; what is written " +
		"is the control byte of muxes, which have no port joined afterwards, and pointers to registers, never where a PCF8574 may be. " +
		"Exit code 0: all as configured, or no configuration given; 1: differences; 2: wrong usage."
}

// Run scans and compares.
func (c *scanCmd) Run(e *env) error {
	ways := 0
	for _, chosen := range []bool{c.Config != "", c.Sim, len(c.Bus) > 0} {
		if chosen {
			ways++
		}
	}
	if ways != 1 {
		return usageError{errors.New("scan: want one of --config FILE, --sim --state DIR, --bus PATH")}
	}
	opts := scan.Options{ADE7953: c.Ade7953, Compare: len(c.Bus) == 0}
	done, err := c.prepare(e, &opts)
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	result, err := scan.Run(e.ctx, opts)
	if err = errors.Join(err, done()); err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	return c.report(e.out, result, opts.Compare)
}

// report writes the result; differences are an error.
func (c *scanCmd) report(w io.Writer, result *scan.Result, compared bool) error {
	var err error
	if c.JSON {
		err = lines(w, result)
	} else {
		err = table(w, result, compared)
	}
	if err != nil {
		return fmt.Errorf("scan: write: %w", err)
	}
	if n := result.Differences(); n > 0 {
		return fmt.Errorf("scan: %d differences or faults", n)
	}
	return nil
}

// prepare opens what is to be scanned; the function it returns closes it.
func (c *scanCmd) prepare(e *env, opts *scan.Options) (func() error, error) {
	if c.Sim {
		if c.State == "" {
			return nil, usageError{errors.New("--sim needs --state DIR: where the simulated board is")}
		}
		shed, cfg, closeBoard, err := c.open(e, sim.Settings{Broker: "mqtt://127.0.0.1:1883", Status: "127.0.0.1:0", Profile: "outlet-10a"}, 1, nil)
		if err != nil {
			return nil, err
		}
		opts.Lines, opts.Want = []scan.Line{{Name: sim.BusName, Bus: shed.Bus}}, scan.Expect(cfg)
		return closeBoard, nil
	}
	cfg := &config.Config{}
	if c.Config != "" {
		loaded, err := config.Load(c.Config)
		if err != nil {
			return nil, usageError{fmt.Errorf("%s: %w", c.Config, err)}
		}
		if !c.Force && alive(e.ctx, loaded.Status.Listen) {
			return nil, usageError{errRunning}
		}
		cfg.Buses, opts.Want = loaded.Buses, scan.Expect(loaded)
	}
	for _, path := range slices.Compact(slices.Sorted(slices.Values(c.Bus))) {
		cfg.Buses = append(cfg.Buses, config.Bus{Name: path, Path: path, KHz: scanKHz})
	}
	hw, err := openHardware(cfg, e.log) // without the enable line: the coils keep still
	if err != nil {
		return nil, err
	}
	for _, b := range cfg.Buses {
		opts.Lines = append(opts.Lines, scan.Line{Name: b.Name, Bus: hw.all[b.Name]})
	}
	return hw.close, nil
}

// alive reports whether a gateway answers at its status page, well or not.
func alive(ctx context.Context, listen string) bool {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" {
		return false
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, aliveWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/healthz", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && (resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusServiceUnavailable)
}

// candidates names what a chip can be.
func candidates(item *scan.Item) string {
	switch {
	case item.Verdict == scan.Missing, item.Verdict == scan.Hidden:
		return "-"
	case len(item.Chips) == 0:
		return "?"
	case item.Sure || len(item.Chips) == 1:
		return item.Chips[0]
	default:
		return strings.Join(item.Chips, "|")
	}
}

// table writes the result for a person.
func table(w io.Writer, r *scan.Result, compared bool) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "PLACE\tCHIP\tSHOWN BY\tVERDICT\tFOR")
	for i := range r.Items {
		item := &r.Items[i]
		verdict := string(item.Verdict)
		if item.Differs() {
			verdict = strings.ToUpper(verdict)
		}
		if item.Differs() && item.Want != "" {
			verdict += ": want " + item.Want
		}
		parts := strings.Join(item.Parts, ", ")
		if parts == "" {
			parts = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", item.Place, candidates(item), item.Evidence, verdict, parts)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, f := range r.Faults {
		fmt.Fprintf(w, "bus %s: %v\n", f.Bus, f.Err)
	}
	s := sum(r)
	if !compared {
		_, err := fmt.Fprintf(w, "%d chips answer\n", s.Answered)
		return err
	}
	_, err := fmt.Fprintf(w, "%d chips answer: %d as configured, %d missing, %d hidden, %d unexpected, %d other than configured\n",
		s.Answered, s.Good, s.Missing, s.Hidden, s.Unexpected, s.Other)
	return err
}

// scanned is one chip in JSON.
type scanned struct {
	Bus      string   `json:"bus"`
	Mux      string   `json:"mux,omitempty"`
	Port     *int     `json:"port,omitempty"`
	Address  string   `json:"address"`
	Chips    []string `json:"chips"`
	Sure     bool     `json:"sure"`
	Evidence string   `json:"evidence"`
	Verdict  string   `json:"verdict"`
	Want     string   `json:"want,omitempty"`
	Parts    []string `json:"parts,omitempty"`
}

// summary is the last object in JSON.
type summary struct {
	Summary     bool     `json:"summary"`
	Answered    int      `json:"answered"`
	Good        int      `json:"good"`
	Missing     int      `json:"missing"`
	Hidden      int      `json:"hidden"`
	Unexpected  int      `json:"unexpected"`
	Other       int      `json:"other"`
	Differences int      `json:"differences"`
	Faults      []string `json:"faults"`
}

func sum(r *scan.Result) summary {
	s := summary{Summary: true, Differences: r.Differences(), Faults: []string{}}
	counts := map[scan.Verdict]int{}
	for i := range r.Items {
		counts[r.Items[i].Verdict]++
	}
	s.Good, s.Missing, s.Hidden = counts[scan.Good], counts[scan.Missing], counts[scan.Hidden]
	s.Unexpected, s.Other = counts[scan.Unexpected], counts[scan.Other]
	s.Answered = len(r.Items) - s.Missing - s.Hidden
	for _, f := range r.Faults {
		s.Faults = append(s.Faults, fmt.Sprintf("bus %s: %v", f.Bus, f.Err))
	}
	return s
}

// lines writes the result for a program.
func lines(w io.Writer, r *scan.Result) error {
	enc := json.NewEncoder(w)
	for i := range r.Items {
		item := &r.Items[i]
		line := scanned{
			Bus: item.Bus, Address: fmt.Sprintf("%#02x", item.Address), Chips: item.Chips, Sure: item.Sure,
			Evidence: item.Evidence, Verdict: string(item.Verdict), Want: item.Want, Parts: item.Parts,
		}
		if line.Chips == nil {
			line.Chips = []string{}
		}
		if item.Mux != 0 {
			line.Mux, line.Port = fmt.Sprintf("%#02x", item.Mux), &item.Port
		}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return enc.Encode(sum(r))
}
