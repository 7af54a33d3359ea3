package api

import (
	"errors"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// servePage serves the built page. A path that is no file is a place within
// the page and gets index.html; a missing asset is missing.
func servePage(page fs.FS) http.Handler {
	serve := pageHandler(page)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			writeProblem(w, http.StatusMethodNotAllowed, "the page is only read")
			return
		}
		serve.ServeHTTP(w, r)
	})
}

func pageHandler(page fs.FS) http.Handler {
	if page == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte("This shedcloud was built without its page. Build the page (make web) and then shedcloud again.\n" +
				"The API works: see /openapi.json.\n")) // a client that went away has nothing to read
		})
	}
	files := http.FileServerFS(page)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
		info, err := fs.Stat(page, name)
		isFile := err == nil && !info.IsDir()
		switch {
		case isFile && strings.HasPrefix(name, "assets/"): // the name carries a hash of the content
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		case strings.HasPrefix(name, "assets/") || err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrInvalid):
			http.NotFound(w, r)
			return
		default:
			w.Header().Set("Cache-Control", "no-cache")
		}
		if !isFile || name == "index.html" {
			r = r.Clone(r.Context())
			r.URL.Path, r.URL.RawPath = "/", ""
		}
		files.ServeHTTP(w, r)
	})
}
