package prune

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"

	"gonum.org/v1/gonum/mat"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// evidence is what data say about the inputs of a layer that reads channels: the second moments of its rows, centred, and its weights.
type evidence struct {
	reader
	w, h    *mat.Dense    // outputs x columns, columns x columns
	columns map[int][]int // of each class
	total   float64       // tr(W H Wᵀ): the variance of its output
}

// widest bounds the columns of a layer that moments are taken of: they grow with the square.
const widest = 2600

// gather runs the original on items and takes the moments of every layer that reads channels of the groups.
func (s *space) gather(ctx context.Context, env *optimizer.Env, items []map[string]*model.Tensor, groups []*Group) (map[*Group][]*evidence, error) {
	of := map[int][]*Group{} // class to its group
	for _, g := range groups {
		for _, c := range g.classes {
			of[c.root] = append(of[c.root], g)
		}
	}
	var list []*evidence
	var nodes []*model.Node
	for _, r := range s.reads {
		w := s.v.Const(r.weight)
		width := w.Len() / w.Shape[outAxis(r.node)]
		if width > widest || len(of[find(s.same, r.atoms[0])]) == 0 {
			continue
		}
		e := &evidence{reader: r, columns: map[int][]int{}}
		each := width / len(r.atoms)
		for i, a := range r.atoms {
			root := find(s.same, a)
			for k := range each {
				e.columns[root] = append(e.columns[root], i*each+k)
			}
		}
		e.w = mat.NewDense(w.Len()/width, width, matrix(r.node, w))
		list, nodes = append(list, e), append(nodes, r.node)
	}
	if len(list) == 0 {
		return nil, fail.New(fail.Unsupported, "no layer that reads channels is small enough to take moments of")
	}
	sums, err := s.moments(ctx, env, items, nodes)
	if err != nil {
		return nil, err
	}
	out := map[*Group][]*evidence{}
	for k, e := range list {
		e.h = sums[k].centred()
		var wh mat.Dense
		wh.Mul(e.w, e.h)
		e.total = dot(&wh, e.w)
		seen := map[*Group]bool{}
		for root := range e.columns {
			for _, g := range of[root] {
				if !seen[g] {
					seen[g] = true
					out[g] = append(out[g], e)
				}
			}
		}
	}
	return out, nil
}

// moments runs the original on items and sums the second moments of the rows that layers multiply by their weights.
func (s *space) moments(ctx context.Context, env *optimizer.Env, items []map[string]*model.Tensor, layers []*model.Node) ([]*equations, error) {
	var values []string
	sums, widths, at := make([]*equations, len(layers)), make([]int, len(layers)), make([]int, len(layers))
	for k, n := range layers {
		w := s.v.Const(n.Inputs[1])
		at[k] = -1 // it reads an input of the model
		widths[k] = w.Len() / w.Shape[outAxis(n)]
		sums[k] = newEquations(widths[k], 1)
		if s.v.G.Producer(n.Inputs[0]) != nil {
			at[k], values = len(values), append(values, n.Inputs[0])
		}
	}
	part := s.v.M
	if len(values) > 0 {
		var err error
		if part, err = s.showing(s.v.M, values); err != nil {
			return nil, err
		}
	}
	const batch = 16
	rows := make([][][]float32, batch) // by item, so that sums do not depend on the number of workers
	for from := 0; from < len(items); from += batch {
		some := items[from:min(len(items), from+batch)]
		env.Progress.Report(int64(from), int64(len(items)), "moments of layers")
		err := each(ctx, env, part, some, func(i int, out []*model.Tensor) error {
			xs := make([][]float32, len(layers))
			for k, n := range layers {
				x := some[i][n.Inputs[0]]
				if at[k] >= 0 {
					x = out[at[k]]
				}
				if x == nil || x.DType != model.Float32 {
					return fail.New(fail.Unsupported, "the layer reads no float32 numbers").At(fail.Where{Node: string(n.ID)})
				}
				p := newRows(n, nil)
				p.window(n, s.v.Const(n.Inputs[1]), x.Shape)
				if p.conv {
					p.batch = x.Shape[0]
				} else {
					p.positions = x.Len() / p.width
				}
				for _, at := range spread(p.count(), rowsPerItem, rand.New(rand.NewPCG(uint64(env.Seed), uint64(from+i)<<16+uint64(k)))) {
					row := make([]float32, widths[k])
					p.row(row, model.Data[float32](x), at)
					xs[k] = append(xs[k], row...)
				}
			}
			rows[i] = xs
			return nil
		})
		if err != nil {
			return nil, err
		}
		for i := range some {
			for k, q := range sums {
				q.add(rows[i][k], make([]float32, len(rows[i][k])/q.width))
			}
		}
	}
	return sums, nil
}

