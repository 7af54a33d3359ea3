package api

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
)

const (
	// cameraFresh is how old a camera's newest value may be to say that it sees.
	cameraFresh = 2 * time.Minute
	// longestFrameAge is how old the newest frame of a camera that sees may be.
	longestFrameAge = 20 * time.Second
	// lookAgain is how long looking at the same picture again is no new deed.
	lookAgain = 10 * time.Minute
)

// CameraState is whether a camera can see.
type CameraState string

// The states of a camera.
const (
	CameraSees    CameraState = "sees"
	CameraBlind   CameraState = "blind"   // an alarm says so, and why
	CameraLost    CameraState = "lost"    // an alarm says so
	CameraUnknown CameraState = "unknown" // its gateway is not connected, or says nothing of it
)

// Camera is one camera of a shed.
type Camera struct {
	Camera   string           `json:"camera"`
	State    CameraState      `json:"state" enum:"sees,blind,lost,unknown"`
	Detail   shedguard.Detail `json:"detail" doc:"why it is blind, as picture_covered; else empty"`
	FPS      *float64         `json:"fps,omitempty" doc:"frames a second that are looked at"`
	Flame    *float64         `json:"flame,omitempty" doc:"score, 0 to 1"`
	Smoke    *float64         `json:"smoke,omitempty" doc:"score, 0 to 1"`
	Shadow   bool             `json:"shadow" doc:"it is still learning what its place looks like"`
	At       *time.Time       `json:"at" doc:"of the newest value; null when there was none in the last ten minutes"`
	Alarms   []book.Alarm     `json:"alarms" doc:"open ones, oldest first"`
	Snapshot *book.Snapshot   `json:"snapshot" doc:"the last one; null when nobody has asked for one that is still kept"`
}

type camerasOutput struct {
	Body struct {
		Cameras []Camera `json:"cameras" doc:"by name"`
	}
}

// CameraPath names a camera in a path.
type CameraPath struct {
	ShedPath
	Camera string `path:"camera" maxLength:"64" doc:"name of the camera"`
}

type snapshotInput struct {
	CameraPath
	ID string `query:"id" maxLength:"26" doc:"id of the snapshot that is meant, no other is given; absent: the last"`
}

func (s *Server) cameraRoutes(api huma.API) {
	handle(s, api, operation(http.MethodGet, "/sheds/{shed}/cameras", "list-cameras",
		"The cameras of a shed: whether they see, their scores and last snapshots", http.StatusNotFound), s.cameras)
	handle(s, api, picture("/sheds/{shed}/cameras/{camera}/snapshot", "get-snapshot",
		"The last snapshot of a camera, JPEG. The command snapshot asks for a new one"), s.snapshot)
}

// picture is an operation that gives a JPEG.
func picture(path, id, summary string) huma.Operation {
	op := operation(http.MethodGet, path, id, summary, http.StatusNotFound)
	op.Responses = map[string]*huma.Response{"200": {
		Description: "JPEG",
		Content:     map[string]*huma.MediaType{"image/jpeg": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
	}}
	return op
}

func (s *Server) cameras(ctx context.Context, in *ShedPath) (*camerasOutput, error) {
	shed, err := s.opts.Book.Shed(ctx, in.Shed)
	if err != nil {
		return nil, err
	}
	latest, err := s.opts.Series.Latest(ctx, shedguard.MeasurementCamera, map[string]string{"shed": shed.ID}, liveWithin)
	if err != nil {
		return nil, fmt.Errorf("newest values of the cameras of shed %s: %w", shed.ID, err)
	}
	alarms, err := s.opts.Book.CameraAlarms(ctx, shed.ID)
	if err != nil {
		return nil, err
	}
	snapshots, err := s.opts.Book.Snapshots(ctx, shed.ID)
	if err != nil {
		return nil, err
	}
	byName := map[string]*Camera{}
	camera := func(name string) *Camera {
		if byName[name] == nil {
			byName[name] = &Camera{Camera: name, State: CameraUnknown, Alarms: []book.Alarm{}}
		}
		return byName[name]
	}
	blind, stalled := map[string]bool{}, map[string]bool{}
	for _, l := range latest {
		name := l.Tags["camera"]
		if name == "" || math.IsNaN(l.Value) || math.IsInf(l.Value, 0) {
			continue
		}
		c, at := camera(name), l.At.UTC()
		if c.At == nil || at.After(*c.At) {
			c.At = &at
		}
		switch l.Field {
		case "fps":
			c.FPS = &l.Value
		case "flame":
			c.Flame = &l.Value
		case "smoke":
			c.Smoke = &l.Value
		case "shadow":
			c.Shadow = l.Value != 0
		case "blind":
			blind[name] = l.Value != 0
		case "frame_age_seconds":
			stalled[name] = l.Value > longestFrameAge.Seconds()
		default:
		}
	}
	for _, snap := range snapshots {
		camera(snap.Camera).Snapshot = &snap
	}
	heard := shed.State == book.StateOnline
	for _, c := range byName {
		frames := c.FPS != nil && *c.FPS > 0
		switch {
		case !heard || !frames || stalled[c.Camera] || time.Since(*c.At) > cameraFresh:
		case blind[c.Camera]:
			c.State = CameraBlind // the alarm that says why comes a little later
		default:
			c.State = CameraSees
		}
	}
	for i := range alarms {
		c := camera(strings.TrimPrefix(alarms[i].Subject, "camera/"))
		c.Alarms = append(c.Alarms, alarms[i])
		switch {
		case alarms[i].Cause == shedguard.CauseCameraLost:
			c.State, c.Detail = CameraLost, ""
		case alarms[i].Cause == shedguard.CauseCameraBlind && c.State != CameraLost:
			c.State, c.Detail = CameraBlind, alarms[i].Detail
		}
	}
	out := &camerasOutput{}
	out.Body.Cameras = []Camera{}
	for _, c := range slices.SortedFunc(maps.Values(byName), func(a, b *Camera) int { return cmp.Compare(a.Camera, b.Camera) }) {
		out.Body.Cameras = append(out.Body.Cameras, *c)
	}
	return out, nil
}

func (s *Server) snapshot(ctx context.Context, in *snapshotInput) (*evidenceOutput, error) {
	snap, jpeg, err := s.opts.Book.Snapshot(ctx, in.Shed, in.Camera)
	if err != nil {
		return nil, err
	}
	if in.ID != "" && in.ID != snap.ID {
		return nil, huma.Error404NotFound(fmt.Sprintf("snapshot %s of camera %s: another one has taken its place", in.ID, in.Camera))
	}
	s.looked(ctx, in.Shed, map[string]any{"camera": in.Camera, "id": snap.ID})
	return &evidenceOutput{ContentType: "image/jpeg", Body: jpeg}, nil
}

// looked notes who has looked at a picture. A book that takes no note does not
// keep a picture of a fire from whoever has to go there.
func (s *Server) looked(ctx context.Context, target string, detail any) {
	a, err := s.deed(ctx, who(ctx).name, "look", target, detail)
	if err == nil {
		err = s.opts.Book.AuditOnce(ctx, a, lookAgain)
	}
	if err != nil {
		s.opts.Log.ErrorContext(ctx, "look at a picture not noted", slog.String("by", who(ctx).name), slog.String("target", target), slog.Any("err", err))
	}
}
