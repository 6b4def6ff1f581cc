package sample

import "testing"

// Parameter and node counts, so that a topology cannot drift. Parameters include BatchNormalization's four vectors.
func TestTopologies(t *testing.T) {
	for _, c := range []struct {
		name   string
		params int // weights of Conv, Gemm and MatMul only
	}{
		{"resnet18", 11_678_912 + 0}, {"resnet50", 25_502_912}, {"mobilenetv2", 3_469_760}, {"squeezenet11", 1_231_552},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Build(c.name)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, in := range m.Graph.Inits {
				if s := in.Tensor.Shape; len(s) == 4 || len(s) == 2 {
					n += in.Tensor.Len()
				}
			}
			if n != c.params {
				t.Errorf("%d weights, want %d", n, c.params)
			}
		})
	}
	for _, n := range List() {
		a, err := Build(n.Name)
		if err != nil {
			t.Fatalf("%s: %v", n.Name, err)
		}
		b, _ := Build(n.Name)
		if a.Hash() != b.Hash() {
			t.Errorf("%s is not the same twice", n.Name)
		}
	}
}