// raw are the second moments of the rows, not centred, with a small pull on the diagonal: for weights that get no new bias.
func (e *equations) raw() *mat.Dense {
	w, n := e.width, float64(max(e.n, 1))
	h := mat.NewDense(w, w, nil)
	diag := 0.0
	for i := range w {
		for j := range w {
			h.Set(i, j, e.xx[min(i, j)*(w+1)+max(i, j)]/n)
		}
		diag += h.At(i, i) / float64(w)
	}
	for i := range w {
		h.Set(i, i, h.At(i, i)+ridge*max(diag, 1e-12))
	}
	return h
}

// mean is the mean row.
func (e *equations) mean() []float64 {
	out := make([]float64, e.width)
	for i := range out {
		out[i] = e.xx[i*(e.width+1)+e.width] / float64(max(e.n, 1))
	}
	return out
}

// centred is the covariance of the rows, with a small pull on its diagonal.
func (e *equations) centred() *mat.Dense {
	w, n := e.width, float64(max(e.n, 1))
	at := func(i, j int) float64 { return e.xx[min(i, j)*(w+1)+max(i, j)] }
	h := mat.NewDense(w, w, nil)
	diag := 0.0
	for i := range w {
		for j := range w {
			h.Set(i, j, at(i, j)/n-at(i, w)*at(j, w)/(n*n))
		}
		diag += h.At(i, i) / float64(w)
	}
	for i := range w {
		h.Set(i, i, h.At(i, i)+ridge*max(diag, 1e-12))
	}
	return h
}

func dot(a, b *mat.Dense) float64 {
	sum := 0.0
	r, c := a.Dims()
	for i := range r {
		for j := range c {
			sum += a.At(i, j) * b.At(i, j)
		}
	}
	return sum
}

// path is the order in which the channels of a group go, and what the outputs of the layers that read them lose up to each, as a
// share of their variance, when these are fitted to what is left.
type path struct {
	roots  []int
	damage []float64 // after 0, 1, 2, … channels
}

// remover takes channels out of one layer's input, the weights always fitted to what is left.
//
// Source: Frantar and Alistarh 2022, arXiv:2208.11580 (blocks of columns).
type remover struct {
	e    *evidence
	w, v *mat.Dense // weights, inverse of the moments
	gone map[int]bool
}

func newRemover(e *evidence) (*remover, error) {
	r := &remover{e: e, w: mat.DenseCopyOf(e.w), v: new(mat.Dense), gone: map[int]bool{}}
	if err := r.v.Inverse(e.h); err != nil && r.v.IsEmpty() {
		return nil, fail.New(fail.Failed, "the moments of %s cannot be inverted", e.node.Label())
	}
	return r, nil
}

// price is what the variance of the output rises by if class root goes, and the inverse of its block.
func (r *remover) price(root int) (float64, *mat.Dense, []int) {
	cols := r.e.columns[root]
	k, outs := len(cols), r.w.RawMatrix().Rows
	block := mat.NewDense(k, k, nil)
	for i, a := range cols {
		for j, b := range cols {
			block.Set(i, j, r.v.At(a, b))
		}
	}
	inv := new(mat.Dense)
	if err := inv.Inverse(block); err != nil && inv.IsEmpty() {
		return 0, nil, cols // its columns say nothing: they depend on others
	}
	sum := 0.0
	for o := range outs {
		for i, a := range cols {
			for j, b := range cols {
				sum += r.w.At(o, a) * inv.At(i, j) * r.w.At(o, b)
			}
		}
	}
	return max(sum, 0), inv, cols
}

// remove takes root out and fits the rest.
func (r *remover) remove(root int) {
	_, inv, cols := r.price(root)
	r.gone[root] = true
	if inv != nil {
		_, width := r.w.Dims()
		side := mat.NewDense(len(cols), width, nil) // the block's rows of the inverse
		for i, a := range cols {
			side.SetRow(i, mat.Row(nil, a, r.v))
		}
		var push, step mat.Dense
		push.Mul(inv, side)
		part := mat.NewDense(r.w.RawMatrix().Rows, len(cols), nil)
		for o := range r.w.RawMatrix().Rows {
			for i, a := range cols {
				part.Set(o, i, r.w.At(o, a))
			}
		}
		step.Mul(part, &push)
		r.w.Sub(r.w, &step)
		var down mat.Dense
		down.Mul(side.T(), &push)
		r.v.Sub(r.v, &down)
	}
	for _, a := range cols {
		for o := range r.w.RawMatrix().Rows {
			r.w.Set(o, a, 0)
		}
	}
}

