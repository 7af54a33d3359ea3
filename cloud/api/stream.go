package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/shedguard/shedguard/cloud/live"
)

const streamID = "stream"

type streamInput struct {
	After string `header:"Last-Event-ID" maxLength:"20" doc:"go on after this id"`
}

func (s *Server) streamRoute(api huma.API) {
	op := operation(http.MethodGet, "/stream", streamID,
		"Changes as server-sent events: alarm, shed, outlets, reply, picture, snapshot; reset when changes were missed", http.StatusServiceUnavailable)
	op.Responses = map[string]*huma.Response{"200": {
		Description: "Events with ids. outlets is {shed, live, feeder}: the newest values of what was heard since the one before, feeder absent when it was not; shed is the shed as in a list; alarm, reply, picture and snapshot are what came. The stream ends after 15 minutes; ask again with Last-Event-ID.",
		Content:     map[string]*huma.MediaType{"text/event-stream": {}},
	}}
	handle(s, api, op, s.stream)
}

func (s *Server) stream(_ context.Context, in *streamInput) (*huma.StreamResponse, error) {
	after := uint64(0)
	if in.After != "" {
		var err error
		if after, err = strconv.ParseUint(in.After, 10, 64); err != nil {
			after = 1 // not an id of ours: older than anything, so it is told to reset
		}
		after = max(after, 1)
	}
	if s.streams.Add(1) > maxStreams {
		s.streams.Add(-1)
		return nil, huma.Error503ServiceUnavailable("too many streams are open")
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) { //nolint:contextcheck // the request has it
		defer s.streams.Add(-1)
		r, w := humago.Unwrap(hctx)
		h := w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no") // a proxy must not hold events back
		w.WriteHeader(http.StatusOK)
		if err := s.send(r.Context(), w, s.opts.Feed.Subscribe(after)); err != nil {
			s.opts.Log.DebugContext(r.Context(), "stream ended", slog.Any("err", err))
		}
	}}, nil
}

// send writes changes until the client goes, the server ends, or the stream
// has lived its life.
func (s *Server) send(ctx context.Context, w http.ResponseWriter, changes *live.Subscription) error {
	ctx, cancel := context.WithTimeout(ctx, streamLife)
	defer cancel()
	control := http.NewResponseController(w)
	write := func(b []byte) error {
		if err := control.SetWriteDeadline(time.Now().Add(writeDeadline)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		return control.Flush()
	}
	// The id tells a client where it stands before anything happened.
	if err := write(fmt.Appendf(nil, "retry: 2000\nid: %d\n\n", changes.Position())); err != nil {
		return err
	}
	for {
		c, err := s.nextChange(ctx, changes)
		var out []byte
		switch {
		case err == nil:
			if out, err = event(c); err != nil {
				return err
			}
		case errors.Is(err, live.ErrReset):
			out = fmt.Appendf(nil, "id: %d\nevent: reset\ndata: {}\n\n", changes.Position())
		case errors.Is(err, errBeat):
			out = []byte(": heartbeat\n\n")
		default:
			return err
		}
		if err := write(out); err != nil {
			return err
		}
	}
}

// errBeat comes from nextChange when nothing changed for a heartbeat.
var errBeat = errors.New("heartbeat is due")

// errEnded comes from nextChange when the server ends.
var errEnded = errors.New("the server ends")

// nextChange waits for a change, the next heartbeat or the end.
func (s *Server) nextChange(ctx context.Context, changes *live.Subscription) (live.Change, error) {
	beat, cancel := context.WithTimeoutCause(ctx, heartbeat, errBeat)
	defer cancel()
	c, err := changes.Next(beat, s.ended)
	switch {
	case errors.Is(err, live.ErrEnded):
		return live.Change{}, errEnded
	case err != nil && ctx.Err() != nil:
		return live.Change{}, ctx.Err()
	case err != nil && beat.Err() != nil:
		return live.Change{}, errBeat
	}
	return c, err
}

// event is a change as one server-sent event.
func event(c live.Change) ([]byte, error) {
	data, err := json.Marshal(c.Data)
	if err != nil {
		return nil, fmt.Errorf("encode change %d: %w", c.ID, err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "id: %d\nevent: %s\ndata: %s\n\n", c.ID, c.Kind, data)
	return b.Bytes(), nil
}
