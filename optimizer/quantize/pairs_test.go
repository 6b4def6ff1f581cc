package quantize

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"fettle/model"
	"fettle/optimizer"
)

// saturates adds products of weights by the worst bytes as processors with AVX2 do, in 16 bits.
func saturates(a, b int64) bool {
	for _, x := range []int64{0, 255} {
		for _, y := range []int64{0, 255} {
			if s := x*a + y*b; s > 1<<15-1 || s < -(1<<15) {
				return true
			}
		}
	}
	return false
}

// TestPairsAreCounted: every pair of bytes is called unsafe where the sum of its products can leave 16 bits, and no other.
func TestPairsAreCounted(t *testing.T) {
	p := pairs{places: [][2]int{{0, 1}}}
	q := model.NewTensor(model.Int8, 1, 2)
	for a := int64(-128); a < 128; a++ {
		for b := int64(-128); b < 128; b++ {
			q.SetInt64(0, a)
			q.SetInt64(1, b)
			if over, _ := p.unsafe(q, 0); (over == 1) != saturates(a, b) {
				t.Fatalf("%d and %d: %d unsafe", a, b, over)
			}
		}
	}
}

// TestPairsOf: which weights kernels add first.
func TestPairsOf(t *testing.T) {
	for _, c := range []struct {
		name, op string
		shape    []int
		axis     int
		dynamic  bool
		want     string
	}{
		{"channels of one place", "Conv", []int{2, 4, 1, 2}, 0, false, "[[0 2] [4 6] [1 3] [5 7]]"},
		{"an odd number of channels", "Conv", []int{2, 3, 1, 2}, 0, false, "[[0 2] [4 1] [3 5]]"},
		{"planes", "Conv", []int{2, 2, 1, 2}, 0, true, "[[0 1] [2 3]]"},
		{"matrix by columns", "MatMul", []int{4, 3}, 1, false, "[[0 1] [2 3]]"},
		{"depthwise", "Conv", []int{8, 1, 3, 3}, 0, false, "[]"},
	} {
		n := &model.Node{Op: c.op, Attrs: []model.Attr{model.IntAttr("group", 8)}}
		if got := fmt.Sprint(pairsOf(n, c.shape, c.axis, c.dynamic).places); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestReduceRangeAuto: the default leaves no pair that saturates, with any rounding, at steps no wider than those of 7 bits; the
// full range has such pairs and says so with their number.
func TestReduceRangeAuto(t *testing.T) {
	m := parse(t, `g (float[1, 12, 6, 6] x) => (float[1, 16, 6, 6] y)
<float[16, 12, 3, 3] w = random(1), float[16] b = random(2), float[16, 16, 1, 1] v = random(3)>
{ a = Conv <pads = [1, 1, 1, 1]> (x, w, b)
  c = Relu (a)
  y = Conv (c, v) }`)
	r := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"w", "v"} {
		for i := range model.Data[float32](m.Graph.Init(name)) {
			model.Data[float32](m.Graph.Init(name))[i] = float32(r.NormFloat64())
		}
	}
	count := func(out *model.Model) (over int) {
		for _, n := range out.Graph.Nodes {
			if n.Op == "Conv" {
				q := out.Graph.Init(out.Graph.Producer(n.Inputs[1]).Inputs[0])
				o, _ := pairsOf(n, q.Shape, 0, false).unsafe(q, 0)
				over += o
			}
		}
		return over
	}
	said := func(fs []optimizer.Finding) string {
		for _, f := range fs {
			if f.Label == "pairs of weights" {
				return f.Reason
			}
		}
		return ""
	}
	for _, rounding := range []string{"nearest", "gptq", "adaround"} {
		out, found := apply(t, m, map[string]any{"rounding": rounding, "rounds": 50})
		if n := count(out); n != 0 || !strings.HasPrefix(said(found), "none of ") {
			t.Errorf("%s: %d pairs can saturate; %q", rounding, n, said(found))
		}
		for _, l := range []string{"w", "v"} {
			full, seven := newGrid(m.Graph.Init(l), precisions["int8"], 0, 1, 0, true, nil), reducedFloor(m.Graph.Init(l), 0)
			s := out.Graph.Init(l + "_scale")
			for c := range full.scale {
				if x := s.Float64At(c); x < .999*float64(full.scale[c]) || x > 1.001*seven[c] {
					t.Fatalf("%s: step %d of %s is %v, of the full range %v", rounding, c, l, x, full.scale[c])
				}
			}
		}
	}
	out, found := apply(t, m, map[string]any{"reduce_range": "off"})
	if n := count(out); n == 0 || !strings.HasPrefix(said(found), fmt.Sprintf("%d of ", n)) {
		t.Errorf("%d pairs can saturate, but %q", n, said(found))
	}
	if out, _ := apply(t, m, map[string]any{"reduce_range": true}); out.Graph.Init("w_scale").Float64At(0) < 1.9*float64(newGrid(m.Graph.Init("w"), precisions["int8"], 0, 1, 0, true, nil).scale[0]) {
		t.Error("true, as older recipes have it, is not on")
	}
}