// pathOf removes the free channels of g one by one, each time the one whose loss hurts least. The last one of a layer stays.
func (s *space) pathOf(ctx context.Context, g *Group, list []*evidence) (*path, []*remover, error) {
	var rs []*remover
	for _, e := range list {
		r, err := newRemover(e)
		if err != nil {
			return nil, nil, err
		}
		rs = append(rs, r)
	}
	p := &path{damage: []float64{0}}
	left, may := map[int]bool{}, s.sparing()
	var free []int
	for _, c := range g.classes {
		if c.why == "" {
			free, left[c.root] = append(free, c.root), true
		}
	}
	for len(left) > 1 {
		if err := ctx.Err(); err != nil {
			return nil, nil, fail.From(err)
		}
		best, cost := -1, math.Inf(1)
		for _, root := range free {
			if !left[root] {
				continue
			}
			sum := 0.0
			for _, r := range rs {
				if len(r.e.columns[root]) > 0 {
					v, _, _ := r.price(root)
					sum += v / max(r.e.total, 1e-30) / float64(len(rs))
				}
			}
			if sum < cost {
				best, cost = root, sum
			}
		}
		delete(left, best)
		if !may(best) {
			continue
		}
		for _, r := range rs {
			if len(r.e.columns[best]) > 0 {
				r.remove(best)
			}
		}
		p.roots, p.damage = append(p.roots, best), append(p.damage, p.damage[len(p.damage)-1]+cost)
	}
	return p, rs, nil
}

// rates gives each class of a group a number by a criterion that looks at data; small ones go first.
func (s *space) rates(ctx context.Context, g *Group, list []*evidence, criterion string) (map[int]float64, error) {
	if len(list) == 0 {
		return nil, fail.New(fail.Unsupported, "no layer behind %s could be looked at", g.Makers[0])
	}
	out := map[int]float64{}
	switch criterion {
	case "obc":
		p, _, err := s.pathOf(ctx, g, list)
		if err != nil {
			return nil, err
		}
		for _, c := range g.classes {
			out[c.root] = math.Inf(1)
		}
		for i, root := range p.roots {
			out[root] = float64(i)
		}
	case "activation":
		out = s.scores(g, "l2")
		for root := range out {
			sum := 0.0
			for _, e := range list {
				energy, weight := 0.0, 0.0
				for _, c := range e.columns[root] {
					energy += e.h.At(c, c)
					for o := range e.w.RawMatrix().Rows {
						weight += e.w.At(o, c) * e.w.At(o, c)
					}
				}
				sum += math.Sqrt(energy*weight) / math.Sqrt(max(e.total, 1e-30))
			}
			out[root] *= sum
		}
	case "lasso":
		for _, c := range g.classes {
			out[c.root] = 0
		}
		for _, e := range list {
			for root, v := range lasso(e) {
				if _, ok := out[root]; ok {
					out[root] += v / max(e.total, 1e-30)
				}
			}
		}
	default:
		return nil, fail.New(fail.Internal, "criterion %q", criterion)
	}
	return out, nil
}

// lasso gives each channel the penalty at which a factor for it, in min |Y - sum f_c Y_c|² + 2 penalty |f|, becomes 0, Y_c being what
// it adds to the output Y.
//
// Source: He et al. 2017, arXiv:1707.06168.
func lasso(e *evidence) map[int]float64 {
	var roots []int
	for root := range e.columns {
		roots = append(roots, root)
	}
	sort.Ints(roots)
	n := len(roots)
	var wh mat.Dense
	wh.Mul(e.w, e.h)
	gram := make([][]float64, n)
	for i := range gram {
		gram[i] = make([]float64, n)
		part := mat.NewDense(e.w.RawMatrix().Rows, e.w.RawMatrix().Cols, nil) // what channel i adds, times the moments
		var ph mat.Dense
		for _, c := range e.columns[roots[i]] {
			for o := range e.w.RawMatrix().Rows {
				part.Set(o, c, e.w.At(o, c))
			}
		}
		ph.Mul(part, e.h)
		for j := range n {
			for _, c := range e.columns[roots[j]] {
				for o := range e.w.RawMatrix().Rows {
					gram[i][j] += ph.At(o, c) * e.w.At(o, c)
				}
			}
		}
	}
	target, top := make([]float64, n), 0.0
	for i := range n {
		for j := range n {
			target[i] += gram[i][j]
		}
		top = max(top, math.Abs(target[i]))
	}
	f, out := make([]float64, n), map[int]float64{}
	for i := range f {
		f[i] = 1
	}
	for penalty := top * 1e-4; penalty < top; penalty *= 1.25 {
		for range 30 {
			for i := range n {
				if gram[i][i] <= 0 {
					f[i] = 0
					continue
				}
				rest := target[i]
				for j := range n {
					if j != i {
						rest -= gram[i][j] * f[j]
					}
				}
				f[i] = math.Copysign(max(math.Abs(rest)-penalty, 0), rest) / gram[i][i]
			}
		}
		for i, root := range roots {
			if f[i] != 0 {
				out[root] = penalty + 1e-6*penalty*min(math.Abs(f[i]), 1)
			} else if _, ok := out[root]; !ok {
				out[root] = 0
			}
		}
	}
	return out
}

// String says how the damage of a path grows.
func (p *path) String() string {
	n := len(p.damage) - 1
	return fmt.Sprintf("a quarter of the channels costs %.2g of the variance behind, half %.2g", p.damage[n/4], p.damage[n/2])
}
