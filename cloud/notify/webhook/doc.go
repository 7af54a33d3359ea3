// Package webhook is the contract of the signed webhook: what the collector
// posts, and how a receiver knows that it is genuine.
//
// # Request
//
// POST with a JSON body ([Payload]) and two headers:
//
//	X-Shedguard-Timestamp: 1772366400
//	X-Shedguard-Signature: v1=<hex of HMAC-SHA256(secret, timestamp + "." + body)>
//
// The signature covers the bytes of the body as they are on the wire: verify
// before parsing. Any answer of 2xx takes the message. 408, 425, 429 and 5xx are
// tried again with growing pauses; any other answer is final for that message.
//
// # Replay
//
// [Verify] refuses a timestamp that is more than [Window] away from the
// receiver's clock. Within the window a receiver de-duplicates by
// [Payload.ID]: after a crash between sending and noting it the same message
// comes again, with the same id and a new timestamp.
package webhook
