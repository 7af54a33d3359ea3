// Package broker is an MQTT broker inside the collector's process, for a site
// that runs on one machine.
package broker
