package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/api"
	"github.com/shedguard/shedguard/cloud/book"
	"github.com/shedguard/shedguard/cloud/series"
)

// fillCameras puts a camera that sees and has a snapshot, and others.
func (r *rig) fillCameras(tb testing.TB) {
	tb.Helper()
	value := func(camera, field string, v float64, age time.Duration) series.Latest {
		return series.Latest{Field: field, Tags: map[string]string{"shed": "shed-1", "camera": camera}, Value: v, At: time.Now().Add(-age)}
	}
	r.store.cameras = []series.Latest{
		value("c1", "fps", 5, time.Second), value("c1", "flame", 0.03, time.Second), value("c1", "smoke", 0.25, 2*time.Second), value("c1", "moon", 1, 0),
		value("c2", "fps", 5, time.Second), value("c3", "fps", 0, time.Second), value("c5", "fps", 0, time.Second), value("c6", "flame", 0, time.Second),
		value("c7", "fps", 5, time.Second), value("c7", "blind", 1, time.Second), value("c7", "shadow", 1, time.Second),
		value("c8", "fps", 5, time.Second), value("c8", "frame_age_seconds", 20.5, time.Second), value("c8", "blind", 1, time.Second),
		value("c9", "fps", 5, time.Second), value("c9", "frame_age_seconds", 19.5, time.Second), value("c9", "blind", 0, time.Second), value("c4", "fps", 5, 3*time.Minute),
	}
	c := shedguard.Command{
		ID: id(8000), Kind: shedguard.CommandSnapshot, IssuedAt: noon, ExpiresAt: noon.Add(time.Second), By: "admin", BootID: boot, Args: json.RawMessage(`{"camera":"c1"}`),
	}
	if err := r.book.PutCommand(tb.Context(), "shed-1", c); err != nil {
		tb.Fatal(err)
	}
	if err := r.book.PutEvidence(tb.Context(), "shed-1", c.ID, 0, []byte("\xff\xd8snapshot"), noon.Add(time.Second)); err != nil {
		tb.Fatal(err)
	}
}

func (r *rig) cameraAlarm(tb testing.TB, n int, subject string, cause shedguard.Cause, detail shedguard.Detail) {
	tb.Helper()
	a := shedguard.Alarm{
		ID: id(n), Cause: cause, Detail: detail, Severity: shedguard.SeverityMinor, Level: int(shedguard.SeverityMinor), RaisedAt: noon, Since: noon,
		Action: shedguard.ActionNone, Evidence: []string{}, Text: cause.Text(), Stamp: shedguard.Stamp{Clock: shedguard.ClockSynced, BootID: boot, Seq: uint64(n)},
	}
	e, err := shedguard.NewEvent(id(400+n), shedguard.Source("shed-1"), shedguard.EventAlarmRaised, subject, noon, a)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := r.book.PutEvent(tb.Context(), e, noon); err != nil {
		tb.Fatal(err)
	}
}

func TestCameras(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t)
	r.fillCameras(t) // c4 has said nothing lately; no frame of c5 and c6, no fresh one of c8
	r.cameraAlarm(t, 21, "camera/c2", shedguard.CauseCameraBlind, shedguard.DetailPictureCovered)
	r.cameraAlarm(t, 22, "camera/c3", shedguard.CauseCameraLost, "")
	r.cameraAlarm(t, 23, "camera/c3", shedguard.CauseCameraBlind, shedguard.DetailPictureBlack)
	r.login(t)
	states := func() map[string]string {
		t.Helper()
		status, body, _ := r.do(t, http.MethodGet, "/api/v1/sheds/shed-1/cameras", "")
		var got struct{ Cameras []api.Camera }
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != http.StatusOK {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		states := map[string]string{}
		for _, c := range got.Cameras {
			states[c.Camera] = strings.TrimSpace(string(c.State) + " " + string(c.Detail))
		}
		return states
	}
	want := map[string]string{"c1": "sees", "c2": "blind picture_covered", "c3": "lost", "c4": "unknown", "c5": "unknown", "c6": "unknown", "c7": "blind", "c8": "unknown", "c9": "sees"}
	if d := cmp.Diff(want, states()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	// What a gateway that is away said before is no word about now; its alarms stand.
	if _, err := r.book.SetState(t.Context(), "shed-1", book.StateOffline, noon); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"c1", "c7", "c9"} {
		want[c] = "unknown"
	}
	if d := cmp.Diff(want, states()); d != "" {
		t.Errorf("gateway away (-want +got):\n%s", d)
	}
}

func TestWhoLooked(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t)
	r.fillCameras(t)
	r.login(t)
	for path, want := range map[string]string{
		"/api/v1/alarms/" + id(1) + "/evidence/0":                 "\xff\xd8jpeg",
		"/api/v1/sheds/shed-1/cameras/c1/snapshot":                "\xff\xd8snapshot",
		"/api/v1/sheds/shed-1/cameras/c1/snapshot?id=" + id(8000): "\xff\xd8snapshot",
	} {
		status, body, header := r.do(t, http.MethodGet, path, "")
		if status != http.StatusOK || body != want || header.Get("Content-Type") != "image/jpeg" || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %q %v", path, status, body, header)
		}
	}
	r.do(t, http.MethodGet, "/api/v1/alarms/"+id(1)+"/evidence/7", "") // nothing to see
	trail, err := r.book.AuditTrail(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, a := range trail {
		if a.Deed == "look" {
			got[a.By+" "+a.Target+" "+string(a.Detail)]++
		}
	}
	want := map[string]int{"admin " + id(1) + ` {"n":0}`: 1, `admin shed-1 {"camera":"c1","id":"` + id(8000) + `"}`: 1}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
