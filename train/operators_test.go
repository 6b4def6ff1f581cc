package train

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"fettle/kernels/cpu"
	"fettle/model"
	"fettle/ops"
)

// spot is one operator with attributes: x is the input, the others are weights.
type spot struct {
	op      string
	opset   int
	x       []int
	weights [][]int // shapes of the inputs behind x; nil stands for an absent one
	consts  []*model.Tensor
	attrs   []model.Attr
	outs    int
	low     float64 // numbers begin here, for operators with a narrower domain
}

func ints(name string, v ...int64) model.Attr { return model.IntsAttr(name, v...) }
func one(name string, v int64) model.Attr     { return model.IntAttr(name, v) }

// spots is the grid.
func spots() []spot {
	var l []spot
	for op := range curves() {
		if op == "Swish" || op == "Dropout" || op == "Identity" {
			continue // below
		}
		s := spot{op: op, x: []int{2, 3, 4}, opset: 20}
		if op == "Log" || op == "Sqrt" || op == "Reciprocal" {
			s.low = 0.3
		}
		l = append(l, s)
	}
	for op := range foldings() {
		low := 0.0
		if op == "ReduceLogSum" {
			low = 0.2
		}
		l = append(l, spot{op: op, x: []int{2, 3, 4}, opset: 13, low: low, attrs: []model.Attr{ints("axes", 1)}},
			spot{op: op, x: []int{2, 3, 4, 5}, opset: 18, low: low, consts: []*model.Tensor{model.Int64s(-1, 1)}, attrs: []model.Attr{one("keepdims", 0)}},
			spot{op: op, x: []int{2, 3, 4, 5}, opset: 13, low: low, attrs: []model.Attr{ints("axes", 2, 3)}})
	}
	for op := range pairings() {
		if op == "PRelu" {
			continue
		}
		low := 0.0
		if op == "Div" || op == "Pow" {
			low = 0.4
		}
		l = append(l, spot{op: op, x: []int{2, 3, 4, 5}, weights: [][]int{{2, 3, 4, 5}}, low: low}, spot{op: op, x: []int{2, 3, 4, 5}, weights: [][]int{{3, 1, 1}}, low: low},
			spot{op: op, x: []int{3, 1}, weights: [][]int{{2, 3, 4}}, low: low})
	}
	i64 := func(v ...int64) *model.Tensor { return model.Int64s(v...) }
	f32 := func(v ...float32) *model.Tensor { return model.Float32s(v, len(v)) }
	return append(l,
		spot{op: "Sum", x: []int{2, 3}, weights: [][]int{{2, 3}, {3}}}, spot{op: "Mean", x: []int{2, 3}, weights: [][]int{{2, 1}, {3}}}, spot{op: "Max", x: []int{2, 3}, weights: [][]int{{2, 3}, {3}}},
		spot{op: "PRelu", x: []int{2, 3, 4, 5}, weights: [][]int{{3, 1, 1}}}, spot{op: "PRelu", x: []int{2, 3}, weights: [][]int{{1}}},
		spot{op: "Identity", x: []int{2, 3}}, spot{op: "Dropout", x: []int{2, 3}}, spot{op: "Relu", x: []int{2, 3, 4, 5}}, spot{op: "Clip", x: []int{2, 3, 4, 5}, consts: []*model.Tensor{model.Scalar32(-0.5), model.Scalar32(0.7)}},
		spot{op: "LeakyRelu", x: []int{2, 9}, attrs: []model.Attr{model.FloatAttr("alpha", 0.3)}}, spot{op: "HardSigmoid", x: []int{2, 9}, attrs: []model.Attr{model.FloatAttr("alpha", 0.4), model.FloatAttr("beta", 0.3)}},
		spot{op: "Gelu", x: []int{2, 9}, opset: 20, attrs: []model.Attr{model.StrAttr("approximate", "tanh")}}, spot{op: "Elu", x: []int{2, 9}, attrs: []model.Attr{model.FloatAttr("alpha", 1.7)}},
		spot{op: "Softmax", x: []int{2, 3, 4}, attrs: []model.Attr{one("axis", 1)}}, spot{op: "Softmax", x: []int{2, 3, 2, 4}, attrs: []model.Attr{one("axis", 1)}}, spot{op: "Softmax", x: []int{2, 3, 4}, opset: 11},
		spot{op: "LogSoftmax", x: []int{2, 3, 4}}, spot{op: "LogSoftmax", x: []int{2, 3, 4}, opset: 11, attrs: []model.Attr{one("axis", 2)}},
		spot{op: "ReduceMax", x: []int{2, 3, 4, 5}, attrs: []model.Attr{ints("axes", 2, 3), one("keepdims", 0)}, opset: 13}, spot{op: "ReduceMin", x: []int{2, 3, 4}, opset: 13},
		spot{op: "GlobalMaxPool", x: []int{2, 3, 4, 5}}, spot{op: "GlobalAveragePool", x: []int{2, 3, 4, 5}},
		spot{op: "LayerNormalization", x: []int{2, 3, 4}, weights: [][]int{{4}, {4}}}, spot{op: "LayerNormalization", x: []int{2, 3, 4, 5}, weights: [][]int{{4, 5}}, attrs: []model.Attr{one("axis", 2)}},
		spot{op: "InstanceNormalization", x: []int{2, 3, 4, 5}, weights: [][]int{{3}, {3}}}, spot{op: "InstanceNormalization", x: []int{2, 3, 7}, weights: [][]int{{3}, {3}}},
		spot{op: "GroupNormalization", x: []int{2, 4, 3, 2}, weights: [][]int{{4}, {4}}, opset: 21, attrs: []model.Attr{one("num_groups", 2)}},
		spot{op: "MatMul", x: []int{3, 4}, weights: [][]int{{4, 5}}}, spot{op: "MatMul", x: []int{2, 3, 4}, weights: [][]int{{4, 5}}}, spot{op: "MatMul", x: []int{2, 1, 3, 4}, weights: [][]int{{3, 4, 2}}}, spot{op: "MatMul", x: []int{2, 4}, weights: [][]int{{4}}},
		spot{op: "MatMul", x: []int{2, 2, 3, 4}, weights: [][]int{{2, 2, 4, 3}}},
		spot{op: "Gemm", x: []int{3, 4}, weights: [][]int{{5, 4}, {5}}, attrs: []model.Attr{one("transB", 1)}}, spot{op: "Gemm", x: []int{4, 3}, weights: [][]int{{4, 5}, {3, 1}}, attrs: []model.Attr{one("transA", 1), model.FloatAttr("alpha", 0.5), model.FloatAttr("beta", 2)}},
		spot{op: "Gemm", x: []int{4, 3}, weights: [][]int{{5, 4}}, attrs: []model.Attr{one("transA", 1), one("transB", 1)}}, spot{op: "Gemm", x: []int{3, 4}, weights: [][]int{{4, 5}, {3, 5}}},
		spot{op: "Conv", x: []int{2, 4, 6, 5}, weights: [][]int{{6, 2, 3, 3}, {6}}, attrs: []model.Attr{one("group", 2), ints("pads", 1, 1, 1, 1), ints("strides", 2, 1)}},
		spot{op: "Conv", x: []int{2, 4, 6, 5}, weights: [][]int{{8, 1, 3, 3}, {8}}, attrs: []model.Attr{one("group", 4), ints("pads", 1, 0, 1, 2)}},
		spot{op: "Conv", x: []int{2, 3, 9}, weights: [][]int{{4, 3, 3}, {4}}, attrs: []model.Attr{ints("pads", 2, 1), ints("strides", 2), ints("dilations", 2)}},
		spot{op: "ConvTranspose", x: []int{2, 3, 3, 4}, weights: [][]int{{3, 2, 3, 2}, {2}}, attrs: []model.Attr{ints("strides", 2, 1), ints("pads", 1, 0, 0, 1), ints("output_padding", 1, 0)}},
		spot{op: "ConvTranspose", x: []int{2, 4, 3, 4}, weights: [][]int{{4, 3, 2, 2}, {6}}, attrs: []model.Attr{one("group", 2), ints("strides", 2, 2), ints("dilations", 1, 2)}},
		spot{op: "ConvTranspose", x: []int{2, 3, 5}, weights: [][]int{{3, 2, 4}}, attrs: []model.Attr{ints("strides", 2), ints("pads", 1, 1)}},
		spot{op: "Conv", x: []int{2, 3, 6, 5}, weights: [][]int{{4, 3, 3, 2}}, attrs: []model.Attr{model.StrAttr("auto_pad", "SAME_UPPER"), ints("strides", 2, 1)}},
		spot{op: "Conv", x: []int{2, 3, 6, 5}, weights: [][]int{{3, 1, 4, 3}}, attrs: []model.Attr{model.StrAttr("auto_pad", "SAME_LOWER"), one("group", 3)}},
		spot{op: "MaxPool", x: []int{2, 3, 6, 5}, attrs: []model.Attr{ints("kernel_shape", 3, 2), ints("strides", 2, 2), model.StrAttr("auto_pad", "SAME_LOWER")}},
		spot{op: "MaxPool", x: []int{2, 3, 5, 6}, attrs: []model.Attr{ints("kernel_shape", 3, 2), ints("strides", 2, 2), ints("pads", 1, 0, 1, 1)}}, spot{op: "MaxPool", x: []int{2, 3, 7}, attrs: []model.Attr{ints("kernel_shape", 3), ints("strides", 2)}},
		spot{op: "MaxPool", x: []int{2, 3, 6, 6}, attrs: []model.Attr{ints("kernel_shape", 3, 3), ints("strides", 2, 2), one("ceil_mode", 1)}},
		spot{op: "AveragePool", x: []int{2, 3, 5, 6}, attrs: []model.Attr{ints("kernel_shape", 3, 2), ints("strides", 2, 2), ints("pads", 1, 0, 1, 1)}}, spot{op: "AveragePool", x: []int{2, 3, 5, 6}, attrs: []model.Attr{ints("kernel_shape", 3, 3), ints("pads", 1, 1, 1, 1), one("count_include_pad", 1)}},
		spot{op: "AveragePool", x: []int{2, 3, 6, 6}, attrs: []model.Attr{ints("kernel_shape", 3, 3), ints("strides", 2, 2), one("ceil_mode", 1)}},
		spot{op: "Transpose", x: []int{2, 3, 4, 5}, attrs: []model.Attr{ints("perm", 0, 2, 3, 1)}}, spot{op: "Transpose", x: []int{2, 3, 4}, attrs: []model.Attr{ints("perm", 2, 0, 1)}},
		spot{op: "Slice", x: []int{2, 5, 4, 5}, consts: []*model.Tensor{i64(4, 0), i64(0, 5), i64(1, 3), i64(-2, 2)}}, spot{op: "Pad", x: []int{2, 3, 4, 5}, consts: []*model.Tensor{i64(0, 1, 2, 0, 0, 0, 1, 2)}},
		spot{op: "Pad", x: []int{2, 3, 4, 5}, consts: []*model.Tensor{i64(0, 0, 2, 1, 0, 0, 1, 2)}, attrs: []model.Attr{model.StrAttr("mode", "reflect")}}, spot{op: "Pad", x: []int{2, 3}, consts: []*model.Tensor{i64(0, 1, 1, 0), model.Scalar32(0.7)}},
		spot{op: "Squeeze", x: []int{2, 1, 3}, consts: []*model.Tensor{i64(1)}}, spot{op: "Unsqueeze", x: []int{2, 3, 4}, consts: []*model.Tensor{i64(1)}},
		spot{op: "Reshape", x: []int{2, 4, 3, 2}, consts: []*model.Tensor{i64(0, 2, 2, 3, 2)}}, spot{op: "Reshape", x: []int{2, 4, 3, 2}, consts: []*model.Tensor{i64(-1, 6)}}, spot{op: "Reshape", x: []int{2, 4, 3, 2}, consts: []*model.Tensor{i64(2, -1)}},
		spot{op: "Flatten", x: []int{2, 4, 3, 2}}, spot{op: "Flatten", x: []int{2, 4, 3, 2}, attrs: []model.Attr{one("axis", 2)}},
		spot{op: "Gather", x: []int{2, 4, 3}, consts: []*model.Tensor{i64(3, 0, 3)}, attrs: []model.Attr{one("axis", 1)}}, spot{op: "Expand", x: []int{2, 1, 3}, consts: []*model.Tensor{i64(2, 4, 3)}}, spot{op: "Tile", x: []int{2, 3}, consts: []*model.Tensor{i64(1, 3)}},
		spot{op: "DepthToSpace", x: []int{2, 8, 2, 3}, attrs: []model.Attr{one("blocksize", 2)}}, spot{op: "SpaceToDepth", x: []int{2, 2, 4, 6}, attrs: []model.Attr{one("blocksize", 2)}},
		spot{op: "Concat", x: []int{2, 3, 4}, weights: [][]int{{2, 2, 4}}, attrs: []model.Attr{one("axis", 1)}}, spot{op: "Concat", x: []int{2, 3, 4, 5}, weights: [][]int{{2, 3, 4, 2}}, attrs: []model.Attr{one("axis", 3)}}, spot{op: "Concat", x: []int{2, 3, 4, 5}, weights: [][]int{{2, 2, 4, 5}}, attrs: []model.Attr{one("axis", 1)}},
		spot{op: "Split", x: []int{2, 6, 2, 3}, attrs: []model.Attr{one("axis", 1)}, consts: []*model.Tensor{i64(1, 5)}, outs: 2},
		spot{op: "Resize", x: []int{1, 2, 3, 4}, consts: []*model.Tensor{nil, f32(1, 1, 2, 2)}}, spot{op: "Resize", x: []int{1, 2, 3, 4}, consts: []*model.Tensor{nil, f32(1, 1, 2, 1.5)}, attrs: []model.Attr{model.StrAttr("mode", "linear")}},
		spot{op: "Resize", x: []int{1, 2, 5, 4}, consts: []*model.Tensor{nil, nil, i64(1, 2, 3, 7)}, attrs: []model.Attr{model.StrAttr("mode", "linear"), model.StrAttr("coordinate_transformation_mode", "align_corners")}},
		spot{op: "Resize", x: []int{1, 2, 5, 4}, consts: []*model.Tensor{nil, f32(1, 1, 0.6, 2)}, attrs: []model.Attr{model.StrAttr("mode", "linear"), model.StrAttr("coordinate_transformation_mode", "asymmetric")}},
		spot{op: "Where", x: []int{2, 3}, weights: [][]int{{3}}},
		spot{op: "LSTM", x: []int{4, 2, 3}, weights: [][]int{{1, 20, 3}, {1, 20, 5}, {1, 40}}, attrs: []model.Attr{one("hidden_size", 5)}, outs: 3},
		spot{op: "LSTM", x: []int{4, 2, 3}, weights: [][]int{{2, 8, 3}, {2, 8, 2}, {2, 16}, nil, {2, 2, 2}, {2, 2, 2}}, attrs: []model.Attr{one("hidden_size", 2), model.StrAttr("direction", "bidirectional")}, outs: 3},
		spot{op: "GRU", x: []int{4, 2, 3}, weights: [][]int{{1, 15, 3}, {1, 15, 5}, {1, 30}}, attrs: []model.Attr{one("hidden_size", 5), model.StrAttr("direction", "reverse")}, outs: 2},
		spot{op: "GRU", x: []int{4, 2, 3}, weights: [][]int{{1, 15, 3}, {1, 15, 5}, {1, 30}, nil, {1, 2, 5}}, attrs: []model.Attr{one("hidden_size", 5), one("linear_before_reset", 1)}, outs: 2},
	)
}

