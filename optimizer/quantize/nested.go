package quantize

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"

	"gonum.org/v1/gonum/floats"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// Nested weights are int8 weights w from -120 to 119 whose upper halves are int4 weights: h = (w+8) >> 4 from -7 to 7 stands for
// 16·h, the multiple of 16 next to w. So one file holds two models that share all scales, biases and ranges; zero is exact in both.
// To every other reader the file is a plain int8 model.
//
// Source: any-precision networks, Yu et al. 2021, arXiv:1911.07346, here with the rounding of each level to nearest.

// NestedKey is where a model's metadata names its nested weights.
const NestedKey = "fettle.nested"

// Nested is what the metadata says.
type Nested struct {
	Weights []string `json:"weights"`       // constants
	Tau     *float64 `json:"tau,omitempty"` // margin below which the int8 level is asked too, as held-out data suggest; nil: there were none
}

// NestedOf reads the metadata of m; nil where it holds no nested weights. fail.Invalid where it is damaged.
func NestedOf(m *model.Model) (*Nested, error) {
	text := m.Meta(NestedKey)
	if text == "" {
		return nil, nil
	}
	n := &Nested{}
	if err := json.Unmarshal([]byte(text), n); err != nil {
		return nil, fail.New(fail.Invalid, "the metadata %s is no list of weights: %v", NestedKey, err)
	}
	for _, w := range n.Weights {
		if t := m.Graph.Init(w); t == nil || t.DType != model.Int8 {
			return nil, fail.New(fail.Invalid, "the metadata %s names a weight that is no int8 constant", NestedKey).At(fail.Where{Tensor: w})
		}
	}
	return n, nil
}

// Level is m at a level: "int8" is m itself, "int4" has the upper halves of its nested weights alone, still as int8 numbers, so that
// it runs on the same kernels. fail.Unsupported where m has no nested weights.
func Level(m *model.Model, level string) (*model.Model, error) {
	n, err := NestedOf(m)
	if err != nil {
		return nil, err
	}
	switch {
	case n == nil:
		return nil, fail.New(fail.Unsupported, "the model has one level only").Try("make one with quantize and weights = \"nested\"")
	case level == "int8":
		return m, nil
	case level != "int4":
		return nil, fail.New(fail.Usage, "%q is no level", level).Try("use int4 or int8")
	}
	return lower(m, n.Weights), nil
}

// lower is m with the upper halves of weights alone.
func lower(m *model.Model, weights []string) *model.Model {
	ed := &edits{inits: map[string]*model.Tensor{}, nodes: map[model.NodeID]*model.Node{}}
	for _, w := range weights {
		t := m.Graph.Init(w).Clone()
		for i, v := range t.Raw {
			t.Raw[i] = byte(upper(int8(v)) << 4)
		}
		ed.inits[w] = t
	}
	return ed.apply(m)
}

// upper is the int4 weight within w.
func upper(w int8) int8 { return int8((int(w) + 8) >> 4) }

// LevelFile is m at level "int4" with weights of half the size, as a file of its own; products that other nodes than
// DequantizeLinear read keep the form of Level.
func LevelFile(m *model.Model) (*model.Model, error) {
	low, err := Level(m, "int4")
	if err != nil {
		return nil, err
	}
	n, err := NestedOf(m)
	if err != nil {
		return nil, err
	}
	if low, err = optimizer.Upgrade(low, precisions["int4"].opset, precisions["int4"].ir); err != nil {
		return nil, err
	}
	used := names(low)
	ed := &edits{inits: map[string]*model.Tensor{}, nodes: map[model.NodeID]*model.Node{}}
	for _, w := range n.Weights {
		t := low.Graph.Init(w)
		users := low.Graph.Users(w)
		plain := len(users) > 0
		for _, u := range users {
			plain = plain && is(u, "DequantizeLinear") && u.Inputs[0] == w && low.Graph.Init(u.Inputs[1]) != nil
		}
		if !plain {
			continue
		}
		half := model.NewTensor(model.Int4, t.Shape...)
		for i, v := range t.Raw {
			half.SetInt64(i, int64(int8(v)>>4))
		}
		ed.inits[w] = half
		for _, u := range users {
			scale := low.Graph.Init(u.Inputs[1]).Clone()
			for i, v := range model.Data[float32](scale) {
				model.Data[float32](scale)[i] = 16 * v
			}
			c := ed.node(u)
			c.Inputs = []string{w, fresh(used, u.Inputs[1]+"_int4")} // zeros are the default
			ed.add = append(ed.add, &model.Init{Name: c.Inputs[1], Tensor: scale})
		}
	}
	out := ed.apply(low)
	return out.Apply(&model.Patch{Meta: []model.KV{{Key: NestedKey, Value: ""}}})
}

// Margin is how sure a classifier is: the difference of the two largest probabilities of the first output, which holds one
// number a class, logits or probabilities.
func Margin(out []*model.Tensor) (float64, error) {
	if len(out) == 0 || out[0] == nil || out[0].DType != model.Float32 || math.IsNaN(divergence(out[0], out[0])) {
		return 0, fail.New(fail.Unsupported, "the first output is not one row of classes, so nothing says how sure the answer is").Try("choose a level")
	}
	p := logSoftmax(model.Data[float32](out[0]))
	sort.Sort(sort.Reverse(sort.Float64Slice(p)))
	return math.Exp(p[0]) - math.Exp(p[1]), nil
}

