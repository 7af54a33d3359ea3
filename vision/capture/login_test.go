package capture_test

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/shedguard/shedguard/vision/capture"
)

const (
	viewer = "viewer"
	secret = "correct horse:7"
)

// digestPair is a parameter of an Authorization.
var digestPair = regexp.MustCompile(`([a-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))`)

// digestOf reads an Authorization, and computes from the password what its response must
// be (RFC 7616, 3.4; without qop RFC 2069, 2.1.2).
func digestOf(t *testing.T, authorization, method, password string) (params map[string]string, response string) {
	t.Helper()
	rest, ok := strings.CutPrefix(authorization, "Digest ")
	if !ok {
		t.Fatalf("no digest: %q", authorization)
	}
	params = map[string]string{}
	for _, m := range digestPair.FindAllStringSubmatch(rest, -1) {
		params[m[1]] = strings.ReplaceAll(m[2], `\`, "") + m[3]
	}
	h := func(s string) string { sum := md5.Sum([]byte(s)); return hex.EncodeToString(sum[:]) }
	if params["algorithm"] == "SHA-256" {
		h = func(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:]) }
	}
	secret, what := h(params["username"]+":"+params["realm"]+":"+password), h(method+":"+params["uri"])
	if params["qop"] == "" {
		return params, h(secret + ":" + params["nonce"] + ":" + what)
	}
	return params, h(secret + ":" + params["nonce"] + ":" + params["nc"] + ":" + params["cnonce"] + ":" + params["qop"] + ":" + what)
}

// TestTheTestsDigest against the examples of RFC 7616, 3.9.1, and RFC 2617, 3.5.
func TestTheTestsDigest(t *testing.T) {
	for _, authorization := range []string{
		`Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=MD5, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, response="8ca523f5e9506fed4657c9700eebdbec", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`,
		`Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`,
	} {
		if p, want := digestOf(t, authorization, http.MethodGet, "Circle of Life"); p["response"] != want {
			t.Errorf("%s: response %s", authorization, want)
		}
	}
}

// gate is a camera that lets in who has the password.
type gate struct {
	t        *testing.T
	password string
	offers   []string // WWW-Authenticate; %s is the nonce
	again    []string // the same, for an answer that it does not take; empty: offers
	tired    int      // so many right answers have a nonce that is too old

	mu   sync.Mutex
	sent []string // Authorization of each request
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	got := r.Header.Get("Authorization")
	nonce := fmt.Sprintf("bm9uY2U+/%d==", len(g.sent)) // of this answer
	last := fmt.Sprintf("bm9uY2U+/%d==", len(g.sent)-1)
	g.sent = append(g.sent, got)
	offers := g.offers
	switch {
	case got != "" && g.knows(r, got, last):
		if g.tired == 0 {
			w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=b")
			_, _ = fmt.Fprint(w, "--b\r\nContent-Length: 3\r\n\r\nabc\r\n--b--\r\n")
			return
		}
		g.tired--
		offers = g.again
	case got != "" && g.again != nil:
		offers = g.again
	}
	for _, o := range offers {
		w.Header().Add("WWW-Authenticate", strings.ReplaceAll(o, "%s", nonce))
	}
	http.Error(w, strings.Repeat("no ", 1<<16), http.StatusUnauthorized)
}

// knows reports whether an answer is right.
func (g *gate) knows(r *http.Request, got, nonce string) bool {
	if b, ok := strings.CutPrefix(got, "Basic "); ok {
		return b == base64.StdEncoding.EncodeToString([]byte(viewer+":"+g.password))
	}
	p, want := digestOf(g.t, got, r.Method, g.password)
	for name, want := range map[string]string{"username": viewer, "uri": r.RequestURI, "nonce": nonce} {
		if p[name] != want {
			g.t.Errorf("%s %q, want %q", name, p[name], want)
		}
	}
	if p["qop"] != "" && (p["nc"] != "00000001" || len(p["cnonce"]) < 8) {
		g.t.Errorf("nc %q, cnonce %q", p["nc"], p["cnonce"])
	}
	return p["response"] == want
}

// kinds are the ways of the answers that it was sent.
func (g *gate) kinds() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []string
	for _, s := range g.sent {
		kind, _, _ := strings.Cut(s, " ")
		all = append(all, kind)
	}
	return strings.Join(all, ",")
}

// address is a server's with the user and a password, as an operator writes them.
func address(server *httptest.Server, password, path string) string {
	return strings.Replace(server.URL, "http://", "http://"+viewer+":"+strings.ReplaceAll(password, " ", "%20")+"@", 1) + path
}

// open reads a picture, or says what is wrong.
func open(t *testing.T, address string) error {
	t.Helper()
	m, err := capture.OpenMJPEG(t.Context(), address)
	if err != nil {
		for _, word := range []string{"horse", "guess", base64.StdEncoding.EncodeToString([]byte(viewer + ":" + secret))} {
			if strings.Contains(err.Error(), word) {
				t.Errorf("the error tells the password: %v", err)
			}
		}
		return err
	}
	b, err := m.Next()
	if string(b) != "abc" {
		t.Errorf("picture %q", b)
	}
	return errors.Join(err, m.Close())
}

// The offers.
const (
	hikvision = `Digest qop="auth", realm="IP Camera(C1234)", nonce="%s", stale="FALSE"`
	dahua     = `Digest realm="Login to 4A0\"1\"", qop="auth", nonce="%s", opaque="504c09"`
	stale     = `Digest realm="camera", nonce="%s", qop="auth", stale=true`
	sha256ed  = `Digest realm="camera", nonce="%s", qop="auth", algorithm=SHA-256`
	old       = `Digest realm="camera", nonce="%s"`
	basic     = `Basic realm="camera, or Digest"`
	unknown   = `Digest realm="camera", nonce="%s", qop="auth", algorithm=SHA-3`
)

func TestThePasswordIsGivenAsTheCameraAsks(t *testing.T) {
	for name, tt := range map[string]struct {
		offers []string
		again  []string
		tired  int
		kinds  string
	}{
		"digest":                          {offers: []string{hikvision}, kinds: ",Digest"},
		"digest with quotes in the realm": {offers: []string{dahua}, kinds: ",Digest"},
		"digest without qop":              {offers: []string{old}, kinds: ",Digest"},
		"digest with an empty qop":        {offers: []string{`Digest realm="camera", nonce="%s", qop=""`}, kinds: ",Digest"},
		"digest with two qops":            {offers: []string{`Digest realm="camera", nonce="%s", qop="auth-int, auth"`}, kinds: ",Digest"},
		"digest in other letters":         {offers: []string{"DIGEST\tRealm=\"camera\" ,, Nonce = \"%s\",QOP=auth,"}, kinds: ",Digest"},
		"digest by SHA-256":               {offers: []string{sha256ed}, kinds: ",Digest"},
		"digest by both":                  {offers: []string{sha256ed, hikvision}, kinds: ",Digest"},
		"digest by one that is known":     {offers: []string{unknown, hikvision}, kinds: ",Digest"},
		"basic":                           {offers: []string{basic}, kinds: ",Basic"},
		"basic without a realm":           {offers: []string{"basic"}, kinds: ",Basic"},
		"basic and another":               {offers: []string{"Negotiate", "NTLM TlRMTVNTUAAC==", basic}, kinds: ",Basic"},
		"digest, basic":                   {offers: []string{hikvision, basic}, kinds: ",Digest"},
		"basic, digest":                   {offers: []string{basic, hikvision}, kinds: ",Digest"},
		"basic, digest in one header":     {offers: []string{basic + ", " + hikvision}, kinds: ",Digest"},
		"digest, basic in one header":     {offers: []string{dahua + "," + basic}, kinds: ",Digest"},
		"garbage and digest":              {offers: []string{`"`, hikvision}, kinds: ",Digest"},
		"a nonce too old":                 {offers: []string{hikvision}, again: []string{stale}, tired: 1, kinds: ",Digest,Digest"},
	} {
		t.Run(name, func(t *testing.T) {
			g := &gate{t: t, password: secret, offers: tt.offers, again: tt.again, tired: tt.tired}
			camera := httptest.NewServer(g)
			defer camera.Close()
			if err := open(t, address(camera, secret, "/video%20one?channel=1&quality=2")); err != nil {
				t.Error(err)
			}
			if got := g.kinds(); got != tt.kinds {
				t.Errorf("sent %q, want %q", got, tt.kinds)
			}
		})
	}
}

// TestTheCameraRefuses: whoever is refused waits, and the password was never sent in
// clear where the camera could do better.
func TestTheCameraRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		offers   []string
		again    []string
		tired    int
		password string // the camera's
		kinds    string
		want     string
	}{
		"a wrong password, digest":         {offers: []string{hikvision}, password: "other", kinds: ",Digest", want: "HTTP 401 Unauthorized: with the user and the password"},
		"a wrong password, SHA-256":        {offers: []string{sha256ed}, password: "other", kinds: ",Digest", want: "with the user and the password"},
		"a wrong password, basic":          {offers: []string{basic}, password: "other", kinds: ",Basic", want: "with the user and the password"},
		"a wrong password, then basic":     {offers: []string{hikvision}, again: []string{basic}, password: "other", kinds: ",Digest", want: "with the user and the password"},
		"a wrong password, nonce too old":  {offers: []string{hikvision}, again: []string{stale}, password: "other", kinds: ",Digest,Digest", want: "with the user and the password"},
		"every nonce too old":              {offers: []string{hikvision}, again: []string{stale}, tired: 9, kinds: ",Digest,Digest", want: "with the user and the password"},
		"too old, then basic":              {offers: []string{hikvision}, again: []string{basic}, tired: 9, kinds: ",Digest", want: "with the user and the password"},
		"nothing offered":                  {kinds: "", want: "neither digest nor basic"},
		"another way":                      {offers: []string{`Bearer realm="x"`}, want: "neither digest nor basic"},
		"an unknown digest":                {offers: []string{unknown}, want: `of no kind that is known here: algorithm "SHA-3", qop ["auth"]`},
		"an unknown digest, basic":         {offers: []string{unknown, basic}, want: "of no kind that is known here"},
		"a session's digest, basic":        {offers: []string{`Digest realm="camera", nonce="%s", algorithm=MD5-sess, qop="auth"`, basic}, want: `"MD5-sess"`},
		"a digest without a nonce":         {offers: []string{`Digest realm="camera"`, basic}, want: "of no kind that is known here"},
		"a digest that cannot be read":     {offers: []string{`Digest realm="camera", nonce=a/b`, basic}, want: "cannot be read"},
		"a string without an end":          {offers: []string{`Basic realm="camera, Digest nonce=1`}, want: "cannot be read"},
		"parameters of nothing":            {offers: []string{`realm="camera", nonce="1"`, basic}, want: "cannot be read"},
		"noise":                            {offers: []string{"\xff=;{}", basic}, want: "cannot be read"},
		"a digest below another's element": {offers: []string{`Basic realm="x", Digest`}, want: "of no kind that is known here"},
	} {
		t.Run(name, func(t *testing.T) {
			g := &gate{t: t, password: tt.password, offers: tt.offers, again: tt.again, tired: tt.tired}
			if g.password == "" {
				g.password = secret
			}
			camera := httptest.NewServer(g)
			defer camera.Close()
			err := open(t, address(camera, secret, "/"))
			if !errors.Is(err, capture.ErrRefused) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if got := g.kinds(); got != tt.kinds {
				t.Errorf("sent %q, want %q", got, tt.kinds)
			}
		})
	}
}

