package prune

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// factorize
//
//	Before:     y = Conv(x, W) + b
//	After:      y = Conv1x1(Conv(x, B), A) + b', A·B of rank r
//	Conditions: W is a stored float32 constant that nobody else reads; no groups; the two layers multiply less than the one.
//	Formula:    C = L·Lᵀ the covariance of the rows that W multiplies; W·L = U·S·Vᵀ; A = U_r, B = S_r·V_rᵀ·L⁻¹; b' = b + (W - A·B)·mean:
//	            the least squared error of the output on the data that a rank can have. It is the share of S² that is left out.
//	Exactness:  scored: only data says how good it is.
//	Paper:      Zhang et al. 2016, arXiv:1505.06798; Yuan et al. 2023, arXiv:2312.05821 (whitened by the data).

// LowRank are the options of factorize.
type LowRank struct {
	Error   float64  `opt:"error" min:"0" max:"1" step:"0.01" help:"largest share of the variance of a layer's output that may be lost"`
	Ratio   float64  `opt:"ratio" min:"0" max:"1" step:"0.05" help:"share of a layer's multiply-adds that may stay at most; the rank follows from the error below that; 0: whatever is less work"`
	Skip    []string `opt:"skip" help:"layers that stay as they are"`
	Slower  string   `opt:"slower" enum:"refuse keep" help:"what becomes of a result that takes longer on this computer than the model before, measured in turns"`
	Samples int      `opt:"samples" min:"8" max:"100000" help:"data items that say which directions matter"`
}

// NewLowRank makes the pass with its defaults.
func NewLowRank() optimizer.Pass {
	return &lowRank{o: LowRank{Error: 0.02, Ratio: 0.7, Slower: "refuse", Samples: 128}}
}

type lowRank struct{ o LowRank }

// Info describes the pass.
func (p *lowRank) Info() optimizer.Info {
	return optimizer.Info{Name: "factorize", Title: "Factorize", Exactness: optimizer.Scored, NeedsData: true,
		Promise: "Replaces a layer by two thinner ones where the data use few directions of it: fewer parameters and less work.",
		Paper:   "Zhang et al. 2016, arXiv:1505.06798", Undo: "the directions that the data do not use"}
}

// Options is the struct of options.
func (p *lowRank) Options() any { return &p.o }

// layers are those that could be factorized, and findings for those that cannot.
func (p *lowRank) layers(env *optimizer.Env, s *space) ([]*model.Node, []optimizer.Finding) {
	var l []*model.Node
	var found []optimizer.Finding
	for _, n := range s.v.G.Nodes {
		if n.Domain != "" || n.Op != "Conv" && n.Op != "Gemm" && n.Op != "MatMul" || len(n.Inputs) < 2 {
			continue
		}
		w, why := s.v.Const(n.Inputs[1]), ""
		switch {
		case w == nil || w.DType != model.Float32:
			why = s.v.NotConst("the weight", n.Inputs[1])
		case n.Op == "Conv" && n.Int("group", 1) != 1:
			why = "a convolution in groups has few directions as it is"
		case n.Op != "Conv" && (w.Rank() != 2 || n.Int("transA", 0) != 0 || n.Float("alpha", 1) != 1 || n.Float("beta", 1) != 1):
			why = "only plain products with a matrix are known"
		case s.v.Shared("the weight", n.Inputs[1], n) != "":
			why = s.v.Shared("the weight", n.Inputs[1], n)
		case named(p.o.Skip, n):
			why = "skipped by its name"
		case w.Len()/w.Shape[outAxis(n)] > widest:
			why = fmt.Sprintf("its rows have more than %d numbers", widest)
		default:
			why, _ = env.Scope.Allows(n)
		}
		if why != "" {
			f := optimizer.Describe("factorize", n)
			f.Outcome, f.Reason = optimizer.Refused, why
			found = append(found, f)
			continue
		}
		l = append(l, n)
	}
	return l, found
}

func named(list []string, n *model.Node) bool {
	for _, s := range list {
		if s == n.Label() || s == string(n.ID) {
			return true
		}
	}
	return false
}

