package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"strings"
	"sync"
	"time"
)

// readyWithin is how long a program may take until it answers.
const readyWithin = 30 * time.Second

// logBuffer keeps what several programs log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// show tells a person what the programs said: it helps to see why.
func (l *logBuffer) show() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = os.Stderr.Write(l.b.Bytes()) // there is nowhere left to complain
}

// newPassword is a random password that can be typed.
func newPassword() string { return strings.ToLower(rand.Text()[:16]) }

// freeAddr is a loopback address that nothing listens on at this moment.
func freeAddr(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// waitReady polls url until it answers 200, the program ended, or time is up.
func waitReady(ctx context.Context, url string, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("no answer from %s within %s", url, readyWithin))
	defer cancel()
	for {
		if status(ctx, url) == http.StatusOK {
			return nil
		}
		select {
		case <-ended:
			return errors.New("ended while it started; its log is above")
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func status(ctx context.Context, url string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close() // nothing of it was read
	return resp.StatusCode
}

// api is a logged-in client of the collector.
type api struct {
	base string
	http *http.Client
}

func login(ctx context.Context, base, user, password string) (*api, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	a := &api{base: base, http: &http.Client{Jar: jar}}
	return a, a.call(ctx, http.MethodPost, "/api/v1/login", map[string]string{"user": user, "password": password}, nil)
}

// call sends body as JSON and reads the answer into out; both may be nil.
func (a *api) call(ctx context.Context, method, path string, body, out any) error {
	var in io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, in)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was read to its end
	b, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, b)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// change is one event of the live stream.
type change struct {
	kind string
	data []byte
	at   time.Time // when it arrived here
}

// stream calls f with each live change until f returns true or ctx ends.
func (a *api) stream(ctx context.Context, opened func(), f func(change) bool) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+"/api/v1/stream", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // the stream has no end of its own
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("live stream: %s", resp.Status)
	}
	opened()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	var c change
	for lines.Scan() {
		switch key, value, _ := strings.Cut(lines.Text(), ": "); key {
		case "event":
			c.kind = value
		case "data":
			c.data = append(c.data, value...)
		case "":
			if c.kind != "" {
				c.at = time.Now()
				if f(c) {
					return nil
				}
			}
			c = change{}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("live stream: %w", err)
	}
	return errors.New("live stream: ended by the server")
}
