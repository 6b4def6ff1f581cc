package ops

import (
	"math"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

func TestMLFeatures(t *testing.T) {
	ml := func(op string, a attrs) applied { return applied{op: op, domain: classic, attrs: a} }
	m := mat([]int{2, 2}, 3, -4, 0, 0)
	e := math.Exp(1)
	runCases(t, []opCase{
		{name: "one a feature", node: ml("Scaler", attrs{"offset": []float32{1, 2}, "scale": []float32{2, 0.5}}), in: list{m}, want: list{mat([]int{2, 2}, 4, -3, -2, -1)}},
		{name: "one for all, integers", node: ml("Scaler", attrs{"offset": []float32{1}, "scale": []float32{2}}), in: list{i64(3, 4)}, want: list{vec(4, 6)}},
		{name: "three for two features", node: ml("Scaler", attrs{"offset": []float32{1, 2, 3}, "scale": []float32{1, 1, 1}}), in: list{m}, refuse: fail.Invalid},
		{name: "nothing", node: ml("Scaler", nil), in: list{m}, refuse: fail.Invalid},
		{name: "largest", node: ml("Normalizer", nil), in: list{m}, want: list{mat([]int{2, 2}, 1, -4.0/3, 0, 0)}},
		{name: "magnitudes", node: ml("Normalizer", attrs{"norm": "L1"}), in: list{m}, want: list{mat([]int{2, 2}, 3.0/7, -4.0/7, 0, 0)}},
		{name: "squares keep signs", node: ml("Normalizer", attrs{"norm": "L2"}), in: list{m}, want: list{mat([]int{2, 2}, 0.6, -0.8, 0, 0)}},
		{name: "unknown norm", node: ml("Normalizer", attrs{"norm": "L3"}), in: list{m}, refuse: fail.Invalid},
		{name: "three dimensions", node: ml("Normalizer", nil), in: list{mat([]int{1, 1, 1}, 1)}, refuse: fail.Invalid},
		{name: "the threshold itself is 0", node: ml("Binarizer", attrs{"threshold": 3.0}), in: list{vec(2, 3, 4)}, want: list{vec(0, 0, 1)}},
		{name: "columns", node: ml("ArrayFeatureExtractor", nil), in: list{m, i64(1, 1, 0)}, want: list{mat([]int{2, 3}, -4, -4, 3, 0, 0, 0)}},
		{name: "text, a line", node: ml("ArrayFeatureExtractor", nil), in: list{model.Strings([]string{"a", "b"}, 2), i64(1)}, want: list{model.Strings([]string{"b"}, 1, 1)}},
		{name: "outside", node: ml("ArrayFeatureExtractor", nil), in: list{m, i64(2)}, refuse: fail.Invalid},
		{name: "no index", node: ml("ArrayFeatureExtractor", nil), in: list{m, i64()}, refuse: fail.Invalid},
		{name: "one target", node: ml("LinearRegressor", attrs{"coefficients": []float32{1, 2}, "intercepts": []float32{10}}), in: list{m}, want: list{mat([]int{2, 1}, 5, 10)}},
		{name: "two targets, softmax", node: ml("LinearRegressor", attrs{"coefficients": []float32{1, 2}, "targets": 2, "post_transform": "SOFTMAX"}), in: list{mat([]int{1, 1}, 1)},
			want: list{mat([]int{1, 2}, 1/(1+e), e/(1+e))}},
		{name: "too few weights", node: ml("LinearRegressor", attrs{"coefficients": []float32{1}}), in: list{m}, refuse: fail.Invalid},
		{name: "probit of 0.975", node: ml("LinearRegressor", attrs{"coefficients": []float32{0}, "intercepts": []float32{0.975}, "post_transform": "PROBIT"}), in: list{vec(1)}, want: list{mat([]int{1, 1}, 1.9590493)}},
	})
}
