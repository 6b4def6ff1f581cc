package engine_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"fettle/engine"
	"fettle/internal/fail"
)

// TestCandidates times all kernels of shapes and holds the marked one to what a plan takes for a model of that shape.
func TestCandidates(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		shape string
		int8  bool
		graph string // of the same shape; "" where there is none
	}{
		{"49,64,96", false, "g (float[49, 96] x) => (float[49, 64] y) <float[96, 64] w = random(1)>\n{ y = MatMul (x, w) }"},
		{"conv:32,28,28,64,3", false, "g (float[1, 32, 28, 28] x) => (float[1, 64, 28, 28] y) <float[64, 32, 3, 3] w = random(1)>\n{ y = Conv <pads = [1, 1, 1, 1]> (x, w) }"},
		{"conv:64,14,14,64,3,s2,g64", false, "g (float[1, 64, 14, 14] x) => (float[1, 64, 7, 7] y) <float[64, 1, 3, 3] w = random(1)>\n{ y = Conv <pads = [1, 1, 1, 1], strides = [2, 2], group = 64> (x, w) }"},
		{"conv:3,32,32,16,7,s2,p3", false, ""},
		{"conv:32,14,14,64,1,n2", true, ""},
		{"33,17,70", true, ""},
	} {
		for _, f := range levels(t) {
			for _, small := range []bool{false, true} {
				name := fmt.Sprint(c.shape, f.Levels(), small)
				w, err := engine.ParseWork(c.shape, c.int8)
				if err != nil {
					t.Fatal(err)
				}
				opt := engine.Options{Threads: 2, Features: f, Small: small}
				list, err := engine.Candidates(ctx, w, opt, time.Millisecond)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				picked := ""
				for _, k := range list {
					if k.Ns <= 0 || k.GFlops <= 0 || k.PackedBytes <= 0 || k.Runs < 3 {
						t.Errorf("%s: %+v", name, k)
					}
					if k.Picked {
						picked += k.Kernel
					}
				}
				if last := list[len(list)-1]; last.ISA != "generic" {
					t.Errorf("%s: the last one is %+v", name, last)
				}
				if c.graph == "" {
					continue
				}
				p, err := engine.Compile(ctx, parse(t, header+c.graph), opt)
				if err != nil {
					t.Fatal(err)
				}
				found := false
				for _, s := range p.Steps {
					found = found || s.Kernel == picked
				}
				if !found {
					t.Errorf("%s: %q is marked, the plan is\n%s", name, picked, steps(p))
				}
			}
		}
	}
}

func TestParseWork(t *testing.T) {
	for _, s := range []string{"", "1,2", "1,2,3,4", "a,2,3", "0,1,1", "-1,2,3", "conv:", "conv:1,2,3", "conv:3,8,8,4,3,x2", "conv:3,8,8,4,3,s", "conv:3,8,8,4,3,s0", "conv:4,8,8,4,3,g3",
		"conv:3,8,8,4,3,7", "conv:3,2,2,4,9,p0", "100000,100000,100000", "conv:30000,30000,30000,4,1", "9999999999999999999,1,1"} {
		if w, err := engine.ParseWork(s, false); !fail.Is(err, fail.Usage) {
			t.Errorf("%q: %+v, %v", s, w, err)
		}
	}
	if w, err := engine.ParseWork("conv: 3, 8,8,4,5", false); err != nil || w.Conv.PadT != 2 || w.Conv.OutH() != 8 {
		t.Errorf("%+v %v", w.Conv, err)
	}
}
