package mapped

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestMapped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	want := bytes.Repeat([]byte("weights "), 3000)
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b, err := File(f, st.Size())
	f.Close()
	if err != nil || !bytes.Equal(b, want) {
		t.Fatalf("mapped %d bytes of %d: %v", len(b), len(want), err)
	}
	Scattered(b)
	if err := Free(b); err != nil {
		t.Error(err)
	}
	if _, err := File(f, 0); err == nil {
		t.Error("nothing was mapped without an error")
	}
	z, err := Zeros(1 << 20)
	if err != nil || len(z) != 1<<20 || z[0] != 0 || z[len(z)-1] != 0 {
		t.Fatalf("zeros: %d bytes, %v", len(z), err)
	}
	if err := Free(z); err != nil {
		t.Error(err)
	}
}

func TestLinks(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := os.WriteFile(a, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(a, b); err != nil {
		t.Skip("no hard links here:", err)
	}
	st, err := os.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	if n := Links(st); n != 2 && n != 0 {
		t.Errorf("%d names, want 2, or 0 where the system does not say", n)
	}
}
