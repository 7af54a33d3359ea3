package uplink

import (
	"fmt"

	"github.com/shedguard/shedguard"
)

// strikesPicture is how many connections may end while a picture is on its way
// before it is given up.
const strikesPicture = 3

// pictures wakes the session for a picture.
func (u *Uplink) pictures() <-chan struct{} {
	if u.opts.Pictures == nil {
		return nil
	}
	return u.opts.Pictures.Wake()
}

// sendPicture publishes the oldest picture when nothing more urgent waits: one at a
// time, so that an alarm never waits behind more than one.
func (s *session) sendPicture() {
	if s.u.opts.Pictures == nil || s.picture != nil || len(s.alarms) > 0 || s.u.narrow {
		return
	}
	p, ok := s.u.opts.Pictures.Next()
	if !ok {
		return
	}
	topic := shedguard.EvidenceTopic(s.u.opts.Shed, p.AlarmID, p.Number)
	s.shown = p
	s.picture = &flight{token: s.link.Publish(topic, false, p.JPEG)}
}

func (s *session) pictured() <-chan struct{} {
	if s.picture == nil {
		return nil
	}
	return s.picture.token.Done()
}

func (s *session) pictureDone() error {
	if err := s.picture.token.Error(); err != nil {
		return fmt.Errorf("publish evidence: %w", err)
	}
	s.picture = nil
	s.puback()
	s.u.suspect, s.u.blamed = "", 0
	s.u.opts.Pictures.Done(s.shown)
	s.u.count(func(st *Stats) { st.Pictures++ })
	return nil
}

// blamePicture gives up a picture that was on its way when several connections
// ended: a broker that refuses it does so by closing.
func (s *session) blamePicture() {
	if s.picture == nil {
		return
	}
	if s.picture.done() {
		_ = s.pictureDone() // done without an error
		return
	}
	u := s.u
	name := fmt.Sprintf("%s/%d", s.shown.AlarmID, s.shown.Number)
	if u.suspect != name {
		u.suspect, u.blamed = name, 0
	}
	if u.blamed++; u.blamed < strikesPicture {
		return
	}
	u.suspect, u.blamed = "", 0
	u.warn("picture", "picture given up, no connection survived sending it", fmt.Errorf("picture %s of %d bytes", name, len(s.shown.JPEG)))
	u.opts.Pictures.Refuse(s.shown)
}
