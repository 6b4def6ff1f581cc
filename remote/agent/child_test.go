package agent

import (
	"math/rand/v2"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/model"
)

func TestBlockSize(t *testing.T) {
	for run, want := range map[time.Duration]int{0: 10, time.Microsecond: 10, 12 * time.Millisecond: 10, 13 * time.Millisecond: 9, 50 * time.Millisecond: 2, time.Second: 1, time.Hour: 1} {
		if got := blockSize(run.Nanoseconds()); got != want {
			t.Errorf("runs of %v: %d, want %d", run, got, want)
		}
	}
}

func TestSteady(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b []int64
		want bool
	}{
		{"the same", []int64{100, 100, 100}, []int64{100, 101, 100}, true},
		{"one slow sample", []int64{100, 100, 100}, []int64{100, 900, 100}, true},
		{"still falling", []int64{200, 190, 180}, []int64{150, 140, 130}, false},
		{"3 % apart", []int64{103, 103, 103}, []int64{100, 100, 100}, false},
	} {
		if got := steady(c.a, c.b); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestRandomTensor(t *testing.T) {
	value := func(d model.DType, dims ...int) model.Value {
		return model.Value{Name: "x", Type: model.TensorType(d, model.FixedShape(dims...))}
	}
	for _, d := range []model.DType{model.Float32, model.Float64, model.Float16, model.BFloat16, model.Int64, model.Int8, model.Uint8, model.Bool} {
		x, err := randomTensor(rand.New(rand.NewPCG(1, 2)), value(d, 3, 50))
		if err != nil {
			t.Errorf("%s: %v", d, err)
			continue
		}
		y, _ := randomTensor(rand.New(rand.NewPCG(1, 2)), value(d, 3, 50))
		ones := 0
		for i := range x.Len() {
			if v := x.Float64At(i); v < 0 || v > 1 || v != y.Float64At(i) {
				t.Fatalf("%s: element %d is %v and %v", d, i, v, y.Float64At(i))
			} else if v != 0 {
				ones++
			}
		}
		if ones < 50 {
			t.Errorf("%s: only %d of 150 elements are not 0", d, ones)
		}
	}
	if _, err := randomTensor(rand.New(rand.NewPCG(1, 2)), value(model.String, 1)); !fail.Is(err, fail.Unsupported) {
		t.Errorf("text: %v", err)
	}
}
