package ops

import (
	"math"

	"fettle/model"
)

// filled gives nodes of an operator inputs and attributes that go together, where a line of text cannot.
var filled = map[string]func(d *draw, x *example){
	classic + ":TreeEnsembleClassifier": drawTreeClassifier,
	classic + ":TreeEnsembleRegressor":  drawTreeRegressor,
	classic + ":TreeEnsemble":           drawTrees,
	classic + ":SVMClassifier":          drawSVMClassifier,
	classic + ":SVMRegressor":           drawSVMRegressor,
	classic + ":LinearClassifier":       drawLinearClassifier,
	classic + ":LabelEncoder":           drawLabelEncoder,
	classic + ":CategoryMapper":         drawCategoryMapper,
	classic + ":OneHotEncoder":          drawOneHotEncoder,
	classic + ":Imputer":                drawImputer,
	classic + ":ZipMap":                 drawZipMap,
	classic + ":DictVectorizer":         drawDictVectorizer,
	classic + ":CastMap":                drawCastMap,
}

func (x *example) attr(name string, v any) { x.node.Attrs = append(x.node.Attrs, attrOf(name, v)) }

// features gives x rows of features, now and then a single row without its own dimension.
func (d *draw) features(x *example, width int, types ...model.DType) *model.Tensor {
	dims := []int{d.n(5), width}
	if d.in(10) {
		dims = dims[1:]
	}
	t := d.value(pickOf(d, types...), dims)
	if len(dims) == 2 && len(t.Shape) == 1 {
		t = model.NewTensor(t.DType, dims...)
	}
	d.give(x, "x0_0", t)
	return t
}

var numberTypes = []model.DType{model.Float32, model.Float32, model.Float32, model.Float64, model.Int64, model.Int32}

// quarters are weights whose sums are exact, so that no order of adding decides about a label.
func (d *draw) quarters(n, least int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(least+d.n(13)) / 4
	}
	return out
}

// classNames gives x labels under one of two names: the first few of a list, so that they differ.
func (d *draw) classNames(x *example, n int, ints, strs string) {
	if d.in(50) {
		x.attr(strs, []string{"no", "yes", "", "ä", "b c"}[:n])
	} else {
		x.attr(ints, []int64{3, -4, 0, 7, 1 << 40}[:n])
	}
}

var transformNames = []string{"NONE", "NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"}

// drawnTree are the nodes of an ensemble as its attributes list them.
type drawnTree struct {
	trees, ids, features, yes, no, tracks []int64
	modes                                 []string
	values                                []float32
	leafTrees, leaves                     []int64
}

var branchNames = []string{"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"}

// grow adds a tree of up to depth branches on a path and gives the id of its root; mode says which comparisons it may make.
func (t *drawnTree) grow(d *draw, tree int64, depth, width int, modes []string) int64 {
	at := len(t.ids)
	id := int64(0)
	for i := at - 1; i >= 0 && t.trees[i] == tree; i-- {
		id++
	}
	t.trees, t.ids = append(t.trees, tree), append(t.ids, id)
	t.values, t.features = append(t.values, float32(d.n(17))/2-4), append(t.features, int64(d.n(width)))
	t.yes, t.no, t.tracks = append(t.yes, 0), append(t.no, 0), append(t.tracks, int64(d.n(2)))
	if depth == 0 || d.in(20) {
		t.modes = append(t.modes, "LEAF")
		t.leafTrees, t.leaves = append(t.leafTrees, tree), append(t.leaves, id)
		return id
	}
	t.modes = append(t.modes, pickOf(d, modes...))
	t.yes[at] = t.grow(d, tree, depth-1, width, modes)
	t.no[at] = t.grow(d, tree, depth-1, width, modes)
	return id
}

