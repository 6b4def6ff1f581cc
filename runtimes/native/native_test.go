package native

import (
	"context"
	"math"
	"testing"

	"fettle/internal/fail"
	"fettle/kernels/cpu"
	"fettle/model"
	"fettle/model/text"
	"fettle/runtimes"
)

const net = `<ir_version: 8, opset_import: ["": 17]>
g (float[N, 3, 8, 8] x) => (float[N, 4, 8, 8] y) <float[4, 3, 3, 3] w = random(1)>
{
  [conv] a = Conv <pads = [1, 1, 1, 1]> (x, w)
  [relu] y = Relu (a)
}`

func TestRun(t *testing.T) {
	ctx := context.Background()
	m, err := text.Parse(net)
	if err != nil {
		t.Fatal(err)
	}
	rt, err := New("")
	if err != nil {
		t.Fatal(err)
	}
	if f := rt.Probe(ctx); !f.Present || f.Version == "" || f.Path == "" || f.Name != rt.Name() {
		t.Errorf("%+v", f)
	}
	opt := runtimes.NewOptions()
	opt.Shapes = map[string][]int{"x": {2, 3, 8, 8}}
	s, err := rt.Prepare(ctx, m, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	x := model.NewTensor(model.Float32, 2, 3, 8, 8)
	for i := range x.Len() {
		x.SetFloat64(i, math.Sin(float64(i)))
	}
	out, err := runtimes.Run(ctx, s, map[string]*model.Tensor{"x": x})
	if err != nil || out["y"] == nil || out["y"].Len() != 2*4*8*8 {
		t.Fatalf("%v %v", out, err)
	}
	origins := map[string]bool{}
	for _, st := range s.Steps() {
		for _, o := range st.Origin {
			origins[o] = true
		}
		if len(st.Origin) == 0 || st.Device != "cpu" || st.ID == "" {
			t.Errorf("%+v", st)
		}
	}
	if !origins["conv"] || !origins["relu"] {
		t.Errorf("origins %v", origins)
	}
	ns := make([]int64, len(s.Steps()))
	if err := s.Exec(ctx, ns); err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	for _, v := range ns {
		total += v
	}
	if total <= 0 {
		t.Errorf("times %v", ns)
	}
	if mem := s.Memory(); mem.Weights <= 0 || mem.Arena < mem.Floor || mem.Floor <= 0 {
		t.Errorf("%+v", mem)
	}
}

func TestRefusals(t *testing.T) {
	if _, err := New("z80"); !fail.Is(err, fail.Usage) {
		t.Errorf("%v", err)
	}
	rt, err := New("generic")
	if err != nil {
		t.Fatal(err)
	}
	m, err := text.Parse(net)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rt.Prepare(context.Background(), m, runtimes.Options{Threads: 1, ISA: "z80"}); !fail.Is(err, fail.Usage) {
		t.Errorf("%v", err)
	}
	m, err = text.Parse("<ir_version: 8, opset_import: [\"acme\": 1]>\ng (float[1] x) => (float[1] y) { y = acme.Frobnicate (x) }")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rt.Prepare(context.Background(), m, runtimes.NewOptions()); !fail.Is(err, fail.Unsupported) {
		t.Errorf("%v", err)
	}
}

// TestPrecision holds that fast is taken where the processor has tiles of bf16, and is exact elsewhere without a word.
func TestPrecision(t *testing.T) {
	for _, c := range []struct {
		isa, precision string
		fast           bool
	}{{"", "exact", false}, {"", "", false}, {"avx2", "fast", false}, {"generic", "fast", false}, {"", "fast", cpu.Detect().Has(cpu.AMXBF16)}} {
		opt := runtimes.NewOptions()
		opt.ISA, opt.Precision = c.isa, c.precision
		eo, err := native{feat: cpu.Detect()}.options(opt)
		if half := cpu.Detect().Has(cpu.NEONFP16); eo.Half {
			t.Errorf("%q takes half precision", c.precision)
		} else if opt.Precision = "half"; true {
			if h, err := (native{feat: cpu.Detect()}).options(opt); err != nil || h.Fast || h.Half != (half && c.isa == "") {
				t.Errorf("half on %q: %t, %v", c.isa, h.Half, err)
			}
		}
		if err != nil || eo.Fast != c.fast {
			t.Errorf("%q on %q: fast %t, %v", c.precision, c.isa, eo.Fast, err)
		}
	}
	opt := runtimes.NewOptions()
	opt.Precision = "quick"
	if _, err := (native{feat: cpu.Detect()}).options(opt); !fail.Is(err, fail.Usage) {
		t.Errorf("an unknown precision: %v", err)
	}
}
