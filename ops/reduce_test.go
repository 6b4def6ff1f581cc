package ops

import (
	"math"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

func TestReduce(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	x := mat([]int{2, 3}, 1, -2, 3, 4, 5, -6)
	by := func(op string, opset int, axes ...int64) applied {
		a := applied{op: op, opset: opset, attrs: attrs{"keepdims": 0}}
		if axes != nil {
			a.attrs["axes"] = axes
		}
		return a
	}
	cases := []opCase{
		{"axes as attribute", by("ReduceMax", 13, 1), list{x}, list{vec(3, 5)}, ""},
		{"axes as input", by("ReduceMax", 18), list{x, i64(-2)}, list{vec(4, 5, 3)}, ""},
		{"nothing reduces everything", by("ReduceMin", 18), list{x, i64()}, list{mat(nil, -6)}, ""},
		{"nothing reduces nothing", applied{op: "ReduceL1", opset: 18, attrs: attrs{"noop_with_empty_axes": 1}}, list{x}, list{mat([]int{2, 3}, 1, 2, 3, 4, 5, 6)}, ""},
		{"one axis twice", by("ReduceSum", 13), list{x, i64(0, -2)}, nil, fail.Invalid},
		{"axis beyond", by("ReduceSum", 11, 2), list{x}, nil, fail.Invalid},
		{"of booleans", by("ReduceMax", 20), list{flags(0, 1)}, list{tensor(model.Bool, nil, 1)}, ""},
		{"of large unsigned numbers", by("ReduceMin", 18), list{tensor(model.Uint64, []int{2}, 1<<63, 5)}, list{tensor(model.Uint64, nil, 5)}, ""},
		{"integers wrap", by("ReduceSum", 13), list{tensor(model.Int32, []int{2}, math.MaxInt32, 1)}, list{tensor(model.Int32, nil, math.MinInt32)}, ""},
		{"no overflow in exponents", by("ReduceLogSumExp", 18), list{vec(1000, 1000)}, list{mat(nil, 1000+math.Ln2)}, ""},
		{"infinities", by("ReduceLogSumExp", 18), list{vec(-inf, -inf)}, list{mat(nil, -inf)}, ""},
		{"NaN stays", by("ReduceMax", 18), list{vec(1, nan, 2)}, list{mat(nil, nan)}, ""},
		{"last of equals", applied{op: "ArgMax", attrs: attrs{"select_last_index": 1, "keepdims": 0}}, list{vec(1, 3, 3)}, list{tensor(model.Int64, nil, 2)}, ""},
		{"of nothing", applied{op: "ArgMin"}, list{vec()}, nil, fail.Invalid},
		{"of a scalar", applied{op: "ArgMin"}, list{mat(nil, 1)}, nil, fail.Invalid},
		{"reverse and exclusive", applied{op: "CumSum", attrs: attrs{"reverse": 1, "exclusive": 1}}, list{vec(1, 2, 3), tensor(model.Int32, nil, 0)}, list{vec(5, 3, 0)}, ""},
		{"axis beyond", applied{op: "CumSum"}, list{vec(1, 2, 3), tensor(model.Int32, nil, 1)}, nil, fail.Invalid},
	}
	for op, want := range map[string]float64{"ReduceSum": 0, "ReduceProd": 1, "ReduceMax": -inf, "ReduceMin": inf, "ReduceL1": 0, "ReduceL2": 0, "ReduceSumSquare": 0,
		"ReduceLogSum": -inf, "ReduceLogSumExp": -inf, "ReduceMean": nan} {
		cases = append(cases, opCase{"of nothing", by(op, 18), list{mat([]int{2, 0}), i64(1)}, list{vec(want, want)}, ""})
	}
	runCases(t, cases)
}

func TestNorm(t *testing.T) {
	x := mat([]int{2, 2, 1}, 1, 2, 3, 6)
	one, zero := vec(1, 1), vec(0, 0)
	r := func(v float64) float64 { return math.Sqrt(v) }
	train := applied{op: "BatchNormalization", opset: 15, outs: 3, attrs: attrs{"training_mode": 1, "epsilon": 0.0, "momentum": 0.75}}
	runCases(t, []opCase{
		{"inference", applied{op: "BatchNormalization", opset: 15, attrs: attrs{"epsilon": 0.0}}, list{x, vec(2, 1), vec(1, 0), vec(1, 2), vec(4, 1)}, list{mat([]int{2, 2, 1}, 1, 0, 3, 4)}, ""},
		{"training", train, list{x, one, zero, vec(0, 0), vec(1, 1)}, list{mat([]int{2, 2, 1}, -1, -1, 1, 1), vec(0.5, 1), vec(1, 1.75)}, ""},
		{"training at opset 9 is more outputs", applied{op: "BatchNormalization", opset: 9, outs: 5, attrs: attrs{"epsilon": 0.0, "momentum": 0.5}}, list{x, one, zero, vec(0, 0), vec(1, 1)},
			list{mat([]int{2, 2, 1}, -1, -1, 1, 1), vec(1, 2), vec(1, 2.5), vec(2, 4), vec(1, 4)}, ""},
		{"is_test at opset 6", applied{op: "BatchNormalization", opset: 6, attrs: attrs{"is_test": 1, "epsilon": 0.0}}, list{x, one, zero, vec(1, 2), vec(1, 1)}, list{mat([]int{2, 2, 1}, 0, 0, 2, 4)}, ""},
		{"training at opset 6", applied{op: "BatchNormalization", opset: 6, attrs: attrs{"epsilon": 0.0}}, list{x, one, zero, vec(1, 2), vec(1, 1)}, list{mat([]int{2, 2, 1}, -1, -1, 1, 1)}, ""},
		{"every place its own", applied{op: "BatchNormalization", opset: 7, attrs: attrs{"spatial": 0, "epsilon": 0.0}}, list{mat([]int{1, 1, 2}, 5, 5), one, zero, vec(1, 2), vec(1, 1)}, list{mat([]int{1, 1, 2}, 4, 3)}, ""},
		{"a parameter too many", train, list{x, vec(1, 1, 1), zero, zero, one}, nil, fail.Invalid},
		{"mixed types", applied{op: "BatchNormalization", opset: 15, attrs: attrs{"epsilon": 0.0}}, list{tensor(model.Float16, []int{1, 1}, 3), vec(2), vec(1), tensor(model.Float64, []int{1}, 1), tensor(model.Float64, []int{1}, 1)},
			list{tensor(model.Float16, []int{1, 1}, 5)}, ""},
		{"two groups", applied{op: "GroupNormalization", opset: 21, attrs: attrs{"num_groups": 1, "epsilon": 0.0}}, list{x, vec(1, 2), vec(0, 1)}, list{mat([]int{2, 2, 1}, -1, 3, -1, 3)}, ""},
		{"parameters of groups before opset 21", applied{op: "GroupNormalization", opset: 18, attrs: attrs{"num_groups": 1, "epsilon": 0.0}}, list{x, vec(2), vec(1)}, list{mat([]int{2, 2, 1}, -1, 3, -1, 3)}, ""},
		{"channels that do not divide", applied{op: "GroupNormalization", attrs: attrs{"num_groups": 3}}, list{x, one, zero}, nil, fail.Invalid},
		{"no shift, all outputs", applied{op: "LayerNormalization", outs: 3, attrs: attrs{"epsilon": 0.0}}, list{mat([]int{1, 2}, 1, 3), vec(1, 2)}, list{mat([]int{1, 2}, -1, 2), mat([]int{1, 1}, 2), mat([]int{1, 1}, 1)}, ""},
		{"a scale that widens", applied{op: "LayerNormalization"}, list{mat([]int{1, 2}, 1, 3), mat([]int{2, 2}, 1, 2, 3, 4)}, nil, fail.Invalid},
		{"root mean square", applied{op: "RMSNormalization", opset: 23, attrs: attrs{"epsilon": 0.0}}, list{mat([]int{1, 2}, 3, 4), vec(1, 2)}, list{mat([]int{1, 2}, 3/r(12.5), 8/r(12.5))}, ""},
		{"a line of zeros", applied{op: "LpNormalization", attrs: attrs{"p": 2}}, list{mat([]int{2, 2}, 0, 0, 3, 4)}, list{mat([]int{2, 2}, 0, 0, 0.6, 0.8)}, ""},
		{"p 1 along the first axis", applied{op: "LpNormalization", attrs: attrs{"p": 1, "axis": 0}}, list{mat([]int{2, 1}, 1, -3)}, list{mat([]int{2, 1}, 0.25, -0.75)}, ""},
		{"p 3", applied{op: "LpNormalization", attrs: attrs{"p": 3}}, list{vec(1)}, nil, fail.Invalid},
		{"an even window reaches further up", applied{op: "LRN", attrs: attrs{"size": 2, "alpha": 2.0, "beta": 1.0, "bias": 0.0}}, list{mat([]int{1, 3, 1}, 1, 2, 3)}, list{mat([]int{1, 3, 1}, 1./5, 2./13, 3./9)}, ""},
		{"size 0", applied{op: "LRN", attrs: attrs{"size": 0}}, list{x}, nil, fail.Invalid},
	})
}

// TestOldBroadcasting: before opset 7 B lies along A from an axis on, and A never widens.
func TestOldBroadcasting(t *testing.T) {
	a := counted(1, 2, 2)
	runCases(t, []opCase{
		{"from an axis on", applied{op: "Add", opset: 6, attrs: attrs{"broadcast": 1, "axis": 1}}, list{a, vec(10, 20)}, list{mat([]int{1, 2, 2}, 10, 11, 22, 23)}, ""},
		{"at the end", applied{op: "Add", opset: 6, attrs: attrs{"broadcast": 1}}, list{a, vec(10, 20)}, list{mat([]int{1, 2, 2}, 10, 21, 12, 23)}, ""},
		{"an axis too far", applied{op: "Mul", opset: 6, attrs: attrs{"broadcast": 1, "axis": 3}}, list{a, vec(10, 20)}, nil, fail.Invalid},
		{"A does not widen", applied{op: "Sub", opset: 6, attrs: attrs{"broadcast": 1}}, list{mat([]int{1}, 1), vec(10, 20)}, nil, fail.Invalid},
		{"A widens since", applied{op: "Sub", opset: 7}, list{mat([]int{1}, 1), vec(10, 20)}, list{vec(-9, -19)}, ""},
		{"comparison", applied{op: "Less", opset: 6, attrs: attrs{"broadcast": 1, "axis": 0}}, list{mat([]int{2, 1}, 1, 3), vec(2, 2)}, list{tensor(model.Bool, []int{2, 1}, 1, 0)}, ""},
		{"unsigned remainder", applied{op: "Mod"}, list{tensor(model.Uint64, []int{1}, 1<<63), tensor(model.Uint64, []int{1}, 1000)}, list{tensor(model.Uint64, []int{1}, 808)}, ""},
		{"no axes squeeze all", applied{op: "Squeeze", opset: 13}, list{counted(1, 3, 1), i64()}, list{counted(3)}, ""},
	})
}

// TestExactIntegers: 64-bit integers do not go through floats.
func TestExactIntegers(t *testing.T) {
	const odd = 1<<53 + 1
	for _, c := range []struct {
		name string
		node applied
		in   list
		want int64
	}{
		{"power", applied{op: "Pow"}, list{i64(3), i64(39)}, 4052555153018976267},
		{"product", applied{op: "MatMul"}, list{i64(odd), i64(1)}, odd},
		{"sum", applied{op: "ReduceSum"}, list{i64(odd, 0)}, odd},
		{"running sum", applied{op: "CumSum"}, list{i64(odd), tensor(model.Int64, nil, 0)}, odd},
		{"maximum", applied{op: "ReduceMax"}, list{i64(odd, odd-1)}, odd},
		{"largest", applied{op: "TopK", outs: 2}, list{i64(odd-1, odd), i64(1)}, odd},
		{"scattered sum", applied{op: "ScatterElements", attrs: attrs{"reduction": "add"}}, list{i64(odd - 1), i64(0), i64(1)}, odd},
		{"quotient of unsigned numbers", applied{op: "Div"}, list{model.FromSlice(model.Uint64, []uint64{math.MaxUint64}, 1), model.FromSlice(model.Uint64, []uint64{2}, 1)}, math.MaxInt64},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := apply(c.node, c.in...)
			if err != nil {
				t.Fatal(err)
			}
			if v := got[0].Int64At(0); v != c.want {
				t.Fatalf("got %d, want %d", v, c.want)
			}
		})
	}
}
