package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/alecthomas/kong"
)

// cli is what people type.
type cli struct {
	Packages   []string `arg:"" help:"Packages whose rules are broken, as ./gateway/protect."`
	Equivalent string   `type:"existingfile" placeholder:"FILE" help:"Mutants that do the same as the original, one a line, each with its reason."`
	Only       string   `placeholder:"TEXT" help:"Only mutants whose name contains it."`
	Again      string   `type:"existingfile" placeholder:"FILE" help:"Only mutants that survived by what a former run wrote, to see what new tests do."`
	List       bool     `help:"List the mutants and run nothing."`
	Every      int      `default:"1" placeholder:"N" help:"Only every Nth mutant, for a quick look."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var c cli
	kong.Parse(&c, kong.Name("mutate"), kong.Description("Breaks rules on purpose and tells which broken rules no test notices."))
	err := c.run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

// run breaks the packages one after the other.
func (c *cli) run(ctx context.Context, out io.Writer) error {
	if c.Every < 1 {
		return fmt.Errorf("every: %d: want 1 or more", c.Every)
	}
	same, err := c.equivalents()
	if err != nil {
		return err
	}
	again, err := c.survivors()
	if err != nil {
		return err
	}
	pkgs, err := load(ctx, ".", c.Packages)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var results []*result
	for _, p := range pkgs {
		r, err := c.breakAll(ctx, out, p, same, again, dir)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		results = append(results, r)
	}
	if c.List {
		return nil
	}
	return c.report(out, results, same)
}

// result is what became of the mutants of a package.
type result struct {
	name      string
	counts    map[string]map[fate]int // by kind
	same      int                     // survivors that are equivalent
	survivors []string
}

func (r *result) sum(f fate) int {
	n := 0
	for _, by := range r.counts {
		n += by[f]
	}
	return n
}

// breakAll tries every mutant of a package, once its tests pass unbroken.
func (c *cli) breakAll(ctx context.Context, out io.Writer, p *pkg, same map[string]*equivalent, again map[string]bool, dir string) (*result, error) {
	r := &result{name: p.name, counts: map[string]map[fate]int{}}
	var list []*mutant
	for i := range p.mutants {
		m := &p.mutants[i]
		name := p.name + " " + m.name()
		if i%c.Every == 0 && strings.Contains(name, c.Only) && (c.Again == "" || again[name]) {
			list = append(list, m)
		}
	}
	if c.List {
		for _, m := range list {
			fmt.Fprintln(out, p.name, m.name())
		}
		return r, nil
	}
	b, err := prepare(ctx, p, list, dir)
	if err != nil {
		return nil, err
	}
	for _, m := range list {
		name := p.name + " " + m.name()
		f, err := b.try(ctx, m)
		if err != nil {
			return nil, err
		}
		if r.counts[m.kind] == nil {
			r.counts[m.kind] = map[fate]int{}
		}
		note := ""
		if e := same[name]; e != nil {
			switch f {
			case survived:
				e.used, note = true, " (equivalent: "+e.reason+")"
				r.same++
			case killed:
				note = " (yet called equivalent)"
			case unbuilt:
			}
		} else if f == survived {
			r.survivors = append(r.survivors, name)
		}
		r.counts[m.kind][f]++
		fmt.Fprintf(out, "%s %s (line %d)%s\n", f, name, m.line, note)
	}
	return r, nil
}

// report writes the table, and is an error when there is something to mend.
func (c *cli) report(out io.Writer, results []*result, same map[string]*equivalent) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "\npackage\tbroken how\tmutants\tkilled\tequivalent\tsurvived\n")
	var faults []string
	for _, r := range results {
		for _, kind := range kinds() {
			by := r.counts[kind]
			if n := by[killed] + by[survived]; n > 0 {
				fmt.Fprintf(w, "%s\t%s\t%d\t%d\t\t%d\n", r.name, kind, n, by[killed], by[survived])
			}
		}
		lived := r.sum(survived)
		fmt.Fprintf(w, "%s\tall\t%d\t%d\t%d\t%d\n", r.name, r.sum(killed)+lived, r.sum(killed), r.same, lived-r.same)
		faults = append(faults, r.survivors...)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	var errs []error
	for _, name := range faults {
		errs = append(errs, fmt.Errorf("no test notices: %s", name))
	}
	if c.Only == "" && c.Every == 1 && c.Again == "" {
		for _, name := range sorted(same) {
			if !same[name].used && slices.ContainsFunc(results, func(r *result) bool { return strings.HasPrefix(name, r.name+" ") }) {
				errs = append(errs, fmt.Errorf("%s: line %d: %s: want a mutant that survives", c.Equivalent, same[name].line, name))
			}
		}
	}
	return errors.Join(errs...)
}

// survivors are the names of those that survived a former run.
func (c *cli) survivors() (map[string]bool, error) {
	if c.Again == "" {
		return map[string]bool{}, nil
	}
	b, err := os.ReadFile(c.Again)
	if err != nil {
		return nil, err
	}
	again := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, string(survived)+" "); ok {
			if at := strings.LastIndex(name, " (line "); at >= 0 {
				again[name[:at]] = true
			}
		}
	}
	return again, nil
}

// equivalent is an entry of the file of equivalents.
type equivalent struct {
	reason string
	line   int
	used   bool
}

// equivalents reads the file: a mutant's name, " ## ", and why it does the same.
func (c *cli) equivalents() (map[string]*equivalent, error) {
	same := map[string]*equivalent{}
	if c.Equivalent == "" {
		return same, nil
	}
	f, err := os.Open(c.Equivalent)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	in := bufio.NewScanner(f)
	for n := 1; in.Scan(); n++ {
		line := strings.TrimSpace(in.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, ok := strings.Cut(line, " ## ")
		if name = strings.TrimSpace(name); !ok || name == "" || strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("%s: line %d: %q: want a mutant's name, ##, and the reason", c.Equivalent, n, line)
		}
		if same[name] != nil {
			return nil, fmt.Errorf("%s: line %d: %q: given twice", c.Equivalent, n, name)
		}
		same[name] = &equivalent{reason: strings.TrimSpace(reason), line: n}
	}
	return same, in.Err()
}

func sorted(same map[string]*equivalent) []string {
	names := make([]string, 0, len(same))
	for name := range same {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return same[a].line - same[b].line })
	return names
}
