package ops

import (
	"math"

	"fettle/model"
)

// mlModelOps: support vector machines, and the linear classifier.
func mlModelOps() []*Def {
	floats := func(names ...string) (out []AttrSpec) {
		for _, n := range names {
			out = append(out, AttrSpec{Name: n, Type: model.AttrFloats})
		}
		return out
	}
	x := []Port{{Name: "X", Type: "T"}}
	types := map[string]Set{"T": F32 | 1<<model.Float64 | Index}
	kernel := append(floats("coefficients", "kernel_params", "rho", "support_vectors"), transformAttr,
		AttrSpec{Name: "kernel_type", Type: model.AttrString, Default: "LINEAR", Enum: []string{"LINEAR", "POLY", "RBF", "SIGMOID"}})
	classes := []AttrSpec{{Name: "classlabels_ints", Type: model.AttrInts}, {Name: "classlabels_strings", Type: model.AttrStrings}}
	with := func(a []AttrSpec, more ...AttrSpec) []AttrSpec { return append(append([]AttrSpec{}, a...), more...) }
	return []*Def{
		{Name: "SVMRegressor", Domain: classic, Since: []int{1}, In: x, Out: []Port{{Name: "Y"}}, Types: types, Exact: Rounding,
			Attrs: with(kernel, AttrSpec{Name: "n_supports", Type: model.AttrInt, Default: int64(0)}, AttrSpec{Name: "one_class", Type: model.AttrInt, Default: int64(0)}),
			Infer: inferSVMRegressor, Eval: svmRegressor},
		{Name: "SVMClassifier", Domain: classic, Since: []int{1}, In: x, Out: []Port{{Name: "Y"}, {Name: "Z"}}, Types: types, Exact: Rounding,
			Attrs: with(with(kernel, classes...), with(floats("prob_a", "prob_b"), AttrSpec{Name: "vectors_per_class", Type: model.AttrInts})...),
			Infer: inferSVMClassifier, Eval: svmClassifier},
		{Name: "LinearClassifier", Domain: classic, Since: []int{1}, In: x, Out: []Port{{Name: "Y"}, {Name: "Z"}}, Types: types, Exact: Rounding,
			Attrs: with(classes, transformAttr, AttrSpec{Name: "coefficients", Type: model.AttrFloats, Required: true}, AttrSpec{Name: "intercepts", Type: model.AttrFloats},
				AttrSpec{Name: "multi_class", Type: model.AttrInt, Default: int64(0)}),
			Infer: inferLinearClassifier, Eval: linearClassifier},
	}
}

// machine is a support vector machine: vectors of width features, or none, where the coefficients apply to the features.
type machine struct {
	vectors, coefficients, rho []float32
	count, width               int // of vectors, of features
	kernel                     string
	gamma, coef0, degree       float64
}

// machineOf reads the attributes that both operators have; width stays 0 where there are no vectors.
func machineOf(n *model.Node, kernel string, count int64, bad badAttr) (*machine, error) {
	m := &machine{vectors: attrFloats(n, "support_vectors"), coefficients: attrFloats(n, "coefficients"), rho: attrFloats(n, "rho"), kernel: kernel}
	if p := attrFloats(n, "kernel_params"); len(p) >= 3 {
		m.gamma, m.coef0, m.degree = float64(p[0]), float64(p[1]), float64(p[2])
	} else if len(p) > 0 {
		return nil, bad("kernel_params", "has %d values, want gamma, coef0 and degree", len(p))
	}
	if len(m.coefficients) == 0 {
		return nil, bad("coefficients", "is absent")
	}
	if count < 0 || count > int64(len(m.vectors)) || count > 0 && int64(len(m.vectors))%count != 0 {
		return nil, bad("support_vectors", "has %d values for %d vectors", len(m.vectors), count)
	}
	if m.count = int(count); count > 0 {
		m.width = len(m.vectors) / m.count
	}
	return m, nil
}

// near is the kernel of a row with a support vector.
func (m *machine) near(row []float64, vector []float32) float64 {
	sum := 0.0
	if m.kernel == "RBF" {
		for i, x := range row {
			d := x - float64(vector[i])
			sum += d * d
		}
		return math.Exp(-m.gamma * sum)
	}
	for i, x := range row {
		sum += x * float64(vector[i])
	}
	switch m.kernel {
	case "POLY":
		return math.Pow(m.gamma*sum+m.coef0, m.degree)
	case "SIGMOID":
		return math.Tanh(m.gamma*sum + m.coef0)
	}
	return sum
}

