package prune

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"

	"gonum.org/v1/gonum/mat"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/optimizer"
	"fettle/train"
)

// target is a layer to refit: its place in both models and what the original one gave at the rows that are looked at.
type target struct {
	reader
	origin *model.Node
	want   [][]float32 // of each item: rows x outputs
	at     [][]int     // the rows of each item
	past   *past       // nil: the layer makes no branch of a sum
}

// past is the other operand of the sum that a layer is a branch of. The layer is fitted to what makes the sum right, so that what the layers
// before it got wrong does not add up along a residual network.
type past struct {
	value string
	scale []float64   // of the normalisation between layer and sum, by output; nil: none
	rows  [][]float32 // what the original has there, as want
}

// pastOf finds the sum behind a layer: directly, or behind a normalisation.
func (s *space) pastOf(n *model.Node) *past {
	p := &past{}
	y := n.Outputs[0]
	users := s.v.G.Users(y)
	if len(users) == 1 && users[0].Op == "BatchNormalization" && len(users[0].Inputs) == 5 && s.v.G.Output(y) == nil {
		bn := users[0]
		gamma, variance := s.v.Const(bn.Inputs[1]), s.v.Const(bn.Inputs[4])
		if gamma == nil || variance == nil {
			return nil
		}
		for i, g := range model.Data[float32](gamma) {
			k := float64(g) / math.Sqrt(float64(model.Data[float32](variance)[i])+float64(bn.Float("epsilon", 1e-5)))
			if math.Abs(k) < 1e-3 { // the sum hardly sees this output
				k = math.Inf(1)
			}
			p.scale = append(p.scale, k)
		}
		y = bn.Outputs[0]
		users = s.v.G.Users(y)
	}
	if len(users) != 1 || users[0].Op != "Add" || users[0].Domain != "" || s.v.G.Output(y) != nil {
		return nil
	}
	p.value = users[0].Inputs[0]
	if p.value == y {
		p.value = users[0].Inputs[1]
	}
	if p.value == y || s.constant(p.value) != nil || s.v.G.Producer(p.value) == nil || fmt.Sprint(s.shape(p.value)) != fmt.Sprint(s.shape(y)) || s.shape(y) == nil {
		return nil
	}
	return p
}

// mostHeld bounds the items that judge a refit; rowsPerItem the rows that are taken of an item.
const mostHeld, rowsPerItem = 32, 64

// refit fits every layer that lost inputs, front to back, each on what the layers before it give now.
func (s *space) refit(ctx context.Context, env *optimizer.Env, items []map[string]*model.Tensor, m *model.Model, gone map[int]bool) (*model.Model, []optimizer.Finding, error) {
	var targets []*target
	for _, r := range s.reads {
		if len(s.kept(r.atoms, gone)) < len(r.atoms) && m.Graph.Node(r.node.ID) != nil {
			targets = append(targets, &target{reader: r, origin: r.node})
		}
	}
	if err := s.record(ctx, env, items, targets); err != nil {
		return nil, nil, fail.In(err, "run the original", fail.Where{})
	}
	for _, t := range targets {
		s.keepOutputs(t, gone)
	}
	var found []optimizer.Finding
	for i, t := range targets {
		env.Progress.Report(int64(i), int64(len(targets)), "refitting "+t.node.Label())
		next, f, err := s.fit(ctx, env, m, items, t)
		if err != nil {
			return nil, nil, fail.In(err, "refit", fail.Where{Node: string(t.node.ID), Op: t.node.Op})
		}
		m, found = next, append(found, f)
	}
	return m, found, nil
}

// keepOutputs drops from what the original layer gave the outputs that are gone: a layer may lose inputs and outputs at once.
func (s *space) keepOutputs(t *target, gone map[int]bool) {
	for _, m := range s.makers {
		if m.node != t.node {
			continue
		}
		keep := s.kept(m.atoms, gone)
		if len(keep) == len(m.atoms) {
			return
		}
		for i, y := range t.want {
			var l []float32
			for ; len(y) > 0; y = y[len(m.atoms):] {
				for _, k := range keep {
					l = append(l, y[k])
				}
			}
			t.want[i] = l
		}
		t.past = nil // outputs are gone: so are those of the sum
	}
}

