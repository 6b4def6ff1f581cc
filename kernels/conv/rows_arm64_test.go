package conv

import (
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"unsafe"

	"fettle/kernels/cpu"
)

// TestPlanPicksNEON: the differential test walks what Plan lists, so the vector kernels must be on the list, first.
func TestPlanPicksNEON(t *testing.T) {
	f := cpu.Detect()
	if !f.Has(cpu.NEON) {
		t.Skip("no NEON")
	}
	dw := with(sq(32, 14, 14, 32, 3, 1, 1), func(s *Shape) { s.Groups = 32 })
	for _, c := range []struct {
		name, want string
		s          Shape
	}{
		{"1x1", "f32_conv_7x12__neon", sq(64, 14, 14, 64, 1, 1, 0)},
		{"3x3 stride 2", "f32_conv_7x12__neon", sq(64, 14, 14, 64, 3, 2, 1)},
		{"3x3, 64 outputs without padding", "f32_wino4_7x8__neon", sq(64, 28, 28, 64, 3, 1, 1)},
		{"3x3, 72 outputs", "f32_wino4_7x12__neon", sq(64, 28, 28, 72, 3, 1, 1)},
		{"first layer", "f32_conv_first_6x12__neon", sq(3, 32, 32, 24, 3, 2, 1)},
		{"depthwise", "f32_dwconv_k3s1_2x7__neon", dw},
	} {
		algs, err := Plan(c.s, f)
		if err != nil {
			t.Fatal(err)
		}
		if algs[0].Name != c.want {
			t.Errorf("%s: %s, want %s", c.name, algs[0].Name, c.want)
		}
	}
	q, err := PlanQ(sq(64, 14, 14, 64, 1, 1, 0), f)
	if err != nil {
		t.Fatal(err)
	}
	want := "__neon"
	switch {
	case f.I8MM:
		want = "qu8s8_conv_4x16__neoni8mm"
	case f.DotProd:
		want = "qu8s8_conv_5x16__neondot"
	}
	if !strings.HasSuffix(q[0].Name, want) {
		t.Errorf("8 bit: %s, want %s", q[0].Name, want)
	}
}

// TestAbsentInstructions executes what FETTLE_TEST_EXECUTE names, whether the processor has it or not: scripts/test-arm64.sh sees that an
// emulated Cortex-A72 stops the program there, so that its other tests prove that kernels for absent instructions are never called.
func TestAbsentInstructions(t *testing.T) {
	f := cpu.Detect()
	for _, c := range []struct {
		name string
		has  bool
		run  func(*kargs)
	}{{"dotprod", f.DotProd, d1x4u4}, {"i8mm", f.I8MM, m1x4u4}} {
		t.Logf("%s detected: %t", c.name, c.has)
		if os.Getenv("FETTLE_TEST_EXECUTE") == c.name {
			b := make([]byte, 256)
			p := unsafe.Pointer(&b[0])
			c.run(&kargs{a: p, b: p, c: p, bias: p, scale: p, groups: &group{steps: 1}, nk: 1, tiles: &tile{}, nt: 1})
			if !c.has {
				t.Errorf("%s was executed and not detected", c.name)
			}
		}
	}
}

// TestInt8Extremes: sums of products of -128 by -128 leave 16 bits; the kernels must give what the portable one gives, for weights
// with and without -128.
func TestInt8Extremes(t *testing.T) {
	for _, s := range []Shape{sq(64, 7, 9, 40, 1, 1, 0), sq(33, 6, 7, 20, 3, 1, 1), sq(3, 12, 12, 16, 3, 2, 1)} {
		for _, least := range []int8{-127, -128} {
			in, w := make([]uint8, s.C*s.H*s.W), make([]int8, s.WeightLen())
			for i := range w {
				w[i] = least
			}
			q := Quant{InScale: 1, OutScale: float32(128 * s.C * s.KH * s.KW), OutZero: 128, InZero: 128, WScale: []float32{1}}
			algs, err := PlanQ(s, cpu.Detect())
			if err != nil {
				t.Fatal(err)
			}
			var all [][]uint8
			for _, a := range algs {
				all = append(all, runQ(t, a, in, w, q, nil, 0, 1, rand.New(rand.NewPCG(1, 2))))
			}
			want := all[len(all)-1]
			for k, got := range all {
				for i := range got {
					if math.Abs(float64(got[i])-float64(want[i])) > 1 {
						t.Fatalf("%s, weights %d: value %d is %d, portable %d", algs[k].Name, least, i, got[i], want[i])
					}
				}
			}
		}
	}
}

