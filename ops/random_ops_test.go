package ops

import (
	"fmt"
	"math"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

// TestDraws checks moments, ranges, and that a seed decides everything.
func TestDraws(t *testing.T) {
	const n = 20000
	x := model.NewTensor(model.Float32, n)
	for i := range n {
		x.SetFloat64(i, 0.3)
	}
	for _, c := range []struct {
		run        applied
		in         []*model.Tensor
		mean, dev  float64
		low, high  float64
		outOfRange bool
	}{
		{applied{op: "RandomNormal", attrs: map[string]any{"shape": []int64{n}, "mean": 2.0, "scale": 3.0}}, nil, 2, 3, -20, 24, false},
		{applied{op: "RandomNormalLike", attrs: map[string]any{"scale": 0.5}}, []*model.Tensor{x}, 0, 0.5, -4, 4, false},
		{applied{op: "RandomUniform", attrs: map[string]any{"shape": []int64{n}, "low": -1.0, "high": 3.0}}, nil, 1, 4 / math.Sqrt(12), -1, 3, false},
		{applied{op: "RandomUniformLike"}, []*model.Tensor{x}, 0.5, 1 / math.Sqrt(12), 0, 1, false},
		{applied{op: "Bernoulli"}, []*model.Tensor{x}, 0.3, math.Sqrt(0.21), 0, 1, false},
		{applied{op: "Multinomial", attrs: map[string]any{"sample_size": n}}, []*model.Tensor{tensor(model.Float32, []int{1, 2}, math.Log(1), math.Log(3))}, 0.75, math.Sqrt(0.1875), 0, 1, false},
	} {
		t.Run(c.run.op, func(t *testing.T) {
			draw := func(seed float64) *model.Tensor {
				a := map[string]any{"seed": seed}
				for k, v := range c.run.attrs {
					a[k] = v
				}
				run := c.run
				run.attrs = a
				out, err := apply(run, c.in...)
				if err != nil {
					t.Fatal(err)
				}
				return out[0]
			}
			a, b, other := draw(7), draw(7), draw(8)
			if fmt.Sprint(values(a)) != fmt.Sprint(values(b)) {
				t.Error("the same seed drew other numbers")
			}
			if fmt.Sprint(values(a)) == fmt.Sprint(values(other)) {
				t.Error("another seed drew the same numbers")
			}
			sum, square := 0.0, 0.0
			for _, v := range values(a) {
				if v < c.low || v > c.high {
					t.Fatalf("drew %g, want %g to %g", v, c.low, c.high)
				}
				sum += v
				square += v * v
			}
			mean := sum / n
			dev := math.Sqrt(square/n - mean*mean)
			if math.Abs(mean-c.mean) > 5*c.dev/math.Sqrt(n) || math.Abs(dev-c.dev) > 0.05*c.dev {
				t.Errorf("mean %g and deviation %g, want %g and %g", mean, dev, c.mean, c.dev)
			}
		})
	}
	for name, r := range map[string]applied{
		"a negative dimension": {op: "RandomNormal", attrs: map[string]any{"shape": []int64{-1}}},
		"integers":             {op: "RandomNormal", attrs: map[string]any{"shape": []int64{1}, "dtype": model.Int32}},
		"no shape":             {op: "RandomUniform"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := apply(r)
			refused(t, err, fail.Invalid)
		})
	}
	_, err := apply(applied{op: "Multinomial", attrs: map[string]any{"sample_size": 1}}, model.NewTensor(model.Float32, 1, 0))
	refused(t, err, fail.Invalid)
}

func TestDropoutTraining(t *testing.T) {
	const n = 10000
	x := model.NewTensor(model.Float32, n)
	for i := range n {
		x.SetFloat64(i, 1)
	}
	run := applied{op: "Dropout", opset: 13, attrs: map[string]any{"seed": 5}, outs: 2}
	out, err := apply(run, x, tensor(model.Float32, nil, 0.75), tensor(model.Bool, nil, 1))
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for i := range n {
		want := 0.0
		if out[1].Raw[i] != 0 {
			want = 4
			kept++
		}
		if out[0].Float64At(i) != want {
			t.Fatalf("element %d is %g with a mask of %d", i, out[0].Float64At(i), out[1].Raw[i])
		}
	}
	if kept < n/4-250 || kept > n/4+250 {
		t.Errorf("kept %d of %d, want about a quarter", kept, n)
	}
	_, err = apply(run, x, tensor(model.Float32, nil, 1), tensor(model.Bool, nil, 1))
	refused(t, err, fail.Invalid)
}

func TestLosses(t *testing.T) {
	x := tensor(model.Float32, []int{2, 3}, -1, -2, -3, -4, -5, -6)
	labels, weights := tensor(model.Int64, []int{2}, 2, 0), vec(2, 1, 0.5)
	for _, c := range []struct {
		name  string
		attrs map[string]any
		in    []*model.Tensor
		want  *model.Tensor
	}{
		{"mean", nil, []*model.Tensor{x, labels}, tensor(model.Float32, nil, 3.5)},
		{"weighted mean", nil, []*model.Tensor{x, labels, weights}, tensor(model.Float32, nil, (0.5*3+2*4)/2.5)},
		{"none", map[string]any{"reduction": "none"}, []*model.Tensor{x, labels, weights}, vec(1.5, 8)},
		{"ignored", map[string]any{"ignore_index": -7}, []*model.Tensor{x, tensor(model.Int64, []int{2}, -7, 0)}, tensor(model.Float32, nil, 4)},
		{"all ignored", map[string]any{"ignore_index": 1}, []*model.Tensor{x, tensor(model.Int64, []int{2}, 1, 1)}, tensor(model.Float32, nil, math.NaN())},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := apply(applied{op: "NegativeLogLikelihoodLoss", attrs: c.attrs}, c.in...)
			if err != nil {
				t.Fatal(err)
			}
			near(t, out[0], c.want, 1e-6)
		})
	}
	for name, in := range map[string][]*model.Tensor{
		"a label outside":         {x, tensor(model.Int64, []int{2}, 3, 0)},
		"a negative label":        {x, tensor(model.Int64, []int{2}, -1, 0)},
		"labels for fewer":        {x, tensor(model.Int64, []int{1}, 1)},
		"weights of two classes":  {x, labels, vec(1, 2)},
		"scores without a class":  {model.NewTensor(model.Float32, 2), labels},
		"labels with a dimension": {x, tensor(model.Int64, []int{2, 1}, 0, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := apply(applied{op: "SoftmaxCrossEntropyLoss"}, in...)
			refused(t, err, fail.Invalid)
		})
	}
}
