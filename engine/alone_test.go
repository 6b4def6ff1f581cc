package engine

import (
	"context"
	"testing"

	"fettle/kernels/cpu"
	"fettle/model"
	"fettle/model/text"
)

// TestAlone: small steps share a barrier, large ones are shared out, and nobody sees a difference in the numbers.
func TestAlone(t *testing.T) {
	ctx := context.Background()
	m, err := text.Parse(`<ir_version: 8, opset_import: ["": 17]>
g (float[1, 16, 4, 4] x) => (float[1, 16, 4, 4] y) <float[16, 16, 1, 1] w = random(1), float[64, 16, 3, 3] v = random(2), float[16, 64, 3, 3] u = random(3)>
{
  a = Conv (x, w)
  b = Sigmoid (a)
  c = Conv (b, w)
  d = Tanh (c)
  e = Conv <pads = [1, 1, 1, 1]> (d, v)
  f = Conv <pads = [1, 1, 1, 1]> (e, u)
  y = Sigmoid (f)
}`)
	if err != nil {
		t.Fatal(err)
	}
	x := model.NewTensor(model.Float32, 1, 16, 4, 4)
	for i := range x.Len() {
		x.SetFloat64(i, float64(i%7)/7)
	}
	var first string
	for _, threads := range []int{1, 2, 4} {
		p, err := Compile(ctx, m, Options{Threads: threads, Features: cpu.Detect()})
		if err != nil {
			t.Fatal(err)
		}
		s, err := p.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		part := s.parts[0]
		if threads == 1 && len(part.groups) != len(part.tasks) || threads > 1 && len(part.groups) >= len(part.tasks) {
			t.Errorf("%d threads: %d groups of %d tasks", threads, len(part.groups), len(part.tasks))
		}
		for i, st := range p.steps {
			if big := st.MACs > 1<<16; big && st.lonely() || !big && st.Bytes < 6<<10 && !st.lonely() {
				t.Errorf("step %d (%s, %d MACs, %d bytes): one worker %t", i, st.Name, st.MACs, st.Bytes, st.lonely())
			}
		}
		for _, ns := range [][]int64{nil, make([]int64, len(p.steps))} { // timed and not
			out, err := s.RunTimed(ctx, map[string]*model.Tensor{"x": x}, ns)
			if err != nil {
				t.Fatal(err)
			}
			if first == "" {
				first = string(out[0].Raw)
			}
			if string(out[0].Raw) != first {
				t.Errorf("%d threads, timed %t: other numbers", threads, ns != nil)
			}
		}
	}
}
