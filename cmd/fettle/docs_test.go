package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"fettle/app"
)

// TestDocsAreCurrent holds the documents that are made from tables to the tables.
func TestDocsAreCurrent(t *testing.T) {
	a, err := app.Open(app.Options{Home: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	files, err := documents(&env{app: a, out: io.Discard, errOut: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("../../docs", name))
		if err != nil || string(got) != want {
			t.Errorf("docs/%s is not what the tables say (%v): run make docs", name, err)
		}
	}
}