// load reads items to fit on and, at the end, an eighth to judge by.
func load(ctx context.Context, data optimizer.Data, n int) ([]map[string]*model.Tensor, error) {
	var out []map[string]*model.Tensor
	err := data.Each(ctx, min(n, data.Len()), func(_ int, in map[string]*model.Tensor) error {
		c := map[string]*model.Tensor{}
		for k, t := range in {
			c[k] = t.Clone()
		}
		out = append(out, c)
		return nil
	})
	if n := len(out); n >= 8 { // folders come class by class: those that judge are spread over all
		var fit, judge []map[string]*model.Tensor
		for i, x := range out {
			if k := held(n); i*k/n != (i+1)*k/n {
				judge = append(judge, x)
			} else {
				fit = append(fit, x)
			}
		}
		out = append(fit, judge...)
	}
	if err == nil && len(out) < 8 {
		err = fail.New(fail.Usage, "%d data items are too few to fit weights on, at least 8 are needed", len(out)).Doing("refit").
			Try("give more data, or set refit = \"none\"")
	}
	return out, err
}

func held(items int) int { return min(max(items/8, 1), mostHeld) }

// each runs a model on items, in parallel, and hands over the outputs of each.
func each(ctx context.Context, env *optimizer.Env, m *model.Model, items []map[string]*model.Tensor, visit func(i int, out []*model.Tensor) error) error {
	workers := min(runtime.GOMAXPROCS(0), len(items))
	g := task.NewGroup(ctx)
	for k := range workers {
		g.Go("run a model", func(ctx context.Context) error {
			s, err := env.Open(ctx, m)
			if err != nil {
				return err
			}
			defer s.Close()
			for i := k; i < len(items); i += workers {
				if err := ctx.Err(); err != nil {
					return fail.From(err)
				}
				out, err := s.Run(ctx, train.Only(m, items[i]))
				if err != nil {
					return err
				}
				if err := visit(i, out); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// showing is the part of m that makes values.
func (s *space) showing(m *model.Model, values []string) (*model.Model, error) {
	types := map[string]model.Type{}
	for _, v := range values {
		types[v] = model.Type{DType: model.Float32}
	}
	return m.Extract(train.Reaching(m, values), values, types)
}

// record picks rows and keeps what the original layers give there.
func (s *space) record(ctx context.Context, env *optimizer.Env, items []map[string]*model.Tensor, targets []*target) error {
	var values []string
	for _, t := range targets {
		values = append(values, t.origin.Outputs[0])
		t.want, t.at = make([][]float32, len(items)), make([][]int, len(items))
	}
	behind := map[*target]int{}
	for _, t := range targets {
		if t.past = s.pastOf(t.origin); t.past != nil {
			behind[t], values = len(values), append(values, t.past.value)
			t.past.rows = make([][]float32, len(items))
		}
	}
	m, err := s.showing(s.v.M, values)
	if err != nil {
		return err
	}
	return each(ctx, env, m, items, func(i int, out []*model.Tensor) error {
		for k, t := range targets {
			y := out[k]
			if y == nil || y.DType != model.Float32 {
				return fail.New(fail.Unsupported, "the layer gives no float32 numbers").At(fail.Where{Node: string(t.node.ID)})
			}
			p := newRows(t.origin, y.Shape)
			r := rand.New(rand.NewPCG(uint64(env.Seed), uint64(i)<<16+uint64(k)))
			t.at[i] = spread(p.count(), rowsPerItem, r)
			d := model.Data[float32](y)
			for _, at := range t.at[i] {
				for c := range p.outputs {
					t.want[i] = append(t.want[i], d[p.output(at, c)])
				}
			}
			if t.past != nil {
				t.past.rows[i] = t.past.take(p, t.at[i], out[behind[t]])
			}
		}
		return nil
	})
}

// take gives the rows of the other operand.
func (q *past) take(p *rows, at []int, x *model.Tensor) []float32 {
	if x == nil || x.DType != model.Float32 {
		return nil
	}
	var out []float32
	d := model.Data[float32](x)
	for _, r := range at {
		for c := range p.outputs {
			out = append(out, d[p.output(r, c)])
		}
	}
	return out
}

// corrected is what the layer has to give for the sum to be that of the original, now being the other operand as it is now.
func (q *past) corrected(want, old, now []float32) []float32 {
	if len(old) != len(want) || len(now) != len(want) {
		return want
	}
	out := make([]float32, len(want))
	for i, w := range want {
		d := float64(old[i]) - float64(now[i])
		if q.scale != nil {
			d /= q.scale[i%len(q.scale)]
		}
		out[i] = w + float32(d)
	}
	return out
}

// spread picks at most most of n places, one of each stretch.
func spread(n, most int, r *rand.Rand) []int {
	out := make([]int, min(most, n))
	for k := range out {
		out[k] = k
		if most < n {
			lo, hi := k*n/most, (k+1)*n/most
			out[k] = lo + r.IntN(hi-lo)
		}
	}
	return out
}

// fit solves for the weights of one layer and keeps them where they bring held-out rows closer to the original's outputs.
func (s *space) fit(ctx context.Context, env *optimizer.Env, m *model.Model, items []map[string]*model.Tensor, t *target) (*model.Model, optimizer.Finding, error) {
	n := m.Graph.Node(t.node.ID)
	f := optimizer.Describe("refit", t.origin)
	w := m.Graph.Init(n.Inputs[1])
	shown := []string{n.Inputs[0]}
	if t.past != nil {
		shown = append(shown, t.past.value)
	}
	part, err := s.showing(m, shown)
	if err != nil {
		return nil, f, err
	}
	wants := make([][]float32, len(items))
	width := w.Len() / w.Shape[outAxis(n)]
	xs := make([][]float32, len(items))
	err = each(ctx, env, part, items, func(i int, out []*model.Tensor) error {
		p := newRows(n, nil)
		p.window(n, w, out[0].Shape)
		x := make([]float32, len(t.at[i])*width)
		for k, at := range t.at[i] {
			p.row(x[k*width:][:width], model.Data[float32](out[0]), at)
		}
		xs[i], wants[i] = x, t.want[i]
		if t.past != nil {
			q := newRows(n, out[1].Shape)
			wants[i] = t.past.corrected(t.want[i], t.past.rows[i], t.past.take(q, t.at[i], out[1]))
		}
		return nil
	})
	if err != nil {
		return nil, f, err
	}
	old := matrix(n, w)
	bias := make([]float64, len(old)/width)
	if b := input(n, 2); b != "" {
		for c, v := range model.Data[float32](m.Graph.Init(b)) {
			bias[c] = float64(v)
		}
	}
	e := newEquations(width, len(bias))
	e.plain = n.Op == "MatMul" // it has no place for a bias
	last := len(items) - held(len(items))
	for i := range last {
		e.add(xs[i], wants[i])
	}
	fitted, moved, err := e.solve(old)
	if err != nil {
		f.Outcome, f.Reason = optimizer.Refused, err.Error()
		return m, f, nil
	}
	before, after := 0.0, 0.0
	for i := last; i < len(items); i++ {
		before += loss(xs[i], wants[i], old, bias)
		after += loss(xs[i], wants[i], fitted, moved)
	}
	total := 0.0
	for i := last; i < len(items); i++ {
		for k, v := range wants[i] {
			d := float64(v) - e.meanY(k%len(bias))
			total += d * d
		}
	}
	f.Reason = fmt.Sprintf("error of the output on %d held-out items: %.3g of its variance before, %.3g after, %d rows", len(items)-last, before/max(total, 1e-30), after/max(total, 1e-30), e.n)
	if !(after < before) {
		f.Outcome = optimizer.Refused
		f.Reason += ": reverted"
		return m, f, nil
	}
	f.Outcome = optimizer.Applied
	next, err := replaced(m, n, w, fitted, moved)
	return next, f, err
}

// replaced is m with other weights and bias of n.
func replaced(m *model.Model, n *model.Node, w *model.Tensor, fitted, bias []float64) (*model.Model, error) {
	t := model.NewTensor(model.Float32, w.Shape...)
	d := model.Data[float32](t)
	width := len(fitted) / len(bias)
	for i, v := range fitted {
		if n.Op == "Conv" || outAxis(n) == 0 {
			d[i] = float32(v)
		} else {
			d[i%width*len(bias)+i/width] = float32(v)
		}
	}
	b := model.NewTensor(model.Float32, len(bias))
	for i, v := range bias {
		model.Data[float32](b)[i] = float32(v)
	}
	inits := map[string]*model.Tensor{n.Inputs[1]: t}
	if at := input(n, 2); at != "" {
		inits[at] = b.Reshaped(m.Graph.Init(at).Shape...)
		return rewrite(m, inits, nil, nil)
	}
	if n.Op == "MatMul" {
		return rewrite(m, inits, nil, nil)
	}
	c := *n
	c.Raw = nil
	at := n.Inputs[1] + ".refit_bias"
	c.Inputs = append(slices.Clone(n.Inputs[:2]), at)
	return rewrite(m, inits, map[model.NodeID]*model.Node{n.ID: &c}, []*model.Init{{Name: at, Tensor: b}})
}

// matrix is the weight of a layer as outputs x width.
func matrix(n *model.Node, w *model.Tensor) []float64 {
	d := model.Data[float32](w)
	out := make([]float64, len(d))
	outs := w.Shape[outAxis(n)]
	width := len(d) / outs
	for i, v := range d {
		if outAxis(n) == 0 {
			out[i] = float64(v)
		} else {
			out[i%outs*width+i/outs] = float64(v)
		}
	}
	return out
}

// outAxis is the axis of the weight that counts outputs.
func outAxis(n *model.Node) int {
	if n.Op == "MatMul" || n.Op == "Gemm" && n.Int("transB", 0) == 0 {
		return 1
	}
	return 0
}

// loss is the squared error of x·wᵀ + b against y.
func loss(x, y []float32, w, b []float64) float64 {
	width, outs := len(w)/len(b), len(b)
	sum := 0.0
	for r := range len(y) / outs {
		row := x[r*width:][:width]
		for c := range outs {
			v := b[c]
			for k, xv := range row {
				v += float64(xv) * w[c*width+k]
			}
			d := v - float64(y[r*outs+c])
			sum += d * d
		}
	}
	return sum
}

// equations sums the normal equations of y = W·x + c in float64 as rows come in.
type equations struct {
	width, outs, n int
	plain          bool      // no bias
	xx, xy         []float64 // width+1 squared, (width+1) x outs: a one behind each row
	row            []float64
	yy             []float64 // sums of y
}

func newEquations(width, outs int) *equations {
	w := width + 1
	return &equations{width: width, outs: outs, xx: make([]float64, w*w), xy: make([]float64, w*outs), row: make([]float64, w), yy: make([]float64, outs)}
}

func (e *equations) add(x, y []float32) {
	rows, w := len(y)/e.outs, e.width+1
	if rows == 0 {
		return
	}
	a, b := mat.NewDense(rows, w, nil), mat.NewDense(rows, e.outs, nil)
	for r := range rows {
		for k, v := range x[r*e.width:][:e.width] {
			a.Set(r, k, float64(v))
		}
		a.Set(r, e.width, 1)
		for c, v := range y[r*e.outs:][:e.outs] {
			b.Set(r, c, float64(v))
			e.yy[c] += float64(v)
		}
	}
	sum := mat.NewSymDense(w, e.xx)
	sum.SymRankK(sum, 1, a.T())
	var p mat.Dense
	p.Mul(a.T(), b)
	xy := mat.NewDense(w, e.outs, e.xy)
	xy.Add(xy, &p)
	e.n += rows
}

func (e *equations) meanY(c int) float64 { return e.yy[c] / float64(max(e.n, 1)) }

// ridge is the pull towards the weights that there were, as a share of the mean diagonal.
const ridge = 1e-3

// solve gives the weights and the bias that minimise the squared error plus the pull towards old.
func (e *equations) solve(old []float64) (weights, bias []float64, err error) {
	w, n := e.width, float64(e.n)
	at := func(i, j int) float64 { return e.xx[min(i, j)*(w+1)+max(i, j)] }
	mx := make([]float64, w)
	for i := range w {
		if !e.plain {
			mx[i] = at(i, w) / n
		}
	}
	s := mat.NewSymDense(w, nil)
	diag := 0.0
	for i := range w {
		for j := i; j < w; j++ {
			s.SetSym(i, j, at(i, j)-n*mx[i]*mx[j])
		}
		diag += s.At(i, i) / float64(w)
	}
	lambda := ridge * diag
	if lambda == 0 {
		return nil, nil, fail.New(fail.Failed, "its input is the same for all data")
	}
	for i := range w {
		s.SetSym(i, i, s.At(i, i)+lambda)
	}
	r := mat.NewDense(w, e.outs, nil)
	for i := range w {
		for c := range e.outs {
			r.Set(i, c, e.xy[i*e.outs+c]-mx[i]*e.yy[c]+lambda*old[c*w+i])
		}
	}
	var chol mat.Cholesky
	if !chol.Factorize(s) {
		return nil, nil, fail.New(fail.Failed, "its equations cannot be solved: the inputs depend on each other")
	}
	var x mat.Dense
	if err := chol.SolveTo(&x, r); err != nil {
		return nil, nil, fail.New(fail.Failed, "its equations are badly conditioned: %v", err)
	}
	weights, bias = make([]float64, w*e.outs), make([]float64, e.outs)
	for c := range e.outs {
		for i := range w {
			weights[c*w+i] = x.At(i, c)
		}
		if e.plain {
			continue
		}
		bias[c] = e.meanY(c)
		for i := range w {
			bias[c] -= x.At(i, c) * mx[i]
		}
	}
	return weights, bias, nil
}
