package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shedguard/shedguard/cloud/book"
)

type notifyOutput struct {
	Body struct {
		People   []string `json:"people" doc:"names, for a test"`
		Channels []string `json:"channels" doc:"names, for a test"`
		On       bool     `json:"on" doc:"whether anybody is told of alarms"`
	}
}

type notifyTestInput struct {
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"100" doc:"of a person or a channel"`
	}
}

type deliveriesInput struct {
	Alarm  string `query:"alarm" maxLength:"26" doc:"alarm id; absent: of every alarm"`
	Person string `query:"person" maxLength:"100" doc:"absent: to everybody"`
	Cursor string `query:"cursor" maxLength:"20" doc:"next of the page before"`
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"500"`
}

type deliveriesOutput struct {
	Body struct {
		Deliveries []book.Delivery `json:"deliveries" doc:"newest first"`
		Next       string          `json:"next" doc:"cursor of the next page; empty on the last"`
	}
}

func (s *Server) notifyRoutes(api huma.API) {
	handle(s, api, operation(http.MethodGet, "/notify", "get-notify", "Who can be told of alarms", http.StatusForbidden), s.notify)
	handle(s, api, operation(http.MethodPost, "/notify/test", "test-notify", "Send a test message to a person or over a channel, and wait for the outcome",
		http.StatusForbidden, http.StatusNotFound, http.StatusBadGateway), s.notifyTest)
	handle(s, api, operation(http.MethodGet, "/notify/deliveries", "list-deliveries", "Who was told what, with every attempt",
		http.StatusBadRequest, http.StatusForbidden), s.deliveries)
}

func (s *Server) notify(ctx context.Context, _ *none) (*notifyOutput, error) {
	if err := adminOnly(ctx, "read who is told of alarms"); err != nil {
		return nil, err
	}
	out := &notifyOutput{}
	out.Body.People, out.Body.Channels = s.opts.Notify.Names()
	out.Body.On = len(out.Body.People) > 0
	return out, nil
}

func (s *Server) notifyTest(ctx context.Context, in *notifyTestInput) (*none, error) {
	if err := adminOnly(ctx, "send test messages"); err != nil {
		return nil, err
	}
	if err := s.audit(ctx, who(ctx).name, "notify_test", in.Body.Name, nil); err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, testWait)
	defer cancel()
	err := s.opts.Notify.Test(wait, in.Body.Name)
	if err != nil && !errors.Is(err, book.ErrNotFound) && ctx.Err() == nil {
		return nil, huma.Error502BadGateway(err.Error()) // the error of a channel names no secret
	}
	return nil, err
}

func (s *Server) deliveries(ctx context.Context, in *deliveriesInput) (*deliveriesOutput, error) {
	if err := adminOnly(ctx, "read the log of messages"); err != nil {
		return nil, err
	}
	page, next, err := s.opts.Notify.Log(ctx, book.DeliveryQuery{Alarm: in.Alarm, Person: in.Person, Cursor: in.Cursor, Limit: in.Limit})
	out := &deliveriesOutput{}
	out.Body.Deliveries, out.Body.Next = page, next
	return out, err
}
