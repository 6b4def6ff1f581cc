package golden

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recorder stands for a test that may fail.
type recorder struct {
	testing.TB
	said []string
}

func (r *recorder) Helper()                   {}
func (r *recorder) Errorf(f string, a ...any) { r.said = append(r.said, fmt.Sprintf(f, a...)) }

func picture(f func(x, y int) uint8) image.Image {
	m := image.NewGray(image.Rect(0, 0, 40, 25))
	for y := range 25 {
		for x := range 40 {
			m.SetGray(x, y, color.Gray{f(x, y)})
		}
	}
	return m
}

func TestText(t *testing.T) {
	t.Chdir(t.TempDir())
	os.Mkdir("testdata", 0o700)
	os.WriteFile("testdata/a.txt", []byte("one\ntwo\n"), 0o600)
	for _, c := range []struct{ name, file, got, says string }{
		{"equal", "a.txt", "one\ntwo\n", ""},
		{"a line differs", "a.txt", "one\n2\n", "line 2"},
		{"a line more", "a.txt", "one\ntwo\nthree", "line 3"},
		{"no file", "b.txt", "x", "-update"},
	} {
		r := &recorder{TB: t}
		Text(r, c.file, c.got)
		if s := strings.Join(r.said, " "); (s == "") != (c.says == "") || !strings.Contains(s, c.says) {
			t.Errorf("%s: said %q", c.name, s)
		}
	}
}

func TestImage(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("TMPDIR", t.TempDir())
	base := picture(func(x, y int) uint8 { return uint8(x * 5) })
	var b bytes.Buffer
	if err := png.Encode(&b, base); err != nil {
		t.Fatal(err)
	}
	os.Mkdir("testdata", 0o700)
	os.WriteFile("testdata/p.png", b.Bytes(), 0o600)
	os.WriteFile("testdata/bad.png", []byte("no picture"), 0o600)
	for _, c := range []struct {
		name, file string
		got        image.Image
		says       string
	}{
		{"equal", "p.png", base, ""},
		{"rounding", "p.png", picture(func(x, y int) uint8 { return uint8(x*5) + 3 }), ""},
		{"one pixel of a thousand", "p.png", picture(func(x, y int) uint8 {
			if x == 3 && y == 3 {
				return 200
			}
			return uint8(x * 5)
		}), ""},
		{"a row", "p.png", picture(func(x, y int) uint8 {
			if y == 3 {
				return 255
			}
			return uint8(x * 5)
		}), "pixels differ"},
		{"another size", "p.png", image.NewGray(image.Rect(0, 0, 5, 5)), "want (40,25)"},
		{"damaged file", "bad.png", base, "no PNG"},
	} {
		r := &recorder{TB: t}
		Image(r, c.file, c.got, Default())
		if s := strings.Join(r.said, " "); (s == "") != (c.says == "") || !strings.Contains(s, c.says) {
			t.Errorf("%s: said %q", c.name, s)
		}
	}
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), "golden-*", "*.diff.png"))
	if len(left) != 1 {
		t.Errorf("%d maps of differences were left, want that of the row", len(left))
	}
}

func TestUpdateWrites(t *testing.T) {
	t.Chdir(t.TempDir())
	*update = true
	Text(t, "sub/new.txt", "hello")
	*update = false
	Text(t, "sub/new.txt", "hello")
}
