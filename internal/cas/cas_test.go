package cas

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fettle/internal/fail"
)

func open(t *testing.T) (*Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "chunks")
	s, err := Open(dir, OS{})
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func TestPutAndRead(t *testing.T) {
	s, dir := open(t)
	data := bytes.Repeat([]byte("chunk"), 1000)
	h, n := Of(data), int64(len(data))
	cases := []struct {
		name string
		h    Hash
		n    int64
		r    io.Reader
		want fail.Kind
	}{
		{"cut", h, n, bytes.NewReader(data[:n-1]), fail.Corrupt},
		{"other bytes", h, n, bytes.NewReader(append([]byte("x"), data[1:]...)), fail.Corrupt},
		{"another length", h, n - 1, bytes.NewReader(data), fail.Corrupt},
		{"no hash", "../../etc/passwd", n, bytes.NewReader(data), fail.Invalid},
		{"a hash in capitals", Hash(strings.ToUpper(string(h))), n, bytes.NewReader(data), fail.Invalid},
		{"right", h, n, io.MultiReader(bytes.NewReader(data), strings.NewReader("the next chunk")), ""},
		{"again", h, n, bytes.NewReader(data), ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			had := s.Has(h, n)
			err := s.Put(c.h, c.n, c.r)
			if fail.KindOf(err) != c.want {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if s.Has(h, n) != (had || c.want == "") {
				t.Error("a chunk that failed is there, or one that did not is not")
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "tmp", "*")); len(left) > 0 {
				t.Errorf("%v is left over", left)
			}
		})
	}
	got, err := s.Read([]byte("before "), h, n)
	if err != nil || string(got) != "before "+string(data) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	if _, err := s.Read(nil, Of([]byte("none")), 4); !fail.Is(err, fail.NotFound) {
		t.Errorf("a chunk that is not there: %v", err)
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v", st.Mode(), err)
	}
}

// TestDamage changes a stored chunk in ways that disks do: it is never given out, and it is gone, so that it is sent again.
func TestDamage(t *testing.T) {
	data := []byte(strings.Repeat("data", 500))
	h, n := Of(data), int64(len(data))
	for _, c := range []struct {
		name   string
		damage func(b []byte) []byte
	}{
		{"a bit", func(b []byte) []byte { b[1000] ^= 4; return b }},
		{"cut", func(b []byte) []byte { return b[:100] }},
		{"longer", func(b []byte) []byte { return append(b, 0) }},
		{"empty", func([]byte) []byte { return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, dir := open(t)
			if err := s.Put(h, n, bytes.NewReader(data)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, string(h[:2]), string(h))
			if err := os.WriteFile(path, c.damage(bytes.Clone(data)), 0o600); err != nil {
				t.Fatal(err)
			}
			if b, err := s.Read(nil, h, n); !fail.Is(err, fail.Corrupt) || len(b) != 0 {
				t.Errorf("read %d bytes, %v", len(b), err)
			}
			if s.Has(h, n) {
				t.Error("the damaged chunk is still there")
			}
		})
	}
}

func TestGC(t *testing.T) {
	s, dir := open(t)
	put := func(text string, age time.Duration) Hash {
		h := Of([]byte(text))
		if err := s.Put(h, int64(len(text)), strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(dir, string(h[:2]), string(h)), when, when); err != nil {
			t.Fatal(err)
		}
		return h
	}
	used, old, young, future := put("used", 48*time.Hour), put("old", 48*time.Hour), put("young", time.Minute), put("future", -48*time.Hour)
	if err := os.WriteFile(filepath.Join(dir, "tmp", "chunk-1"), []byte("cut"), 0o600); err != nil {
		t.Fatal(err)
	}
	freed, err := s.GC(map[Hash]bool{used: true}, time.Hour)
	if err != nil || freed != int64(len("old")+len("future")) {
		t.Errorf("freed %d, %v", freed, err)
	}
	for h, want := range map[Hash]bool{used: true, old: false, young: true, future: false} {
		if _, err := s.Read(nil, h, int64(map[Hash]int{used: 4, old: 3, young: 5, future: 6}[h])); (err == nil) != want {
			t.Errorf("%.8s: %v", h, err)
		}
	}
	if freed, err := s.GC(map[Hash]bool{used: true}, 0); err != nil || freed != int64(len("young")+len("cut")) {
		t.Errorf("all ages: freed %d, %v", freed, err)
	}
}

func TestWriteFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a", "b", "file")
	for _, text := range []string{"one", "two"} {
		if err := WriteFile(OS{}, name, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(name); err != nil || string(b) != text {
			t.Errorf("%q, %v", b, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(name), ".tmp-*")); len(left) > 0 {
		t.Errorf("%v is left over", left)
	}
}

func TestExplain(t *testing.T) {
	for err, want := range map[error]fail.Kind{
		&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}: fail.NoSpace,
		&os.PathError{Op: "open", Path: "x", Err: syscall.EROFS}:   fail.Denied,
		&os.PathError{Op: "open", Path: "x", Err: syscall.EACCES}:  fail.Denied,
		os.ErrNotExist:   fail.NotFound,
		io.ErrNoProgress: fail.Internal,
	} {
		if e := fail.From(Explain(err)); e.Kind != want || (want == fail.NoSpace || want == fail.Denied) && e.Fix == "" {
			t.Errorf("%v becomes %+v", err, e)
		}
	}
	if Explain(nil) != nil {
		t.Error("nothing wrong is explained")
	}
}
