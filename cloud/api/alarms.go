package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
)

type alarmsInput struct {
	State    string    `query:"state" default:"all" enum:"open,cleared,all"`
	Shed     string    `query:"shed" maxLength:"63" doc:"absent: every shed"`
	Subject  string    `query:"subject" maxLength:"200" doc:"as outlet/3; absent: every subject"`
	Severity string    `query:"severity" enum:"critical,major,minor,warning" doc:"absent: every severity"`
	From     time.Time `query:"from" doc:"that stood at this moment or later"`
	To       time.Time `query:"to" doc:"that were raised before this moment"`
	Cursor   string    `query:"cursor" maxLength:"20" doc:"next of the page before"`
	Limit    int       `query:"limit" default:"50" minimum:"1" maximum:"500"`
}

type alarmsOutput struct {
	Body struct {
		Alarms []book.Alarm `json:"alarms" doc:"the newest in the book first"`
		Next   string       `json:"next" doc:"cursor of the next page; empty on the last"`
	}
}

// AlarmPath names an alarm in a path.
type AlarmPath struct {
	ID string `path:"id" maxLength:"26" doc:"alarm id"`
}

type alarmOutput struct {
	Body book.Alarm
}

type alarmHistoryOutput struct {
	Body struct {
		book.Alarm
		Pictures []book.Picture      `json:"pictures" doc:"those that are kept, by number"`
		History  []book.HistoryEntry `json:"history" doc:"oldest first"`
	}
}

type acknowledgeInput struct {
	AlarmPath
	Body *struct {
		Comment string `json:"comment,omitempty" maxLength:"2000"`
	}
}

type acknowledgeAllInput struct {
	Body struct {
		IDs     []string `json:"ids" minItems:"1" maxItems:"500" uniqueItems:"true" doc:"alarm ids"`
		Comment string   `json:"comment,omitempty" maxLength:"2000"`
	}
}

type acknowledgeAllOutput struct {
	Body struct {
		Alarms  []book.Alarm `json:"alarms" doc:"as they are now"`
		Missing []string     `json:"missing" doc:"ids that are not in the book"`
	}
}

type commentInput struct {
	AlarmPath
	Body struct {
		Comment string `json:"comment" minLength:"1" maxLength:"2000"`
	}
}

type evidenceInput struct {
	AlarmPath
	N int `path:"n" minimum:"0" maximum:"999"`
}

type evidenceOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (s *Server) alarmRoutes(api huma.API) {
	handle(s, api, operation(http.MethodGet, "/alarms", "list-alarms", "Alarms by page", http.StatusBadRequest), s.alarms)
	handle(s, api, operation(http.MethodGet, "/alarms/{id}", "get-alarm", "One alarm with its history", http.StatusNotFound), s.alarm)
	handle(s, api, operation(http.MethodPost, "/alarms/{id}/acknowledge", "acknowledge-alarm",
		"Take note of an alarm. It neither clears the alarm nor resets a trip; the first one counts", http.StatusNotFound), s.acknowledge)
	handle(s, api, operation(http.MethodPost, "/alarms/acknowledge", "acknowledge-alarms", "Take note of many alarms at once", http.StatusBadRequest), s.acknowledgeAll)
	handle(s, api, operation(http.MethodPost, "/alarms/{id}/comment", "comment-alarm", "Leave a comment", http.StatusNotFound), s.comment)
	handle(s, api, picture("/alarms/{id}/evidence/{n}", "get-evidence", "One picture of an alarm, JPEG"), s.evidence)
}

func (s *Server) alarms(ctx context.Context, in *alarmsInput) (*alarmsOutput, error) {
	q := book.AlarmQuery{Shed: in.Shed, Subject: in.Subject, From: in.From, To: in.To, Cursor: in.Cursor, Limit: in.Limit}
	if in.State != "all" {
		q.State = book.AlarmState(in.State)
	}
	if in.Severity != "" {
		if err := q.Severity.UnmarshalText([]byte(in.Severity)); err != nil || q.Severity == shedguard.SeverityCleared {
			return nil, huma.Error400BadRequest("severity: want critical, major, minor or warning")
		}
	}
	page, next, err := s.opts.Book.Alarms(ctx, q)
	out := &alarmsOutput{}
	out.Body.Alarms, out.Body.Next = page, next
	return out, err
}

func (s *Server) alarm(ctx context.Context, in *AlarmPath) (*alarmHistoryOutput, error) {
	a, err := s.opts.Book.Alarm(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	pictures, err := s.opts.Book.Pictures(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	history, err := s.opts.Book.History(ctx, in.ID)
	out := &alarmHistoryOutput{}
	out.Body.Alarm, out.Body.Pictures, out.Body.History = a, pictures, history
	return out, err
}

func (s *Server) acknowledge(ctx context.Context, in *acknowledgeInput) (*alarmOutput, error) {
	comment := ""
	if in.Body != nil {
		comment = in.Body.Comment
	}
	a, err := s.opts.Book.Acknowledge(ctx, in.ID, who(ctx).name, comment, time.Now())
	if err != nil {
		return nil, err
	}
	return &alarmOutput{Body: a}, s.audit(ctx, who(ctx).name, "acknowledge", in.ID, in.Body)
}

func (s *Server) acknowledgeAll(ctx context.Context, in *acknowledgeAllInput) (*acknowledgeAllOutput, error) {
	by, at := who(ctx).name, time.Now()
	out := &acknowledgeAllOutput{}
	var err error
	if out.Body.Alarms, out.Body.Missing, err = s.opts.Book.AcknowledgeAll(ctx, in.Body.IDs, by, in.Body.Comment, at); err != nil {
		return nil, err
	}
	done := make([]string, len(out.Body.Alarms))
	for i := range done {
		done[i] = out.Body.Alarms[i].ID
	}
	return out, s.audit(ctx, by, "acknowledge", fmt.Sprintf("%d alarms", len(done)), map[string]any{"ids": done, "comment": in.Body.Comment})
}

func (s *Server) comment(ctx context.Context, in *commentInput) (*alarmOutput, error) {
	a, err := s.opts.Book.Comment(ctx, in.ID, who(ctx).name, in.Body.Comment, time.Now())
	if err != nil {
		return nil, err
	}
	return &alarmOutput{Body: a}, s.audit(ctx, who(ctx).name, "comment", in.ID, in.Body)
}

func (s *Server) evidence(ctx context.Context, in *evidenceInput) (*evidenceOutput, error) {
	jpeg, err := s.opts.Book.Evidence(ctx, in.ID, in.N)
	if err != nil {
		return nil, err
	}
	s.looked(ctx, in.ID, map[string]int{"n": in.N})
	return &evidenceOutput{ContentType: "image/jpeg", Body: jpeg}, nil
}
