package dataset

import (
	"bytes"
	"math"
	"testing"

	"fettle/internal/fail"
)

func FuzzWav(f *testing.F) {
	f.Add(wave(1, 16, []float64{0.5, -0.5}, []float64{-1, 1}))
	f.Add(wave(3, 32, []float64{math.NaN()}))
	f.Add([]byte("RIFF\x00\x00\x00\x00WAVEfmt \xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) { checkRead(t)(ReadWav(b)) })
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("a,label,b\n1,cat,2\n3,dog,4\n"))
	f.Add([]byte("1e300,nan\n\"\n"))
	f.Add([]byte("label\nx\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, labels, err := readCSV(b)
		checkRead(t)(x, err)
		if err == nil && len(labels) != 0 && len(labels) != x.Shape[0] {
			t.Fatalf("%d labels of %d rows", len(labels), x.Shape[0])
		}
	})
}

func FuzzLabels(f *testing.F) {
	f.Add([]byte("file,label\na.png,cat\n"))
	f.Add([]byte("../a.png,cat\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readLabels(bytes.NewReader(b), []string{"a.png", "x/b.png"})
		if fail.Is(err, fail.Internal) {
			t.Fatal(err)
		}
		for name := range got {
			if name != "a.png" && name != "x/b.png" {
				t.Fatalf("%q was never in the folder", name)
			}
		}
	})
}

// What was read and is written again means the same.
func FuzzPreprocess(f *testing.F) {
	f.Add([]byte("size = [32, 32]\nresize = \"none\"\nscale = 0.00392156862745098\nmean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n"))
	f.Add([]byte("size = [-1, 9223372036854775807]\nmean = [nan]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePreprocess(b)
		if err != nil {
			if fail.Is(err, fail.Internal) {
				t.Fatal(err)
			}
			return
		}
		q, err := ParsePreprocess(p.Format())
		if err != nil {
			t.Fatalf("%v in what was written: %s", err, p.Format())
		}
		if !bytes.Equal(p.Format(), q.Format()) {
			t.Fatalf("%s and %s", p.Format(), q.Format())
		}
	})
}
