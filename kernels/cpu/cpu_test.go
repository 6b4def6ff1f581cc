package cpu

import (
	"runtime"
	"slices"
	"testing"
	"unsafe"
)

func TestLimitRemovesWhatIsRicher(t *testing.T) {
	full := Features{Arch: "amd64", AVX2: true, AVX512: true, VNNI: true, AMXTile: true}
	for _, c := range []struct {
		limit string
		want  []ISA
	}{
		{"", []ISA{Generic, AVX2, AVX512F, AVX512VNNI}},
		{"avx512vnni", []ISA{Generic, AVX2, AVX512F, AVX512VNNI}},
		{"avx512f", []ISA{Generic, AVX2, AVX512F}},
		{"avx2", []ISA{Generic, AVX2}},
		{"generic", []ISA{Generic}},
	} {
		f, err := full.Parse(c.limit)
		if err != nil || !slices.Equal(f.Levels(), c.want) {
			t.Errorf("%q: %v %v, want %v", c.limit, f.Levels(), err, c.want)
		}
	}
	tiles := full
	tiles.AMXInt8, tiles.AMXBF16 = true, true
	for limit, n := range map[string]int{"": 6, "amxbf16": 6, "amxint8": 5, "avx512vnni": 4, "avx512f": 3, "avx2": 2, "generic": 1} {
		if f, err := tiles.Parse(limit); err != nil || len(f.Levels()) != n || (f.AMXTile && n < 5) {
			t.Errorf("tiles %q: %v %v", limit, f.Levels(), err)
		}
	}
	tiles.AVX512 = false // the stores of the tile kernels need it
	if tiles.Has(AMXInt8) || tiles.Has(AMXBF16) {
		t.Error("tiles without AVX-512")
	}
	arm := Features{Arch: "arm64", NEON: true, DotProd: true, I8MM: true}
	for limit, n := range map[string]int{"": 4, "neondot": 3, "neon": 2, "generic": 1} {
		if f, err := arm.Parse(limit); err != nil || len(f.Levels()) != n {
			t.Errorf("arm64 %q: %v %v", limit, f.Levels(), err)
		}
	}
	if _, err := full.Parse("sse9"); err == nil {
		t.Error("unknown name accepted")
	}
	if (Features{Arch: "amd64"}).Limit(AVX512VNNI).Has(AVX2) {
		t.Error("a limit added an instruction set")
	}
}

func TestDetect(t *testing.T) {
	f := Detect()
	if f.Arch != runtime.GOARCH || !f.Has(Generic) {
		t.Fatal(f)
	}
	if f.AMXTile && f.NoTiles != "" {
		t.Errorf("tiles are used and not used: %s", f.NoTiles)
	}
	t.Log(f, f.Levels(), f.NoTiles)
}

func TestLayout(t *testing.T) {
	l := NewLayout(2, 20, 3, 4, 16, Border{1, 2, 3, 4})
	l.Gap = 5
	if l.Blocks() != 2 || l.Row() != 160 || l.Plane() != 7*160+5 || l.Len() != 4*(7*160+5) {
		t.Fatal(l.Blocks(), l.Row(), l.Plane(), l.Len())
	}
	seen := make([]int, l.Len())
	for n := range l.N {
		for c := range l.Blocks() * l.Block {
			for y := range l.H {
				for x := range l.W {
					seen[l.At(n, c, y, x)]++
				}
			}
		}
	}
	FillBorder(l, seen, -1)
	inside := 0
	for i, v := range seen {
		switch v {
		case 1:
			inside++
		case -1:
		default:
			t.Fatalf("element %d is neither inside nor border: %d", i, v)
		}
	}
	if inside != 2*32*12 {
		t.Fatal(inside)
	}
	if !l.Meets(Need{Block: 16, Border: Border{1, 2, 0, 0}}) || l.Meets(Need{Block: 16, Border: Border{2, 2, 0, 0}}) || l.Meets(Need{Block: 4}) {
		t.Error("Meets")
	}
}

// TestPart: parts of a tensor cover it, each with its own border.
func TestPart(t *testing.T) {
	l := NewLayout(2, 48, 2, 3, 16, Border{1, 1, 1, 1})
	l.Gap = 7
	d := make([]int, l.Len())
	for _, c := range [][2]int{{0, 16}, {16, 32}} {
		p, off := l.Part(c[0], c[1])
		if off+p.Used() > len(d) || p.Image() != l.Image() {
			t.Fatal(off, p.Used(), len(d))
		}
		part := d[off:][:p.Used()]
		FillBorder(p, part, -1)
		for n := range 2 {
			for ch := range c[1] {
				for y := range 2 {
					for x := range 3 {
						part[p.At(n, ch, y, x)]++
						if off+p.At(n, ch, y, x) != l.At(n, c[0]+ch, y, x) {
							t.Fatal("another place")
						}
					}
				}
			}
		}
	}
	inside := 0
	for _, v := range d {
		switch v {
		case 1:
			inside++
		case 0, -1:
		default:
			t.Fatal("overlap", v)
		}
	}
	if inside != 2*48*6 {
		t.Error(inside)
	}
}

func TestMemory(t *testing.T) {
	for _, n := range []int{1, 100, 5 << 20} {
		b, err := NewBlock(n)
		if err != nil {
			t.Fatal(err)
		}
		if uintptr(unsafe.Pointer(&b.Bytes()[0]))%64 != 0 || len(b.Bytes()) != n {
			t.Error("block", n)
		}
		b.Bytes()[n-1] = 1
		if err := b.Free(); err != nil {
			t.Error(err)
		}
		if f := Floats(n); uintptr(unsafe.Pointer(&f[0]))%64 != 0 || len(f) != n {
			t.Error("floats", n)
		}
	}
}

func TestPool(t *testing.T) {
	var p Pool
	var all [][]float32
	for _, n := range []int{0, 1, 15, 16, 17, 1000, 1 << 18, 3, 1 << 20, 1<<21 + 5, 7} {
		s := p.Floats(n)
		if len(s) != n || cap(s) != n && n < 1<<21 {
			t.Fatalf("%d floats: length %d, capacity %d", n, len(s), cap(s))
		}
		if n > 0 && uintptr(unsafe.Pointer(&s[0]))%64 != 0 {
			t.Errorf("%d floats start at %p", n, &s[0])
		}
		for i := range s {
			if s[i] != 0 {
				t.Fatalf("%d floats: %g at %d", n, s[i], i)
			}
			s[i] = float32(len(all) + 1)
		}
		all = append(all, s)
	}
	for k, s := range all {
		for i, v := range s {
			if v != float32(k+1) {
				t.Fatalf("slice %d shares its place %d with slice %g", k, i, v-1)
			}
		}
	}
}
