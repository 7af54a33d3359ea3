// Package auth keeps passwords and tokens, and holds back who guesses them.
//
// A password is kept as an argon2id hash in its encoded form, which names its
// own parameters, so that these can grow without locking anyone out. A token of
// a program is random, and kept as its SHA-256. [Limiter]
// counts attempts by any key (a user, an address) and forgets them steadily.
package auth
