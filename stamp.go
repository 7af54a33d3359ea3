package shedguard

// SetStamp sets the stamp. Every event's data embeds a Stamp, so that one
// place can stamp them all.
func (s *Stamp) SetStamp(to Stamp) { *s = to }
