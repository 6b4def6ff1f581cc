package packed

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"fettle/internal/fail"
)

// skewed gives n bytes, most of them small.
func skewed(r *rand.Rand, n, most int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(min(int(math.Abs(r.NormFloat64())*float64(most)/3), most))
	}
	return b
}

func TestPackIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	ramp := make([]byte, 1<<16) // Fibonacci counts make the longest codes
	a, b, at := 1, 1, 0
	for s := 0; at < len(ramp); s++ {
		for range min(a, len(ramp)-at) {
			ramp[at] = byte(s)
			at++
		}
		a, b = b, a+b
	}
	for _, c := range []struct {
		name  string
		parts [][]byte
	}{
		{"one stretch", [][]byte{skewed(r, 5000, 16)}},
		{"several", [][]byte{skewed(r, 3000, 4), skewed(r, 900, 200), skewed(r, 20000, 255)}},
		{"one value", [][]byte{make([]byte, 4000)}},
		{"long codes", [][]byte{ramp}},
		{"too short to code", [][]byte{{1, 2, 3}}},
		{"empty", [][]byte{{}}},
		{"none", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var file []byte
			var s []Stretch
			size := header
			for _, p := range c.parts {
				gap := skewed(r, 37, 255)
				file = append(file, gap...)
				s = append(s, Stretch{len(file), len(p)})
				file = append(file, p...)
				size += len(gap) + Size(p)
			}
			file = append(file, "the end"...)
			size += len("the end")
			got, err := Pack(file, s)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != size {
				t.Errorf("%d bytes, Size says %d", len(got), size)
			}
			back, err := Unpack(got, 1<<20)
			if err != nil || !bytes.Equal(back, file) {
				t.Fatalf("not the same file: %v", err)
			}
		})
	}
}

// TestSizeIsNearTheEntropy: a Huffman code wastes less than one bit a symbol, far less for many.
func TestSizeIsNearTheEntropy(t *testing.T) {
	data := skewed(rand.New(rand.NewPCG(3, 4)), 1<<16, 60)
	bits := 0.0
	for _, n := range histogram(data) {
		if n > 0 {
			bits -= float64(n) * math.Log2(float64(n)/float64(len(data)))
		}
	}
	least := int(bits/8) + perStretch + tableBytes
	if got := Size(data); got < least || float64(got) > 1.02*float64(least) {
		t.Errorf("%d bytes, entropy %d", got, least)
	}
}

func TestUnpackRefuses(t *testing.T) {
	data := skewed(rand.New(rand.NewPCG(5, 6)), 2000, 9)
	good, err := Pack(data, []Stretch{{100, 1800}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Unpack(good, 1999); !fail.Is(err, fail.TooBig) {
		t.Errorf("too big: %v", err)
	}
	if _, err := Pack(data, []Stretch{{0, 1000}, {500, 1500}}); err == nil {
		t.Error("stretches that overlap are packed")
	}
	for i := range good { // every byte matters
		if i%7 != 0 && i > header+perStretch {
			continue
		}
		x := bytes.Clone(good)
		x[i] ^= 0x41
		if back, err := Unpack(x, 1<<20); err == nil && !bytes.Equal(back, data) {
			t.Fatalf("byte %d changed and another file came out", i)
		}
	}
	for n := range len(good) {
		if _, err := Unpack(good[:n], 1<<20); err == nil {
			t.Fatalf("the first %d bytes unpack", n)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	data := skewed(rand.New(rand.NewPCG(7, 8)), 300, 5)
	good, _ := Pack(data, []Stretch{{10, 280}})
	f.Add(good)
	f.Add([]byte(Magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if out, err := Unpack(b, 1<<16); err == nil && len(out) > 1<<16 {
			t.Fatal("beyond the limit")
		}
	})
}