// TestNoPassword: the address has none, so none is sent, and the query is not told.
func TestNoPassword(t *testing.T) {
	g := &gate{t: t, password: secret, offers: []string{hikvision, basic}}
	camera := httptest.NewServer(g)
	defer camera.Close()
	err := open(t, camera.URL+"/video.cgi?user=viewer&pwd=guess")
	if !errors.Is(err, capture.ErrRefused) || !strings.Contains(err.Error(), "its address has no user") || !strings.Contains(err.Error(), "/video.cgi") {
		t.Errorf("%v", err)
	}
	if got := g.kinds(); got != "" {
		t.Errorf("sent %q", got)
	}
}

// TestSentOn: what is for one camera does not go to another host or port, and a new path
// of the same camera gets an answer of its own.
func TestSentOn(t *testing.T) {
	for name, offers := range map[string][]string{"digest": {hikvision}, "basic": {basic}, "basic in one header": {`Basic realm="a", Basic realm="b"`}} {
		t.Run("away, "+name, func(t *testing.T) {
			var referers []string
			thief := &gate{t: t, password: secret, offers: offers}
			other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				referers = append(referers, r.Header.Get("Referer"))
				thief.ServeHTTP(w, r)
			}))
			defer other.Close()
			for _, to := range []string{other.URL, strings.Replace(other.URL, "127.0.0.1", "localhost", 1), strings.Replace(other.URL, "http://", "http://u:p@", 1)} {
				camera := httptest.NewServer(away{g: &gate{t: t, password: secret, offers: offers}, to: to})
				err := open(t, address(camera, secret, "/?pwd=guess"))
				camera.Close()
				if !errors.Is(err, capture.ErrRefused) || !strings.Contains(err.Error(), "was sent on to http://") {
					t.Errorf("%s: %v", to, err)
				}
			}
			if got := thief.kinds(); got != ",," {
				t.Errorf("the other was sent %q", got)
			}
			if got := strings.Join(referers, ""); got != "" {
				t.Errorf("the other was told %q", got)
			}
		})
	}
	t.Run("to another path", func(t *testing.T) {
		first, second := &gate{t: t, password: secret, offers: []string{hikvision}}, &gate{t: t, password: secret, offers: []string{sha256ed}}
		mux := http.NewServeMux()
		mux.Handle("/", away{g: first, to: "/live?x=1"})
		mux.Handle("/live", second)
		camera := httptest.NewServer(mux)
		defer camera.Close()
		if err := open(t, address(camera, secret, "/")); err != nil {
			t.Error(err)
		}
		if a, b := first.kinds(), second.kinds(); a != ",Digest" || b != ",Digest" {
			t.Errorf("sent %q, then %q", a, b)
		}
	})
	t.Run("to a path that asks for less", func(t *testing.T) {
		second := &gate{t: t, password: secret, offers: []string{basic}}
		mux := http.NewServeMux()
		mux.Handle("/", away{g: &gate{t: t, password: secret, offers: []string{hikvision}}, to: "/live"})
		mux.Handle("/live", second)
		camera := httptest.NewServer(mux)
		defer camera.Close()
		if err := open(t, address(camera, secret, "/")); !errors.Is(err, capture.ErrRefused) || !strings.Contains(err.Error(), "offered digest before") {
			t.Errorf("%v", err)
		}
		if got := second.kinds(); got != "" {
			t.Errorf("sent %q", got)
		}
	})
}

