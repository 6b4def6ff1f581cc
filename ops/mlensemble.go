package ops

import (
	"fettle/model"
)

// mlTreeOps: ensembles of decision trees.
func mlTreeOps() []*Def {
	list := func(names ...string) (out []AttrSpec) {
		for _, n := range names {
			out = append(out, AttrSpec{Name: n, Type: model.AttrInts})
		}
		return out
	}
	numbers := func(out []AttrSpec, names ...string) []AttrSpec {
		for _, n := range names {
			out = append(out, AttrSpec{Name: n, Type: model.AttrFloats}, AttrSpec{Name: n + "_as_tensor", Type: model.AttrTensor})
		}
		return out
	}
	tensors := func(names ...string) (out []AttrSpec) {
		for _, n := range names {
			out = append(out, AttrSpec{Name: n, Type: model.AttrTensor, Required: true})
		}
		return out
	}
	nodes := list("nodes_falsenodeids", "nodes_featureids", "nodes_missing_value_tracks_true", "nodes_nodeids", "nodes_treeids", "nodes_truenodeids")
	nodes = numbers(append(nodes, AttrSpec{Name: "nodes_modes", Type: model.AttrStrings}, transformAttr), "base_values", "nodes_hitrates", "nodes_values")
	x := []Port{{Name: "X", Type: "T"}}
	types := map[string]Set{"T": F32 | 1<<model.Float64 | Index}
	with := func(a []AttrSpec, more ...AttrSpec) []AttrSpec { return append(append([]AttrSpec{}, a...), more...) }
	return []*Def{
		{Name: "TreeEnsembleClassifier", Domain: classic, Since: []int{1, 3}, In: x, Out: []Port{{Name: "Y"}, {Name: "Z"}}, Types: types, Exact: Rounding,
			Attrs: with(nodes, numbers(append(list("class_ids", "class_nodeids", "class_treeids", "classlabels_int64s"),
				AttrSpec{Name: "classlabels_strings", Type: model.AttrStrings}), "class_weights")...),
			Infer: inferTreeClassifier, Eval: treeClassifier},
		{Name: "TreeEnsembleRegressor", Domain: classic, Since: []int{1, 3}, In: x, Out: []Port{{Name: "Y"}}, Types: types, Exact: Rounding,
			Attrs: with(nodes, numbers(append(list("target_ids", "target_nodeids", "target_treeids"), AttrSpec{Name: "n_targets", Type: model.AttrInt, Default: int64(1)},
				AttrSpec{Name: "aggregate_function", Type: model.AttrString, Default: "SUM", Enum: []string{"AVERAGE", "SUM", "MIN", "MAX"}}), "target_weights")...),
			Infer: inferTreeRegressor, Eval: treeRegressor},
		{Name: "TreeEnsemble", Domain: classic, Since: []int{5}, In: x, Out: []Port{{Name: "Y"}}, Exact: Rounding,
			Types: map[string]Set{"T": F32 | 1<<model.Float64 | 1<<model.Float16},
			Attrs: with(append(tensors("nodes_splits", "nodes_modes", "leaf_weights"), AttrSpec{Name: "membership_values", Type: model.AttrTensor},
				AttrSpec{Name: "nodes_hitrates", Type: model.AttrTensor}, AttrSpec{Name: "nodes_missing_value_tracks_true", Type: model.AttrInts},
				AttrSpec{Name: "aggregate_function", Type: model.AttrInt, Default: int64(joinSum)}, AttrSpec{Name: "post_transform", Type: model.AttrInt, Default: int64(0)},
				AttrSpec{Name: "n_targets", Type: model.AttrInt, Default: int64(1)}),
				required(list("leaf_targetids", "nodes_falseleafs", "nodes_falsenodeids", "nodes_featureids", "nodes_trueleafs", "nodes_truenodeids", "tree_roots"))...),
			Infer: inferTrees, Eval: trees},
	}
}

