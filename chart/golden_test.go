package chart

import (
	"bytes"
	"image/png"
	"testing"

	"fettle/internal/golden"
)

// The pictures that reports show. Made by: go test ./chart -run Golden -update
func TestGoldenPictures(t *testing.T) {
	all := examples(t)
	for _, name := range []string{"bars-zh", "waterfall", "waterfall-cut", "curve", "front"} {
		var b bytes.Buffer
		if err := Write(&b, all[name], "png"); err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(&b)
		if err != nil {
			t.Fatal(err)
		}
		golden.Image(t, name+".png", img, golden.Default())
	}
}