// nearness fills out with the kernel of a row with each vector.
func (m *machine) nearness(row, out []float64) {
	for i := range out {
		out[i] = m.near(row, m.vectors[i*m.width:][:m.width])
	}
}

// bias is rho[i]; 0 where there is none.
func (m *machine) bias(i int) float64 {
	if i < len(m.rho) {
		return float64(m.rho[i])
	}
	return 0
}

func svmRegressorOf(n *model.Node, d *Def, bad badAttr) (*machine, error) {
	m, err := machineOf(n, attrStr(n, d, "kernel_type"), attrInt(n, d, "n_supports"), bad)
	if err != nil {
		return nil, err
	}
	if m.count == 0 { // one vector of weights
		m.width = len(m.coefficients)
	} else if len(m.coefficients) != m.count {
		return nil, bad("coefficients", "has %d values for %d vectors", len(m.coefficients), m.count)
	}
	return m, nil
}

func inferSVMRegressor(f *Inference) error {
	m, err := svmRegressorOf(f.Node, f.Def, f.BadAttr)
	if err != nil {
		return err
	}
	rows, width, err := f.featureRows()
	if err != nil {
		return err
	}
	f.Out[0] = model.TensorType(model.Float32, model.Shape{rows, model.Fixed(1)})
	return f.wide(m.width, width)
}

// wide fails where the features are not as many as the model has weights for.
func (f *Inference) wide(want, got int) error {
	if got >= 0 && got != want {
		return f.Bad("the input has %d features, the attributes are for %d", got, want)
	}
	return nil
}

// svmRegressor is the sum of kernels times coefficients, plus rho. Without vectors the kernel is linear whatever is asked
// for, as in ONNX Runtime.
func svmRegressor(c *Call) error {
	m, err := svmRegressorOf(c.Node, c.Def, c.badAttr)
	if err != nil {
		return err
	}
	x := toFloat64(c.In[0])
	rows, width, _ := rowsOf(c.In[0].Shape)
	if width != m.width {
		return c.Bad("the input has %d features, the attributes are for %d", width, m.width)
	}
	y, err := c.make(model.Float32, []int{rows, 1})
	if err != nil {
		return err
	}
	out, near := model.Data[float32](y), make([]float64, m.count)
	for r := range rows {
		v, row := m.bias(0), x[r*width:][:width]
		over := near
		if m.count == 0 {
			over = row
		} else {
			m.nearness(row, near)
		}
		for i, k := range over {
			v += k * float64(m.coefficients[i])
		}
		if c.Int("one_class") != 0 { // inside or not
			if v > 0 {
				v = 1
			} else {
				v = -1
			}
		} else if c.Str("post_transform") == "PROBIT" {
			v = probit(v)
		}
		out[r] = float32(v)
	}
	c.Out[0] = y
	return nil
}

// jury is a machine for classes: one for each pair of them where there are vectors, else a line of weights a class.
type jury struct {
	*machine
	labels       labels
	first        []int // vector of each class, and their number
	probA, probB []float32
	scores       int
	q, qp        []float64 // of probabilities
}

// maxClasses bounds a jury, which has a score for each pair.
const maxClasses = 1 << 15

func juryOf(n *model.Node, kernel string, bad badAttr) (*jury, error) {
	l, err := labelsOf(n, "classlabels_ints", "classlabels_strings", bad)
	if err != nil {
		return nil, err
	}
	j := &jury{labels: l, first: []int{0}, probA: attrFloats(n, "prob_a"), probB: attrFloats(n, "prob_b")}
	per, total := attrIntList(n, "vectors_per_class"), int64(0)
	for _, k := range per {
		if k < 0 || k > math.MaxInt32 || total > math.MaxInt32 {
			return nil, bad("vectors_per_class", "has the number %d", k)
		}
		total += k
		j.first = append(j.first, int(total))
	}
	if j.machine, err = machineOf(n, kernel, total, bad); err != nil {
		return nil, err
	}
	classes := l.count()
	if classes < 2 || classes > maxClasses {
		return nil, bad("classlabels_ints", "names %d classes", classes)
	}
	if j.count == 0 {
		if len(j.coefficients)%classes != 0 {
			return nil, bad("coefficients", "has %d values for %d classes", len(j.coefficients), classes)
		}
		j.width, j.scores = len(j.coefficients)/classes, classes
		return j, nil
	}
	pairs := classes * (classes - 1) / 2
	switch {
	case len(per) != classes:
		return nil, bad("vectors_per_class", "has %d values for %d classes", len(per), classes)
	case len(j.coefficients) != (classes-1)*j.count:
		return nil, bad("coefficients", "has %d values for %d classes of %d vectors", len(j.coefficients), classes, j.count)
	case len(j.rho) != 0 && len(j.rho) < pairs:
		return nil, bad("rho", "has %d values for %d pairs of classes", len(j.rho), pairs)
	case len(j.probA) != len(j.probB) || len(j.probA) != 0 && len(j.probA) < pairs:
		return nil, bad("prob_a", "has %d values, prob_b %d, for %d pairs of classes", len(j.probA), len(j.probB), pairs)
	}
	if j.scores = classes; len(j.probA) == 0 && classes > 2 {
		j.scores = pairs // ONNX Runtime and its converters have a score a pair here, the specification one a class
	}
	return j, nil
}

