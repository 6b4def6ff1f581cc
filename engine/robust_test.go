package engine_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fettle/engine"
	"fettle/internal/conformance"
	"fettle/internal/fail"
	"fettle/model"
)

// TestUnusualGraphs runs graphs whose shape trips engines: all must equal the reference.
func TestUnusualGraphs(t *testing.T) {
	for _, c := range []struct{ name, graph string }{
		{"an input is an output", `g (float[2, 3] x) => (float[2, 3] x, float[2, 3] y) { y = Relu (x) }`},
		{"an output twice", `g (float[2, 3] x) => (float[2, 3] y, float[2, 3] y) { y = Relu (x) }`},
		{"a constant is an output", `g (float[2, 3] x) => (float[2, 3] y, float[2] w) <float[2] w = random(1)> { y = Relu (x) }`},
		{"a computed constant is an output", `g (float[2, 3] x) => (float[2, 3] y, float[2] v) <float[2] w = random(1)> { y = Relu (x)  v = Neg (w) }`},
		{"no inputs", `g () => (float[2] y) <float[2] w = random(1)> { y = Relu (w) }`},
		{"no nodes", `g (float[2, 3] x) => (float[2, 3] x) { }`},
		{"a view of an input is an output", `g (float[2, 3] x) => (float[6] y) <int64[1] s = {6}> { y = Reshape (x, s) }`},
		{"a view is read beside its source", `g (float[2, 8] x) => (float[4, 4] y, float[2, 8] z) <int64[2] s = {4, 4}> { a = Relu (x)  b = Reshape (a, s)  y = Sigmoid (b)  z = Tanh (a) }`},
		{"a result that nobody reads", `g (float[2, 3] x) => (float[2, 3] y) { a = Exp (x)  y = Relu (x) }`},
		{"empty tensors", `g (float[0, 3, 4, 4] x) => (float[0, 5, 4, 4] y, float[0, 3, 1, 1] z) <float[5, 3, 1, 1] w = random(1)> { y = Conv (x, w)  z = GlobalAveragePool (x) }`},
		{"a scalar", `g (float x) => (float y) { a = Exp (x)  y = Mul (a, x) }`},
		{"the shape depends on the values", `g (float[2, 3] x) => (float z, int64 y) { a = Relu (x)  y = NonZero (a)  b = Gather <axis = 1> (x, y)  z = Relu (b) }`},
		{"a dynamic value feeds a static one", `g (float[2, 8] x) => (float[1, 3, 1, 1] z) <int64[4] s = {1, -1, 1, 1}, int64[4] e = {1, 3, 1, 1}, float[3, 3, 1, 1] w = random(1), int64[1] k = {3}>
			{ a = Abs (x)  n = NonZero (a)  f = Cast <to = 1> (n)  r = ReduceMax <axes = [0], keepdims = 0> (f)  t, i = TopK (r, k)  u = Reshape (t, s)  z = Conv (u, w) }`},
		{"If in a graph", `g (float[2, 3] x, bool c) => (float y) {
			a = Relu (x)
			b = If <then_branch = t () => (float p) { p = Exp (a) }, else_branch = e () => (float q) { q = Neg (a) }> (c)
			y = Tanh (b) }`},
		{"If with branches of two shapes", `g (float[2, 3] x, bool c) => (float y) <int64[1] s = {6}> {
			b = If <then_branch = t () => (float p) { p = Reshape (x, s) }, else_branch = e () => (float q) { q = Identity (x) }> (c)
			y = Relu (b) }`},
		{"Loop that sums", `g (float[3] x) => (float y, float z) <int64 n = {4}, bool c = {1}> {
			y, z = Loop <body = b (int64 i, bool k, float[3] s) => (bool k2, float[3] s2, float[3] out) { k2 = Identity (k)  s2 = Add (s, x)  out = Mul (s2, x) }> (n, c, x) }`},
		{"strings", `g (string[3] x) => (string[3] y, string[3] z) { y = Identity (x)  z = Concat <axis = 0> (y) }`},
		{"a constant through a view", `g (float[4] x) => (float[4] y) <float[2, 2] w = random(1), int64[1] s = {4}> { a = Reshape (w, s)  y = Add (a, x) }`},
		{"a convolution is an output and is read", `g (float[1, 3, 6, 6] x) => (float[1, 8, 6, 6] a, float[1, 8, 6, 6] y) <float[8, 3, 3, 3] w = random(1), float[8, 8, 3, 3] v = random(2)>
			{ a = Conv <pads = [1, 1, 1, 1]> (x, w)  y = Conv <pads = [1, 1, 1, 1]> (a, v) }`},
		{"an 8-bit value is an output", `g (float[1, 3, 6, 6] x) => (int8[1, 3, 6, 6] q, float[1, 3, 6, 6] y) <float s = {0.02}, int8 z = {3}> { q = QuantizeLinear (x, s, z)  y = DequantizeLinear (q, s, z) }`},
		{"a double model", `g (double[2, 3] x) => (double[2, 3] y) { a = Relu (x)  y = Add (a, x) }`},
		{"half floats", `g (float16[2, 3] x) => (float16[2, 3] y) { a = Sigmoid (x)  y = Mul (a, x) }`},
		{"a sequence", `g (float[2, 3] x) => (float[2, 3] y) <int64 i = {1}> { a = Relu (x)  s = SequenceConstruct (a, x)  y = SequenceAt (s, i) }`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := parse(t, header+c.graph)
			check(t, m, inputs(t, m, 5), 2e-5)
		})
	}
}

