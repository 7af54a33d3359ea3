package actuate

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/shedguard/shedguard"
)

var (
	// ErrReadBack comes when an expander's latch does not hold what was
	// written, twice.
	ErrReadBack = errors.New("latch reads back different")
	// ErrSealed comes from Close after OpenAll.
	ErrSealed = errors.New("all relays are open for good")
	// ErrReset comes from Verify when an expander had lost its configuration;
	// its outlets are open.
	ErrReset = errors.New("expander was reset")
	// ErrAltered comes from Verify when a latch held another word than was
	// written last; nothing was closed because of it.
	ErrAltered = errors.New("latch was altered")
)

// Expander drives up to 16 pins. Pins that are not wired take any value.
// Relays calls one method of an expander at a time.
type Expander interface {
	// Configure sets the chip up, whatever its state, with latch on the pins.
	Configure(latch uint16) error
	// Check reads whether the chip still is as Configure left it.
	Check() error
	// Set writes the latch of all pins.
	Set(latch uint16) error
	// Latch reads the latch from the chip.
	Latch() (uint16, error)
}

// Pin is one output of an expander.
type Pin struct {
	Expander  int // index in Options.Expanders
	Pin       int // 0 to 15
	ActiveLow bool
}

// Outlet is the relay of one outlet: energised by an active pin, it feeds the
// outlet.
type Outlet struct {
	Number int // 1 to shedguard.MaxOutlets
	Pin
}

// Options describe the outputs of a shed.
type Options struct {
	Expanders []Expander
	Outlets   []Outlet
	// Siren, Lamp and Suppression are nil where there is none.
	Siren, Lamp, Suppression *Pin
}

// Relays are the outputs of a shed. Their methods may be called from any
// goroutine.
type Relays struct {
	expanders   []*expander
	outlets     map[int]output
	siren, lamp *output
	suppression *output
	sealed      atomic.Bool
}

// output is where one output is, ready to use.
type output struct {
	on  *expander
	bit uint32
}

// expander is one chip and what it is to show. Bits of want are 1 where the
// output is active, whatever level that is.
type expander struct {
	dev    Expander
	name   string
	relays uint32 // bits of outlets
	invert uint32 // bits that are active low
	sealed *atomic.Bool
	want   atomic.Uint32
	fault  atomic.Pointer[error] // why the last write was not confirmed
	turn   chan struct{}         // held while dev is in use; guards all below
	lost   bool                  // the chip must be configured before it is written
	holds  uint16                // what was last written and read back
}

// New returns the outputs after it wrote every outlet open and the siren, the
// lamp and the suppression off. Every expander is tried. The error is about the options alone,
// and nothing is written then: an expander that does not answer is no reason to
// leave the others without a guard, so it shows in [Relays.Fault] and is tried
// again by [Relays.Verify].
func New(opts Options) (*Relays, error) {
	r := &Relays{outlets: make(map[int]output, len(opts.Outlets))}
	var errs []error
	for i, dev := range opts.Expanders {
		if dev == nil {
			errs = append(errs, fmt.Errorf("expanders[%d]: required", i))
		}
		name := fmt.Sprintf("expander %d", i)
		if s, ok := dev.(fmt.Stringer); ok {
			name = s.String()
		}
		r.expanders = append(r.expanders, &expander{
			dev: dev, name: name, sealed: &r.sealed, turn: make(chan struct{}, 1), lost: true,
		})
	}
	used := make(map[[2]int]string)
	place := func(what string, p Pin) *output {
		if p.Expander < 0 || p.Expander >= len(r.expanders) {
			errs = append(errs, fmt.Errorf("%s: expander %d: want 0 to %d", what, p.Expander, len(r.expanders)-1))
			return nil
		}
		if p.Pin < 0 || p.Pin > 15 {
			errs = append(errs, fmt.Errorf("%s: pin %d: want 0 to 15", what, p.Pin))
			return nil
		}
		if other, taken := used[[2]int{p.Expander, p.Pin}]; taken {
			errs = append(errs, fmt.Errorf("%s: pin %d of expander %d: already used by %s", what, p.Pin, p.Expander, other))
			return nil
		}
		used[[2]int{p.Expander, p.Pin}] = what
		o := &output{on: r.expanders[p.Expander], bit: 1 << p.Pin}
		if p.ActiveLow {
			o.on.invert |= o.bit
		}
		return o
	}
	if len(opts.Outlets) == 0 {
		errs = append(errs, errors.New("outlets: want at least one"))
	}
	for i, o := range opts.Outlets {
		if o.Number < 1 || o.Number > shedguard.MaxOutlets {
			errs = append(errs, fmt.Errorf("outlets[%d]: number %d: want 1 to %d", i, o.Number, shedguard.MaxOutlets))
		}
		if _, twice := r.outlets[o.Number]; twice {
			errs = append(errs, fmt.Errorf("outlets[%d]: outlet %d: has a relay already", i, o.Number))
		}
		if out := place(fmt.Sprintf("outlet %d", o.Number), o.Pin); out != nil {
			out.on.relays |= out.bit
			r.outlets[o.Number] = *out
		}
	}
	if opts.Siren != nil {
		r.siren = place("siren", *opts.Siren)
	}
	if opts.Lamp != nil {
		r.lamp = place("lamp", *opts.Lamp)
	}
	if opts.Suppression != nil {
		r.suppression = place("suppression", *opts.Suppression)
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("relays: %w", errors.Join(errs...))
	}
	// Not in turn: behind an expander that hangs the others must not wait.
	_ = r.each((*expander).write)
	return r, nil
}

