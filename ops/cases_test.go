package ops

import (
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

// opCase is one node with what it gives, or the kind of failure.
type opCase struct {
	name   string
	node   applied
	in     []*model.Tensor
	want   []*model.Tensor // nil elements are not looked at
	refuse fail.Kind
}

func runCases(t *testing.T, cases []opCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.node.op+"/"+c.name, func(t *testing.T) {
			if c.node.outs == 0 {
				c.node.outs = len(c.want)
			}
			got, err := apply(c.node, c.in...)
			if c.refuse != "" {
				refused(t, err, c.refuse)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, w := range c.want {
				if w != nil {
					near(t, got[i], w, 1e-5)
				}
			}
		})
	}
}

type attrs = map[string]any
type list = []*model.Tensor

// mat makes a float32 tensor.
func mat(dims []int, v ...float64) *model.Tensor { return tensor(model.Float32, dims, v...) }

// i64 makes a line of int64.
func i64(v ...int64) *model.Tensor { return model.Int64s(v...) }

// counted makes a float32 tensor of 0, 1, 2, …
func counted(dims ...int) *model.Tensor {
	t := model.NewTensor(model.Float32, dims...)
	for i := range t.Len() {
		t.SetFloat64(i, float64(i))
	}
	return t
}

func flags(v ...float64) *model.Tensor { return tensor(model.Bool, []int{len(v)}, v...) }