func inferSVMClassifier(f *Inference) error {
	j, err := juryOf(f.Node, f.Str("kernel_type"), f.BadAttr)
	if err != nil {
		return err
	}
	rows, width, err := f.featureRows()
	if err != nil {
		return err
	}
	f.classes(j.labels, j.scores, rows)
	return f.wide(j.width, width)
}

func svmClassifier(c *Call) error {
	j, err := juryOf(c.Node, c.Str("kernel_type"), c.badAttr)
	if err != nil {
		return err
	}
	x := toFloat64(c.In[0])
	rows, width, _ := rowsOf(c.In[0].Shape)
	if width != j.width {
		return c.Bad("the input has %d features, the attributes are for %d", width, j.width)
	}
	y, z, err := c.classOutputs(j.labels, rows, j.scores)
	if err != nil || rows == 0 {
		return err
	}
	classes, out := j.labels.count(), model.Data[float32](z)
	near, votes := make([]float64, j.count), make([]float64, classes)
	var pairs []float64
	if n := classes * (classes - 1) / 2; j.count > 0 {
		if n > c.limit()/8 {
			return c.tooBig("%d pairs of classes", n)
		}
		pairs = make([]float64, n)
	}
	s := make([]float64, max(classes, j.scores))
	for r := range rows {
		row, top := x[r*width:][:width], 0
		switch s = s[:j.scores]; {
		case j.count == 0:
			for k := range s {
				s[k] = j.bias(0)
				for i, v := range row {
					s[k] += v * float64(j.coefficients[k*width+i])
				}
			}
			top = largest(s)
			transform(s, c.Str("post_transform"))
		case len(j.probA) > 0:
			j.nearness(row, near)
			j.duel(near, pairs, votes)
			top = largest(votes)
			j.probabilities(pairs, s)
			transform(s, c.Str("post_transform"))
		case classes == 2:
			j.nearness(row, near)
			j.duel(near, pairs, votes)
			top = largest(votes)
			s[0], s[1] = -pairs[0], pairs[0]
			if post := c.Str("post_transform"); post != "NONE" {
				s[0] = pairs[0]
				single(s, post)
			}
		default:
			j.nearness(row, near)
			j.duel(near, pairs, votes)
			top = largest(votes)
			copy(s, pairs)
			transform(s, c.Str("post_transform"))
		}
		j.labels.put(y, r, top)
		for k, v := range s {
			out[r*j.scores+k] = float32(v)
		}
	}
	return nil
}

// duel fills pairs with the margin of each pair of classes, in the order 01, 02, …, 12, …, and votes with how many of its pairs
// each class wins. The coefficients are laid out as libsvm has them: in row j-1, those of the vectors of class i against class
// j > i; in row i those of the vectors of class j against class i.
func (j *jury) duel(near, pairs, votes []float64) {
	clear(votes)
	p := 0
	for a := range votes {
		for b := a + 1; b < len(votes); b++ {
			v := j.bias(p)
			for i := j.first[a]; i < j.first[a+1]; i++ {
				v += near[i] * float64(j.coefficients[(b-1)*j.count+i])
			}
			for i := j.first[b]; i < j.first[b+1]; i++ {
				v += near[i] * float64(j.coefficients[a*j.count+i])
			}
			pairs[p] = v
			if p++; v > 0 {
				votes[a]++
			} else {
				votes[b]++
			}
		}
	}
}

