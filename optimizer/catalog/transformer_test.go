package catalog

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"fettle/model/text"
	"fettle/ops"
	"fettle/optimizer"
)

// transformer is a block of an encoder with everything spelled out, as exporters of opset 12 write it, and both forms of GELU.
const transformer = `<ir_version: 7, opset_import: ["" : %d]>
block (float[N, 5, 8] x) => (float[N, 5, 8] y)
<float[8, 8] wq = random(1), float[8] bq = random(2), float[8, 8] wk = random(3), float[8] bk = random(4), float[8, 8] wv = random(5), float[8] bv = random(6),
 float[8, 8] wo = random(7), float[8] bo = random(8), float[8] g = random(9, 0.5, 1.5), float[8] b = random(10), float[8, 16] w1 = random(11), float[16] b1 = random(12),
 float[16, 8] w2 = random(13), float[8] b2 = random(14), int64[4] heads = {0, 5, 2, 4}, int64[3] joined = {0, 5, 8}, float root = {3.0}, float eps = {1e-5},
 float two = {2.0}, float three = {3.0}, float one = {1.0}, float half = {0.5}, float sqrt2 = {1.4142135}, float c = {0.044715}, float r = {0.7978846}>
{
  [query] q = MatMul (x, wq)
  [query_add] q1 = Add (bq, q)
  [query_heads] q2 = Reshape (q1, heads)
  [query_move] q3 = Transpose <perm = [0, 2, 1, 3]> (q2)
  [key] k = MatMul (x, wk)
  [key_add] k1 = Add (k, bk)
  [key_heads] k2 = Reshape (k1, heads)
  [key_move] k3 = Transpose <perm = [0, 2, 3, 1]> (k2)
  [value] v = MatMul (x, wv)
  [value_add] v1 = Add (v, bv)
  [value_heads] v2 = Reshape (v1, heads)
  [value_move] v3 = Transpose <perm = [0, 2, 1, 3]> (v2)
  [scores] s = MatMul (q3, k3)
  [scale] s1 = Div (s, root)
  [softmax] s2 = Softmax <axis = %s> (s1)
  [context] o = MatMul (s2, v3)
  [join] o1 = Transpose <perm = [0, 2, 1, 3]> (o)
  [joined] o2 = Reshape (o1, joined)
  [out] o3 = MatMul (o2, wo)
  [out_add] o4 = Add (o3, bo)
  [residual] n = Add (x, o4)
  [mean] n1 = ReduceMean%s
  [sub] n2 = Sub (n, n1)
  [square] n3 = Pow (n2, two)
  [variance] n4 = ReduceMean%s
  [eps] n5 = Add (n4, eps)
  [std] n6 = Sqrt (n5)
  [div] n7 = Div (n2, n6)
  [gamma] n8 = Mul (n7, g)
  [beta] n9 = Add (n8, b)
  [up] f = MatMul (n9, w1)
  [up_add] f1 = Add (f, b1)
  [erf_div] e = Div (f1, sqrt2)
  [erf] e1 = Erf (e)
  [erf_one] e2 = Add (e1, one)
  [erf_mul] e3 = Mul (f1, e2)
  [erf_half] e4 = Mul (e3, half)
  [down] h = MatMul (e4, w2)
  [down_add] h1 = Add (h, b2)
  [pow] t = Pow (h1, three)
  [cube] t1 = Mul (t, c)
  [sum] t2 = Add (h1, t1)
  [arg] t3 = Mul (t2, r)
  [tanh] t4 = Tanh (t3)
  [tanh_one] t5 = Add (t4, one)
  [tanh_half] t6 = Mul (h1, half)
  [tanh_mul] y1 = Mul (t6, t5)
  [erf2_div] e5 = Div (y1, sqrt2)
  [erf2] e6 = Erf (e5)
  [erf2_one] e7 = Add (e6, one)
  [erf2_mul] e8 = Mul (y1, e7)
  [erf2_half] y = Mul (e8, half)
}`

// block gives the text at an opset.
func block(opset int) string {
	mean := func(of string) string { return fmt.Sprintf(" <axes = [-1]> (%s)", of) }
	s := transformer
	if opset >= 18 { // the axes became an input
		mean = func(of string) string { return fmt.Sprintf(" (%s, axis)", of) }
		s = strings.Replace(s, "float eps", "int64[1] axis = {-1}, float eps", 1)
	}
	axis := "-1"
	if opset < 13 {
		axis = "3"
	}
	return fmt.Sprintf(s, opset, axis, mean("n"), mean("n3"))
}

// TestTransformer: the recipe makes twelve compute nodes of a block of an encoder and four that move elements, and the outputs stay.
func TestTransformer(t *testing.T) {
	for _, opset := range []int{12, 17, 20} {
		t.Run(fmt.Sprint("opset ", opset), func(t *testing.T) {
			m, err := text.Parse(block(opset))
			if err != nil {
				t.Fatal(err)
			}
			steps := run(t, m, Standard(), nil)
			last := steps[len(steps)-1].Model
			count := map[string]int{}
			for _, n := range last.Graph.Nodes {
				count[n.Domain+":"+n.Op]++
			}
			gelu, tanh := "com.microsoft:Gelu", "com.microsoft:FastGelu"
			if opset >= 20 {
				gelu, tanh = ":Gelu", ""
			}
			if count["fettle:MatMul"] != 6 || count[":MatMul"] != 2 || count[":LayerNormalization"] != 1 || count[gelu] != 1+map[bool]int{true: 1}[tanh == ""] ||
				tanh != "" && count[tanh] != 1 || len(last.Graph.Nodes) != 6+2+1+2+1+1+8 {
				t.Errorf("%d nodes: %v\n%s", len(last.Graph.Nodes), count, text.Print(last, text.Options{NoFunctions: true}))
			}
			in, err := optimizer.RandomInputs(m, 4, 1)
			if err != nil {
				t.Fatal(err)
			}
			p, err := optimizer.Prove(context.Background(), optimizer.Reference{}, m, last, in, optimizer.Rounding)
			if err != nil || !p.Within {
				t.Fatalf("%v %+v", err, p)
			}
		})
	}
}

// TestTransformerRunsInONNXRuntime: the saved file means the same there, where the operators of com.microsoft have kernels.
func TestTransformerRunsInONNXRuntime(t *testing.T) {
	runs := ort(t)
	for _, opset := range []int{12, 20} {
		m, err := text.Parse(block(opset))
		if err != nil {
			t.Fatal(err)
		}
		in, err := optimizer.RandomInputs(m, 4, 1)
		if err != nil {
			t.Fatal(err)
		}
		steps := run(t, m, Standard(), nil)
		for _, level := range []string{"disabled", "all"} {
			t.Run(fmt.Sprintf("opset %d, %s", opset, level), func(t *testing.T) {
				got := runs(t, steps[len(steps)-1].Model, level, in)
				worst, largest := 0.0, 0.0
				for i := range in {
					want, err := ops.Evaluate(context.Background(), m, in[i])
					if err != nil {
						t.Fatal(err)
					}
					for k := range want[0].Len() {
						worst = max(worst, want[0].Float64At(k)-got[i][0].Float64At(k), got[i][0].Float64At(k)-want[0].Float64At(k))
						largest = max(largest, want[0].Float64At(k))
					}
				}
				if worst > 1e-5*largest || largest == 0 {
					t.Errorf("ONNX Runtime differs by %.3g of %.3g", worst, largest)
				}
			})
		}
	}
}