// Has reports whether an outlet has a relay here.
func (r *Relays) Has(outlet int) bool { return r.outlets[outlet].on != nil }

// Open opens an outlet's relay and returns once the latch was read back. On an
// error the relay may still be closed; the outlet stays commanded open, and
// Verify keeps trying.
func (r *Relays) Open(outlet int) error {
	o, err := r.outlet(outlet)
	if err != nil {
		return err
	}
	o.on.want.And(^o.bit)
	if err := o.on.write(); err != nil {
		return fmt.Errorf("open outlet %d: %w", outlet, err)
	}
	return nil
}

// Close verifies the outlet's expander, closes the relay and returns once the
// latch was read back. On an error the outlet is commanded open.
func (r *Relays) Close(outlet int) error {
	o, err := r.outlet(outlet)
	if err != nil {
		return err
	}
	if r.sealed.Load() {
		return fmt.Errorf("close outlet %d: %w", outlet, ErrSealed)
	}
	err = o.on.fail()
	if err == nil {
		err = o.on.verify() // a chip that was reset takes the latch and drives nothing
	}
	if err != nil {
		return fmt.Errorf("close outlet %d: %w", outlet, err)
	}
	o.on.want.Or(o.bit)
	err = o.on.write()
	if err == nil && !r.Closed(outlet) { // lost or sealed meanwhile
		err = ErrSealed
		if !r.sealed.Load() {
			err = ErrReset
		}
	}
	if err != nil {
		o.on.want.And(^o.bit)
		return fmt.Errorf("close outlet %d: %w", outlet, errors.Join(err, o.on.write()))
	}
	return nil
}

// Closed reports whether the outlet's relay is commanded closed. It does no
// input or output; an outlet without a relay is open.
func (r *Relays) Closed(outlet int) bool {
	o := r.outlets[outlet]
	return o.on != nil && !r.sealed.Load() && o.on.want.Load()&o.bit != 0
}

// Fault is why the outlet's relay may not be where it was commanded, or nil. It
// does no input or output.
func (r *Relays) Fault(outlet int) error {
	o, err := r.outlet(outlet)
	if err != nil {
		return err
	}
	return o.on.fail()
}

// OpenAll opens every outlet for good: it returns when each expander was tried,
// and no Close succeeds any more. The siren, the lamp and the suppression stay as they are.
func (r *Relays) OpenAll() error {
	r.sealed.Store(true)
	if err := r.each((*expander).write); err != nil {
		return fmt.Errorf("open all relays: %w", err)
	}
	return nil
}