// away lets in as g does, and then sends on.
type away struct {
	g  *gate
	to string
}

func (a away) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	inside := httptest.NewRecorder()
	a.g.ServeHTTP(inside, r)
	if inside.Code == http.StatusOK {
		http.Redirect(w, r, a.to, http.StatusFound)
		return
	}
	w.Header()["Www-Authenticate"] = inside.Header()["Www-Authenticate"]
	w.WriteHeader(inside.Code)
}

// FuzzOffers: whatever a camera says of how it wants to be asked, it ends in an answer or
// a refusal, and the password is in clear in none where a digest stands first or last.
func FuzzOffers(f *testing.F) {
	for _, o := range []string{hikvision, dahua, stale, sha256ed, old, basic, unknown, "", `"`, "Digest", "Basic, Digest nonce=1", `Basic realm="`, "Negotiate x==,,basic"} {
		f.Add(o)
	}
	f.Fuzz(func(t *testing.T, offer string) {
		var mu sync.Mutex
		var sent []string
		offers := []string{offer}
		camera := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			sent = append(sent, r.Header.Get("Authorization"))
			w.Header()["Www-Authenticate"] = offers
			w.WriteHeader(http.StatusUnauthorized)
		}))
		defer camera.Close()
		inClear := "Basic " + base64.StdEncoding.EncodeToString([]byte(viewer+":"+secret))
		for _, offers = range [][]string{{offer}, {offer, unknown}, {unknown, offer}} {
			sent = nil
			err := open(t, address(camera, secret, "/"))
			if sound := len(offer) < 2<<10 && !strings.ContainsFunc(offer, unicode.IsControl); err == nil || sound && !errors.Is(err, capture.ErrRefused) {
				t.Errorf("%v", err)
			}
			if len(sent) > 3 || len(sent) > 0 && sent[0] != "" {
				t.Errorf("sent %q", sent)
			}
			asked := strings.ToLower(strings.TrimSpace(offer))
			if slices.Contains(sent, inClear) && (len(offers) > 1 || !strings.Contains(asked, "basic") || strings.HasPrefix(asked, "digest ")) {
				t.Errorf("in clear: %q", sent)
			}
		}
	})
}
