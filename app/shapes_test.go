package app

import (
	"context"
	"testing"

	"fettle/model"
	"fettle/model/text"
)

// TestShapesTakeTurns: data of several sizes is planned once for each size, not once for each change.
func TestShapesTakeTurns(t *testing.T) {
	ctx, a := context.Background(), open(t)
	m, err := text.Parse(`<ir_version: 8, opset_import: ["": 17]>
g (float[1, 3, H, W] x) => (float[1, 4, H, W] y) <float[4, 3, 3, 3] w = random(1)> { y = Conv <pads = [1, 1, 1, 1]> (x, w) }`)
	if err != nil {
		t.Fatal(err)
	}
	r, err := engineRunner{a}.Open(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	s := r.(*engineSession)
	run := func(size int) {
		t.Helper()
		out, err := s.Run(ctx, map[string]*model.Tensor{"x": model.NewTensor(model.Float32, 1, 3, size, size)})
		if err != nil || out[0].Shape[2] != size {
			t.Fatalf("size %d: %v", size, err)
		}
	}
	for range 5 {
		for _, size := range []int{8, 10, 12} {
			run(size)
		}
	}
	if s.plans != 3 {
		t.Errorf("%d plans for 3 sizes that take turns", s.plans)
	}
	for _, size := range []int{14, 16, 18, 8} { // more than are kept: the one used longest ago went
		run(size)
	}
	if s.plans != 7 || len(s.made) != keptPlans {
		t.Errorf("%d plans, %d kept", s.plans, len(s.made))
	}
	if err := s.Close(); err != nil || len(s.made) != 0 {
		t.Errorf("%v, %d left", err, len(s.made))
	}
}
