// Package scene draws a charging shed as its camera sees it: a floor, a wall
// of outlets, parked e-bikes, and what happens in front of them.
//
// # Model
//
// A [Scene] is a shed that is made from a seed, and a [Script] of what happens
// in it and when. [Scene.Render] draws the picture of one instant; the same
// scene gives the same picture for the same instant, in whatever order it is
// asked, so that a reel of hours can be played in parts. [Scene.Truth] says what
// can be seen at that instant.
//
// [Quiet] scripts hours in which nothing burns and much looks like it:
// headlights, switched lamps, a neon sign, the infrared filter at dusk, the
// evening sun, red coats, steam, a shaking camera. [Burning] lets smoke and then
// flame grow out of one of the bikes.
//
// [Stream] serves a scene as motion JPEG, as a network camera would.
//
// # Caveats
//
// The pictures are drawn, not photographed: flame and smoke are noise that
// rises. They show that the way from a camera to an alarm works, and how it bears
// what is not a fire. They say nothing of how well real fires are recognised;
// only photographs do.
package scene
