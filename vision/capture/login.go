package capture

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/icholy/digest"
)

// login gives a camera the user and the password when it asks for them: by digest
// (RFC 7616) where that is offered, else by basic authentication. It is for one client
// and one request at a time.
type login struct {
	next   http.RoundTripper
	origin string        // the only one that they are for
	user   *url.Userinfo // nil: there is none
	digest bool          // was offered: from then on nothing is sent in clear
}

// RoundTrip implements http.RoundTripper. A camera that still says 401 has refused.
func (l *login) RoundTrip(req *http.Request) (*http.Response, error) {
	r := l.plain(req)
	for answers := 0; ; answers++ {
		res, err := l.next.RoundTrip(r)
		if err != nil || res.StatusCode != http.StatusUnauthorized {
			return res, err
		}
		if err := res.Body.Close(); err != nil {
			return nil, err
		}
		r = l.plain(req)
		if err := l.authorize(r, res.Header.Values("WWW-Authenticate"), answers); err != nil {
			return nil, fmt.Errorf("%w: HTTP %s: %w", ErrRefused, res.Status, err)
		}
	}
}

// plain is a request without what a client adds when it is sent elsewhere: the address
// that it comes from, whose query may hold a password, and a user of the new address.
func (l *login) plain(req *http.Request) *http.Request {
	r := req.Clone(req.Context())
	r.Header.Del("Referer")
	r.Header.Del("Authorization")
	return r
}

// maxAnswers is how often a camera is given the password for one request: once, and once
// more when it says that only the nonce was too old. Some lock the account after a few.
const maxAnswers = 2

var errGiven = errors.New("with the user and the password of its address")

// authorize adds to r what the headers of a refusal ask for, the one after so many answers.
func (l *login) authorize(r *http.Request, headers []string, answers int) error {
	if l.user == nil {
		return errors.New("its address has no user and no password")
	}
	if there := origin(r.URL); there != l.origin {
		return fmt.Errorf("the request was sent on to %s, and they are for %s only", there, l.origin)
	}
	offers, why := challenges(headers)
	var chosen *digest.Challenge
	basic := false
	for _, o := range offers {
		switch o.scheme {
		case "basic":
			basic = true
		case "digest":
			l.digest = true
			if chosen != nil {
				continue
			}
			var err error
			if chosen, err = o.digest(); err != nil {
				why = err
			}
		}
	}
	password, _ := l.user.Password()
	switch {
	case answers >= maxAnswers, answers > 0 && (chosen == nil || !chosen.Stale):
		return errGiven
	case chosen != nil:
		c, err := digest.Digest(chosen, digest.Options{
			Method: r.Method, URI: r.URL.RequestURI(), Count: 1, Username: l.user.Username(), Password: password,
		})
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", c.String())
		return nil
	case why != nil: // what cannot be read may be a digest
		return why
	case l.digest:
		return errors.New("it offered digest before and now does not")
	case !basic:
		return errors.New("it offers neither digest nor basic authentication")
	}
	r.SetBasicAuth(l.user.Username(), password)
	return nil
}

// origin is where a request goes: scheme, host and port.
func origin(u *url.URL) string {
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), cmp.Or(u.Port(), port))
}

// challenge is one of the ways that a camera offers (RFC 9110, 11.6.1).
type challenge struct {
	scheme string   // in lower case
	params []string // name=value, the names in lower case
}

// digest reads the parameters of a digest.
func (c *challenge) digest() (*digest.Challenge, error) {
	d, err := digest.ParseChallenge(digest.Prefix + strings.Join(c.params, ", "))
	if err != nil {
		return nil, errUnreadable
	}
	d.QOP = strings.Fields(strings.Join(d.QOP, " ")) // some leave spaces, or have one that is empty
	if !digest.CanDigest(d) || d.Nonce == "" {
		return nil, fmt.Errorf("its digest is of no kind that is known here: algorithm %.32q, qop %.32q", d.Algorithm, d.QOP)
	}
	return d, nil
}

var errUnreadable = errors.New("how it wants to be asked (WWW-Authenticate) cannot be read")

// opening is how the first element of a challenge looks: its scheme, and after it nothing
// or a parameter.
var opening = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]+([^= \t].*))?$")

// challenges reads WWW-Authenticate headers, each of which may hold several. With what
// cannot be read comes errUnreadable, and all that can.
func challenges(headers []string) (all []challenge, err error) {
	for _, h := range headers {
		list, whole := elements(h)
		if !whole {
			err = errUnreadable
			continue
		}
		var open *challenge
		for _, e := range list {
			m := opening.FindStringSubmatch(e)
			if m != nil {
				all = append(all, challenge{scheme: strings.ToLower(m[1])})
				open, e = &all[len(all)-1], m[2]
			}
			name, value, pair := strings.Cut(e, "=")
			switch {
			case pair && open != nil:
				open.params = append(open.params, strings.ToLower(strings.TrimSpace(name))+"="+strings.TrimSpace(value))
			case e != "" && m == nil: // after a scheme it is a token of another way
				err = errUnreadable
			}
		}
	}
	return all, err
}

// elements splits a header at the commas that are in no quoted string. It reports whether
// every string ends.
func elements(h string) (list []string, whole bool) {
	quoted, escaped, from := false, false, 0
	for i := range len(h) {
		switch c := h[i]; {
		case escaped:
			escaped = false
		case c == '\\' && quoted:
			escaped = true
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			list = append(list, strings.Trim(h[from:i], " \t"))
			from = i + 1
		}
	}
	return append(list, strings.Trim(h[from:], " \t")), !quoted
}
