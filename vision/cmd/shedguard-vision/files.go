package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

type kind int

const (
	other kind = iota
	picture
	video
)

func kindOf(path string) kind {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".jpg", ".jpeg", ".png", ".webp", ".bmp":
		return picture
	case ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".3gp", ".mjpg", ".mjpeg", ".h264", ".h265", ".gif":
		return video
	default:
		return other
	}
}

// found is one file; rel is its path inside the folder that was searched.
type found struct {
	path, rel string
	kind      kind
}

// search lists a folder's files of the wanted kinds, in order, with those of the
// folders inside. None at all is an error: the path is surely wrong.
func search(dir, what string, kinds ...kind) ([]found, error) {
	var files []found
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return nil
		}
		if k := kindOf(path); slices.Contains(kinds, k) {
			rel, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			files = append(files, found{path: path, rel: rel, kind: k})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no %s in it", dir, what)
	}
	return files, nil
}

// searchAny takes a file as it is, whatever its name, and a folder as search does.
func searchAny(path string) ([]found, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return search(path, "pictures or videos", picture, video)
	}
	k := kindOf(path)
	if k == other {
		k = video // FFmpeg looks inside
	}
	return []found{{path: path, rel: filepath.Base(path), kind: k}}, nil
}
