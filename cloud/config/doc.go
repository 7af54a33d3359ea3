// Package config reads the collector's configuration: one YAML file, strict.
//
// [Load] lists every fault at once, each with its path, line, value and what
// is allowed; a key that is not known is a fault. What is left out has the
// value of [Default]. shedcloud.yaml beside this file is the default written
// out, with every key described; a test keeps the two alike. Secrets stand in
// files of their own, named here.
package config
