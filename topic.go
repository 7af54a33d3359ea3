package shedguard

import (
	"fmt"
	"slices"
	"strings"
)

// TopicPrefix begins every topic of the contract.
const TopicPrefix = "shedguard/v1/"

// Class is the last level of a topic: what kind of message it carries.
type Class string

// The topic classes.
const (
	ClassStatus    Class = "status"    // up, retained, also the last will
	ClassTelemetry Class = "telemetry" // up, line protocol
	ClassAlarm     Class = "alarm"     // up, CloudEvents
	ClassEvent     Class = "event"     // up, CloudEvents
	ClassEvidence  Class = "evidence"  // up, JPEG; followed by alarm id and number
	ClassCommand   Class = "cmd"       // down
	ClassReply     Class = "reply"     // up
	ClassAck       Class = "ack"       // down
	ClassConfig    Class = "config"    // down, retained, signed
)

// Classes lists every topic class.
func Classes() []Class {
	return []Class{
		ClassStatus, ClassTelemetry, ClassAlarm, ClassEvent, ClassEvidence,
		ClassCommand, ClassReply, ClassAck, ClassConfig,
	}
}

// ValidShedID reports whether id can name a shed: 1 to 63 letters, digits,
// "_" or "-", the first a letter or digit. The id is also the MQTT client id
// and the common name of the gateway's certificate.
func ValidShedID(id string) bool {
	if id == "" || len(id) > 63 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || c != '_' && c != '-') {
			return false
		}
	}
	return true
}

// Topic is the topic of one class of one shed. A subscription to every shed
// uses "+" as the shed id.
func Topic(shed string, class Class) string {
	return TopicPrefix + shed + "/" + string(class)
}

// EvidenceTopic is the topic of the n-th picture of an alarm.
func EvidenceTopic(shed, alarmID string, n int) string {
	return fmt.Sprintf("%s/%s/%d", Topic(shed, ClassEvidence), alarmID, n)
}

// ParseTopic splits a topic into shed id, class and what follows the class
// (for evidence: alarm id and number, else nothing).
func ParseTopic(topic string) (shed string, class Class, rest string, err error) {
	tail, ok := strings.CutPrefix(topic, TopicPrefix)
	if !ok {
		return "", "", "", fmt.Errorf("topic %q: want prefix %q", topic, TopicPrefix)
	}
	shed, tail, ok = strings.Cut(tail, "/")
	if !ok || !ValidShedID(shed) {
		return "", "", "", fmt.Errorf("topic %q: shed id %q: want 1 to 63 of A-Z a-z 0-9 _ -, a letter or digit first", topic, shed)
	}
	word, rest, _ := strings.Cut(tail, "/")
	class = Class(word)
	if !slices.Contains(Classes(), class) || (rest != "") != (class == ClassEvidence) {
		return "", "", "", fmt.Errorf("topic %q: class %q: want one of %v, evidence alone followed by /alarm/number", topic, tail, Classes())
	}
	return shed, class, rest, nil
}
