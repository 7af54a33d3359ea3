package at24

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

var (
	// ErrNoRecord comes from Sense when neither half begins as a record does.
	ErrNoRecord = errors.New("no record")
	// ErrCorrupt comes from Sense when there is a record, but no good one, and
	// from the last step of a write that does not read back.
	ErrCorrupt = errors.New("corrupt record")
	// ErrVersion comes from Sense when the record is good, but of a version that
	// is not known here.
	ErrVersion = errors.New("unknown version of the record")
)

const (
	magic   = "shdg"
	version = 1

	// MaxChannels is the number of channels that a record can hold.
	MaxChannels = 16
	// MaxModel is the length of a model.
	MaxModel = 16
	// MaxSerial is the length of a serial number.
	MaxSerial = 24

	atVersion    = 4
	atChannels   = 5
	atGeneration = 8
	atModel      = 12
	atSerial     = atModel + MaxModel
	atRevision   = atSerial + MaxSerial
	atMade       = atRevision + 4
	atCalibrated = atMade + 8
	atChannel    = atCalibrated + 8
	perChannel   = 24
	perCRC       = 4

	longest = atChannel + MaxChannels*perChannel + perCRC
)

// length is that of a record with some channels.
func length(channels int) int { return atChannel + channels*perChannel + perCRC }

// Correction is what a reading is multiplied by and then added to it: true =
// reading × (1 + GainPPM / 10⁶) + OffsetMicros / 10⁶.
type Correction struct {
	GainPPM      int32
	OffsetMicros int32
}

// Channel is the calibration of one outlet's meter, in volts, amperes and watts.
type Channel struct {
	Volts, Amps, Watts Correction
}

// Record is the identity and the calibration of a board.
type Record struct {
	// Model and Serial are printable ASCII, up to MaxModel and MaxSerial long.
	Model, Serial string
	// Revision is that of the board.
	Revision uint32
	// Made and Calibrated are in whole seconds, UTC; the zero time is none.
	Made, Calibrated time.Time
	// Channels are the meters of the board, up to MaxChannels.
	Channels []Channel
}

// check says why a record cannot be stored.
func (r *Record) check() error {
	var errs []error
	for _, text := range [...]struct {
		name, value string
		longest     int
	}{{"model", r.Model, MaxModel}, {"serial", r.Serial, MaxSerial}} {
		if !printable(text.value) || len(text.value) > text.longest {
			errs = append(errs, fmt.Errorf("%s %q: want up to %d printable characters of ASCII", text.name, text.value, text.longest))
		}
	}
	if len(r.Channels) > MaxChannels {
		errs = append(errs, fmt.Errorf("%d channels: want up to %d", len(r.Channels), MaxChannels))
	}
	return errors.Join(errs...)
}

func printable(s string) bool {
	for _, b := range []byte(s) {
		if b < ' ' || b > '~' {
			return false
		}
	}
	return true
}

// encode returns the record as it is stored.
func (r *Record) encode(generation uint32) []byte {
	b := make([]byte, atChannel, longest)
	copy(b, magic)
	b[atVersion], b[atChannels] = version, byte(len(r.Channels))
	binary.LittleEndian.PutUint32(b[atGeneration:], generation)
	copy(b[atModel:atSerial], r.Model)
	copy(b[atSerial:atRevision], r.Serial)
	binary.LittleEndian.PutUint32(b[atRevision:], r.Revision)
	binary.LittleEndian.PutUint64(b[atMade:], seconds(r.Made))
	binary.LittleEndian.PutUint64(b[atCalibrated:], seconds(r.Calibrated))
	for _, c := range r.Channels {
		for _, v := range [...]Correction{c.Volts, c.Amps, c.Watts} {
			b = binary.LittleEndian.AppendUint32(b, uint32(v.GainPPM))
			b = binary.LittleEndian.AppendUint32(b, uint32(v.OffsetMicros))
		}
	}
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func seconds(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.Unix())
}

