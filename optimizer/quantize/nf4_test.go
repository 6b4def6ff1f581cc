package quantize

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
)

// TestNormalFloats compares with the values that the paper prints (arXiv:2305.14314, appendix E).
func TestNormalFloats(t *testing.T) {
	want := []float64{-1, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0, 0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1}
	for i, v := range normalFloats() {
		if math.Abs(float64(v)-want[i]) > 1e-5 {
			t.Errorf("value %d is %v, want %v", i, v, want[i])
		}
	}
}

const wide = `g (float[2, 100] x) => (float[2, 24] y)
<float[100, 40] w = random(1), float[24, 40] v = random(2), float[24] b = random(3)>
{
  [one] a = MatMul (x, w)
  r = Relu (a)
  [two] y = Gemm <transB = 1> (r, v, b)
}`

// TestNF4: every weight is the closest of 16 values times the largest of its block, the file's constants have the bytes that the ledger says, and
// zeros stay zero.
func TestNF4(t *testing.T) {
	for _, c := range []struct {
		name   string
		block  int
		scales map[string][]int // shapes
	}{
		{"a scale for each output channel", 0, map[string][]int{"w": {1, 40}, "v": {24, 1}}},
		{"blocks of 32, the last one short", 32, map[string][]int{"w": {4, 40}, "v": {24, 2}}},
		{"blocks longer than one axis", 64, map[string][]int{"w": {2, 40}, "v": {24, 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := parse(t, wide)
			w := model.Data[float32](m.Graph.Init("w"))
			for i := range w {
				if i%7 == 0 {
					w[i] = 0
				}
			}
			in, _ := optimizer.RandomInputs(m, 8, 3)
			out, found := clustered(t, m, map[string]any{"table": "nf4", "block": c.block}, items(in))
			all := 0
			for _, i := range out.Graph.Inits {
				if i.Name != "b" {
					all += len(i.Tensor.Raw)
				}
			}
			last := found[len(found)-1].Reason
			if before, after := 4*(100*40+24*40), all; !strings.Contains(last, fmt.Sprintf("%d bytes of weights became %d,", before, after)) {
				t.Errorf("%d bytes of weights became %d, but the ledger says: %s", before, after, last)
			}
			values := normalFloats()
			got := map[string][]float32{}
			for _, n := range out.Graph.Nodes {
				if n.Op == "MatMul" || n.Op == "Gemm" {
					got[map[string]string{"MatMul": "w", "Gemm": "v"}[n.Op]] = constantOf(t, out, n.Inputs[1])
				}
			}
			for name, shape := range c.scales {
				scale := out.Graph.Init(name + "_absmax")
				if scale == nil || !slices.Equal(scale.Shape, shape) {
					t.Fatalf("scales of %s: %v, want %v", name, scale, shape)
				}
				axis := 1 // of the sums
				if name == "w" {
					axis = 0
				}
				src := m.Graph.Init(name)
				for i, x := range model.Data[float32](src) {
					row, col := i/src.Shape[1], i%src.Shape[1]
					at := []int{row, col}
					if shape[axis] > 1 {
						at[axis] /= c.block
					} else {
						at[axis] = 0
					}
					s := model.Data[float32](scale)[at[0]*shape[1]+at[1]]
					best := math.Inf(1)
					for _, v := range values {
						best = min(best, math.Abs(float64(v*s-x)))
					}
					if d := math.Abs(float64(got[name][i] - x)); d > best+1e-6 || x == 0 && d != 0 || math.Abs(float64(x)) > float64(s) {
						t.Fatalf("%s[%d]: %v became %v, %v away; the closest value of the block (scale %v) is %v away", name, i, x, got[name][i], d, s, best)
					}
				}
			}
		})
	}
}

// constantOf evaluates the nodes behind a weight.
func constantOf(t *testing.T, m *model.Model, value string) []float32 {
	t.Helper()
	if c := m.Graph.Init(value); c != nil {
		return model.Data[float32](c)
	}
	n := m.Graph.Producer(value)
	var eval func(n *model.Node) *model.Tensor
	eval = func(n *model.Node) *model.Tensor {
		var args []*model.Tensor
		for _, in := range n.Inputs {
			if c := m.Graph.Init(in); c != nil {
				args = append(args, c)
			} else {
				args = append(args, eval(m.Graph.Producer(in)))
			}
		}
		out, err := (&ops.Evaluator{Model: m}).Node(context.Background(), m, n, args, nil)
		if err != nil {
			t.Fatal(err)
		}
		return out[0]
	}
	return model.Data[float32](eval(n))
}