// probabilities couples those of the pairs into those of the classes: the p whose sum over pairs of (r[ba] p[a] - r[ab] p[b])²
// is least, by cyclic descent, with the limits of libsvm.
// Source: Wu, Lin and Weng 2004, Probability estimates for multi-class classification by pairwise coupling, method 2.
func (j *jury) probabilities(pairs, p []float64) {
	const least, rounds = 1e-7, 100
	n := len(p)
	if j.q == nil {
		j.q, j.qp = make([]float64, n*n), make([]float64, n)
	}
	q, qp := j.q, j.qp // q[aa] = sum of r[ba]² over b, q[ab] = -r[ab] r[ba]
	clear(q)
	k := 0
	for a := range p {
		p[a] = 1 / float64(n)
		for b := a + 1; b < n; b++ {
			wins := logistic(-(pairs[k]*float64(j.probA[k]) + float64(j.probB[k])))
			wins = math.Min(math.Max(wins, least), 1-least)
			q[a*n+a] += (1 - wins) * (1 - wins)
			q[b*n+b] += wins * wins
			q[a*n+b], q[b*n+a] = -wins*(1-wins), -wins*(1-wins)
			k++
		}
	}
	for range rounds {
		total, worst := 0.0, 0.0
		for a := range p {
			qp[a] = 0
			for b := range p {
				qp[a] += q[a*n+b] * p[b]
			}
			total += p[a] * qp[a]
		}
		for a := range p {
			worst = math.Max(worst, math.Abs(qp[a]-total))
		}
		if worst < 0.005/float64(n) {
			break
		}
		for a := range p {
			d := (total - qp[a]) / q[a*n+a]
			p[a] += d
			total = (total + d*(d*q[a*n+a]+2*qp[a])) / ((1 + d) * (1 + d))
			for b := range p {
				qp[b] = (qp[b] + d*q[a*n+b]) / (1 + d)
				p[b] /= 1 + d
			}
		}
	}
}

// linearOf gives labels and the number of scores a row, which is that of the labels, or one where there are two.
func linearOf(n *model.Node, bad badAttr) (l labels, scores int, err error) {
	if l, err = labelsOf(n, "classlabels_ints", "classlabels_strings", bad); err != nil {
		return l, 0, err
	}
	w, b := len(attrFloats(n, "coefficients")), len(attrFloats(n, "intercepts"))
	scores = l.count()
	if b == 1 {
		scores = 1
	}
	if b != 0 && b != scores || scores == 1 && l.count() > 2 {
		return l, 0, bad("intercepts", "has %d values for %d classes", b, l.count())
	}
	if w == 0 || w%scores != 0 {
		return l, 0, bad("coefficients", "%d values for %d classes", w, l.count())
	}
	return l, scores, nil
}

func inferLinearClassifier(f *Inference) error {
	l, scores, err := linearOf(f.Node, f.BadAttr)
	if err != nil {
		return err
	}
	rows, width, err := f.featureRows()
	if err != nil {
		return err
	}
	f.classes(l, l.count(), rows)
	return f.wide(len(attrFloats(f.Node, "coefficients"))/scores, width)
}

// linearClassifier scores each class as LinearRegressor does a target. The label is that of the largest score before the
// transform; with a single score for two classes, the second where it is above 0.
func linearClassifier(c *Call) error {
	l, scores, err := linearOf(c.Node, c.badAttr)
	if err != nil {
		return err
	}
	w, b := attrFloats(c.Node, "coefficients"), attrFloats(c.Node, "intercepts")
	x := toFloat64(c.In[0])
	rows, width, _ := rowsOf(c.In[0].Shape)
	if width*scores != len(w) {
		return c.Bad("the input has %d features, the attributes are for %d", width, len(w)/scores)
	}
	classes := l.count()
	y, z, err := c.classOutputs(l, rows, classes)
	if err != nil {
		return err
	}
	out, s := model.Data[float32](z), make([]float64, classes)
	for r := range rows {
		for k := range scores {
			s[k] = 0
			if len(b) > 0 {
				s[k] = float64(b[k])
			}
			for i := range width {
				s[k] += x[r*width+i] * float64(w[k*width+i])
			}
		}
		top := 0
		if scores < classes {
			if s[0] > 0 {
				top = 1
			}
			single(s, c.Str("post_transform"))
		} else {
			top = largest(s)
			transform(s, c.Str("post_transform"))
		}
		l.put(y, r, top)
		for k, v := range s {
			out[r*classes+k] = float32(v)
		}
	}
	return nil
}

// single turns the score of the second of two classes, in s[0], into both.
func single(s []float64, post string) {
	v := s[0]
	switch post {
	case "LOGISTIC":
		v = logistic(v)
	case "PROBIT": // that of 1-p is minus that of p
		s[0], s[1] = -probit(v), probit(v)
		return
	}
	s[0], s[1] = 1-v, v
}