func required(a []AttrSpec) []AttrSpec {
	for i := range a {
		a[i].Required = true
	}
	return a
}

// check fails where the input has not the features that the trees read.
func (f *forest) check(width int, bad badAttr) error {
	if width >= 0 && f.features > width {
		return bad("nodes_featureids", "reads feature %d, the input has %d", f.features-1, width)
	}
	return nil
}

// baseOf reads base_values: none, or a value a target.
func baseOf(n *model.Node, targets int64, bad badAttr) ([]float64, error) {
	base, err := attrNumbers(n, "base_values", bad)
	if err == nil && len(base) != 0 && int64(len(base)) != targets {
		err = bad("base_values", "has %d values for %d targets", len(base), targets)
	}
	return base, err
}

func inferTreeRegressor(f *Inference) error {
	targets := f.Int("n_targets")
	if targets < 1 || targets > maxDim {
		return f.BadAttr("n_targets", "is %d", targets)
	}
	trees, err := forestOf(f.Node, "target", targets, f.BadAttr)
	if err != nil {
		return err
	}
	if _, err := baseOf(f.Node, targets, f.BadAttr); err != nil {
		return err
	}
	rows, width, err := f.featureRows()
	if err != nil {
		return err
	}
	f.Out[0] = model.TensorType(model.Float32, model.Shape{rows, model.Fixed(int(targets))})
	return trees.check(width, f.BadAttr)
}

func treeRegressor(c *Call) error {
	targets := c.Int("n_targets")
	trees, err := forestOf(c.Node, "target", targets, c.badAttr)
	if err != nil {
		return err
	}
	base, err := baseOf(c.Node, targets, c.badAttr)
	if err != nil {
		return err
	}
	return c.regress(trees, int(targets), joinNames[c.Str("aggregate_function")], c.Str("post_transform"), base, model.Float32)
}

func (c *Call) regress(f *forest, targets, how int, post string, base []float64, d model.DType) error {
	rows, width, _ := rowsOf(c.In[0].Shape)
	if err := f.check(width, c.badAttr); err != nil {
		return err
	}
	y, err := c.make(d, []int{rows, targets})
	if err != nil {
		return err
	}
	f.each(toFloat64(c.In[0]), rows, width, targets, how, func(row int, s []float64) {
		for k := range base {
			s[k] += base[k]
		}
		transform(s, post)
		for k := range s {
			y.SetFloat64(row*targets+k, s[k])
		}
	})
	c.Out[0] = y
	return nil
}

// transforms are the values of post_transform by number, as the specification of TreeEnsemble counts them.
var transforms = []string{"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"}

func inferTrees(f *Inference) error {
	targets := f.Int("n_targets")
	if targets < 1 || targets > maxDim {
		return f.BadAttr("n_targets", "is %d", targets)
	}
	if k := f.Int("aggregate_function"); k < joinAverage || k > joinMax {
		return f.BadAttr("aggregate_function", "is %d, want 0 to %d", k, joinMax)
	}
	if k := f.Int("post_transform"); k < 0 || k >= int64(len(transforms)) {
		return f.BadAttr("post_transform", "is %d, want 0 to %d", k, len(transforms)-1)
	}
	trees, err := forestOf5(f.Node, f.In[0].DType, targets, f.BadAttr)
	if err != nil {
		return err
	}
	if err := f.ranked(0, 2, 2); err != nil {
		return err
	}
	rows, width, err := f.featureRows()
	if err != nil {
		return err
	}
	f.Out[0] = model.TensorType(f.In[0].DType, model.Shape{rows, model.Fixed(int(targets))})
	return trees.check(width, f.BadAttr)
}

func trees(c *Call) error {
	f, err := forestOf5(c.Node, c.In[0].DType, c.Int("n_targets"), c.badAttr)
	if err != nil {
		return err
	}
	return c.regress(f, int(c.Int("n_targets")), int(c.Int("aggregate_function")), transforms[c.Int("post_transform")], nil, c.In[0].DType)
}