// forest draws trees and the rows they are for, and writes all attributes but the votes.
func (d *draw) forest(x *example) *drawnTree {
	width := 1 + d.n(4)
	in := d.features(x, width, numberTypes...)
	modes := branchNames
	switch {
	case in.DType.Float() && d.in(40): // missing values go to a side; only BRANCH_NEQ disagrees about which one
		modes = branchNames[:5]
		for i := range in.Len() {
			if d.in(25) {
				in.SetFloat64(i, math.NaN())
			}
		}
	case d.in(50):
		modes = []string{pickOf(d, branchNames...)}
	}
	t := &drawnTree{}
	for k := range 1 + d.n(4) {
		t.grow(d, int64(k), d.n(5), width, modes)
	}
	x.attr("nodes_treeids", t.trees)
	x.attr("nodes_nodeids", t.ids)
	x.attr("nodes_featureids", t.features)
	x.attr("nodes_truenodeids", t.yes)
	x.attr("nodes_falsenodeids", t.no)
	x.attr("nodes_modes", t.modes)
	if d.in(60) {
		x.attr("nodes_missing_value_tracks_true", t.tracks)
	}
	return t
}

// weights writes a list of floats, or in opset 3, for float64 rows, all lists as tensors.
func (d *draw) weights(x *example, tensors bool, name string, v []float32) {
	if !tensors {
		x.attr(name, v)
		return
	}
	t := model.NewTensor(model.Float64, len(v))
	for i := range v {
		t.SetFloat64(i, float64(v[i]))
	}
	x.attr(name+"_as_tensor", t)
}

// votes gives each leaf a vote for the only target, or for some of several; with all, each row has one for every target,
// and there may be base values, which ONNX Runtime does not add to a target without a vote.
func (d *draw) votes(x *example, t *drawnTree, prefix string, targets int, all bool, least int) {
	var ids, trees, nodes []int64
	for i := range t.leaves {
		for k := range targets {
			if targets == 1 || all && t.leafTrees[i] == 0 || d.in(60) {
				ids, trees, nodes = append(ids, int64(k)), append(trees, t.leafTrees[i]), append(nodes, t.leaves[i])
			}
		}
	}
	tensors := x.m.Opset(classic) >= 3 && x.inputs["x0_0"].DType == model.Float64 && d.in(70)
	x.attr(prefix+"_ids", ids)
	x.attr(prefix+"_treeids", trees)
	x.attr(prefix+"_nodeids", nodes)
	d.weights(x, tensors, prefix+"_weights", d.quarters(len(ids), least))
	d.weights(x, tensors, "nodes_values", t.values)
	if prefix == "target" && (all || targets == 1) && d.in(60) {
		d.weights(x, tensors, "base_values", d.quarters(targets, -4))
	}
	if !d.tame && d.in(25) {
		d.spoil(x)
	}
}

// spoil puts another number in one place of a list: a child that is none or that loops, a feature or target outside.
func (d *draw) spoil(x *example) {
	a := &x.node.Attrs[d.n(len(x.node.Attrs))]
	switch {
	case len(a.Ints) > 0:
		a.Ints[d.n(len(a.Ints))] = pickOf[int64](d, -1, 0, 0, 1, 2, 9, 1<<40)
	case len(a.Strings) > 0 && len(a.Name) > 5 && a.Name[:5] == "nodes":
		a.Strings[d.n(len(a.Strings))] = []byte(pickOf(d, "LEAF", "BRANCH_LT", "BRANCH"))
	case len(a.Floats) > 0:
		a.Floats = a.Floats[1:]
	}
}

func drawTreeRegressor(d *draw, x *example) {
	t := d.forest(x)
	targets := 1 + d.n(3)
	x.attr("n_targets", targets)
	x.attr("aggregate_function", pickOf(d, "SUM", "AVERAGE", "MIN", "MAX"))
	x.attr("post_transform", pickOf(d, transformNames...))
	d.votes(x, t, "target", targets, d.in(60), -6)
}

func drawTreeClassifier(d *draw, x *example) {
	t := d.forest(x)
	classes := 2 + d.n(3)
	d.classNames(x, classes, "classlabels_int64s", "classlabels_strings")
	x.attr("post_transform", pickOf(d, transformNames...))
	least := pickOf(d, -6, 0)
	if classes > 2 || d.in(20) {
		d.votes(x, t, "class", classes, true, least)
		if d.in(30) {
			x.attr("base_values", d.quarters(classes, -4))
		}
		return
	}
	d.votes(x, t, "class", 1, true, least) // for one of two
	if a := x.node.Attr("class_ids"); d.in(30) {
		for i := range a.Ints {
			a.Ints[i] = 1
		}
	} else if d.in(30) {
		x.attr("base_values", d.quarters(1, -4))
	}
}

