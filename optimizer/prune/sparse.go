package prune

import (
	"context"
	"fmt"
	"math"
	"sort"

	"gonum.org/v1/gonum/mat"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// sparsify
//
//	Before:     y = Conv(x, W) or x·W
//	After:      y = Conv(x, W'), a share of W' zero
//	Conditions: W is a stored float32 constant that nobody else reads; no groups.
//	Formula:    column after column, with H the second moments of the rows and U the upper root of H⁻¹: weights with the least
//	            (w/U_jj)² become 0, and w/U_jj · U_j,j+1: is taken from the columns to come.
//	Exactness:  scored: only data says how good it is. Dense kernels are not faster with zeros: the file packs smaller, the speed stays.
//	Paper:      Frantar and Alistarh 2023, arXiv:2301.00774; Mishra et al. 2021, arXiv:2104.08378 (2:4).

// Sparse are the options of sparsify.
type Sparse struct {
	Pattern string   `opt:"pattern" enum:"any 2:4" help:"any: zeros wherever they hurt least; 2:4: two of every four neighbours"`
	Share   float64  `opt:"share" min:"0" max:"0.99" step:"0.05" help:"share of the weights of each layer that become zero" when:"pattern=any"`
	Skip    []string `opt:"skip" help:"layers that stay as they are; first and last stand for the first and the last layer"`
	Samples int      `opt:"samples" min:"8" max:"100000" help:"data items that say which weights matter"`
}

// NewSparsify makes the pass with its defaults.
func NewSparsify() optimizer.Pass {
	return &sparsify{o: Sparse{Pattern: "any", Share: 0.5, Skip: []string{"first", "last"}, Samples: 128}}
}

type sparsify struct{ o Sparse }

// Info describes the pass.
func (p *sparsify) Info() optimizer.Info {
	return optimizer.Info{Name: "sparsify", Title: "Sparsify", Exactness: optimizer.Scored, NeedsData: true,
		Promise: "Sets single weights to zero and fits the others: a smaller packed file, the same speed.",
		Paper:   "Frantar and Alistarh 2023, arXiv:2301.00774", Undo: "the weights that became zero"}
}

// Options is the struct of options.
func (p *sparsify) Options() any { return &p.o }

func (p *sparsify) layers(env *optimizer.Env, s *space) ([]*model.Node, []optimizer.Finding) {
	l, found := (&lowRank{}).layers(env, s)
	var out []*model.Node
	for i, n := range l {
		if named(p.o.Skip, n) || i == 0 && contains(p.o.Skip, "first") || i == len(l)-1 && contains(p.o.Skip, "last") {
			f := optimizer.Describe("sparsify", n)
			f.Outcome, f.Reason = optimizer.Refused, "skipped by its name or place"
			found = append(found, f)
			continue
		}
		out = append(out, n)
	}
	for i := range found {
		found[i].Rule = "sparsify"
	}
	return out, found
}

func contains(l []string, s string) bool {
	for _, x := range l {
		if x == s {
			return true
		}
	}
	return false
}

// Check lists the layers that would get zeros.
func (p *sparsify) Check(env *optimizer.Env, m *model.Model) ([]optimizer.Finding, error) {
	s, err := newSpace(m)
	if err != nil {
		return nil, err
	}
	l, found := p.layers(env, s)
	for _, n := range l {
		f := optimizer.Describe("sparsify", n)
		f.Outcome, f.Reason = optimizer.Applied, "smaller file, same speed"
		found = append(found, f)
	}
	return found, nil
}

// Apply sets weights to zero. fail.Usage without data.
func (p *sparsify) Apply(ctx context.Context, env *optimizer.Env, m *model.Model) (*model.Model, []optimizer.Finding, error) {
	s, err := newSpace(m)
	if err != nil {
		return nil, nil, err
	}
	layers, found := p.layers(env, s)
	if len(layers) == 0 {
		return m, found, nil
	}
	if env.Data == nil || env.Data.Len() == 0 {
		return nil, nil, fail.New(fail.Usage, "data say which weights matter").Doing("sparsify").Try("give a folder of typical inputs with --data")
	}
	items, err := load(ctx, env.Data, p.o.Samples)
	if err != nil {
		return nil, nil, err
	}
	sums, err := s.moments(ctx, env, items, layers)
	if err != nil {
		return nil, nil, err
	}
	inits := map[string]*model.Tensor{}
	for i, n := range layers {
		if err := ctx.Err(); err != nil {
			return nil, nil, fail.From(err)
		}
		env.Progress.Report(int64(i), int64(len(layers)), "sparsifying "+n.Label())
		f := optimizer.Describe("sparsify", n)
		w := s.v.Const(n.Inputs[1])
		outs := w.Shape[outAxis(n)]
		before := mat.NewDense(outs, w.Len()/outs, matrix(n, w))
		h := sums[i].raw()
		after, err := p.zeros(before, h)
		if err != nil {
			f.Outcome, f.Reason = optimizer.Refused, fail.From(err).Error()
			found = append(found, f)
			continue
		}
		var d, dh, wh mat.Dense
		d.Sub(before, after)
		dh.Mul(&d, h)
		wh.Mul(before, h)
		zero := 0
		for _, v := range after.RawMatrix().Data {
			if v == 0 {
				zero++
			}
		}
		inits[n.Inputs[1]] = written(n, w, after.RawMatrix().Data)
		f.Outcome = optimizer.Applied
		f.Reason = fmt.Sprintf("%.1f %% zeros, %.3g of its squared output is lost; smaller file, same speed", 100*float64(zero)/float64(w.Len()), dot(&dh, &d)/math.Max(dot(&wh, before), 1e-30))
		found = append(found, f)
	}
	if len(inits) == 0 {
		return m, found, nil
	}
	out, err := rewrite(m, inits, nil, nil)
	return out, found, err
}

// block is how many columns are looked at together when zeros may stand anywhere.
const block = 64

// zeros gives w with zeros, the rest fitted.
func (p *sparsify) zeros(w, h *mat.Dense) (*mat.Dense, error) {
	outs, width := w.Dims()
	var inv mat.Dense
	if err := inv.Inverse(h); err != nil && inv.IsEmpty() {
		return nil, fail.New(fail.Failed, "its moments cannot be inverted")
	}
	sym := mat.NewSymDense(width, nil)
	for i := range width {
		for j := i; j < width; j++ {
			sym.SetSym(i, j, (inv.At(i, j)+inv.At(j, i))/2)
		}
	}
	var chol mat.Cholesky
	if !chol.Factorize(sym) {
		return nil, fail.New(fail.Failed, "its moments are badly conditioned")
	}
	var u mat.TriDense
	chol.UTo(&u)
	out := mat.DenseCopyOf(w)
	step := block
	if p.o.Pattern == "2:4" {
		step = 4
	}
	gone := make([]bool, outs*width)
	for from := 0; from < width; from += step {
		to := min(width, from+step)
		p.choose(out, &u, gone, from, to)
		for j := from; j < to; j++ {
			root := u.At(j, j)
			for o := range outs {
				if !gone[o*width+j] {
					continue
				}
				e := out.At(o, j) / root
				for k := j + 1; k < width; k++ {
					out.Set(o, k, out.At(o, k)-e*u.At(j, k))
				}
				out.Set(o, j, 0)
			}
		}
	}
	return out, nil
}

// choose marks the weights of columns from..to that become zero.
func (p *sparsify) choose(w *mat.Dense, u *mat.TriDense, gone []bool, from, to int) {
	outs, width := w.Dims()
	type weight struct {
		at    int
		price float64
	}
	mark := func(l []weight, n int) {
		sort.SliceStable(l, func(i, j int) bool { return l[i].price < l[j].price })
		for _, x := range l[:n] {
			gone[x.at] = true
		}
	}
	var all []weight
	for o := range outs {
		var row []weight
		for j := from; j < to; j++ {
			v := w.At(o, j) / u.At(j, j)
			row = append(row, weight{o*width + j, v * v})
		}
		if p.o.Pattern == "2:4" {
			mark(row, len(row)/2)
		}
		all = append(all, row...)
	}
	if p.o.Pattern != "2:4" {
		mark(all, int(math.Round(p.o.Share*float64(len(all)))))
	}
}
