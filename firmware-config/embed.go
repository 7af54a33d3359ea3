// Package firmwareconfig holds the configuration that ships inside the gateway
// program: defaults, profiles of outlets, of feeders and of what charges,
// defaults of chips. A profile may name another one of its folder as its base
// and give only what differs.
//
// Every default stands in one YAML file, with the source of its number in a
// comment beside it. gateway/config lays a user's file over them; its tests
// read every file here. What a board needs outside the program (device-tree
// lines, kernel modules, udev rules) is in boards, to be copied by hand.
package firmwareconfig

import (
	"embed"
	"io/fs"
)

//go:embed defaults.yaml gateway.yaml profiles/*.yaml batteries/*.yaml feeders/*.yaml sensors/*.yaml schema/*.json
var files embed.FS

// Files returns the shipped files: defaults.yaml, gateway.yaml (the example),
// profiles, batteries, feeders, sensors and schema.
func Files() fs.FS { return files }
