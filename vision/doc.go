// Package vision is what shedguard knows about pictures of flame and smoke, in
// pure Go: it needs neither OpenCV nor cgo.
//
// A [Heat] is what the model says of one picture: for flame and for smoke a grid
// of cells with a score from 0 to 1. [Settings], read from the model's own
// model.json, say how a picture becomes the model's input, which score of a
// picture follows from its cells, and from which score on it counts. [Boxes] are
// connected cells; a [Sight] is all of that for one picture.
//
// Wide pictures can be looked at in [Tiles] besides as a whole, so that a small
// flame far away covers enough of the model's input; [Merge] puts the tiles'
// cells together again.
//
// [Metrics] measure a model against labelled pictures (a [Set]). Only what was
// labelled counts: where a source labelled flame and not smoke, its pictures say
// nothing about smoke.
//
// Decoding, scaling and inference are in vision/opencv.
package vision