// drawTrees writes the same trees as the newer operator has them: branches and leaves apart, and tests for one of several values.
func drawTrees(d *draw, x *example) {
	width, targets := 1+d.n(4), 1+d.n(3)
	in := d.features(x, width, model.Float32, model.Float32, model.Float64)
	if len(in.Shape) == 1 {
		x.set("x0_0", d.value(in.DType, []int{1, width})) // this one takes no single row
	}
	var features, yes, no, yesLeaf, noLeaf, tracks, targetIDs, roots []int64
	var modes, splits, weights, members []float64
	var grow func(depth int) (id, isLeaf int64)
	grow = func(depth int) (int64, int64) {
		if depth == 0 || d.in(20) {
			targetIDs, weights = append(targetIDs, int64(d.n(targets))), append(weights, float64(d.n(25)-12)/4)
			return int64(len(targetIDs) - 1), 1
		}
		at := len(features)
		features, tracks = append(features, int64(d.n(width))), append(tracks, int64(d.n(2)))
		modes, splits = append(modes, float64(d.n(7))), append(splits, float64(d.n(17))/2-4)
		yes, no, yesLeaf, noLeaf = append(yes, 0), append(no, 0), append(yesLeaf, 0), append(noLeaf, 0)
		if modes[at] == float64(branchMember) {
			if len(members) > 0 {
				members = append(members, math.NaN())
			}
			for range 1 + d.n(4) {
				members = append(members, float64(d.n(25))/4-3)
			}
		}
		yes[at], yesLeaf[at] = grow(depth - 1)
		no[at], noLeaf[at] = grow(depth - 1)
		return int64(at), 0
	}
	for range 1 + d.n(3) {
		roots = append(roots, int64(len(features)))
		if d.in(15) { // a leaf for a root: a branch with one child
			features, tracks = append(features, 0), append(tracks, 0)
			modes, splits = append(modes, 0), append(splits, 0)
			k := int64(len(targetIDs))
			yes, no, yesLeaf, noLeaf = append(yes, k), append(no, k), append(yesLeaf, 1), append(noLeaf, 1)
			targetIDs, weights = append(targetIDs, int64(d.n(targets))), append(weights, float64(d.n(25)-12)/4)
			continue
		}
		for depth := 1 + d.n(4); int(roots[len(roots)-1]) == len(features); {
			if _, isLeaf := grow(depth); isLeaf == 1 { // try again: a root is a branch
				targetIDs, weights = targetIDs[:len(targetIDs)-1], weights[:len(weights)-1]
			}
		}
	}
	list := func(dt model.DType, v []float64) *model.Tensor { return tensor(dt, []int{len(v)}, v...) }
	dt := in.DType
	x.attr("nodes_splits", list(dt, splits))
	x.attr("nodes_modes", list(model.Uint8, modes))
	x.attr("leaf_weights", list(dt, weights))
	if len(members) > 0 {
		x.attr("membership_values", list(dt, members))
	}
	x.attr("leaf_targetids", targetIDs)
	x.attr("nodes_featureids", features)
	x.attr("nodes_truenodeids", yes)
	x.attr("nodes_falsenodeids", no)
	x.attr("nodes_trueleafs", yesLeaf)
	x.attr("nodes_falseleafs", noLeaf)
	x.attr("tree_roots", roots)
	x.attr("n_targets", targets)
	x.attr("aggregate_function", d.n(4))
	x.attr("post_transform", d.n(5))
	if d.in(50) {
		x.attr("nodes_missing_value_tracks_true", tracks)
	}
	if !d.tame && d.in(25) {
		d.spoil(x)
	}
}

func (d *draw) kernel(x *example) {
	x.attr("kernel_type", pickOf(d, "LINEAR", "POLY", "RBF", "SIGMOID"))
	x.attr("kernel_params", []float32{float32(1+d.n(4)) / 4, float32(d.n(5)) / 4, float32(1 + d.n(3))})
	x.attr("post_transform", pickOf(d, transformNames...))
}