// model makes the operator alone, with the inputs behind x as weights.
func (s spot) model(t *testing.T) *model.Model {
	t.Helper()
	opset := s.opset
	if opset == 0 {
		opset = 17
	}
	rng := rand.New(rand.NewPCG(uint64(len(s.op)), uint64(len(s.x))))
	b := model.NewBuilder("net", int64(opset))
	in := []string{b.Input("x", model.Float32, model.FixedShape(s.x...))}
	if s.op == "Where" {
		in = []string{b.Const("c", model.NewTensor(model.Bool, 2, 3)), in[0]}
	}
	for i, w := range s.weights {
		if w == nil {
			in = append(in, "")
			continue
		}
		c := model.NewTensor(model.Float32, w...)
		for k := range c.Len() {
			model.Data[float32](c)[k] = float32(s.number(rng))
		}
		in = append(in, b.Const(fmt.Sprintf("w%d", i), c))
	}
	for i, c := range s.consts {
		if c == nil {
			in = append(in, "")
			continue
		}
		in = append(in, b.Const(fmt.Sprintf("c%d", i), c))
	}
	y := b.NodeN(s.op, "n", in, max(s.outs, 1), s.attrs...)
	b.Output(y[0], model.Float32, nil)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (s spot) number(r *rand.Rand) float64 {
	if s.low > 0 {
		return s.low + r.Float64()
	}
	return r.NormFloat64()
}

// TestOperators holds every rule to the reference kernel forward, and to central differences in float64 backward; the vector kernels
// to float64.
func TestOperators(t *testing.T) {
	seen := map[string]bool{}
	for i, s := range spots() {
		seen[s.op] = true
		t.Run(fmt.Sprintf("%d %s", i, s.op), func(t *testing.T) { checkSpot(t, s) })
	}
	for op := range rules[float64]() {
		switch op {
		case "BatchNormalization", "QuantizeLinear", "DequantizeLinear", "Cast", "Not", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor": // tests of their own
		case "Swish", "RMSNormalization", "Upsample", "GatherElements", "GatherND", "CenterCropPad", "ReverseSequence", "Trilu": // another opset, or the same code as one above
		default:
			if !seen[op] {
				t.Errorf("%s has a rule and no case", op)
			}
		}
	}
}

func checkSpot(t *testing.T, s spot) {
	m := s.model(t)
	rng := rand.New(rand.NewPCG(8, 8))
	tp, err := newTape[float64](m)
	if err != nil {
		t.Fatal(err)
	}
	tp.keepInput = true
	x := newArray[float64](s.x...)
	for i := range x.v {
		x.v[i] = float64(float32(s.number(rng)))
	}
	in := model.NewTensor(model.Float32, s.x...)
	toPlanes(model.Data[float32](in), narrow(x.v), s.x)
	want, err := ops.Evaluate(context.Background(), m, map[string]*model.Tensor{"x": in})
	if err != nil {
		t.Fatal(err)
	}
	y, err := tp.forward(x)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(y.shape) != fmt.Sprint(want[0].Shape) {
		t.Fatalf("shape %v, the reference gives %v", y.shape, want[0].Shape)
	}
	got := make([]float64, len(y.v))
	toPlanes(got, y.v, y.shape)
	for i, v := range got {
		if w := want[0].Float64At(i); math.Abs(v-w) > 1e-4*(1+math.Abs(w)) {
			t.Fatalf("number %d is %g, the reference gives %g", i, v, w)
		}
	}
	seed := like(y)
	for i := range seed.v {
		seed.v[i] = rng.NormFloat64()
	}
	loss := func() float64 {
		y, err := tp.forward(x)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i, v := range y.v {
			sum += v * seed.v[i]
		}
		return sum
	}
	if err := tp.backward(map[string]*array[float64]{tp.output: seed}); err != nil {
		t.Fatal(err)
	}
	dx := append([]float64(nil), tp.grads["x"].v...)
	grads := map[string][]float64{}
	for _, p := range tp.params {
		if p.grad != nil {
			grads[p.name] = append([]float64(nil), p.grad.v...)
		}
	}
	check := func(name string, v, grad []float64) {
		const h = 1e-6
		for i := range v {
			old := v[i]
			v[i] = old + h
			up := loss()
			v[i] = old - h
			down := loss()
			v[i] = old
			if d := (up - down) / (2 * h); math.Abs(grad[i]-d) > 1e-6+1e-5*math.Abs(d) {
				t.Fatalf("%s[%d]: gradient %g, central difference %g", name, i, grad[i], d)
			}
		}
	}
	check("x", x.v, dx)
	weights := 0
	for _, p := range tp.params {
		if g := grads[p.name]; g != nil {
			check(p.name, p.v.v, g)
			weights++
		}
	}
	for i, w := range s.weights {
		if w != nil && grads[fmt.Sprintf("w%d", i)] == nil && !(len(w) == 1 && w[0] == 1) {
			t.Errorf("input %d got no gradient", i+1)
		}
	}
	// the same in float32, on each instruction set
	for _, isa := range []cpu.ISA{cpu.Generic, cpu.AVX2, cpu.AVX512F} {
		if !cpu.Detect().Has(isa) && isa != cpu.Generic {
			continue
		}
		fp, err := newTapeOn[float32](m, cpu.Detect().Limit(isa))
		if err != nil {
			t.Fatal(err)
		}
		fp.keepInput = true
		if _, err := fp.forward(&array[float32]{s.x, pad(narrow(x.v))}); err != nil {
			t.Fatal(err)
		}
		if err := fp.backward(map[string]*array[float32]{fp.output: {seed.shape, pad(narrow(seed.v))}}); err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprintf("x on %v", isa), fp.grads["x"].v, dx)
		for _, p := range fp.params {
			if p.grad != nil {
				same(t, fmt.Sprintf("%s on %v", p.name, isa), p.grad.v, grads[p.name])
			}
		}
	}
}

