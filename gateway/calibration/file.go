package calibration

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/shedguard/shedguard"
)

const (
	version  = 1
	maxBytes = 1 << 20 // 256 outlets with five points take 300 KB
	sumWord  = "sha256:"
)

// ErrDamaged comes when a file is not what Save wrote.
var ErrDamaged = errors.New("file is damaged")

// file is the calibration of a shed on disk.
type file struct {
	Version int      `json:"version"`
	Outlets []Record `json:"outlets"`
}

// Load reads the records at path, in the order of their outlets. Without a file
// there are none. The error wraps [ErrDamaged] when the file can be read but not
// be trusted.
func Load(path string) (records []Record, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read calibration: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read calibration: %w", err)
	}
	if records, err = decode(b); err != nil {
		return nil, fmt.Errorf("calibration %s: %w: %w", path, ErrDamaged, err)
	}
	return records, nil
}

func decode(b []byte) ([]Record, error) {
	if len(b) > maxBytes {
		return nil, fmt.Errorf("more than %d bytes", maxBytes)
	}
	at := bytes.LastIndex(b, []byte(sumWord))
	if at < 0 || !bytes.Equal(seal(b[:at]), b) {
		return nil, fmt.Errorf("%d bytes: checksum does not match", len(b))
	}
	d := json.NewDecoder(bytes.NewReader(b[:at]))
	d.DisallowUnknownFields()
	var f file
	if err := d.Decode(&f); err != nil {
		return nil, err
	}
	if f.Version != version {
		return nil, fmt.Errorf("version %d: want %d", f.Version, version)
	}
	for i := range f.Outlets {
		n := f.Outlets[i].Outlet
		if n < 1 || n > shedguard.MaxOutlets {
			return nil, fmt.Errorf("outlet %d: want 1 to %d", n, shedguard.MaxOutlets)
		}
		if i > 0 && n <= f.Outlets[i-1].Outlet {
			return nil, fmt.Errorf("outlet %d: twice, or out of order", n)
		}
	}
	return f.Outlets, nil
}

// seal appends the line with the checksum.
func seal(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(append(bytes.Clone(b), sumWord...), hex.EncodeToString(sum[:])+"\n"...)
}

func encode(records []Record) ([]byte, error) {
	f := file{Version: version, Outlets: slices.SortedFunc(slices.Values(records), func(a, b Record) int { return cmp.Compare(a.Outlet, b.Outlet) })}
	b, err := json.MarshalIndent(&f, "", "  ")
	if err != nil {
		return nil, err
	}
	return seal(append(b, '\n')), nil
}

// Save replaces the file at path, whole or not at all.
func Save(path string, records []Record) error {
	if err := save(path, records); err != nil {
		return fmt.Errorf("save calibration: %w", err)
	}
	return nil
}

func save(path string, records []Record) error {
	b, err := encode(records)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(0o640), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// SetAside renames a file that cannot be trusted, and returns its new name.
func SetAside(path string, now time.Time) (string, error) {
	aside := path + ".bad-" + now.UTC().Format("20060102T150405Z")
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("set calibration aside: %w", err)
	}
	return aside, nil
}