// Check lists the layers that would be looked at.
func (p *lowRank) Check(env *optimizer.Env, m *model.Model) ([]optimizer.Finding, error) {
	s, err := newSpace(m)
	if err != nil {
		return nil, err
	}
	l, found := p.layers(env, s)
	for _, n := range l {
		f := optimizer.Describe("factorize", n)
		f.Outcome, f.Reason = optimizer.Applied, "the data will say which rank it needs"
		found = append(found, f)
	}
	return found, nil
}

// Apply factorizes. fail.Usage without data.
func (p *lowRank) Apply(ctx context.Context, env *optimizer.Env, m *model.Model) (*model.Model, []optimizer.Finding, error) {
	s, err := newSpace(m)
	if err != nil {
		return nil, nil, err
	}
	layers, found := p.layers(env, s)
	if len(layers) == 0 {
		return m, found, nil
	}
	if env.Data == nil || env.Data.Len() == 0 {
		return nil, nil, fail.New(fail.Usage, "data say which directions matter").Doing("factorize").Try("give a folder of typical inputs with --data")
	}
	items, err := load(ctx, env.Data, p.o.Samples)
	if err != nil {
		return nil, nil, err
	}
	sums, err := s.moments(ctx, env, items, layers)
	if err != nil {
		return nil, nil, err
	}
	var patches []*model.Patch
	for i, n := range layers {
		if err := ctx.Err(); err != nil {
			return nil, nil, fail.From(err)
		}
		env.Progress.Report(int64(i), int64(len(layers)), "factorizing "+n.Label())
		patch, f := p.factor(s, n, sums[i])
		if patch != nil {
			patches = append(patches, patch)
		}
		found = append(found, f)
	}
	if len(patches) == 0 {
		return m, found, nil
	}
	out, err := m.Apply(patches...)
	if err != nil {
		return nil, nil, err
	}
	return env.KeepFaster(ctx, "factorize", p.o.Slower, m, out, found)
}

// factor makes the two layers of n, or says why not.
func (p *lowRank) factor(s *space, n *model.Node, e *equations) (*model.Patch, optimizer.Finding) {
	f := optimizer.Describe("factorize", n)
	f.Outcome = optimizer.Refused
	w := s.v.Const(n.Inputs[1])
	outs := w.Shape[outAxis(n)]
	width := w.Len() / outs
	full := mat.NewDense(outs, width, matrix(n, w))
	h := e.centred()
	sym := mat.NewSymDense(width, nil)
	for i := range width {
		for j := i; j < width; j++ {
			sym.SetSym(i, j, h.At(i, j))
		}
	}
	var chol mat.Cholesky
	if !chol.Factorize(sym) {
		f.Reason = "its moments have no root: its input hardly varies"
		return nil, f
	}
	var l mat.TriDense
	chol.LTo(&l)
	var wl mat.Dense
	wl.Mul(full, &l)
	var svd mat.SVD
	if !svd.Factorize(&wl, mat.SVDThin) {
		f.Reason = "its singular values were not found"
		return nil, f
	}
	values := svd.Values(nil)
	total := 0.0
	for _, v := range values {
		total += v * v
	}
	most := int(p.o.Ratio * float64(outs*width) / float64(outs+width))
	if p.o.Ratio == 0 {
		most = outs * width / (outs + width)
	}
	rank, lost := 0, total
	for rank < len(values) && lost > p.o.Error*total {
		lost -= values[rank] * values[rank]
		rank++
	}
	if rank > most {
		f.Reason = fmt.Sprintf("rank %d of %d would be needed to lose at most %.3g of the variance; only up to %d is less work", rank, min(outs, width), p.o.Error, most)
		return nil, f
	}
	rank = max(rank, 1)
	var u, v, b mat.Dense
	svd.UTo(&u)
	svd.VTo(&v)
	sv := mat.NewDense(width, rank, nil) // V_r S_r
	for i := range width {
		for k := range rank {
			sv.Set(i, k, v.At(i, k)*values[k])
		}
	}
	if err := b.Solve(l.T(), sv); err != nil { // Bᵀ = L⁻ᵀ V_r S_r
		f.Reason = "its moments are badly conditioned"
		return nil, f
	}
	a := u.Slice(0, outs, 0, rank)
	var ab, rest mat.Dense
	ab.Mul(a, b.T())
	rest.Sub(full, &ab)
	bias := make([]float64, outs)
	if in := input(n, 2); in != "" {
		t := s.v.Const(in)
		if t == nil || t.Len() != outs {
			f.Reason = "its bias is no stored vector"
			return nil, f
		}
		for i := range bias {
			bias[i] = t.Float64At(i)
		}
	}
	mean := e.mean()
	for o := range outs {
		for i := range width {
			bias[o] += rest.At(o, i) * mean[i]
		}
	}
	f.Outcome = optimizer.Applied
	f.Reason = fmt.Sprintf("rank %d of %d, %.3g of the variance of its output is lost, %.2f of its multiply-adds are left", rank, min(outs, width), lost/total, float64(rank*(outs+width))/float64(outs*width))
	f.Gain.Nodes, f.Gain.Bytes = -1, int64(4*(outs*width-rank*(outs+width)))
	return s.twoLayers(n, w, a, b.T(), bias), f
}

