// Package confirm decides, from one picture to the next, whether what a model
// sees is worth an alarm. One frame never is.
//
// # Model
//
// A [Watch] follows one camera, which does not move. It takes the grid of scores
// of each frame and keeps, for every cell and every hour of the day, how high the
// scores are when nothing burns: a [Background]. A lamp, a neon sign or the
// evening sun that is always there does not count; what rises above it does.
// (Persistence alone is no evidence: what is always there persists best.)
//
// A frame may come with a closer look ([Frame.Close]): a part of it that the model saw as
// if it were all of the picture. Closer looks have a background of their own, and where a
// track is too small for the whole picture, only the frames that looked there closely
// count for or against it.
//
// Cells that are new hang together in regions, regions that overlap from frame to frame
// make a track, and a track is confirmed when it was there in K of the last N frames,
// over a minimum time, in one place, and alive: flames flicker and smoke drifts, painted
// walls and lamps do neither. A light that passes moves on, and a coat walks away. A
// flame never looks the same twice: a sign that blinks or whose letters run, however
// new, does, and is no sight, or no longer. A confirmed track is a [Sight] until it has
// not been seen for a while.
//
// In its first days a watch only looks on ([Settings.Learn]): its sights are
// marked as a shadow, and it learns. [Watch.Proposal] tells which threshold the
// site's own quiet hours suggest.
//
// The background is kept by the caller between two runs ([Watch.Save], [Restore]),
// and thrown away when the camera was moved ([Watch.Forget]).
//
// # Caveats
//
// A background learns slowly, and not at all where a sight is confirmed, so that a
// fire does not become scenery. A fire that burns in front of a camera while it is
// in its first days is learned all the same: the other senses of the shed are
// there for that.
//
// A Watch is for one goroutine. It allocates only while something rises.
package confirm
