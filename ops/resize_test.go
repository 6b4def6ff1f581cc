package ops

import (
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

func TestResize(t *testing.T) {
	line := mat([]int{1, 4}, 1, 2, 3, 4)
	sized := func(n int64, a attrs) opCase {
		return opCase{node: applied{op: "Resize", opset: 19, attrs: a}, in: list{line, nil, nil, i64(1, n)}}
	}
	scaled := func(k float64, a attrs) opCase {
		return opCase{node: applied{op: "Resize", opset: 19, attrs: a}, in: list{line, nil, vec(1, k)}}
	}
	gives := func(c opCase, name string, v ...float64) opCase {
		c.name, c.want = name, list{mat([]int{1, len(v)}, v...)}
		return c
	}
	refuses := func(c opCase, name string) opCase {
		c.name, c.refuse = name, fail.Invalid
		return c
	}
	at := func(mode, coord string) attrs {
		return attrs{"mode": mode, "coordinate_transformation_mode": coord}
	}
	near := func(mode string) attrs {
		return attrs{"nearest_mode": mode, "coordinate_transformation_mode": "align_corners"}
	}
	runCases(t, []opCase{
		gives(scaled(2, nil), "nearest, half pixel", 1, 1, 2, 2, 3, 3, 4, 4),
		gives(scaled(0.5, at("nearest", "asymmetric")), "down, asymmetric", 1, 3),
		gives(sized(2, at("linear", "half_pixel")), "linear, half pixel", 1.5, 3.5),
		gives(sized(7, at("linear", "align_corners")), "linear, corners", 1, 1.5, 2, 2.5, 3, 3.5, 4),
		gives(sized(1, at("linear", "pytorch_half_pixel")), "one element takes the first", 1),
		gives(sized(1, at("linear", "half_pixel")), "one element takes the middle", 2.5),
		gives(sized(8, at("linear", "asymmetric")), "linear, asymmetric, last repeated", 1, 1.5, 2, 2.5, 3, 3.5, 4, 4),
		gives(sized(2, at("nearest", "tf_half_pixel_for_nn")), "nearest of TensorFlow", 2, 4),
		gives(scaled(0.6, at("linear", "half_pixel_symmetric")), "symmetric about the middle", 1.6666667, 3.3333333),
		gives(sized(7, near("floor")), "floor", 1, 1, 2, 2, 3, 3, 4),
		gives(sized(7, near("ceil")), "ceil", 1, 2, 2, 3, 3, 4, 4),
		gives(sized(7, near("round_prefer_floor")), "ties down", 1, 1, 2, 2, 3, 3, 4),
		gives(sized(7, near("round_prefer_ceil")), "ties up", 1, 2, 2, 3, 3, 4, 4),
		gives(sized(2, attrs{"mode": "linear", "antialias": 1}), "a wider window that repeats the border", 1.625, 3.375),
		gives(sized(2, attrs{"mode": "cubic", "coordinate_transformation_mode": "align_corners"}), "a cubic through its points", 1, 4),
		gives(opCase{node: applied{op: "Resize", attrs: attrs{"axes": []int64{-1}}}, in: list{line, nil, nil, i64(2)}}, "one axis", 1, 3),
		gives(opCase{node: applied{op: "Resize", opset: 10}, in: list{line, vec(1, 2)}}, "opset 10", 1, 1, 2, 2, 3, 3, 4, 4),
		gives(opCase{node: applied{op: "Upsample", opset: 9, attrs: attrs{"mode": "linear"}}, in: list{line, vec(1, 2)}}, "input of opset 9", 1, 1.5, 2, 2.5, 3, 3.5, 4, 4),
		gives(opCase{node: applied{op: "Upsample", opset: 7, attrs: attrs{"scales": []float32{1, 2}}}, in: list{line}}, "attribute of opset 7", 1, 1, 2, 2, 3, 3, 4, 4),
		gives(opCase{node: applied{op: "Resize", opset: 13, attrs: attrs{"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 9.0}},
			in: list{line, vec(0, 0, 1, 2), nil, i64(1, 3)}}, "a region beyond the end", 1, 4, 9),
		{"not larger than wanted", applied{op: "Resize", attrs: attrs{"keep_aspect_ratio_policy": "not_larger"}}, list{counted(2, 4), nil, nil, i64(6, 8)}, list{mat([]int{4, 8},
			0, 0, 1, 1, 2, 2, 3, 3, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 4, 4, 5, 5, 6, 6, 7, 7)}, ""},
		{"strings", applied{op: "Resize"}, list{model.Strings([]string{"a", "b"}, 2), nil, vec(2)}, list{model.Strings([]string{"a", "a", "b", "b"}, 4)}, ""},
		{"a mean of strings", applied{op: "Resize", attrs: attrs{"mode": "linear"}}, list{model.Strings([]string{"a", "b"}, 2), nil, vec(2)}, nil, fail.Invalid},
		{"bytes saturate", applied{op: "Resize", attrs: attrs{"mode": "cubic"}}, list{tensor(model.Uint8, []int{4}, 255, 255, 0, 0), nil, vec(2)},
			list{tensor(model.Uint8, []int{8}, 255, 255, 255, 197, 57, 0, 0, 0)}, ""},
		{"to nothing", applied{op: "Resize"}, list{line, nil, nil, i64(1, 0)}, list{mat([]int{1, 0})}, ""},
		refuses(scaled(0, nil), "scale 0"),
		refuses(scaled(-1, nil), "negative scale"),
		refuses(sized(-1, nil), "negative size"),
		{"neither scales nor sizes", applied{op: "Resize"}, list{line}, nil, fail.Invalid},
		{"too few scales", applied{op: "Resize"}, list{line, nil, vec(2)}, nil, fail.Invalid},
		{"from nothing", applied{op: "Resize"}, list{mat([]int{1, 0}), nil, nil, i64(1, 2)}, nil, fail.Invalid},
		{"a region that is absent", applied{op: "Resize", attrs: at("linear", "tf_crop_and_resize")}, list{line, nil, nil, i64(1, 2)}, nil, fail.Invalid},
	})
}

func TestImage(t *testing.T) {
	runCases(t, []opCase{
		{"patches that overlap add up", applied{op: "Col2Im"}, list{mat([]int{1, 2, 2}, 1, 2, 3, 4), i64(1, 3), i64(1, 2)}, list{mat([]int{1, 1, 1, 3}, 1, 5, 4)}, ""},
		{"padding is cut off", applied{op: "Col2Im", attrs: attrs{"pads": []int64{0, 1, 0, 0}}}, list{mat([]int{1, 2, 3}, 1, 2, 3, 4, 5, 6), i64(1, 3), i64(1, 2)}, list{mat([]int{1, 1, 1, 3}, 6, 8, 6)}, ""},
		{"columns that are no places", applied{op: "Col2Im"}, list{mat([]int{1, 2, 3}, 1, 2, 3, 4, 5, 6), i64(1, 3), i64(1, 2)}, nil, fail.Invalid},
		{"identity", applied{op: "AffineGrid"}, list{mat([]int{1, 2, 3}, 1, 0, 0, 0, 1, 0), i64(1, 1, 1, 2)}, list{mat([]int{1, 1, 2, 2}, -0.5, 0, 0.5, 0)}, ""},
		{"corners, moved and turned", applied{op: "AffineGrid", attrs: attrs{"align_corners": 1}}, list{mat([]int{1, 2, 3}, 0, 1, 5, 1, 0, 7), i64(1, 1, 2, 2)},
			list{mat([]int{1, 2, 2, 2}, 4, 6, 4, 8, 6, 6, 6, 8)}, ""},
		{"a size of another rank", applied{op: "AffineGrid"}, list{mat([]int{1, 2, 3}, 1, 0, 0, 0, 1, 0), i64(1, 1, 2, 2, 2)}, nil, fail.Invalid},
		{"indices into a larger shape", applied{op: "MaxUnpool", attrs: attrs{"kernel_shape": []int64{2}, "strides": []int64{2}}}, list{mat([]int{1, 1, 2}, 5, 6), tensor(model.Int64, []int{1, 1, 2}, 1, 2), i64(1, 1, 5)},
			list{mat([]int{1, 1, 5}, 0, 5, 6, 0, 0)}, ""},
		{"an index beyond", applied{op: "MaxUnpool", attrs: attrs{"kernel_shape": []int64{2}}}, list{mat([]int{1, 1, 1}, 5), tensor(model.Int64, []int{1, 1, 1}, 2)}, nil, fail.Invalid},
	})
}
