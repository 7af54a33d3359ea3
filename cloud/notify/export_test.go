package notify

import "github.com/shedguard/shedguard/cloud/book"

// DingTalkSign is dingTalkSign, for the contract's test.
func DingTalkSign(secret string, ms int64) string { return dingTalkSign(secret, ms) }

// Fill writes a message as the notifier does, for a base address and a policy's
// time zone.
func Fill(p *Policy, m *Message, l Language, round int) {
	w := writer{base: p.settings.BaseURL, zone: p.zone}
	w.fill(m, l, round)
}

// Shorten is shorten.
func Shorten(s string, limit int) string { return shorten(s, limit) }

// Redact is redact.
func Redact(err error, words []string) error { return redact(err, words) }

var _ interface {
	keeper
	reader
} = (*book.Book)(nil)
