// Package golden compares what a test made with a file that a person has looked at. `go test -update` rewrites the files; the review
// reads the difference. Texts must be equal, pictures nearly so.
//
// It knows nothing of what is compared. Start reading at Text and Image.
package golden

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files with what the tests made")

// Text compares got with testdata/NAME. It prints the first line that differs, for an issue.
func Text(t testing.TB, name, got string) {
	t.Helper()
	want, ok := file(t, name, []byte(got))
	if !ok || got == string(want) {
		return
	}
	a, b := strings.Split(string(want), "\n"), strings.Split(got, "\n")
	for i := range max(len(a), len(b)) {
		x, y := line(a, i), line(b, i)
		if x != y {
			t.Errorf("%s, line %d:\n got  %s\n want %s\nlook at all of it with -update and git diff", name, i+1, y, x)
			return
		}
	}
}

func line(l []string, i int) string {
	if i < len(l) {
		return l[i]
	}
	return "(no such line)"
}

// Tolerance says how different a picture may be: rounding of edges differs between processors.
type Tolerance struct {
	Channel int     // largest difference of a channel that counts as equal
	Share   float64 // of the pixels that may differ by more
}

// Default allows for edges only.
func Default() Tolerance { return Tolerance{Channel: 12, Share: 0.002} }

// Image compares got with the PNG testdata/NAME. Where it differs too much, the picture and a map of the differences are
// left in a temporary folder that the message names.
func Image(t testing.TB, name string, got image.Image, tol Tolerance) {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, got); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	raw, ok := file(t, name, b.Bytes())
	if !ok {
		return
	}
	want, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Errorf("%s: the golden file is no PNG: %v", name, err)
		return
	}
	if want.Bounds().Size() != got.Bounds().Size() {
		t.Errorf("%s: %v, want %v%s", name, got.Bounds().Size(), want.Bounds().Size(), keep(name, b.Bytes(), nil))
		return
	}
	diff, share := Compare(want, got, tol.Channel)
	if share > tol.Share {
		t.Errorf("%s: %.2f %% of the pixels differ, %.2f %% may%s", name, 100*share, 100*tol.Share, keep(name, b.Bytes(), diff))
	}
}

// Compare gives the share of pixels in which a channel differs by more than channel, and a picture with those in red.
func Compare(want, got image.Image, channel int) (image.Image, float64) {
	size := want.Bounds().Size()
	out := image.NewNRGBA(image.Rect(0, 0, size.X, size.Y))
	n := 0
	for y := range size.Y {
		for x := range size.X {
			a := color.NRGBAModel.Convert(want.At(want.Bounds().Min.X+x, want.Bounds().Min.Y+y)).(color.NRGBA)
			b := color.NRGBAModel.Convert(got.At(got.Bounds().Min.X+x, got.Bounds().Min.Y+y)).(color.NRGBA)
			out.SetNRGBA(x, y, color.NRGBA{b.R/4 + 190, b.G/4 + 190, b.B/4 + 190, 255})
			if off(a.R, b.R) > channel || off(a.G, b.G) > channel || off(a.B, b.B) > channel || off(a.A, b.A) > channel {
				n++
				out.SetNRGBA(x, y, color.NRGBA{220, 0, 0, 255})
			}
		}
	}
	return out, float64(n) / float64(max(1, size.X*size.Y))
}

func off(a, b uint8) int {
	if a > b {
		return int(a - b)
	}
	return int(b - a)
}

// file reads a golden file, or writes it where the tests run with -update; false: there is nothing to compare.
func file(t testing.TB, name string, got []byte) ([]byte, bool) {
	t.Helper()
	path := filepath.Join("testdata", filepath.FromSlash(name))
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return nil, false
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Errorf("%v; make it with -update, look at it, and commit it", err)
		return nil, false
	}
	return want, true
}

// keep leaves a failed picture where it can be looked at, outside the tree.
func keep(name string, got []byte, diff image.Image) string {
	dir, err := os.MkdirTemp("", "golden-")
	if err != nil {
		return ""
	}
	base := filepath.Join(dir, strings.TrimSuffix(filepath.Base(name), ".png"))
	if os.WriteFile(base+".got.png", got, 0o600) != nil {
		return ""
	}
	if diff != nil {
		var b bytes.Buffer
		if png.Encode(&b, diff) == nil {
			_ = os.WriteFile(base+".diff.png", b.Bytes(), 0o600) // only an aid; the failure is reported anyway
		}
	}
	return fmt.Sprintf("; see %s", dir)
}