func same(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	top := 1.0
	for _, v := range want {
		top = max(top, math.Abs(v))
	}
	for i, v := range got {
		if math.Abs(float64(v)-want[i]) > 2e-5*top {
			t.Fatalf("gradient of %s: [%d] is %g, in float64 %g", what, i, v, want[i])
		}
	}
}

func narrow(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

func pad(v []float32) []float32 {
	out := newArray[float32](len(v)).v
	copy(out, v)
	return out
}

// TestQuantizedSteps: behind quantization and dequantization the derivative of a number is that of the output where it is not cut
// off, and the step gets (q - x/s) there and the bound where it is.
func TestQuantizedSteps(t *testing.T) {
	b := model.NewBuilder("net", 17)
	x := b.Input("x", model.Float32, model.FixedShape(1, 4))
	s, z := b.Const("s", model.Scalar32(0.5)), b.Const("z", model.NewTensor(model.Int8))
	y := b.Node("DequantizeLinear", "d", []string{b.Node("QuantizeLinear", "q", []string{x, s, z}), s, z})
	b.Output(y, model.Float32, model.FixedShape(1, 4))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	tp, err := newTape[float64](m)
	if err != nil {
		t.Fatal(err)
	}
	tp.keepInput = true
	in := &array[float64]{[]int{1, 4}, []float64{0.3, -1.1, 1000, -1000}}
	out, err := tp.forward(in)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(out.v) != fmt.Sprint([]float64{0.5, -1, 63.5, -64}) {
		t.Fatalf("got %v", out.v)
	}
	if err := tp.backward(map[string]*array[float64]{tp.output: {[]int{1, 4}, []float64{1, 10, 100, 1000}}}); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(tp.grads["x"].v); got != "[1 10 0 0]" {
		t.Errorf("gradient of x: %s", got)
	}
	want := (1 - 0.6) + 10*(-2+2.2) + 100*127 - 1000*128
	if got := tp.byName["s"].grad.v[0]; math.Abs(got-want) > 1e-9*math.Abs(want) {
		t.Errorf("gradient of the step: %g, want %g", got, want)
	}
}
