package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// The committed files must be what the generator writes.
func TestUpToDate(t *testing.T) {
	hash, err := sourceHash()
	if err != nil {
		t.Fatal(err)
	}
	files, err := generate(hash)
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range files {
		got, err := os.ReadFile(filepath.Join("../..", p))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s is out of date: make generate", p)
		}
	}
}
