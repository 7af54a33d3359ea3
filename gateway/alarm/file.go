package alarm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
)

const (
	version  = 1
	maxBytes = 64 << 20 // a full queue of the longest events is far below
	sumWord  = "sha256:"
)

// file is the book on disk.
type file struct {
	Version int               `json:"version"`
	BootID  string            `json:"boot_id"`
	SavedAt time.Time         `json:"saved_at"`
	Alarms  []record          `json:"alarms"`
	Waiting []shedguard.Event `json:"waiting"` // not handed to the outbox yet
	Outlets map[int]Kept      `json:"outlets"`
	Onsets  []onset           `json:"onsets,omitempty"`
	// Suppression is how far the suppression output is.
	Suppression *actuate.SuppressionRecord `json:"suppression,omitempty"`
}

// encode writes the book as one line of JSON and one with its checksum.
func encode(f *file) ([]byte, error) {
	b, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return seal(b), nil
}

// seal ends a line and appends the line with its checksum.
func seal(line []byte) []byte {
	sum := sha256.Sum256(line)
	b := append(bytes.Clone(line), '\n')
	b = append(b, sumWord...)
	b = append(b, hex.EncodeToString(sum[:])...)
	return append(b, '\n')
}

// decode reads what encode wrote and refuses anything else.
func decode(b []byte) (*file, error) {
	line, _, ok := bytes.Cut(b, []byte("\n"))
	if !ok || !bytes.Equal(seal(line), b) {
		return nil, fmt.Errorf("%d bytes: checksum does not match", len(b))
	}
	var f file
	if err := json.Unmarshal(line, &f); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	if f.Version != version {
		return nil, fmt.Errorf("version %d: want %d", f.Version, version)
	}
	var errs []error
	seen := map[key]bool{}
	for i := range f.Alarms {
		r := &f.Alarms[i]
		err := errors.Join(validSubject(r.Subject), r.valid())
		if k := (key{r.Subject, r.Alarm.Cause}); seen[k] {
			err = errors.Join(err, errors.New("twice"))
		} else {
			seen[k] = true
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("alarms[%d]: %w", i, err))
		}
	}
	for n := range f.Outlets {
		if n < 1 || n > shedguard.MaxOutlets {
			errs = append(errs, fmt.Errorf("outlets: %d: want 1 to %d", n, shedguard.MaxOutlets))
		}
	}
	return &f, errors.Join(errs...)
}

// disk is what a book needs of a file system.
type disk interface {
	// Read errs with [fs.ErrNotExist] when there is no such file.
	Read(name string) ([]byte, error)
	// Write makes or truncates a file; its content is durable on return.
	Write(name string, b []byte) error
	Rename(from, to string) error
	// Sync makes the names in a folder durable.
	Sync(folder string) error
}

func temporary(path string) string { return path + ".tmp" }

// replace puts b at path, whole or not at all. The file that was there stays
// under the name aside, if one is given. Between the two renames the new file
// is complete under its temporary name, where load looks for it.
func replace(d disk, path, aside string, b []byte) error {
	if err := d.Write(temporary(path), b); err != nil {
		return err
	}
	if aside != "" {
		if err := d.Sync(filepath.Dir(path)); err != nil { // the temporary name, before the other goes
			return err
		}
		if err := d.Rename(path, aside); err != nil {
			return err
		}
	}
	if err := d.Rename(temporary(path), path); err != nil {
		return err
	}
	return d.Sync(filepath.Dir(path))
}

// load reads the book at path. Without a file the book is new. It errs when
// there is one that cannot be read; aside says whether it is at path.
func load(d disk, path string) (f *file, aside bool, err error) {
	b, err := d.Read(path)
	if err == nil {
		f, err = decode(b)
		return f, err != nil, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, true, err
	}
	b, err = d.Read(temporary(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &file{}, false, nil
	case err != nil:
		return nil, false, err
	}
	if f, err = decode(b); err != nil {
		// A file is moved aside only after this one was whole: torn, it is the
		// first write of all, and nothing was handed on before that.
		return &file{}, false, nil //nolint:nilerr // the reason is above
	}
	// The next write would go over the only copy.
	return f, false, errors.Join(d.Rename(temporary(path), path), d.Sync(filepath.Dir(path)))
}

// osDisk is the file system of the machine.
type osDisk struct{}

func (osDisk) Read(name string) (b []byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b, err = io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err == nil && len(b) > maxBytes {
		err = fmt.Errorf("read %s: more than %d bytes", name, maxBytes)
	}
	return b, err
}

func (osDisk) Write(name string, b []byte) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Sync()
}

func (osDisk) Rename(from, to string) error { return os.Rename(from, to) }

func (osDisk) Sync(folder string) (err error) {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return f.Sync()
}

// valid checks what a record's alarm is worth without the parts that only an
// event has.
func (r *record) valid() error {
	a := r.Alarm
	a.Stamp = r.Raised
	if a.Severity == shedguard.SeverityCleared {
		return errors.New("cleared and still open")
	}
	return a.Validate()
}
