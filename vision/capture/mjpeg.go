// Package capture reads the frames of cameras that speak motion JPEG over HTTP
// (multipart/x-mixed-replace), in pure Go: unlike a video library it cannot hang,
// every wait has an end.
//
// A camera gets the user and the password of its address when it asks for them, by
// digest authentication (RFC 7616: MD5, SHA-256) or, where it offers no digest, by basic.
// They are for the scheme, host and port of that address: where a camera sends the
// request on to another, they do not go along.
//
// # Caveats
//
// A picture is handed on as it came; whoever decodes it finds out whether it is
// one. A part without a length is read up to the next boundary.
package capture

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// MaxPicture bounds a picture in bytes.
	MaxPicture = 8 << 20
	// Silence is how long a camera may say nothing.
	Silence = 10 * time.Second
	// maxHeader bounds an answer's headers in bytes: they are told in errors, which
	// must fit into a line of vision/report.
	maxHeader = 8 << 10
)

// ErrSilent comes when a camera said nothing for Silence.
var ErrSilent = errors.New("the camera says nothing")

// ErrRefused comes from a camera that does not take the user and the password. Some
// let nobody in for half an hour after a few such attempts: whoever gets this waits.
var ErrRefused = errors.New("the camera refuses the user or the password")

// MJPEG is a camera's stream.
type MJPEG struct {
	cancel context.CancelCauseFunc
	body   io.ReadCloser
	parts  *multipart.Reader
	silent *time.Timer
	ctx    context.Context //nolint:containedctx // of the request that lasts as long as the stream
}

// OpenMJPEG asks a camera for its stream. The address may hold user and password;
// errors do not tell them, nor the address's query, where some cameras have them.
func OpenMJPEG(ctx context.Context, address string) (*MJPEG, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("camera: an address that cannot be read")
	}
	user := u.User
	u.User = nil
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	ctx, cancel := context.WithCancelCause(ctx)
	m := &MJPEG{cancel: cancel, ctx: ctx}
	m.silent = time.AfterFunc(Silence, func() { cancel(fmt.Errorf("%w for %s", ErrSilent, Silence)) })
	fail := func(err error) (*MJPEG, error) {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		m.silent.Stop()
		cancel(nil)
		return nil, fmt.Errorf("camera %s: %w", &shown, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return fail(err)
	}
	client := &http.Client{Transport: &login{origin: origin(u), user: user, next: &http.Transport{
		DialContext: (&net.Dialer{Timeout: Silence / 2}).DialContext, DisableKeepAlives: true, DisableCompression: true,
		MaxResponseHeaderBytes: maxHeader,
	}}}
	res, err := client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // its text repeats the address
		}
		return fail(err)
	}
	m.body = res.Body
	if res.StatusCode == http.StatusForbidden {
		return fail(errors.Join(fmt.Errorf("%w: HTTP %s", ErrRefused, res.Status), res.Body.Close()))
	}
	if res.StatusCode != http.StatusOK {
		return fail(errors.Join(fmt.Errorf("HTTP %s", res.Status), res.Body.Close()))
	}
	media, params, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	switch {
	case err == nil && media == "multipart/x-mixed-replace" && params["boundary"] != "":
		// Some cameras write the two dashes into the boundary's name.
		m.parts = multipart.NewReader(bufio.NewReaderSize(res.Body, 64<<10), strings.TrimPrefix(params["boundary"], "--"))
	default:
		return fail(errors.Join(fmt.Errorf("content type %q: want multipart/x-mixed-replace", res.Header.Get("Content-Type")), res.Body.Close()))
	}
	return m, nil
}

// Next returns the next picture.
func (m *MJPEG) Next() ([]byte, error) {
	part, err := m.parts.NextPart()
	if err != nil {
		return nil, m.fault(err)
	}
	b, err := io.ReadAll(io.LimitReader(part, MaxPicture+1))
	if err != nil {
		return nil, m.fault(err)
	}
	if len(b) > MaxPicture {
		return nil, fmt.Errorf("camera: a picture of more than %d bytes", MaxPicture)
	}
	m.silent.Reset(Silence)
	return b, nil
}

// fault is why the stream ended.
func (m *MJPEG) fault(err error) error {
	if cause := context.Cause(m.ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("camera: %w", err)
}

// Close ends the stream.
func (m *MJPEG) Close() error {
	m.silent.Stop()
	m.cancel(nil)
	return m.body.Close()
}
