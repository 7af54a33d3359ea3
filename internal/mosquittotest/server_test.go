package mosquittotest_test

import (
	"net"
	"testing"

	"github.com/shedguard/shedguard/internal/mosquittotest"
)

func TestRestartKeepsThePort(t *testing.T) {
	s := mosquittotest.Start(t)
	addr := s.Addr()
	s.Stop()
	if c, err := net.Dial("tcp", addr); err == nil {
		_ = c.Close()
		t.Fatal("a stopped broker still accepts connections")
	}
	s.Restart()
	if s.Addr() != addr {
		t.Errorf("address after restart %s, want %s", s.Addr(), addr)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	s.Kill()
	s.Restart()
}
