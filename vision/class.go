package vision

import (
	"fmt"
	"strconv"
)

// Class is what a cell or a box shows. The numbers are those of the label files.
type Class int

// The classes.
const (
	Flame Class = iota
	Smoke
	numClasses
)

// Classes are all classes in the order of their numbers.
func Classes() []Class { return []Class{Flame, Smoke} }

// String is the word for the class in JSON and in CSV columns.
func (c Class) String() string {
	switch c {
	case Flame:
		return "flame"
	case Smoke:
		return "smoke"
	default:
		return "class " + strconv.Itoa(int(c))
	}
}

// MarshalText writes the word.
func (c Class) MarshalText() ([]byte, error) {
	if c < 0 || c >= numClasses {
		return nil, fmt.Errorf("vision: no class %d", int(c))
	}
	return []byte(c.String()), nil
}

// UnmarshalText reads the word.
func (c *Class) UnmarshalText(text []byte) error {
	for _, k := range Classes() {
		if k.String() == string(text) {
			*c = k
			return nil
		}
	}
	return fmt.Errorf("class %q: want flame or smoke", text)
}
