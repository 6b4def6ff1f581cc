package engine_test

import (
	"context"
	"testing"

	"fettle/engine"
	"fettle/model"
)

// TestThreads runs all networks on 1, 2, 4 and 8 threads of plans for so many: the bits must be those of one thread.
func TestThreads(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
		int8 bool
	}{
		{"resnet18", 32, false}, {"resnet50", 32, false}, {"resnet20", 0, true}, {"mobilenetv1", 64, false}, {"mobilenetv2", 32, true}, {"efficientnet-b0", 64, false},
		{"efficientnet-lite0", 64, false}, {"squeezenet11", 64, false}, {"yolov8n", 64, false}, {"bert-mini", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := resized(t, c.name, c.size)
			forms := []*model.Model{optimized(t, m)}
			if c.int8 {
				forms = append(forms, quantized(t, m, nil))
			}
			for i, f := range forms {
				in := inputs(t, f, 5)
				var first []*model.Tensor
				for _, threads := range []int{1, 2, 4, 8} {
					p, err := engine.Compile(context.Background(), f, engine.Options{Threads: threads, Features: best(), Shapes: shapes(in)})
					if err != nil {
						t.Fatal(err)
					}
					s, err := p.NewSession()
					if err != nil {
						t.Fatal(err)
					}
					for range 3 { // who takes which piece changes from run to run
						got, err := s.Run(context.Background(), in)
						if err != nil {
							t.Fatal(err)
						}
						if first == nil {
							first = got
						}
						if !equalBits(first, got) {
							t.Errorf("form %d: %d threads give other bits than 1", i, threads)
						}
					}
					s.Close()
				}
			}
		})
	}
}