func drawSVMClassifier(d *draw, x *example) {
	width, classes := 1+d.n(3), 2+d.n(3)
	d.features(x, width, numberTypes...)
	d.classNames(x, classes, "classlabels_ints", "classlabels_strings")
	d.kernel(x)
	if d.in(20) {
		x.attr("coefficients", d.quarters(classes*width, -6))
		x.attr("rho", d.quarters(1, -6))
		return
	}
	per, total := make([]int64, classes), 0
	for k := range per {
		per[k] = int64(1 + d.n(3))
		total += int(per[k])
	}
	pairs := classes * (classes - 1) / 2
	x.attr("vectors_per_class", per)
	x.attr("support_vectors", d.quarters(total*width, -6))
	x.attr("coefficients", d.quarters((classes-1)*total, -6))
	x.attr("rho", d.quarters(pairs, -6))
	if d.in(50) {
		x.attr("prob_a", d.quarters(pairs, -6))
		x.attr("prob_b", d.quarters(pairs, -6))
	}
}

func drawSVMRegressor(d *draw, x *example) {
	width, n := 1+d.n(3), d.n(4)
	d.features(x, width, numberTypes...)
	d.kernel(x)
	x.attr("n_supports", n)
	x.attr("one_class", d.n(2))
	x.attr("rho", d.quarters(1, -6))
	if n > 0 {
		x.attr("support_vectors", d.quarters(n*width, -6))
		x.attr("coefficients", d.quarters(n, -6))
	} else {
		x.attr("coefficients", d.quarters(width, -6))
	}
}

func drawLinearClassifier(d *draw, x *example) {
	width, classes := 1+d.n(3), 2+d.n(3)
	d.features(x, width, numberTypes...)
	d.classNames(x, classes, "classlabels_ints", "classlabels_strings")
	x.attr("post_transform", pickOf(d, transformNames...))
	scores := classes
	if classes == 2 && d.in(50) {
		scores = 1
	}
	x.attr("coefficients", d.quarters(width*scores, -6))
	x.attr("intercepts", d.quarters(scores, -6))
	x.attr("multi_class", d.n(2))
}

// drawLabelEncoder draws keys of the input's type, and values of another or the same.
func drawLabelEncoder(d *draw, x *example) {
	n := 1 + d.n(4)
	texts := []string{"a", "b", "1.5", "x y", ""}[:n]
	if x.m.Opset(classic) < 2 {
		d.give(x, "x0_0", d.value(pickOf(d, model.String, model.Int64), d.dims(d.n(3))))
		x.attr("classes_strings", texts)
		x.attr("default_int64", int(d.int()))
		x.attr("default_string", d.text())
		return
	}
	newer := x.m.Opset(classic) >= 4
	list := func(name string, dt model.DType) {
		floats, ints := make([]float32, n), make([]int64, n)
		for i := range n {
			floats[i], ints[i] = float32(i)/2-1, int64(i)-1
		}
		if name == "keys" && newer && dt.Float() && d.in(30) {
			floats[0] = float32(math.NaN())
		}
		t := model.NewTensor(dt, n)
		for i := range n {
			switch {
			case dt == model.String:
				t.Strs[i] = texts[i]
			case dt.Float():
				t.SetFloat64(i, float64(floats[i]))
			default:
				t.SetInt64(i, ints[i])
			}
		}
		switch {
		case newer && (d.in(40) || dt == model.Float64 || dt == model.Int16 || dt == model.Int32):
			x.attr(name+"_tensor", t)
		case dt == model.String:
			x.attr(name+"_strings", texts)
		case dt.Float():
			x.attr(name+"_floats", floats)
		default:
			x.attr(name+"_int64s", ints)
		}
	}
	// Pairs that ONNX Runtime has kernels for come first; the rest is for the other tests.
	pairs := [][2]model.DType{{model.String, model.Int64}, {model.String, model.Float32}, {model.Int64, model.String}, {model.Int64, model.Float32}, {model.Float32, model.String}, {model.Float32, model.Int64}}
	if newer {
		pairs = append(pairs, [][2]model.DType{{model.String, model.String}, {model.Int64, model.Int64}, {model.Float32, model.Float32}, {model.String, model.Int16}, {model.Float64, model.Float64},
			{model.Float64, model.String}, {model.String, model.Float64}, {model.Int64, model.Float64}, {model.Float64, model.Int64}, {model.Int16, model.Int32}, {model.Int32, model.Int16}}...)
	}
	p := pickOf(d, pairs...)
	in := d.value(p[0], d.dims(d.n(3)))
	for i := range in.Len() {
		if newer && p[0].Float() && d.in(20) {
			in.SetFloat64(i, math.NaN())
		}
	}
	d.give(x, "x0_0", in)
	list("keys", p[0])
	list("values", p[1])
	if newer && d.in(50) {
		x.attr("default_tensor", d.value(p[1], []int{1}))
	}
}