// TestWrongDeclaration: a file that declares another shape than its nodes make is an error, not a crash.
func TestWrongDeclaration(t *testing.T) {
	m := parse(t, header+`g (float[2, 3] x, bool[] c) => (float[7] y) <int64[1] s = {6}> {
		b = If <then_branch = t () => (float p) { p = Reshape (x, s) }, else_branch = e () => (float q) { q = Identity (x) }> (c)
		y = Relu (b) }`)
	p, err := engine.Compile(context.Background(), m, engine.Options{Threads: 1, Features: best()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Run(context.Background(), inputs(t, m, 1)); !fail.Is(err, fail.Invalid) {
		t.Errorf("%v", err)
	}
}

// TestShapes compiles one model for other shapes, and refuses what does not fit.
func TestShapes(t *testing.T) {
	m := parse(t, header+`g (float[N, 3, H, H] x) => (float[N, 4, ?, ?] y) <float[4, 3, 3, 3] w = random(1)> { y = Conv <pads = [1, 1, 1, 1]> (x, w) }`)
	for _, dims := range [][]int{{1, 3, 1, 1}, {2, 3, 9, 9}, {1, 3, 8, 5}, {3, 3, 33, 32}} {
		x := model.NewTensor(model.Float32, dims...)
		for i := range x.Len() {
			x.SetFloat64(i, float64(i%7)-3)
		}
		check(t, m, map[string]*model.Tensor{"x": x}, 1e-5)
	}
	ctx := context.Background()
	for name, c := range map[string]struct {
		opt  engine.Options
		code fail.Kind
	}{
		"no threads":         {engine.Options{Features: best()}, fail.Usage},
		"unknown input":      {engine.Options{Threads: 1, Features: best(), Shapes: map[string][]int{"q": {1}}}, fail.Invalid},
		"rank":               {engine.Options{Threads: 1, Features: best(), Shapes: map[string][]int{"x": {1, 3}}}, fail.Invalid},
		"channels":           {engine.Options{Threads: 1, Features: best(), Shapes: map[string][]int{"x": {1, 4, 8, 8}}}, fail.Invalid},
		"more than memory":   {engine.Options{Threads: 1, Features: best(), Shapes: map[string][]int{"x": {1 << 20, 3, 1 << 10, 1 << 10}}}, fail.TooBig},
		"another dtype":      {engine.Options{Threads: 1, Features: best(), Types: map[string]model.DType{"x": model.Int64}}, fail.Invalid},
		"negative dimension": {engine.Options{Threads: 1, Features: best(), Shapes: map[string][]int{"x": {-1, 3, 8, 8}}}, fail.Invalid},
	} {
		if _, err := engine.Compile(ctx, m, c.opt); !fail.Is(err, c.code) {
			t.Errorf("%s: %v, want %v", name, err, c.code)
		}
	}
	p, err := engine.Compile(ctx, m, engine.Options{Threads: 1, Features: best(), Shapes: map[string][]int{"x": {1, 3, 4, 4}}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, in := range map[string]map[string]*model.Tensor{
		"none": {}, "another shape": {"x": model.NewTensor(model.Float32, 1, 3, 4, 5)}, "another dtype": {"x": model.NewTensor(model.Int64, 1, 3, 4, 4)},
		"a name too many": {"x": model.NewTensor(model.Float32, 1, 3, 4, 4), "z": model.NewTensor(model.Float32, 1)},
	} {
		if _, err := s.Run(ctx, in); !fail.Is(err, fail.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Run(done, map[string]*model.Tensor{"x": model.NewTensor(model.Float32, 1, 3, 4, 4)}); err == nil {
		t.Error("a cancelled run succeeds")
	}
}

// TestWeightsListedAsInputs: old files list their weights as inputs too; a caller may replace one or leave it.
func TestWeightsListedAsInputs(t *testing.T) {
	m := parse(t, header+`g (float[1, 2, 4, 4] x, float[3, 2, 1, 1] w) => (float[1, 3, 4, 4] y) <float[3, 2, 1, 1] w = random(1)> { y = Conv (x, w) }`)
	in := inputs(t, m, 5)
	if in["w"] != nil {
		t.Fatal("a weight is a free input")
	}
	p := check(t, m, in, 1e-5)
	if p.Steps[len(p.Steps)-2].Kernel == "reference" {
		t.Errorf("a weight with a default is no constant:\n%s", steps(p))
	}
	in["w"] = model.NewTensor(model.Float32, 3, 2, 1, 1)
	in["w"].SetFloat64(3, 2)
	check(t, m, in, 1e-5)
}

func TestUnsupportedIsNamed(t *testing.T) {
	m := parse(t, "<ir_version: 8, opset_import: [\"\": 17, \"acme\": 1]>\n"+`g (float[2] x) => (float[2] y) { a = acme.Frobnicate (x)  b = acme.Twist (a)  y = Relu (b) }`)
	_, err := engine.Compile(context.Background(), m, engine.Options{Threads: 1, Features: best()})
	if !fail.Is(err, fail.Unsupported) || err.Error() == "" {
		t.Fatalf("%v", err)
	}
	for _, op := range []string{"acme:Frobnicate", "acme:Twist"} {
		if !strings.Contains(err.Error(), op) {
			t.Errorf("%q does not name %s", err, op)
		}
	}
}

// TestRealModels runs the networks with recorded outputs of another engine, where the shared data is there.
func TestRealModels(t *testing.T) {
	dir := shared("model-cases")
	if dir == "" {
		t.Skip("skipped: no shared data beside the repository")
	}
	r, err := conformance.Run(context.Background(), dir, nil, func(ctx context.Context, m *model.Model, in map[string]*model.Tensor) ([]*model.Tensor, error) {
		types := map[string]model.DType{}
		for k, v := range in {
			types[k] = v.DType
		}
		p, err := engine.Compile(ctx, m, engine.Options{Threads: 2, Features: best(), Shapes: shapes(in), Types: types, Verify: true})
		if err != nil {
			return nil, err
		}
		covered(t, p)
		s, err := p.NewSession()
		if err != nil {
			return nil, err
		}
		defer s.Close()
		return s.Run(ctx, in)
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Cases {
		if c.Status != "passed" {
			t.Errorf("%s: %s: %s", c.Name, c.Status, c.Reason)
		}
	}
}

// shared is a folder of the data beside the repository, "" where it is not there.
func shared(name string) string {
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		p := filepath.Join(dir, "..", "shared", "data", name)
		if _, err := os.Stat(p); err == nil {
			return p
		}
		dir = filepath.Dir(dir)
	}
	return ""
}