// settled is how much of the items the two levels together have to answer as int8 does.
const settled = 0.99

func (w *writer) nestedWeights() []string {
	var out []string
	for _, p := range w.placed {
		if precisions[p.l.as].nested() && !slices.Contains(out, p.q) {
			out = append(out, p.q)
		}
	}
	return out
}

// judgeLevels is judge, of both levels where there are two: their mean.
func (j *job) judgeLevels(ctx context.Context, w *written, m *model.Model) (fidelity, error) {
	f, err := j.judge(ctx, m)
	if err != nil || j.o.Weights != "nested" {
		return f, err
	}
	g, err := j.judge(ctx, lower(m, w.nestedWeights()))
	f.SQNR, f.KL, f.Same = (f.SQNR+g.SQNR)/2, (f.KL+g.KL)/2, (f.Same+g.Same)/2
	return f, err
}

// halves rounds the upper halves of a channel first, then the whole numbers within what the halves leave. coarse holds factors of the
// Hessian that means count in, as both levels share one bias; fine is that of the whole numbers.
func (c choice) halves(coarse []*factor, fine *factor, w []float64) row {
	up := choice{lo: -7, hi: 7, scale: 16 * c.scale}.best(coarse, w)
	k := len(w)
	q, d, g := make([]float64, k), make([]float64, k), make([]float64, k)
	lo, hi := make([]float64, k), make([]float64, k)
	for i, col := range fine.order {
		lo[i], hi[i] = 16*float64(up.q[col])-8, 16*float64(up.q[col])+7
		q[i] = min(max(math.RoundToEven(w[col]/c.scale), lo[i]), hi[i])
		d[i] = w[col] - q[i]*c.scale
	}
	for i := range k {
		g[i] = floats.Dot(fine.h[i*k:][:k], d)
	}
	for range 16 { // as polish, with limits of each weight
		moved := false
		for i := range k {
			to := min(max(q[i]+math.RoundToEven(g[i]/(fine.h[i*k+i]*c.scale)), lo[i]), hi[i])
			step := (q[i] - to) * c.scale
			if step == 0 || step*(2*g[i]+step*fine.h[i*k+i]) >= 0 {
				continue
			}
			q[i], d[i], moved = to, d[i]+step, true
			floats.AddScaled(g, step, fine.h[i*k:][:k])
		}
		if !moved {
			break
		}
	}
	out := row{q: make([]int8, k), scale: c.scale, d: make([]float64, k), loss: fine.loss(d)}
	for i, col := range fine.order {
		out.q[col], out.d[col] = int8(q[i]), d[i]
	}
	return out
}

// nest writes the metadata of m, whose nested weights are those of w, with the margin that the items which judge suggest.
func (j *job) nest(ctx context.Context, w *written, m *model.Model) (*model.Model, error) {
	n := &Nested{Weights: w.nestedWeights()}
	mark := func() (*model.Model, error) {
		b, err := json.Marshal(n)
		if err != nil {
			return nil, fail.New(fail.Internal, "%v", err)
		}
		return m.Apply(&model.Patch{Meta: []model.KV{{Key: NestedKey, Value: string(b)}}})
	}
	out, err := mark()
	if err != nil || j.batch == nil {
		return out, err
	}
	low, err := Level(out, "int4")
	if err != nil {
		return nil, err
	}
	var got [2][][]*model.Tensor
	for i, x := range []*model.Model{low, out} {
		if got[i], err = outputs(ctx, j.env, x, j.batch.judges()); err != nil {
			return nil, err
		}
	}
	margins := make([]float64, len(got[0]))
	same := make([]bool, len(margins))
	for i := range margins {
		if margins[i], err = Margin(got[0][i]); err != nil {
			j.say(optimizer.Applied, "levels", "outputs of the int4 level on "+j.where()+": "+compare(j.want, got[0]).String()+"; "+fail.From(err).Why)
			return out, nil
		}
		same[i] = top(model.Data[float32](got[0][i][0])) == top(model.Data[float32](got[1][i][0]))
	}
	tau, share, asked := suggest(margins, same)
	n.Tau = &tau
	low4, high := compare(j.want, got[0]), compare(j.want, got[1])
	j.say(optimizer.Applied, "levels", fmt.Sprintf("on %s int4: %s; int8: %s; with tau = %.3g the answer is that of int8 on %.1f %%, and %.1f %% are computed twice",
		j.where(), low4, high, tau, 100*share, 100*asked))
	return mark()
}

// suggest is the least tau with which enough answers are those of the upper level, the share of them, and the share of items whose
// margin is below it.
func suggest(margins []float64, same []bool) (tau, share, asked float64) {
	n := float64(len(margins))
	var wrong []float64
	for i, ok := range same {
		if !ok {
			wrong = append(wrong, margins[i])
		}
	}
	sort.Sort(sort.Reverse(sort.Float64Slice(wrong)))
	left := int((1 - settled) * n)
	if len(wrong) > left {
		tau = math.Nextafter(wrong[left], 2)
	}
	for i, m := range margins {
		if m < tau {
			asked += 1 / n
		}
		if m < tau || same[i] {
			share += 1 / n
		}
	}
	return tau, share, asked
}
