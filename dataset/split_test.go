package dataset

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

// folderOf writes n pictures of 4x4, each of its own grey, and one tensor.
func folderOf(t *testing.T, n int) *Set {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		img := image.NewNRGBA(image.Rect(0, 0, 4, 4))
		for k := range 16 {
			img.Set(k%4, k/4, color.NRGBA{uint8(10 * i), 0, 7, 255})
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, string(rune('a'+i))+".png"), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := ParsePreprocess([]byte("size = [4, 4]\nresize = \"none\"\ncrop = \"none\"\ncolour = \"rgb\"\nscale = 1.0\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n"))
	if err != nil {
		t.Fatal(err)
	}
	in := model.Value{Name: "x", Type: model.Type{DType: model.Float32, Ranked: true, Shape: model.Shape{model.Fixed(1), model.Fixed(3), model.Fixed(4), model.Fixed(4)}}}
	s, err := Open(dir, Options{Inputs: []model.Value{in}, Preprocess: p})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSplit: what is held back and the rest share nothing and make up the whole, by content too.
func TestSplit(t *testing.T) {
	s := folderOf(t, 10)
	if _, err := s.Hashes(t.Context()); err != nil {
		t.Fatal(err)
	}
	rest, held := s.Split(4)
	if rest.Len() != 8 || held.Len() != 2 {
		t.Fatalf("%d and %d", rest.Len(), held.Len())
	}
	if err := Disjoint(t.Context(), rest, held); err != nil {
		t.Error(err)
	}
	if rest.Hash() == s.Hash() || rest.Hash() == held.Hash() {
		t.Error("parts have the hash of others")
	}
	img, err := held.Picture(1)
	if err != nil {
		t.Fatal(err)
	}
	if r, _, b, _ := img.At(2, 2).RGBA(); r>>8 != 70 || b>>8 != 7 {
		t.Errorf("the second picture held back has red %d, want 70", r>>8)
	}
}

// TestEachFrom: the items behind the first ones are those of Each, with the same numbers, and the first ones are not read.
func TestEachFrom(t *testing.T) {
	s := folderOf(t, 10)
	var all, later []float32
	collect := func(into *[]float32) func(int, map[string]*model.Tensor) error {
		return func(i int, in map[string]*model.Tensor) error {
			*into = append(*into, float32(i), model.Data[float32](in["x"])[0])
			return nil
		}
	}
	if err := s.Each(context.Background(), 5, collect(&all)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.root, s.items[0].file), []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.EachFrom(context.Background(), 2, 5, collect(&later)); err != nil {
		t.Fatal(err)
	}
	if len(all) != 10 || len(later) != 6 || later[0] != 2 || later[1] != all[5] || later[5] != all[9] {
		t.Errorf("%v, later %v", all, later)
	}
}

// TestHashingStops: reading a folder for its hash ends with its context, and what reads it then says so.
func TestHashingStops(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.bmp", i)), []byte{byte(i)}, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := s.Hashes(ctx); !fail.Is(err, fail.Cancelled) {
		t.Errorf("hashes: %v", err)
	}
	if err := s.Ready(ctx); !fail.Is(err, fail.Cancelled) {
		t.Errorf("ready: %v", err)
	}
	if err := Disjoint(ctx, s, s); !fail.Is(err, fail.Cancelled) {
		t.Errorf("disjoint: %v", err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(ctx); err != nil { // they are known
		t.Error(err)
	}
}