func moment(seconds uint64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

// size is how long the record that begins with head claims to be, or an error.
func size(head []byte, room int) (int, error) {
	if string(head[:len(magic)]) != magic {
		return 0, ErrNoRecord
	}
	n := length(int(head[atChannels]))
	if head[atChannels] > MaxChannels || n > room {
		return 0, ErrCorrupt
	}
	return n, nil
}

// verify checks the CRC and the version of a whole record.
func verify(b []byte) error {
	body, sum := b[:len(b)-perCRC], binary.LittleEndian.Uint32(b[len(b)-perCRC:])
	if crc32.ChecksumIEEE(body) != sum {
		return ErrCorrupt
	}
	if b[atVersion] != version {
		return fmt.Errorf("version %d: %w", b[atVersion], ErrVersion)
	}
	return nil
}

func generation(b []byte) uint32 { return binary.LittleEndian.Uint32(b[atGeneration:]) }

// decode returns what verify has found good.
func decode(b []byte) Record {
	text := func(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }
	r := Record{
		Model:      text(b[atModel:atSerial]),
		Serial:     text(b[atSerial:atRevision]),
		Revision:   binary.LittleEndian.Uint32(b[atRevision:]),
		Made:       moment(binary.LittleEndian.Uint64(b[atMade:])),
		Calibrated: moment(binary.LittleEndian.Uint64(b[atCalibrated:])),
	}
	for c := b[atChannel : len(b)-perCRC]; len(c) > 0; c = c[perChannel:] {
		at := func(i int) Correction {
			return Correction{
				GainPPM:      int32(binary.LittleEndian.Uint32(c[8*i:])),
				OffsetMicros: int32(binary.LittleEndian.Uint32(c[8*i+4:])),
			}
		}
		r.Channels = append(r.Channels, Channel{Volts: at(0), Amps: at(1), Watts: at(2)})
	}
	return r
}

// half reads the record in one half into d.record.
func (d *Dev) half(n int) ([]byte, error) {
	room := d.Size() / 2
	if room < length(0) {
		return nil, ErrNoRecord
	}
	head := d.record[:atChannel]
	if _, err := d.ReadAt(head, int64(n*room)); err != nil {
		return nil, err
	}
	l, err := size(head, room)
	if err != nil {
		return nil, err
	}
	b := d.record[:l]
	if _, err := d.ReadAt(b[atChannel:], int64(n*room+atChannel)); err != nil {
		return nil, err
	}
	return b, verify(b)
}

// Sense reads the record into r. On an error r is left as it was. The error is
// ErrNoRecord for a new chip. A half that cannot be read, or whose version is not
// known, is an error even if the other is good, since it may hold the newer
// record; a half that is corrupt is what a failed write leaves, and is not.
func (d *Dev) Sense(r *Record) error {
	found, _, _, err := d.find()
	if err != nil {
		return err
	}
	*r = found
	return nil
}

// find returns the record, its half and its generation.
func (d *Dev) find() (found Record, half int, gen uint32, err error) {
	good := false
	worst := ErrNoRecord
	for n := range 2 {
		b, err := d.half(n)
		switch {
		case err == nil:
			if g := generation(b); !good || int32(g-gen) > 0 {
				good, found, half, gen = true, decode(b), n, g
			}
		case errors.Is(err, ErrCorrupt):
			worst = err
		case errors.Is(err, ErrNoRecord):
		case errors.Is(err, ErrVersion):
			return Record{}, 0, 0, fmt.Errorf("%s: %w", d, err)
		default:
			return Record{}, 0, 0, err
		}
	}
	if !good {
		return Record{}, 0, 0, fmt.Errorf("%s: %w", d, worst)
	}
	return found, half, gen, nil
}

// Store begins to write a record into the half that does not hold the present one.
// Nothing is written before the first Next. A chip with no good record is written
// from the beginning.
func (d *Dev) Store(r *Record) (*Write, error) {
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("%s: store: %w", d, err)
	}
	room := d.Size() / 2
	if n := length(len(r.Channels)); n > room {
		return nil, fmt.Errorf("%s: store: record of %d bytes: want up to %d", d, n, room)
	}
	w := &Write{dev: d}
	_, half, gen, err := d.find()
	switch {
	case err == nil:
		w.start = (1 - half) * room
	case errors.Is(err, ErrNoRecord), errors.Is(err, ErrCorrupt):
	default:
		return nil, err
	}
	w.data = r.encode(gen + 1)
	return w, nil
}

// Write is a record on its way into the chip.
type Write struct {
	dev   *Dev
	data  []byte
	start int
	done  int
}

// Next writes one more page or, when all are written, reads the record back. It
// reports whether that was the end. An error that wraps ErrBusy means that the
// chip did not answer: call Next again, in a millisecond or so, and give up when
// that lasts longer than WriteCycle. After ErrCorrupt the old record is still
// there.
func (w *Write) Next() (done bool, err error) {
	at := w.start + w.done
	if left := w.data[w.done:]; len(left) > 0 {
		page := w.dev.chip.Page()
		n := min(len(left), page-at%page)
		if err := w.dev.WritePage(left[:n], at); err != nil {
			return false, err
		}
		w.done += n
		return false, nil
	}
	got := w.dev.record[:len(w.data)]
	if _, err := w.dev.ReadAt(got, int64(w.start)); err != nil {
		return false, fmt.Errorf("%w: %w", ErrBusy, err)
	}
	if !bytes.Equal(got, w.data) {
		return false, fmt.Errorf("%s: read back: %w", w.dev, ErrCorrupt)
	}
	return true, nil
}
