package shedguard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// MaxCommandBytes bounds a command's payload.
const MaxCommandBytes = 16 << 10

// maxPerson is how long the name of whoever gave a command may be.
const maxPerson = 200

// The command kinds.
const (
	CommandStart           = "start"
	CommandStop            = "stop"
	CommandResetTrip       = "reset_trip"
	CommandAcknowledge     = "acknowledge"
	CommandSilenceSiren    = "silence_siren"
	CommandVetoSuppression = "veto_suppression"
	CommandSelfTest        = "self_test"
	CommandSnapshot        = "snapshot"
	CommandGetState        = "get_state"
)

// Energising reports whether a command can put voltage on an outlet or keep a
// suppression output from acting. Such a command must name the gateway's
// present boot and is refused while its clock is unsynced.
func Energising(kind string) bool {
	return kind == CommandStart || kind == CommandResetTrip || kind == CommandVetoSuppression
}

// Command is an order to a gateway.
type Command struct {
	ID        string          `json:"id"` // a ULID; a repeated one is refused
	Kind      string          `json:"kind"`
	Args      json.RawMessage `json:"args,omitempty"`
	IssuedAt  time.Time       `json:"issued_at"`
	ExpiresAt time.Time       `json:"expires_at"`
	By        string          `json:"by"`                // the person or program that gave it
	BootID    string          `json:"boot_id,omitempty"` // the boot it is meant for
}

// OutletArgs are the arguments of stop and reset_trip.
type OutletArgs struct {
	Outlet int `json:"outlet"`
}

// SnapshotArgs are the arguments of snapshot.
type SnapshotArgs struct {
	Camera string `json:"camera"`
}

// StartArgs are the arguments of start. A missing limit is the profile's.
type StartArgs struct {
	Outlet     int      `json:"outlet"`
	MaxWh      *float64 `json:"max_wh,omitempty"`
	MaxMinutes *float64 `json:"max_minutes,omitempty"`
	MaxWatts   *float64 `json:"max_watts,omitempty"`
}

// VetoArgs are the arguments of veto_suppression. With Reset, a suppression that
// was released or vetoed is made ready again instead.
type VetoArgs struct {
	Reset bool `json:"reset,omitempty"`
}

// SelfTest is the result of self_test.
type SelfTest struct {
	OK     bool            `json:"ok"` // every check is
	Checks []SelfTestCheck `json:"checks"`
}

// SelfTestCheck is one thing that was looked at: "relays", "lamp",
// "outlet/3/meter".
type SelfTestCheck struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"` // what is wrong, or what a person should look at
}

// DecodeCommand reads a command and checks its envelope, every fault at once.
// Kind, arguments, expiry and boot are for the gateway to judge, so that each
// refusal can be answered with its own code.
func DecodeCommand(b []byte) (Command, error) {
	if len(b) > MaxCommandBytes {
		return Command{}, fmt.Errorf("command: %d bytes: want at most %d", len(b), MaxCommandBytes)
	}
	var c Command
	if err := json.Unmarshal(b, &c); err != nil {
		return Command{}, fmt.Errorf("command: %w", err)
	}
	return c, c.Validate()
}

// Validate reports what is wrong with the envelope, every fault at once.
func (c *Command) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("command: "+format, args...))
		}
	}
	check(ValidID(c.ID), "id: %q: want a ULID", c.ID)
	check(c.Kind != "" && len(c.Kind) <= 40, "kind: %q: want 1 to 40 bytes", c.Kind)
	check(!c.IssuedAt.IsZero(), "issued_at: required")
	check(!c.ExpiresAt.IsZero(), "expires_at: required")
	check(c.By != "" && len(c.By) <= maxPerson, "by: want 1 to %d bytes", maxPerson)
	check(c.BootID == "" || ValidID(c.BootID), "boot_id: %q: want a ULID", c.BootID)
	return errors.Join(errs...)
}

// DecodeArgs reads a command's arguments into v and refuses members that v
// does not have, so that a misspelt limit is never silently ignored.
func DecodeArgs(args json.RawMessage, v any) error {
	if len(args) == 0 {
		args = json.RawMessage("{}")
	}
	dec := json.NewDecoder(bytes.NewReader(args))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("args: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("args: more than one JSON value")
	}
	return nil
}

// ReplyCode says why a command was refused.
type ReplyCode string

// The reply codes.
const (
	CodeExpired       ReplyCode = "expired"
	CodeRepeated      ReplyCode = "repeated"
	CodeUnknownKind   ReplyCode = "unknown_kind"
	CodeBadArgs       ReplyCode = "bad_args"
	CodeNotPermitted  ReplyCode = "not_permitted"
	CodeCauseStands   ReplyCode = "cause_stands"
	CodeClockUnsynced ReplyCode = "clock_unsynced"
	CodeWrongBoot     ReplyCode = "wrong_boot"
	CodeBusy          ReplyCode = "busy"
)

// Reply is a gateway's answer to a command.
type Reply struct {
	ID     string          `json:"id"` // the command's
	OK     bool            `json:"ok"`
	Error  *ReplyError     `json:"error,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
}

// ReplyError is why a command was refused.
type ReplyError struct {
	Code ReplyCode `json:"code"`
	Text string    `json:"text"`
}

func (e *ReplyError) Error() string { return string(e.Code) + ": " + e.Text }

// Refuse is the error of a refused command.
func Refuse(code ReplyCode, format string, args ...any) *ReplyError {
	return &ReplyError{Code: code, Text: fmt.Sprintf(format, args...)}
}

// DecodeReply reads a reply and checks its shape.
func DecodeReply(b []byte) (Reply, error) {
	if len(b) > MaxEventBytes {
		return Reply{}, fmt.Errorf("reply: %d bytes: want at most %d", len(b), MaxEventBytes)
	}
	var r Reply
	if err := json.Unmarshal(b, &r); err != nil {
		return Reply{}, fmt.Errorf("reply: %w", err)
	}
	if !ValidID(r.ID) {
		return Reply{}, fmt.Errorf("reply: id: %q: want a ULID", r.ID)
	}
	if r.OK == (r.Error != nil) {
		return Reply{}, errors.New("reply: want either ok or error")
	}
	return r, nil
}

// Ack names the events that the collector has committed.
type Ack struct {
	IDs []string `json:"ids"`
}

// DecodeAck reads an acknowledgement. Ids that are not ULIDs make it invalid
// as a whole: nothing is taken as committed on a doubtful word.
func DecodeAck(b []byte) (Ack, error) {
	if len(b) > MaxEventBytes {
		return Ack{}, fmt.Errorf("ack: %d bytes: want at most %d", len(b), MaxEventBytes)
	}
	var a Ack
	if err := json.Unmarshal(b, &a); err != nil {
		return Ack{}, fmt.Errorf("ack: %w", err)
	}
	if len(a.IDs) == 0 {
		return Ack{}, errors.New("ack: ids: required")
	}
	for i, id := range a.IDs {
		if !ValidID(id) {
			return Ack{}, fmt.Errorf("ack: ids[%d]: %q: want a ULID", i, id)
		}
	}
	return a, nil
}
