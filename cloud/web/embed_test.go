package web_test

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/shedguard/shedguard/cloud/web"
)

func TestFS(t *testing.T) {
	t.Run("clean clone compiles", func(t *testing.T) {
		if _, err := fs.Stat(web.FS(), ".keep"); err != nil {
			t.Fatalf("dist/.keep: %v; the build must leave it in place", err)
		}
	})
	t.Run("the build is whole", func(t *testing.T) {
		if !web.Built() {
			t.Skip("no build is embedded; run npm ci && npm run build in cloud/web")
		}
		page, err := fs.ReadFile(web.FS(), "index.html")
		if err != nil {
			t.Fatal(err)
		}
		named := regexp.MustCompile(`(?:src|href)="/([^"]+)"`).FindAllStringSubmatch(string(page), -1)
		if len(named) < 4 {
			t.Fatalf("index.html names %d files: want script, style, icon and manifest at least", len(named))
		}
		for _, m := range named {
			if _, err := fs.Stat(web.FS(), m[1]); err != nil {
				t.Errorf("index.html names /%s: %v", m[1], err)
			}
		}
	})
	t.Run("nothing from elsewhere, nothing inline", func(t *testing.T) {
		if !web.Built() {
			t.Skip("no build is embedded; run npm ci && npm run build in cloud/web")
		}
		page, err := fs.ReadFile(web.FS(), "index.html")
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"http://", "https://", "<style", "onload=", "data:"} {
			if strings.Contains(string(page), bad) {
				t.Errorf("index.html holds %q: the content security policy forbids it", bad)
			}
		}
		for _, script := range regexp.MustCompile(`<script[^>]*>([^<]*)`).FindAllStringSubmatch(string(page), -1) {
			if strings.TrimSpace(script[1]) != "" {
				t.Errorf("index.html holds an inline script: %q", script[1])
			}
		}
	})
}