// Verify reads every expander back, sets up the ones that were reset with all
// outlets open, and tries again to write those that failed. The errors are
// joined; after one, Closed and Fault tell what became of each outlet.
func (r *Relays) Verify() error {
	var errs []error
	for _, e := range r.expanders {
		if err := e.verify(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Inputs is an expander whose pins that are not outputs can be read.
type Inputs interface {
	// Pins reads the levels at the pins.
	Pins() (uint16, error)
}

// Pins reads the levels at the pins of an expander, by its index in
// Options.Expanders.
func (r *Relays) Pins(index int) (uint16, error) {
	if index < 0 || index >= len(r.expanders) {
		return 0, fmt.Errorf("expander %d: want 0 to %d", index, len(r.expanders)-1)
	}
	e := r.expanders[index]
	dev, ok := e.dev.(Inputs)
	if !ok {
		return 0, fmt.Errorf("%s: has no inputs", e.name)
	}
	e.turn <- struct{}{}
	defer func() { <-e.turn }()
	if e.lost { // its pins may be anything
		return 0, fmt.Errorf("%s: %w", e.name, ErrReset)
	}
	return dev.Pins()
}

// Siren switches the siren. Without one it does nothing.
func (r *Relays) Siren(on bool) error {
	if err := r.siren.set(on); err != nil {
		return fmt.Errorf("siren: %w", err)
	}
	return nil
}

// Lamp switches the lamp. Without one it does nothing.
func (r *Relays) Lamp(on bool) error {
	if err := r.lamp.set(on); err != nil {
		return fmt.Errorf("lamp: %w", err)
	}
	return nil
}

// Suppression switches the output of the suppression agent. Without one it does
// nothing.
func (r *Relays) Suppression(on bool) error {
	if err := r.suppression.set(on); err != nil {
		return fmt.Errorf("suppression: %w", err)
	}
	return nil
}

func (o *output) set(on bool) error {
	if o == nil {
		return nil
	}
	if on {
		o.on.want.Or(o.bit)
	} else {
		o.on.want.And(^o.bit)
	}
	return o.on.write()
}

func (r *Relays) outlet(n int) (output, error) {
	o := r.outlets[n]
	if o.on == nil {
		return o, fmt.Errorf("outlet %d: has no relay", n)
	}
	return o, nil
}

// each calls f for every expander at the same time.
func (r *Relays) each(f func(*expander) error) error {
	errs := make([]error, len(r.expanders))
	var wg sync.WaitGroup
	for i, e := range r.expanders {
		wg.Go(func() { errs[i] = f(e) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// fail is why the last write was not confirmed, or nil.
func (e *expander) fail() error {
	if err := e.fault.Load(); err != nil {
		return *err
	}
	return nil
}

// word is the latch that the chip is to hold now.
func (e *expander) word() uint16 {
	want := e.want.Load()
	if e.sealed.Load() {
		want &^= e.relays
	}
	return uint16(want ^ e.invert)
}

// write makes the chip hold the wanted word.
func (e *expander) write() error {
	e.turn <- struct{}{}
	defer func() { <-e.turn }()
	return e.settle()
}

// settle writes until the word that was written is still the wanted one: the
// wish may change while a transaction is under way, and the last write must
// carry the last wish. It needs the turn.
func (e *expander) settle() error {
	for {
		word := e.word()
		err := e.put(word)
		if err != nil {
			err = e.put(word)
		}
		if err == nil {
			e.fault.Store(nil)
			if e.word() == word {
				return nil
			}
			continue
		}
		fault := fmt.Errorf("%s: %w", e.name, err)
		e.fault.Store(&fault)
		e.lost = true
		e.want.And(^e.relays) // what comes back, comes back open
		return fault
	}
}

// put writes one word and reads it back.
func (e *expander) put(word uint16) error {
	if e.lost {
		if err := e.dev.Configure(word); err != nil {
			return err
		}
		e.lost = false
	} else if err := e.dev.Set(word); err != nil {
		return err
	}
	got, err := e.dev.Latch()
	if err != nil {
		return err
	}
	if got != word {
		return fmt.Errorf("%w: %#04x, want %#04x", ErrReadBack, got, word)
	}
	e.holds = word
	return nil
}

func (e *expander) verify() error {
	e.turn <- struct{}{}
	defer func() { <-e.turn }()
	if e.fail() != nil {
		return e.settle()
	}
	err := e.dev.Check()
	if err != nil {
		err = e.dev.Check() // one disturbed transaction is not a reset
	}
	if err != nil {
		e.lost = true
		e.want.And(^e.relays)
		if werr := e.settle(); werr != nil {
			return errors.Join(fmt.Errorf("%s: %w", e.name, err), werr)
		}
		return fmt.Errorf("%s: %w: %w", e.name, ErrReset, err)
	}
	got, err := e.dev.Latch()
	if err != nil {
		return e.settle() // writing tells whether the chip is lost
	}
	word := e.holds // not what is wanted, which may have changed meanwhile
	if got == word {
		return nil
	}
	// Whatever relay the chip shows open stays open; what it shows closed
	// against the wish is written open below.
	gone := (uint32(word) ^ e.invert) &^ (uint32(got) ^ e.invert) & e.relays
	e.want.And(^gone)
	return errors.Join(fmt.Errorf("%s: %w: %#04x, want %#04x", e.name, ErrAltered, got, word), e.settle())
}