func drawCategoryMapper(d *draw, x *example) {
	n := 1 + d.n(4)
	d.give(x, "x0_0", d.value(pickOf(d, model.String, model.Int64), d.dims(d.n(3))))
	x.attr("cats_strings", []string{"a", "b", "1.5", "x y", ""}[:n])
	x.attr("cats_int64s", []int64{2, -1, 0, 4, 9}[:n])
	x.attr("default_int64", int(d.int()))
	x.attr("default_string", d.text())
}

func drawOneHotEncoder(d *draw, x *example) {
	n := 1 + d.n(4)
	in := d.value(pickOf(d, model.String, model.Int64, model.Int32, model.Float32, model.Float64), d.dims(d.n(3)))
	d.give(x, "x0_0", in)
	if in.DType == model.String {
		x.attr("cats_strings", []string{"a", "b", "1.5", "x y", ""}[:n])
	} else {
		x.attr("cats_int64s", []int64{2, -1, 0, 4, 1}[:n])
	}
	if d.in(20) {
		x.attr("zeros", 0)
	}
}

func drawImputer(d *draw, x *example) {
	width := 1 + d.n(4)
	in := d.features(x, width, numberTypes...)
	n := pickOf(d, 1, width)
	if in.DType.Float() {
		with := float64(d.n(9)) / 4
		if d.in(40) {
			with = math.NaN()
			for i := range in.Len() {
				if d.in(40) {
					in.SetFloat64(i, with)
				}
			}
		}
		x.attr("replaced_value_float", with)
		x.attr("imputed_value_floats", d.quarters(n, -6))
		return
	}
	list := make([]int64, n)
	for i := range list {
		list[i] = d.int()
	}
	x.attr("replaced_value_int64", d.n(4)-1)
	x.attr("imputed_value_int64s", list)
}

func drawZipMap(d *draw, x *example) {
	n := 1 + d.n(5)
	d.features(x, n, model.Float32)
	d.classNames(x, n, "classlabels_int64s", "classlabels_strings")
}

// dict draws a map with keys from a list, some of them.
func (d *draw) dict(key, value model.DType) *model.Tensor {
	n := d.n(5)
	k, v := model.NewTensor(key, n), d.value(value, []int{n})
	for i := range n {
		if key == model.String {
			k.Strs[i] = d.text()
		} else {
			k.SetInt64(i, int64(d.n(5)))
		}
	}
	return mapOf(k, v)
}

func drawDictVectorizer(d *draw, x *example) {
	n := 1 + d.n(4)
	if d.in(50) {
		d.give(x, "x0_0", d.dict(model.String, pickOf(d, model.Int64, model.Float32, model.Float64)))
		x.attr("string_vocabulary", []string{"a", "b", "1.5", "x y", ""}[:n])
	} else {
		d.give(x, "x0_0", d.dict(model.Int64, pickOf(d, model.String, model.Float32, model.Float64)))
		x.attr("int64_vocabulary", []int64{2, -1, 0, 4, 1}[:n])
	}
}

func drawCastMap(d *draw, x *example) {
	m := d.dict(model.Int64, pickOf(d, model.Float32, model.String))
	for i := range m.Elems[1].Strs {
		if d.in(80) {
			m.Elems[1].Strs[i] = pickOf(d, "1", "-2", "30")
		}
	}
	d.give(x, "x0_0", m)
	x.attr("cast_to", pickOf(d, "TO_FLOAT", "TO_STRING", "TO_INT64"))
	if d.in(50) {
		x.attr("map_form", "SPARSE")
		x.attr("max_map", 1+d.n(6))
	}
}
