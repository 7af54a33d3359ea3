// Package config reads the gateway's configuration and says everything that is
// wrong with it at once.
//
// # Model
//
// A configuration is one YAML file. Behind it stand files that ship inside the
// program (firmware-config): defaults.yaml behind the whole, a profile behind
// each outlet, the defaults of a chip behind each thing that names one. What
// the file says wins, value by value; what nothing says is a fault, unless its
// description says that it may be left out. The result is a [Config] in which
// every limit has a value: zero never means "none".
//
// [Parse] checks the text alone. [Load] also looks at the files that it names:
// certificates and secrets must be there, and a secret must be for its owner's
// eyes only.
//
// # Faults
//
// Every fault is one [Fault], one line of "path: value: want what is allowed
// (line n)". Unknown keys are faults and come with the nearest known one. All
// types, ranges and references are checked in one pass, so that a file with
// ten faults is answered with ten lines.
//
// # Schema
//
// The fields of Config carry their description and range in struct tags. The
// checks read them, and [Schema] makes the JSON schema of the file from them,
// so that an editor and the gateway agree.
//
// # Caveats
//
// A duration is written with its unit ("500ms", "10s", "2h"). Anchors, aliases
// and several documents in one file are refused. Relative paths are meant from
// the folder of the configuration file.
package config
