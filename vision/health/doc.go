// Package health tells whether a camera still shows what it was hung up to show.
//
// # Model
//
// A [Check] follows one camera by small grey copies of its frames ([Size]) and
// says at most one [Fault]: frozen (the same picture again and again), black,
// overexposed, covered or defocused (the picture has lost its detail), moved (its
// detail is elsewhere). A fault is told when it has stood for its time in
// [Settings], and passes when the picture has been well for as long.
//
// The detail of a picture is the strength of its edges, cell by cell. What is
// usual is learned while the picture is well, slowly, so that a lamp or the night
// mode of a camera is no fault: edges stay where they are when the light changes.
// A camera that was moved shows its usual edges shifted, or none of them.
//
// That frames do not come at all is for whoever waits for them to notice.
//
// # Caveats
//
// Someone who stands close to the lens for long enough covers it. A shed that is
// dark at night without an infrared lamp is black: that is a fault of the site, and
// is told, because the camera sees no smoke then.
package health
