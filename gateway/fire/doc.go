// Package fire grades what the senses of a fire zone say: pure arithmetic from
// (settings, state, signs, now) to a verdict.
//
// # Model
//
// A [Sign] is something that stands now and speaks for fire: a camera that has
// confirmed flame or smoke, the contact of a smoke detector, heat at an outlet,
// an electrical fault that heats. Signs belong to four [Sense] kinds that fail
// independently of each other. [Settings.Next] keeps when each sense last spoke and
// says how sure it is:
//
//	camera alone                                  pre_alarm   nothing is switched
//	camera alone, without a break for Persist     alarm       siren
//	smoke contact alone                           alarm       cut_zone, siren
//	camera or smoke contact, and any other sense
//	within Within of each other                   fire        cut as configured, siren
//	heat or electrical faults without the others  no grade    their own rules trip the outlet
//
// One sense alone never makes fire: a lamp, a headlight or steam fools a camera,
// dust a smoke detector. A camera that only watches (see [Sign.Shadow]) makes a
// notice and counts for nothing else.
//
// Fire stays until [State.Reset], whatever the senses say afterwards: a burning
// cable may go out of sight. All else passes when its signs do.
//
// # Caveats
//
// The package holds no clock, does no input or output and is not safe for
// concurrent use of one State. A fire is forgotten by a restart of the program;
// the outlets that it cut are not, their latches are on disk.
package fire
