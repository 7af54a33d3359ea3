package firmwareconfig_test

import (
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/parser"

	firmwareconfig "github.com/shedguard/shedguard/firmware-config"
)

func TestShippedFilesParse(t *testing.T) {
	seen := map[string]int{}
	err := fs.WalkDir(firmwareconfig.Files(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(firmwareconfig.Files(), path)
		if err != nil {
			return err
		}
		folder, _, _ := strings.Cut(path, "/")
		seen[folder]++
		if strings.HasSuffix(path, ".json") {
			if !json.Valid(b) {
				t.Errorf("%s is no JSON", path)
			}
			return nil
		}
		if _, err := parser.ParseBytes(b, 0); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen["profiles"] < 3 || seen["batteries"] < 3 || seen["feeders"] < 2 || seen["sensors"] < 4 || seen["schema"] != 1 || seen["defaults.yaml"] != 1 || seen["gateway.yaml"] != 1 {
		t.Errorf("shipped: %v", seen)
	}
}
