package optimizer

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"fettle/internal/fail"
	"fettle/model"
)

// Proof is a numeric comparison of two models on the same inputs.
type Proof struct {
	Kind   Exactness `json:"kind"`
	N      int       `json:"n"`       // inputs compared
	MaxAbs float64   `json:"max_abs"` // largest difference of an output element
	MaxRel float64   `json:"max_rel"` // the same, by the largest magnitude of that output
	Within bool      `json:"within"`  // of what Kind promises
	Worst  string    `json:"worst,omitempty"`
}

// RoundingBound is the largest difference, relative to the largest element of an output, that a pass of kind
// Rounding may cause: 2^-23 per addition, a few thousand additions in a row, and room for deep networks.
const RoundingBound = 1e-4

// Prove runs both models on inputs and compares every output. It does not fail on a difference: it reports it.
func Prove(ctx context.Context, run Runner, before, after *model.Model, inputs []map[string]*model.Tensor, kind Exactness) (*Proof, error) {
	a, err := run.Open(ctx, before)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	b, err := run.Open(ctx, after)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	p := &Proof{Kind: kind, Within: true}
	for _, in := range inputs {
		want, err := a.Run(ctx, in)
		if err != nil {
			return nil, fail.In(err, "run the model before", fail.Where{})
		}
		got, err := b.Run(ctx, in)
		if err != nil {
			return nil, fail.In(err, "run the model after", fail.Where{})
		}
		if len(got) != len(want) {
			return nil, fail.New(fail.Internal, "%d outputs after, %d before", len(got), len(want))
		}
		for i := range want {
			if err := p.compare(before.Graph.Outputs[i].Name, want[i], got[i]); err != nil {
				return nil, err
			}
		}
		p.N++
	}
	switch kind {
	case Exact:
		p.Within = p.Within && p.MaxAbs == 0
	case Rounding:
		p.Within = p.Within && p.MaxRel <= RoundingBound
	}
	return p, nil
}

func (p *Proof) compare(name string, want, got *model.Tensor) error {
	if want == nil || got == nil {
		return fail.New(fail.Internal, "an output is missing").At(fail.Where{Tensor: name})
	}
	if want.DType != got.DType || fmt.Sprint(want.Shape) != fmt.Sprint(got.Shape) {
		return fail.New(fail.Internal, "is %s%v after, %s%v before", got.DType, got.Shape, want.DType, want.Shape).At(fail.Where{Tensor: name})
	}
	if want.DType.Composite() {
		if len(want.Elems) != len(got.Elems) {
			return fail.New(fail.Internal, "has %d elements after, %d before", len(got.Elems), len(want.Elems)).At(fail.Where{Tensor: name})
		}
		for i := range want.Elems {
			if err := p.compare(name, want.Elems[i], got.Elems[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if want.DType == model.String {
		for i := range want.Strs {
			if want.Strs[i] != got.Strs[i] {
				p.Within, p.Worst = false, name
			}
		}
		return nil
	}
	var largest, worst float64
	for i := range want.Len() {
		w, g := want.Float64At(i), got.Float64At(i)
		switch {
		case math.IsNaN(w) && math.IsNaN(g) || w == g:
		case math.IsNaN(w) != math.IsNaN(g) || math.IsInf(w, 0) || math.IsInf(g, 0):
			p.Within, p.Worst = false, name
		default:
			worst = math.Max(worst, math.Abs(w-g))
		}
		if !math.IsNaN(w) && !math.IsInf(w, 0) {
			largest = math.Max(largest, math.Abs(w))
		}
	}
	if worst > p.MaxAbs {
		p.MaxAbs = worst
	}
	// Below 1e-6 there is nothing but rounding noise of sums that cancel.
	if rel := worst / math.Max(largest, 1e-6); worst > 0 && rel > p.MaxRel {
		p.MaxRel, p.Worst = rel, name
	}
	return nil
}

// rows is how many rows the smallest table has that a value chooses rows of, at most most: kinds of tokens are two in many models of text.
func rows(m *model.Model, value string, most int) int {
	for _, n := range m.Graph.Nodes {
		switch {
		case n.Op == "Cast" && len(n.Inputs) == 1 && n.Inputs[0] == value:
			most = rows(m, n.Outputs[0], most)
		case n.Op == "Gather" && len(n.Inputs) == 2 && n.Inputs[1] == value:
			table := m.Graph.Init(n.Inputs[0])
			if table == nil || table.Rank() == 0 {
				continue
			}
			axis := int(n.Int("axis", 0))
			if axis < 0 {
				axis += table.Rank()
			}
			if axis >= 0 && axis < table.Rank() {
				most = min(most, max(table.Shape[axis], 1))
			}
		}
	}
	return most
}

// RandomInputs makes n inputs for m from its declared types: floats from a unit normal distribution, small
// integers from 0 to 3, unknown dimensions 1. The same seed gives the same inputs. fail.Unsupported names an
// input whose type it cannot make.
func RandomInputs(m *model.Model, n int, seed int64) ([]map[string]*model.Tensor, error) {
	return RandomInputsOf(m, n, seed, func(model.Value, int) int { return 1 })
}

// RandomInputsOf is RandomInputs with a size for each unknown dimension.
func RandomInputsOf(m *model.Model, n int, seed int64, open func(v model.Value, dim int) int) ([]map[string]*model.Tensor, error) {
	r := rand.New(rand.NewPCG(uint64(seed), 0x6a09e667f3bcc909))
	out := make([]map[string]*model.Tensor, n)
	for k := range out {
		out[k] = map[string]*model.Tensor{}
		for _, v := range m.Graph.Free() {
			if v.Type.Kind != model.KindTensor || !v.Type.DType.Valid() || v.Type.DType == model.String || !v.Type.Ranked {
				return nil, fail.New(fail.Unsupported, "cannot make random values of type %s", v.Type).At(fail.Where{Tensor: v.Name})
			}
			dims := make([]int, len(v.Type.Shape))
			for i, d := range v.Type.Shape {
				if dims[i] = max(d.N, 1); !d.Known() {
					dims[i] = open(v, i)
				}
			}
			if c, err := model.Count(dims); err != nil || c > 1<<28 {
				return nil, fail.New(fail.TooBig, "input of shape %s is too large for a random one", v.Type.Shape).At(fail.Where{Tensor: v.Name})
			}
			t := model.NewTensor(v.Type.DType, dims...)
			below := rows(m, v.Name, 4)
			for i := range t.Len() {
				if t.DType.Float() {
					t.SetFloat64(i, r.NormFloat64())
				} else {
					t.SetInt64(i, int64(r.IntN(below)))
				}
			}
			out[k][v.Name] = t
		}
	}
	return out, nil
}