// ballot is what a classifier knows before it sees a row.
type ballot struct {
	*forest
	labels   labels
	base     []float64
	one      bool // all votes are for one of two classes, which is voted
	voted    int
	positive bool // no vote has a negative weight
	post     string
}

func ballotOf(n *model.Node, post string, bad badAttr) (*ballot, error) {
	l, err := labelsOf(n, "classlabels_int64s", "classlabels_strings", bad)
	if err != nil {
		return nil, err
	}
	b := &ballot{labels: l, positive: true, post: post}
	if b.forest, err = forestOf(n, "class", int64(l.count()), bad); err != nil {
		return nil, err
	}
	if b.base, err = attrNumbers(n, "base_values", bad); err != nil {
		return nil, err
	}
	if len(b.base) > l.count() || len(b.base) > 0 && len(b.base) < l.count() && l.count() != 2 {
		return nil, bad("base_values", "has %d values for %d classes", len(b.base), l.count())
	}
	b.one = l.count() == 2
	ids := attrIntList(n, "class_ids")
	for i := range ids {
		b.one, b.voted = b.one && ids[i] == ids[0], int(ids[0])
	}
	for _, v := range b.votes {
		b.positive = b.positive && v.weight >= 0
	}
	return b, nil
}

func inferTreeClassifier(f *Inference) error {
	b, err := ballotOf(f.Node, f.Str("post_transform"), f.BadAttr)
	if err != nil {
		return err
	}
	rows, width, err := f.featureRows()
	if err != nil {
		return err
	}
	f.classes(b.labels, b.labels.count(), rows)
	return b.check(width, f.BadAttr)
}

func treeClassifier(c *Call) error {
	b, err := ballotOf(c.Node, c.Str("post_transform"), c.badAttr)
	if err != nil {
		return err
	}
	rows, width, _ := rowsOf(c.In[0].Shape)
	if err := b.check(width, c.badAttr); err != nil {
		return err
	}
	classes := b.labels.count()
	y, z, err := c.classOutputs(b.labels, rows, classes)
	if err != nil {
		return err
	}
	out := model.Data[float32](z)
	b.each(toFloat64(c.In[0]), rows, width, classes, joinSum, func(row int, s []float64) {
		b.labels.put(y, row, b.elect(s))
		for k := range s {
			out[row*classes+k] = float32(s[k])
		}
	})
	return nil
}

// elect finds the class of a row and turns its sums into scores.
//
// Converters write a model of two classes with votes for one of them only, by the id 0, which mean the second: a probability
// where no weight is negative, else a margin. ONNX Runtime reads them so, and all depend on it. The label follows from the
// same limits where all votes have the id 1, and the scores are as they are.
func (b *ballot) elect(s []float64) int {
	if b.one && b.voted == 0 {
		v := s[0]
		if len(b.base) > 0 {
			v += b.base[len(b.base)-1]
		}
		return secondClass(v, b.positive, b.post, s)
	}
	if b.one && len(b.base) == 1 {
		s[b.voted] += b.base[0]
	} else {
		for k := range b.base {
			s[k] += b.base[k]
		}
	}
	top := largest(s)
	if b.one {
		if top = 0; s[1] > 0.5 || s[1] > 0 && !b.positive {
			top = 1
		}
	}
	transform(s, b.post)
	return top
}

// secondClass turns the score of the second of two classes into scores of both, and says which one it is.
func secondClass(v float64, probability bool, post string, s []float64) int {
	least := 0.0
	if s[0], s[1] = -v, v; probability {
		s[0], least = 1-v, 0.5
	}
	switch post {
	case "LOGISTIC":
		s[0], s[1] = logistic(-v), logistic(v)
	case "PROBIT": // that of 1-p is minus that of p; ONNX Runtime leaves the second score unwritten
		s[0], s[1] = -probit(v), probit(v)
	}
	if v > least {
		return 1
	}
	return 0
}
