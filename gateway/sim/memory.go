package sim

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	chips "github.com/shedguard/shedguard/drivers/sim"
)

// Memory is the expander's register file in a mapped file. The kernel keeps it
// when the process dies, as a real expander keeps its outputs.
type Memory struct {
	Bytes []byte
}

// OpenMemory maps the file at path, making it when it is not there.
func OpenMemory(path string) (*Memory, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open simulated board: %w", err)
	}
	defer func() { _ = f.Close() }() // the mapping outlives the descriptor
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open simulated board: %w", err)
	}
	if size := info.Size(); size != 0 && size != chips.MCP23017Size {
		return nil, fmt.Errorf("open simulated board %s: %d bytes: want %d; delete the file to start with a new board", path, size, chips.MCP23017Size)
	}
	if err := f.Truncate(chips.MCP23017Size); err != nil {
		return nil, fmt.Errorf("open simulated board: %w", err)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, chips.MCP23017Size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map simulated board %s: %w", path, err)
	}
	return &Memory{Bytes: b}, nil
}

// Close unmaps the file. No shed may use the memory after it.
func (m *Memory) Close() error {
	if err := unix.Munmap(m.Bytes); err != nil {
		return fmt.Errorf("unmap simulated board: %w", err)
	}
	return nil
}