func TestOffsetsNEON(t *testing.T) {
	var d qdwArgs
	if unsafe.Offsetof(d.table) != 24 || unsafe.Offsetof(d.deltas) != 32 || unsafe.Offsetof(d.threes) != 40 || unsafe.Offsetof(d.ones) != 56 || unsafe.Offsetof(d.nr) != 72 || unsafe.Offsetof(d.ps) != 96 ||
		unsafe.Offsetof(d.clip) != 104 || unsafe.Offsetof(d.lo) != 112 || unsafe.Offsetof(d.hi) != 113 || unsafe.Offsetof(d.look) != 120 || unsafe.Offsetof(d.zero) != 114 {
		t.Error("qdwArgs is not what the generator writes")
	}
	var c qcArgs
	if unsafe.Offsetof(c.deltas) != 40 || unsafe.Offsetof(c.look) != 48 || unsafe.Offsetof(c.half) != 56 || unsafe.Offsetof(c.quads) != 64 || unsafe.Offsetof(c.tiles) != 72 || unsafe.Offsetof(c.nt) != 80 || unsafe.Offsetof(c.ps) != 88 || unsafe.Offsetof(c.lo) != 96 ||
		unsafe.Offsetof(c.zero) != 98 || unsafe.Offsetof(c.rscale) != 100 || unsafe.Offsetof(c.rzero) != 120 || unsafe.Offsetof(c.clip) != 104 || unsafe.Offsetof(c.res) != 112 || unsafe.Sizeof(c) != 192 {
		t.Error("qcArgs is not what the generator writes")
	}
	var q qsArgs
	if unsafe.Offsetof(q.off) != 32 || unsafe.Offsetof(q.pairs) != 48 || unsafe.Offsetof(q.plane) != 64 || unsafe.Offsetof(q.clip) != 72 || unsafe.Offsetof(q.lo) != 80 || unsafe.Offsetof(q.hi) != 81 || unsafe.Offsetof(q.zero) != 82 {
		t.Error("qsArgs is not what the generator writes")
	}
	var h halfArgs
	if unsafe.Offsetof(h.deltas) != 32 || unsafe.Offsetof(h.tiles) != 56 || unsafe.Offsetof(h.blocks) != 80 || unsafe.Offsetof(h.lo) != 104 || unsafe.Offsetof(h.act) != 112 || unsafe.Offsetof(h.biases) != 128 || unsafe.Offsetof(h.sums) != 128+672 {
		t.Error("halfArgs is not what the generator writes")
	}
	var dw dwArgs
	var m moveArgs
	if unsafe.Offsetof(dw.blocks) != 152 || unsafe.Offsetof(dw.splane) != 160 || unsafe.Offsetof(dw.dplane) != 168 || unsafe.Offsetof(dw.rplane) != 176 || unsafe.Offsetof(m.n) != 16 || unsafe.Offsetof(m.step) != 32 {
		t.Error("dwArgs or moveArgs is not what the generator writes")
	}
	var f flipArgs
	var g gatherArgs
	if unsafe.Offsetof(f.n) != 16 || unsafe.Offsetof(f.odd) != 48 || unsafe.Offsetof(g.inRow) != 32 || unsafe.Offsetof(g.tail) != 48 || unsafe.Offsetof(g.size) != 64 {
		t.Error("flipArgs or gatherArgs is not what the generator writes")
	}
}

// TestMeeting: every tap is in one group, and no group's weights sum to more than 255 in a channel.
func TestMeeting(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, c := range []struct {
		name                  string
		taps, channels, bound int
		groups                int // at most
	}{
		{"3x3, small weights meet by threes", 9, 16, 85, 3},
		{"3x3, any weights", 9, 16, 127, 9},
		{"3x3, all of them large", 9, 3, 0, 9},
		{"5x5", 25, 16, 127, 25},
		{"5x5, small weights", 25, 7, 60, 9},
		{"one tap", 1, 16, 127, 1},
		{"31 x 31", 961, 16, 127, 961},
	} {
		w := make([]int8, c.taps*c.channels)
		for i := range w {
			w[i] = -128
			if c.bound > 0 {
				w[i] = int8(r.IntN(2*c.bound+1) - c.bound)
			}
		}
		groups := meeting(w, c.taps)
		if len(groups) > c.groups {
			t.Errorf("%s: %d groups", c.name, len(groups))
		}
		seen := make([]int, c.taps)
		for i, g := range groups {
			if i > 0 && len(g) > len(groups[i-1]) {
				t.Errorf("%s: a group of %d behind one of %d", c.name, len(g), len(groups[i-1]))
			}
			for ch := range c.channels {
				sum := 0
				for _, tap := range g {
					sum += max(int(w[ch*c.taps+tap]), -int(w[ch*c.taps+tap]))
				}
				if sum > 255 {
					t.Errorf("%s: group %v sums to %d", c.name, g, sum)
				}
			}
			for _, tap := range g {
				seen[tap]++
			}
		}
		for tap, n := range seen {
			if n != 1 {
				t.Errorf("%s: tap %d is in %d groups", c.name, tap, n)
			}
		}
	}
}

// TestTwos: every step is in one pair or left, no pair's weights sum to more than 255 in a lane, and weights of a usual size do meet.
func TestTwos(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, c := range []struct {
		name  string
		steps int
		draw  func() int
		least int // pairs
	}{
		{"normal weights", 60, func() int { return int(r.NormFloat64() * 34) }, 20},
		{"small weights", 9, func() int { return r.IntN(127) - 63 }, 4},
		{"large weights", 9, func() int { return 127 }, 0},
		{"one step", 1, func() int { return 1 }, 0},
		{"many steps", 700, func() int { return r.IntN(90) - 45 }, 340},
	} {
		steps := make([][4 * qBlk]int8, c.steps)
		for i := range steps {
			for k := range steps[i] {
				steps[i][k] = int8(min(max(c.draw(), -127), 127))
			}
		}
		pairs, left := twos(steps)
		if len(pairs) < c.least || 2*len(pairs)+len(left) != c.steps {
			t.Errorf("%s: %d pairs and %d left of %d steps", c.name, len(pairs), len(left), c.steps)
		}
		seen := make([]int, c.steps)
		for _, i := range left {
			seen[i]++
		}
		for _, p := range pairs {
			seen[p[0]]++
			seen[p[1]]++
			var sums [32]int
			for _, i := range p {
				for k, v := range steps[i] {
					sums[k/qBlk*8+k%8] += max(int(v), -int(v))
				}
			}
			for lane, sum := range sums {
				if sum > 255 {
					t.Errorf("%s: steps %v sum to %d in lane %d", c.name, p, sum, lane)
				}
			}
		}
		for i, n := range seen {
			if n != 1 {
				t.Errorf("%s: step %d is there %d times", c.name, i, n)
			}
		}
	}
}
