package ops

import (
	"math"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

func TestIndex(t *testing.T) {
	const far = math.MaxInt64
	x := counted(2, 4)
	runCases(t, []opCase{
		{"attributes of opset 1", applied{op: "Slice", opset: 9, attrs: attrs{"starts": []int64{1, 0}, "ends": []int64{2, -1}}}, list{x}, list{mat([]int{1, 3}, 4, 5, 6)}, ""},
		{"ends beyond the end", applied{op: "Slice"}, list{x, i64(2), i64(far), i64(1)}, list{mat([]int{2, 2}, 2, 3, 6, 7)}, ""},
		{"backwards to the first", applied{op: "Slice"}, list{x, i64(far), i64(math.MinInt64), i64(-1), i64(-1)}, list{mat([]int{2, 4}, 3, 2, 1, 0, 7, 6, 5, 4)}, ""},
		{"steps longer than the dimension", applied{op: "Slice"}, list{x, i64(1), i64(far), i64(1), i64(far)}, list{mat([]int{2, 1}, 1, 5)}, ""},
		{"nothing", applied{op: "Slice"}, list{x, i64(3), i64(1), i64(1)}, list{mat([]int{2, 0})}, ""},
		{"int32 parameters", applied{op: "Slice"}, list{x, tensor(model.Int32, []int{1}, 1), tensor(model.Int32, []int{1}, 2)}, list{mat([]int{1, 4}, 4, 5, 6, 7)}, ""},
		{"step 0", applied{op: "Slice"}, list{x, i64(0), i64(1), i64(0), i64(0)}, nil, fail.Invalid},
		{"one axis twice", applied{op: "Slice"}, list{x, i64(0, 0), i64(1, 1), i64(0, -2)}, nil, fail.Invalid},
		{"axis beyond the rank", applied{op: "Slice"}, list{x, i64(0), i64(1), i64(2)}, nil, fail.Invalid},
		{"no starts", applied{op: "Slice"}, list{x}, nil, fail.Invalid},
		{"4-bit elements", applied{op: "Slice"}, list{tensor(model.Int4, []int{5}, -8, 1, 2, 3, 7), i64(1), i64(4)}, list{tensor(model.Int4, []int{3}, 1, 2, 3)}, ""},
		{"strings", applied{op: "Slice"}, list{model.Strings([]string{"a", "b", "c"}, 3), i64(0), i64(3), nil, i64(2)}, list{model.Strings([]string{"a", "c"}, 2)}, ""},

		{"negative indices", applied{op: "Gather", attrs: attrs{"axis": 1}}, list{x, i64(-1, 0)}, list{mat([]int{2, 2}, 3, 0, 7, 4)}, ""},
		{"a scalar index drops the axis", applied{op: "Gather"}, list{x, tensor(model.Int64, nil, 1)}, list{mat([]int{4}, 4, 5, 6, 7)}, ""},
		{"index beyond", applied{op: "Gather"}, list{x, i64(2)}, nil, fail.Invalid},
		{"of a scalar", applied{op: "Gather"}, list{mat(nil, 1), i64(0)}, nil, fail.Invalid},
		{"no indices", applied{op: "Gather"}, list{x, i64()}, list{mat([]int{0, 4})}, ""},
		{"along the last axis", applied{op: "GatherElements", attrs: attrs{"axis": -1}}, list{x, tensor(model.Int64, []int{2, 1}, 3, -4)}, list{mat([]int{2, 1}, 3, 4)}, ""},
		{"indices wider than the data", applied{op: "GatherElements"}, list{x, tensor(model.Int64, []int{1, 5}, 0, 0, 0, 0, 0)}, nil, fail.Invalid},
		{"slices", applied{op: "GatherND"}, list{x, tensor(model.Int64, []int{1, 1}, -1)}, list{mat([]int{1, 4}, 4, 5, 6, 7)}, ""},
		{"batches", applied{op: "GatherND", attrs: attrs{"batch_dims": 1}}, list{x, tensor(model.Int64, []int{2, 1}, 1, 3)}, list{mat([]int{2}, 1, 7)}, ""},
		{"tuples longer than the rank", applied{op: "GatherND"}, list{x, tensor(model.Int64, []int{1, 3}, 0, 0, 0)}, nil, fail.Invalid},
		{"flattened", applied{op: "Compress"}, list{x, flags(0, 1, 0, 0, 1)}, list{mat([]int{2}, 1, 4)}, ""},
		{"beyond the axis", applied{op: "Compress", attrs: attrs{"axis": 0}}, list{x, flags(0, 1, 1)}, nil, fail.Invalid},
		{"a length of 0", applied{op: "ReverseSequence", attrs: attrs{"batch_axis": 0, "time_axis": 1}}, list{x, i64(0, 3)}, list{mat([]int{2, 4}, 0, 1, 2, 3, 6, 5, 4, 7)}, ""},
		{"a length beyond", applied{op: "ReverseSequence", attrs: attrs{"batch_axis": 0, "time_axis": 1}}, list{x, i64(0, 5)}, nil, fail.Invalid},
		{"both axes one", applied{op: "ReverseSequence", attrs: attrs{"batch_axis": 1, "time_axis": 1}}, list{x, i64(0, 1, 1, 1)}, nil, fail.Invalid},
	})
}

func TestScatter(t *testing.T) {
	x := counted(2, 3)
	idx := tensor(model.Int64, []int{2, 2}, 0, 0, -1, 2)
	u := mat([]int{2, 2}, 10, 20, 30, 0.5)
	with := func(how string) applied {
		return applied{op: "ScatterElements", attrs: attrs{"axis": 1, "reduction": how}}
	}
	runCases(t, []opCase{
		{"the last of two", with("none"), list{x, idx, u}, list{mat([]int{2, 3}, 20, 1, 2, 3, 4, 0.5)}, ""},
		{"sum", with("add"), list{x, idx, u}, list{mat([]int{2, 3}, 30, 1, 2, 3, 4, 35.5)}, ""},
		{"product", with("mul"), list{x, idx, u}, list{mat([]int{2, 3}, 0, 1, 2, 3, 4, 75)}, ""},
		{"maximum", with("max"), list{x, idx, u}, list{mat([]int{2, 3}, 20, 1, 2, 3, 4, 30)}, ""},
		{"minimum", with("min"), list{x, idx, u}, list{mat([]int{2, 3}, 0, 1, 2, 3, 4, 0.5)}, ""},
		{"large unsigned numbers", applied{op: "ScatterElements", attrs: attrs{"reduction": "max"}}, list{tensor(model.Uint64, []int{1}, 1), i64(0), tensor(model.Uint64, []int{1}, 1<<63)},
			list{tensor(model.Uint64, []int{1}, 1<<63)}, ""},
		{"sum of strings", with("add"), list{model.Strings([]string{"a"}, 1, 1), tensor(model.Int64, []int{1, 1}, 0), model.Strings([]string{"b"}, 1, 1)}, nil, fail.Invalid},
		{"updates of another shape", with("none"), list{x, idx, mat([]int{2, 1}, 1, 2)}, nil, fail.Invalid},
		{"index beyond", with("none"), list{x, tensor(model.Int64, []int{1, 1}, 3), mat([]int{1, 1}, 1)}, nil, fail.Invalid},
		{"rows", applied{op: "ScatterND"}, list{x, tensor(model.Int64, []int{1, 1}, 1), mat([]int{1, 3}, 7, 8, 9)}, list{mat([]int{2, 3}, 0, 1, 2, 7, 8, 9)}, ""},
		{"one element twice", applied{op: "ScatterND", attrs: attrs{"reduction": "add"}}, list{x, tensor(model.Int64, []int{2, 2}, 1, 1, 1, -2), mat([]int{2}, 1, 1)},
			list{mat([]int{2, 3}, 0, 1, 2, 3, 6, 5)}, ""},
		{"tuples longer than the rank", applied{op: "ScatterND"}, list{x, tensor(model.Int64, []int{1, 3}, 0, 0, 0), mat([]int{1}, 1)}, nil, fail.Invalid},
		{"before opset 11", applied{op: "Scatter", opset: 10}, list{x, tensor(model.Int64, []int{1, 3}, 1, 0, 1), mat([]int{1, 3}, 7, 8, 9)}, list{mat([]int{2, 3}, 0, 8, 2, 7, 4, 9)}, ""},
		{"gone since", applied{op: "Scatter", opset: 11}, list{x, idx, u}, nil, fail.Invalid},
	})
}

func TestPad(t *testing.T) {
	x := counted(1, 3)
	row := func(v ...float64) list { return list{mat([]int{1, len(v)}, v...)} }
	pad := func(mode string, opset int) applied {
		return applied{op: "Pad", opset: opset, attrs: attrs{"mode": mode}}
	}
	runCases(t, []opCase{
		{"a value", pad("constant", 13), list{x, i64(0, 1, 0, 2), mat(nil, 9)}, row(9, 0, 1, 2, 9, 9), ""},
		{"attributes of opset 2", applied{op: "Pad", opset: 2, attrs: attrs{"pads": []int64{0, 1, 0, 1}, "value": 5.0}}, list{x}, row(5, 0, 1, 2, 5), ""},
		{"attributes of opset 1", applied{op: "Pad", opset: 1, attrs: attrs{"paddings": []int64{0, 1, 0, 0}}}, list{x}, row(0, 0, 1, 2), ""},
		{"reflection", pad("reflect", 13), list{x, i64(0, 2, 0, 1)}, row(2, 1, 0, 1, 2, 1), ""},
		{"reflection back and forth", pad("reflect", 13), list{x, i64(0, 5, 0, 0)}, row(1, 0, 1, 2, 1, 0, 1, 2), ""},
		{"reflection of one element", pad("reflect", 13), list{mat([]int{1, 1}, 4), i64(0, 2, 0, 0)}, row(4, 4, 4), ""},
		{"edge", pad("edge", 13), list{x, i64(0, 2, 0, 1)}, row(0, 0, 0, 1, 2, 2), ""},
		{"around", pad("wrap", 19), list{x, i64(0, 4, 0, 2)}, row(2, 0, 1, 2, 0, 1, 2, 0, 1), ""},
		{"around what is left", pad("wrap", 19), list{x, i64(0, 1, 0, -1)}, row(1, 0, 1), ""},
		{"one axis", pad("edge", 18), list{x, i64(1, 0), nil, i64(-1)}, row(0, 0, 1, 2), ""},
		{"cut to nothing", pad("constant", 13), list{x, i64(0, -2, 0, -1)}, row(), ""},
		{"cut beyond", pad("constant", 13), list{x, i64(0, -2, 0, -2)}, nil, fail.Invalid},
		{"nothing to reflect", pad("reflect", 13), list{mat([]int{1, 0}), i64(0, 1, 0, 0)}, nil, fail.Invalid},
		{"too few pads", pad("constant", 13), list{x, i64(0, 1, 0)}, nil, fail.Invalid},
		{"unknown mode", pad("mirror", 13), list{x, i64(0, 1, 0, 0)}, nil, fail.Invalid},
		{"more than fits", pad("constant", 13), list{x, i64(1<<24, 1<<24, 0, 0)}, nil, fail.TooBig},
		{"crop and pad", applied{op: "CenterCropPad"}, list{counted(2, 5), i64(3, 2)}, list{mat([]int{3, 2}, 1, 2, 6, 7, 0, 0)}, ""},
		{"one axis", applied{op: "CenterCropPad", attrs: attrs{"axes": []int64{-1}}}, list{counted(1, 2), i64(5)}, list{mat([]int{1, 5}, 0, 0, 1, 0, 0)}, ""},
	})
}

func TestSearch(t *testing.T) {
	nan := math.NaN()
	ints := func(v ...float64) *model.Tensor { return tensor(model.Int64, []int{len(v)}, v...) }
	runCases(t, []opCase{
		{"of a scalar", applied{op: "NonZero"}, list{mat(nil, 3)}, list{tensor(model.Int64, []int{0, 1})}, ""},
		{"places", applied{op: "NonZero"}, list{mat([]int{2, 2}, 0, 1, nan, 0)}, list{tensor(model.Int64, []int{2, 2}, 0, 1, 1, 0)}, ""},
		{"indices that light nothing", applied{op: "OneHot"}, list{ints(-1, 2, -4, 0), i64(3), vec(0, 5)}, list{mat([]int{4, 3}, 0, 0, 5, 0, 0, 5, 0, 0, 0, 5, 0, 0)}, ""},
		{"a first axis", applied{op: "OneHot", attrs: attrs{"axis": 0}}, list{ints(1, 0), i64(2), vec(1, 2)}, list{mat([]int{2, 2}, 1, 2, 2, 1)}, ""},
		{"a negative depth", applied{op: "OneHot"}, list{ints(1), i64(-2), vec(1, 2)}, nil, fail.Invalid},
		{"three values", applied{op: "OneHot"}, list{ints(1), i64(2), vec(1, 2, 3)}, nil, fail.Invalid},
		{"ties by place", applied{op: "TopK", outs: 2}, list{vec(1, 3, 3, 2), i64(3)}, list{vec(3, 3, 2), i64(1, 2, 3)}, ""},
		{"smallest along the first axis", applied{op: "TopK", outs: 2, attrs: attrs{"axis": 0, "largest": 0}}, list{mat([]int{3, 2}, 5, 1, 4, 2, 6, 0), i64(1)},
			list{mat([]int{1, 2}, 4, 0), tensor(model.Int64, []int{1, 2}, 1, 2)}, ""},
		{"opset 1", applied{op: "TopK", outs: 2, opset: 1, attrs: attrs{"k": 1}}, list{vec(1, 3)}, list{vec(3), i64(1)}, ""},
		{"more than there are", applied{op: "TopK", outs: 2}, list{vec(1, 3), i64(3)}, nil, fail.Invalid},
		{"none", applied{op: "TopK", outs: 2}, list{vec(1, 3), i64(0)}, list{vec(), i64()}, ""},
		{"unsigned order", applied{op: "TopK", outs: 2}, list{tensor(model.Uint64, []int{2}, 1, 1<<63), i64(1)}, list{tensor(model.Uint64, []int{1}, 1<<63), i64(1)}, ""},
		{"in order of appearance", applied{op: "Unique", outs: 4, attrs: attrs{"sorted": 0}}, list{vec(3, 1, 3, 2)}, list{vec(3, 1, 2), i64(0, 1, 3), i64(0, 1, 0, 2), i64(2, 1, 1)}, ""},
		{"rows", applied{op: "Unique", outs: 4, attrs: attrs{"axis": 0}}, list{mat([]int{3, 2}, 1, 0, 0, 9, 1, 0)}, list{mat([]int{2, 2}, 0, 9, 1, 0), i64(1, 0), i64(1, 0, 1), i64(1, 2)}, ""},
		{"strings", applied{op: "Unique"}, list{model.Strings([]string{"b", "a", "b"}, 3)}, list{model.Strings([]string{"a", "b"}, 2)}, ""},
		{"nothing", applied{op: "Unique", outs: 4}, list{vec()}, list{vec(), i64(), i64(), i64()}, ""},
	})
}