// twoLayers is the patch that puts B and then A, with the bias, in the place of n.
func (s *space) twoLayers(n *model.Node, w *model.Tensor, a, b mat.Matrix, bias []float64) *model.Patch {
	rank, width := b.Dims()
	outs, _ := a.Dims()
	first, second := *n, model.Node{Name: n.Name + "_second", Op: n.Op, Origin: n.Origin, Outputs: n.Outputs}
	first.Raw, first.Name, first.ID = nil, n.Name+"_first", ""
	middle := n.Outputs[0] + ".factor"
	wb, wa, ba := n.Inputs[1]+".first", n.Inputs[1]+".second", n.Inputs[1]+".bias"
	first.Inputs, first.Outputs = []string{n.Inputs[0], wb}, []string{middle}
	second.Inputs = []string{middle, wa, ba}
	var tb, ta *model.Tensor
	put := func(shape []int, rows, cols int, at func(i, j int) float64) *model.Tensor {
		t := model.NewTensor(model.Float32, shape...)
		for i := range rows {
			for j := range cols {
				model.Data[float32](t)[i*cols+j] = float32(at(i, j))
			}
		}
		return t
	}
	p := &model.Patch{Drop: []model.NodeID{n.ID}, DropInits: s.v.Unread(n)}
	switch n.Op {
	case "Conv":
		tb = put(append([]int{rank}, w.Shape[1:]...), rank, width, b.At)
		shape := []int{outs, rank}
		for range w.Shape[2:] {
			shape = append(shape, 1)
		}
		ta = put(shape, outs, rank, a.At)
	default: // x·Bᵀ·Aᵀ
		first.Attrs = nil
		tb = put([]int{width, rank}, width, rank, func(i, j int) float64 { return b.At(j, i) })
		ta = put([]int{rank, outs}, rank, outs, func(i, j int) float64 { return a.At(j, i) })
		if n.Op == "MatMul" { // it has no place for a bias
			sum := second.Outputs[0]
			second.Inputs, second.Outputs = second.Inputs[:2], []string{middle + ".product"}
			p.Add = []*model.Node{&first, &second, {Name: n.Name + "_bias", Op: "Add", Origin: n.Origin, Inputs: []string{second.Outputs[0], ba}, Outputs: []string{sum}}}
		}
	}
	if p.Add == nil {
		p.Add = []*model.Node{&first, &second}
	}
	for i, add := range p.Add {
		add.ID = model.NodeID(fmt.Sprintf("%s/factor%d", n.ID, i))
	}
	p.Inits = []*model.Init{{Name: wb, Tensor: tb}, {Name: wa, Tensor: ta},
		{Name: ba, Tensor: put([]int{outs}, 1, outs, func(_, j int) float64 { return bias[j] })}}
	return p
}
