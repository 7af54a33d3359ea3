package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// FS is the built page, index.html at its root. Without a build it holds
// nothing but the file that keeps the folder in the repository.
func FS() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		panic("web: " + err.Error()) // the path is constant and valid
	}
	return sub
}

// Built reports whether the program was compiled after the page was built.
func Built() bool {
	_, err := fs.Stat(FS(), "index.html")
	return err == nil
}
