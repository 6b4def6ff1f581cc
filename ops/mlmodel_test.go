package ops

import (
	"math"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

func classical(op string, a attrs) applied { return applied{op: op, domain: classic, attrs: a} }

func with(a attrs, more attrs) attrs {
	out := attrs{}
	for k, v := range a {
		out[k] = v
	}
	for k, v := range more {
		out[k] = v
	}
	return out
}

func TestSupportVectorMachines(t *testing.T) {
	x := mat([]int{2, 2}, 1, 2, 3, 0)
	// Vectors (1, 0) and (0, 2) with coefficients 2 and -1, and rho 0.5.
	r := attrs{"support_vectors": []float32{1, 0, 0, 2}, "coefficients": []float32{2, -1}, "n_supports": 2, "rho": []float32{0.5}}
	kernel := func(name string, gamma, coef0, degree float32) attrs {
		return with(r, attrs{"kernel_type": name, "kernel_params": []float32{gamma, coef0, degree}})
	}
	c := attrs{"support_vectors": []float32{1, 0, 0, 2}, "coefficients": []float32{2, -1}, "vectors_per_class": []int64{1, 1}, "rho": []float32{0.5}, "classlabels_ints": []int64{5, 6}}
	// Three classes of one vector each: 1, 2 and 3. Rows of coefficients: against the class before or behind.
	three := attrs{"support_vectors": []float32{1, 2, 3}, "coefficients": []float32{1, -1, -2, 1, 2, -1}, "vectors_per_class": []int64{1, 1, 1}, "rho": []float32{0, 1, -1},
		"classlabels_strings": []string{"a", "b", "c"}}
	half := func(v float64) float64 { return 1 / (1 + math.Exp(v)) } // with prob_a 1 and prob_b 0
	exp := math.Exp
	runCases(t, []opCase{
		{name: "linear", node: classical("SVMRegressor", r), in: list{x}, want: list{mat([]int{2, 1}, 2*1-4+0.5, 2*3-0+0.5)}},
		{name: "polynomial", node: classical("SVMRegressor", kernel("POLY", 0.5, 1, 2)), in: list{x}, want: list{mat([]int{2, 1}, 2*2.25-9+0.5, 2*6.25-1+0.5)}},
		{name: "radial", node: classical("SVMRegressor", kernel("RBF", 0.5, 0, 0)), in: list{x}, want: list{mat([]int{2, 1}, 2*exp(-2)-exp(-0.5)+0.5, 2*exp(-2)-exp(-6.5)+0.5)}},
		{name: "sigmoid", node: classical("SVMRegressor", kernel("SIGMOID", 0.5, 0.25, 0)), in: list{x},
			want: list{mat([]int{2, 1}, 2*math.Tanh(0.75)-math.Tanh(2.25)+0.5, 2*math.Tanh(1.75)-math.Tanh(0.25)+0.5)}},
		{name: "inside or not", node: classical("SVMRegressor", with(r, attrs{"one_class": 1})), in: list{x}, want: list{mat([]int{2, 1}, -1, 1)}},
		{name: "without vectors", node: classical("SVMRegressor", attrs{"coefficients": []float32{1, 10}, "rho": []float32{3}, "kernel_type": "RBF"}), in: list{x}, want: list{mat([]int{2, 1}, 24, 6)}},
		{name: "no rows", node: classical("SVMRegressor", r), in: list{mat([]int{0, 2})}, want: list{mat([]int{0, 1})}},
		{name: "three features for two", node: classical("SVMRegressor", r), in: list{mat([]int{1, 3}, 1, 2, 3)}, refuse: fail.Invalid},
		{name: "one coefficient for two vectors", node: classical("SVMRegressor", with(r, attrs{"coefficients": []float32{1}})), in: list{x}, refuse: fail.Invalid},
		{name: "vectors that do not divide", node: classical("SVMRegressor", with(r, attrs{"support_vectors": []float32{1, 2, 3}})), in: list{x}, refuse: fail.Invalid},
		{name: "a negative number of vectors", node: classical("SVMRegressor", with(r, attrs{"n_supports": -1})), in: list{x}, refuse: fail.Invalid},
		{name: "two parameters of the kernel", node: classical("SVMRegressor", with(r, attrs{"kernel_params": []float32{1, 2}})), in: list{x}, refuse: fail.Invalid},
		{name: "an unknown kernel", node: classical("SVMRegressor", with(r, attrs{"kernel_type": "LAPLACE"})), in: list{x}, refuse: fail.Invalid},

		{name: "two classes", node: classical("SVMClassifier", c), in: list{x}, want: list{i64(6, 5), mat([]int{2, 2}, 1.5, -1.5, -6.5, 6.5)}},
		{name: "two classes, logistic", node: classical("SVMClassifier", with(c, attrs{"post_transform": "LOGISTIC"})), in: list{x},
			want: list{i64(6, 5), mat([]int{2, 2}, half(-1.5), half(1.5), half(6.5), half(-6.5))}},
		{name: "two probabilities", node: classical("SVMClassifier", with(c, attrs{"prob_a": []float32{1}, "prob_b": []float32{0}})), in: list{vec(1, 2)}, want: list{i64(6), mat([]int{1, 2}, half(-1.5), half(1.5))}},
		// With x = 1 the kernels are 1, 2, 3: pairs 01: 1-2 = -1, 02: 1-6+1 = -4, 12: 2*2-3-1 = 0, which is for the later one.
		{name: "three classes, a score a pair", node: classical("SVMClassifier", three), in: list{mat([]int{1, 1}, 1)}, want: list{words("c"), mat([]int{1, 3}, -1, -4, 0)}},
		{name: "without vectors", node: classical("SVMClassifier", attrs{"coefficients": []float32{1, 0, 0, 1}, "rho": []float32{1}, "classlabels_ints": []int64{5, 6}}), in: list{x},
			want: list{i64(6, 5), mat([]int{2, 2}, 2, 3, 4, 1)}},
		{name: "one class", node: classical("SVMClassifier", with(c, attrs{"classlabels_ints": []int64{5}})), in: list{x}, refuse: fail.Invalid},
		{name: "vectors of three classes", node: classical("SVMClassifier", with(c, attrs{"vectors_per_class": []int64{1, 1, 0}})), in: list{x}, refuse: fail.Invalid},
		{name: "a negative number of vectors", node: classical("SVMClassifier", with(c, attrs{"vectors_per_class": []int64{3, -1}})), in: list{x}, refuse: fail.Invalid},
		{name: "prob_a alone", node: classical("SVMClassifier", with(c, attrs{"prob_a": []float32{1}})), in: list{x}, refuse: fail.Invalid},
		{name: "too few of rho", node: classical("SVMClassifier", with(three, attrs{"rho": []float32{1, 2}})), in: list{mat([]int{1, 1}, 1)}, refuse: fail.Invalid},
	})
}

// TestManyClasses: the pairs of classes that a few kilobytes of labels ask for are not made.
func TestManyClasses(t *testing.T) {
	const classes = 20000
	per, labels := make([]int64, classes), make([]int64, classes)
	per[0] = 1
	n := classical("SVMClassifier", attrs{"classlabels_ints": labels, "vectors_per_class": per, "support_vectors": []float32{1}, "coefficients": make([]float32, classes-1)})
	n.outs = 2
	for _, rows := range []int{0, 100} {
		_, err := apply(n, mat([]int{rows, 1}, make([]float64, rows)...))
		if rows == 0 && err != nil || rows > 0 && !fail.Is(err, fail.TooBig) {
			t.Errorf("%d rows: %v", rows, err)
		}
	}
}

// TestCoupling: pairwise probabilities that stem from probabilities of the classes give those.
func TestCoupling(t *testing.T) {
	want := []float64{0.5, 0.3, 0.2}
	j := &jury{probA: []float32{-1, -1, -1}, probB: []float32{0, 0, 0}}
	pair := func(a, b float64) float64 { return math.Log(a / b) }
	got := make([]float64, 3)
	j.probabilities([]float64{pair(0.5, 0.3), pair(0.5, 0.2), pair(0.3, 0.2)}, got)
	for k := range want {
		if math.Abs(got[k]-want[k]) > 0.005 {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestLinearClassifier(t *testing.T) {
	x := mat([]int{2, 2}, 1, 2, 3, 0)
	a := attrs{"coefficients": []float32{1, 0, 0, 1}, "intercepts": []float32{0.5, 0}, "classlabels_ints": []int64{7, -7}}
	one := attrs{"coefficients": []float32{1, -1}, "intercepts": []float32{-1}, "classlabels_strings": []string{"no", "yes"}}
	e := math.Exp
	runCases(t, []opCase{
		{name: "two classes", node: classical("LinearClassifier", a), in: list{x}, want: list{i64(-7, 7), mat([]int{2, 2}, 1.5, 2, 3.5, 0)}},
		{name: "softmax", node: classical("LinearClassifier", with(a, attrs{"post_transform": "SOFTMAX"})), in: list{vec(1, 2)}, want: list{i64(-7), mat([]int{1, 2}, 1/(1+e(0.5)), 1/(1+e(-0.5)))}},
		{name: "one score for two", node: classical("LinearClassifier", one), in: list{x}, want: list{words("no", "yes"), mat([]int{2, 2}, 3, -2, -1, 2)}},
		{name: "one score for two, logistic", node: classical("LinearClassifier", with(one, attrs{"post_transform": "LOGISTIC"})), in: list{x},
			want: list{words("no", "yes"), mat([]int{2, 2}, 1/(1+e(-2)), 1/(1+e(2)), 1/(1+e(2)), 1/(1+e(-2)))}},
		{name: "without intercepts", node: classical("LinearClassifier", attrs{"coefficients": []float32{1, 2, 3}, "classlabels_ints": []int64{1, 2, 3}}), in: list{mat([]int{1, 1}, -1)},
			want: list{i64(1), mat([]int{1, 3}, -1, -2, -3)}},
		{name: "no rows", node: classical("LinearClassifier", a), in: list{mat([]int{0, 2})}, want: list{i64(), mat([]int{0, 2})}},
		{name: "three features", node: classical("LinearClassifier", a), in: list{mat([]int{1, 3}, 1, 2, 3)}, refuse: fail.Invalid},
		{name: "intercepts of other classes", node: classical("LinearClassifier", with(a, attrs{"intercepts": []float32{1, 2, 3}})), in: list{x}, refuse: fail.Invalid},
		{name: "no labels", node: classical("LinearClassifier", with(a, attrs{"classlabels_ints": []int64{}})), in: list{x}, refuse: fail.Invalid},
		{name: "no coefficients", node: classical("LinearClassifier", attrs{"classlabels_ints": []int64{1}}), in: list{x}, refuse: fail.Invalid},
	})
}

func TestEncoders(t *testing.T) {
	labels := func(version int, a attrs) applied {
		return applied{op: "LabelEncoder", domain: classic, version: version, attrs: a}
	}
	nan := math.NaN()
	greek := attrs{"keys_strings": []string{"alpha", "beta", "beta"}, "values_int64s": []int64{1, 2, 3}}
	cats := attrs{"cats_strings": []string{"x", "y"}, "cats_int64s": []int64{10, 20}}
	runCases(t, []opCase{
		{name: "1: text to places", node: labels(1, attrs{"classes_strings": []string{"a", "b"}}), in: list{words("b", "c", "a")}, want: list{i64(1, -1, 0)}},
		{name: "1: places to text", node: labels(1, attrs{"classes_strings": []string{"a", "b"}, "default_string": "?"}), in: list{i64(1, 2, -1)}, want: list{words("b", "?", "?")}},
		{name: "1: floats", node: labels(1, attrs{"classes_strings": []string{"a"}}), in: list{vec(1)}, refuse: fail.Invalid},
		{name: "2: the first of equal keys", node: labels(2, greek), in: list{words("beta", "gamma")}, want: list{i64(2, -1)}},
		{name: "4: the last of equal keys", node: labels(4, greek), in: list{words("beta", "gamma")}, want: list{i64(3, -1)}},
		{name: "4: missing numbers are one key", node: labels(4, attrs{"keys_floats": []float32{1, float32(nan)}, "values_strings": []string{"one", "none"}}), in: list{vec(nan, 1, 2)},
			want: list{words("none", "one", "_Unused")}},
		{name: "4: tensors", node: labels(4, attrs{"keys_tensor": tensor(model.Int16, []int{2}, 1, 2), "values_tensor": tensor(model.Float64, []int{2}, 0.5, 0.25), "default_tensor": tensor(model.Float64, []int{1}, 9)}),
			in: list{tensor(model.Int16, []int{1, 3}, 2, 1, 0)}, want: list{tensor(model.Float64, []int{1, 3}, 0.25, 0.5, 9)}},
		{name: "4: a default of another type", node: labels(4, with(greek, attrs{"default_tensor": vec(1)})), in: list{words("a")}, refuse: fail.Invalid},
		{name: "a scalar", node: labels(2, greek), in: list{model.Strings([]string{"alpha"})}, want: list{tensor(model.Int64, []int{}, 1)}},
		{name: "nothing", node: labels(2, greek), in: list{words()}, want: list{i64()}},
		{name: "keys of another type", node: labels(2, greek), in: list{i64(1)}, refuse: fail.Invalid},
		{name: "fewer values", node: labels(2, with(greek, attrs{"values_int64s": []int64{1}})), in: list{words("a")}, refuse: fail.Invalid},
		{name: "values of two types", node: labels(2, with(greek, attrs{"values_floats": []float32{1, 2, 3}})), in: list{words("a")}, refuse: fail.Invalid},

		{name: "text to numbers", node: classical("CategoryMapper", cats), in: list{words("y", "z")}, want: list{i64(20, -1)}},
		{name: "numbers to text", node: classical("CategoryMapper", cats), in: list{i64(10, 11)}, want: list{words("x", "_Unused")}},
		{name: "fewer numbers", node: classical("CategoryMapper", with(cats, attrs{"cats_int64s": []int64{1}})), in: list{i64(10)}, refuse: fail.Invalid},

		{name: "text", node: classical("OneHotEncoder", attrs{"cats_strings": []string{"x", "y"}}), in: list{words("y", "z")}, want: list{mat([]int{2, 2}, 0, 1, 0, 0)}},
		{name: "numbers lose their fraction", node: classical("OneHotEncoder", attrs{"cats_int64s": []int64{0, 2}}), in: list{vec(2.75, -0.5, nan)}, want: list{mat([]int{3, 2}, 0, 1, 1, 0, 0, 0)}},
		{name: "a scalar", node: classical("OneHotEncoder", attrs{"cats_int64s": []int64{0, 2}}), in: list{mat([]int{}, 2)}, want: list{vec(0, 1)}},
		{name: "no category", node: classical("OneHotEncoder", attrs{"cats_int64s": []int64{0, 2}, "zeros": 0}), in: list{i64(1)}, refuse: fail.Invalid},
		{name: "text for numbers", node: classical("OneHotEncoder", attrs{"cats_int64s": []int64{0, 2}}), in: list{words("0")}, refuse: fail.Invalid},
		{name: "categories of both types", node: classical("OneHotEncoder", cats), in: list{i64(1)}, refuse: fail.Invalid},

		{name: "missing, one a feature", node: classical("Imputer", attrs{"imputed_value_floats": []float32{7, 8}, "replaced_value_float": nan}), in: list{mat([]int{2, 2}, nan, 1, 2, nan)},
			want: list{mat([]int{2, 2}, 7, 1, 2, 8)}},
		{name: "integers, one for all", node: classical("Imputer", attrs{"imputed_value_int64s": []int64{7}, "replaced_value_int64": -1}), in: list{i64(-1, 0)}, want: list{i64(7, 0)}},
		{name: "doubles keep their digits", node: classical("Imputer", attrs{"imputed_value_floats": []float32{7}}), in: list{tensor(model.Float64, []int{2}, 0.1, 0)}, want: list{tensor(model.Float64, []int{2}, 0.1, 7)}},
		{name: "floats for integers", node: classical("Imputer", attrs{"imputed_value_floats": []float32{7}}), in: list{i64(1)}, refuse: fail.Invalid},
		{name: "three values for two features", node: classical("Imputer", attrs{"imputed_value_floats": []float32{7, 8, 9}}), in: list{vec(1, 2)}, refuse: fail.Invalid},
		{name: "no value", node: classical("Imputer", nil), in: list{vec(1)}, refuse: fail.Invalid},

		{name: "side by side", node: classical("FeatureVectorizer", nil), in: list{mat([]int{2, 1}, 1, 2), mat([]int{2, 2}, 3, 4, 5, 6)}, want: list{mat([]int{2, 3}, 1, 3, 4, 2, 5, 6)}},
		{name: "cut and filled", node: classical("FeatureVectorizer", attrs{"inputdimensions": []int64{1, 3}}), in: list{i64(1, 2), i64(3, 4)}, want: list{mat([]int{1, 4}, 1, 3, 4, 0)}},
		{name: "other rows", node: classical("FeatureVectorizer", nil), in: list{mat([]int{2, 1}, 1, 2), vec(1)}, refuse: fail.Invalid},
		{name: "a size for one of two", node: classical("FeatureVectorizer", attrs{"inputdimensions": []int64{1}}), in: list{vec(1), vec(2)}, refuse: fail.Invalid},
		{name: "a negative size", node: classical("FeatureVectorizer", attrs{"inputdimensions": []int64{-1}}), in: list{vec(1)}, refuse: fail.Invalid},
	})
}
