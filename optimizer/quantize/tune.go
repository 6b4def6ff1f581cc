package quantize

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/kernels/team"
	"fettle/model"
	"fettle/optimizer"
)

// tuner rounds the weights of a quantized model anew, layer by layer from the front, on the rows that each layer gets from
// the layers before it, which are quantized already.
type tuner struct {
	env   *optimizer.Env
	o     Options
	w     *writer
	float *model.Model // the model before
	quant *model.Model
	items *batch // what it looks at
	edit  edits
	team  *team.Team
	notes map[model.NodeID]string
	until time.Time // when adaround gives way to gptq; zero: never
}

// rowsOf bounds the rows of a layer that its Hessian is made of: enough to know every direction of the widest layers. A quarter
// of that is enough to judge.
func rowsOf(width int) int { return max(8192, 24*width) }

// damping is the share of the mean diagonal that is added to a Hessian, refitting that of a refitted target.
const damping, refitting = 0.01, 0.05

// toNearest begins the note of a layer that was not tuned.
const toNearest = "rounded to nearest: "

// run tunes every layer that was placed and gives the new model.
func (t *tuner) run(ctx context.Context) (*model.Model, error) {
	if t.o.Minutes > 0 {
		t.until = time.Now().Add(time.Duration(t.o.Minutes * float64(time.Minute)))
	}
	t.team = newTeam()
	defer t.team.Close()
	t.edit = edits{inits: map[string]*model.Tensor{}, nodes: map[model.NodeID]*model.Node{}}
	fs, err := newWalk(t.env, t.float, t.items.all)
	if err != nil {
		return nil, err
	}
	qs, err := newWalk(t.env, t.quant, t.items.all)
	if err != nil {
		return nil, err
	}
	done := map[string]bool{}
	for i, p := range t.w.placed {
		t.env.Progress.Report(int64(i), int64(len(t.w.placed)), "round weights")
		if done[p.q] {
			t.note(p, "shares the integers of an earlier layer")
			continue
		}
		done[p.q] = true
		if err := fs.to(ctx, t.float.Graph.Position(p.node)); err != nil {
			return nil, err
		}
		if err := qs.to(ctx, qs.m.Graph.Position(p.node)); err != nil {
			return nil, err
		}
		each, without := t.layer, toNearest
		if t.o.Rounding == "nearest" {
			each, without = t.center, ""
		}
		why, err := each(ctx, p, qs, fs)
		if err != nil {
			return nil, fail.In(err, "round weights", fail.Where{Node: string(p.node)})
		}
		if why != "" {
			t.note(p, without+why)
			continue
		}
		qs.m = t.edit.apply(t.quant)
	}
	return t.edit.apply(t.quant), nil
}

func (t *tuner) note(p *placed, s string) {
	if t.notes[p.node] != "" {
		s = t.notes[p.node] + "; " + s
	}
	t.notes[p.node] = s
}

// layer tunes one layer; it gives the reason where it leaves it as it is.
func (t *tuner) layer(ctx context.Context, p *placed, qs, fs *walk) (string, error) {
	n := t.quant.Graph.Node(p.node)
	fn := t.float.Graph.Node(p.node)
	weight := t.w.sel.view.Const(p.l.weight)
	x := n.Inputs[0]
	first := qs.have[0][x]
	if first == nil || fs.have[0][fn.Inputs[0]] == nil || first.DType != model.Float32 {
		return "its input is a constant", nil
	}
	pt, why := newPatches(n, weight, first.Shape)
	if why == "" {
		why = pt.fits()
	}
	if why != "" {
		return why, nil
	}
	tune, err := newGrams(pt, t.team)
	if err != nil {
		return "", err
	}
	held, err := newGrams(pt, t.team)
	if err != nil {
		return "", err
	}
	r := rand.New(rand.NewPCG(uint64(t.env.Seed), 0x9e3779b97f4a7c15))
	for i := range qs.have {
		to, rows, many := tune, rowsOf(pt.width), len(t.items.all)-t.items.held
		if t.items.isHeld(i) {
			to, rows, many = held, rows/4, t.items.held
		}
		rows = (rows + many - 1) / many
		if err := to.add(ctx, qs.have[i][x], fs.have[i][fn.Inputs[0]], rows, r); err != nil {
			return "", err
		}
	}
	if err := tune.flush(ctx); err != nil {
		return "", err
	}
	if err := held.flush(ctx); err != nil {
		return "", err
	}
	if t.items.held == 0 {
		held = tune
	}
	l := &lot{p: p, o: t.o, weight: weight, node: n, tune: tune, held: held, group: weight.Shape[p.l.axis] / pt.groups, width: pt.width,
		workers: t.team.Size(), until: t.until}
	l.bias, l.free = t.bias(n, p)
	if t.o.paired() && t.o.ReduceRange != "off" && p.l.as == "int8" {
		l.safe = pairsOf(n, weight.Shape, p.l.axis, !t.o.static())
	}
	if why := l.solve(ctx); why != "" {
		return why, ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return "", fail.From(err)
	}
	t.note(p, l.said())
	t.store(l)
	return "", nil
}

// bias gives the float bias of a layer, zeros for none, and whether it may be changed.
func (t *tuner) bias(n *model.Node, p *placed) ([]float64, bool) {
	weight := t.w.sel.view.Const(p.l.weight)
	out := make([]float64, weight.Shape[p.l.axis])
	if p.l.bias != "" {
		for i, b := range model.Data[float32](t.w.sel.view.Const(p.l.bias)) {
			out[i] = float64(b)
		}
		return out, t.o.CorrectBias
	}
	return out, t.o.CorrectBias && !t.o.static() && is(n, "Conv", "Gemm") && input(n, 2) == ""
}

// store puts what was found into the model.
func (t *tuner) store(l *lot) {
	p := l.p
	pr := precisions[p.l.as]
	t.edit.inits[p.q] = pr.pack(l.ints(), l.weight.Shape)
	g := p.grid
	if l.scaled() {
		scale, zero, moved := l.grid()
		t.edit.inits[p.scale] = model.Float32s(scale, g.shape...)
		if moved {
			z := model.NewTensor(pr.dtype, g.shape...)
			for i, v := range zero {
				z.SetInt64(i, int64(v))
			}
			name := t.w.fresh(p.l.weight + "_zero")
			t.edit.add = append(t.edit.add, &model.Init{Name: name, Tensor: z})
			d := t.edit.node(t.quant.Graph.Producer(p.dq))
			d.Inputs = append(d.Inputs[:2:2], name)
		}
	}
	if l.free {
		t.storeBias(l)
	}
}

// storeBias puts the new bias of a layer into the model.
func (t *tuner) storeBias(l *lot) {
	p := l.p
	bias := make([]float32, len(l.bias))
	for i, b := range l.newBias() {
		bias[i] = float32(b)
	}
	if p.bias != "" {
		sb := model.Data[float32](t.quant.Graph.Init(t.quant.Graph.Producer(l.node.Inputs[2]).Inputs[1]))
		q := make([]int32, len(bias))
		for i, b := range bias {
			r := math.RoundToEven(float64(b) / float64(sb[i]))
			q[i] = int32(min(max(r, -math.MaxInt32), math.MaxInt32))
		}
		t.edit.inits[p.bias] = model.FromSlice(model.Int32, q, len(q))
		return
	}
	name := t.w.fresh(p.l.weight + "_bias")
	t.edit.add = append(t.edit.add, &model.Init{Name: name, Tensor: model.Float32s(bias, len(bias))})
	n := t.edit.node(t.quant.Graph.Node(p.node))
	for len(n.Inputs) < 3 {
		n.Inputs = append(n.Inputs, "")
	}
	n.Inputs[2] = name
}

// lot is one layer with the sums over its rows.
type lot struct {
	p            *placed
	o            Options
	weight       *model.Tensor
	node         *model.Node
	tune, held   *grams
	group, width int       // output channels of a group, weights of one
	bias         []float64 // float
	free         bool      // the bias may change
	safe         pairs     // that must not saturate

	rows          []row
	offset        []float64  // new bias - bias, of each output channel
	before, after [2]float64 // error of all rows with nearest rounding and now: where it was tuned, held out
	by            string     // how most of the error went
	refit         bool
	nearest       int // channels that stay as they were

	workers int
	until   time.Time
}

// at is the element of weight k of output channel c.
func (l *lot) at(c, k int) int {
	if l.p.l.axis == 0 {
		return c*l.width + k
	}
	return k*l.weight.Shape[1] + c
}

// scaled reports whether each output channel has its own scale, which may change.
func (l *lot) scaled() bool {
	return !l.o.static() && l.p.grid.block == 0 && l.p.grid.axis >= 0
}

// solve rounds every output channel; it gives the reason where it cannot.
func (l *lot) solve(ctx context.Context) string {
	channels := len(l.bias)
	l.rows, l.offset = make([]row, channels), make([]float64, channels)
	for g := range l.tune.p.groups {
		sides := []*side{newSide(l.tune, g), newSide(l.held, g)}
		if sides[0].n == 0 {
			return "there are no rows to look at"
		}
		kinds, err := l.kinds(ctx, sides, g)
		if err != nil {
			return err.Error()
		}
		if kinds == nil {
			return "its Hessian cannot be factored"
		}
		pick := kinds[1]
		for _, k := range kinds[2:] {
			if total(k.rows) < total(pick.rows) {
				pick = k
			}
		}
		l.by, l.refit = pick.by, l.refit || pick.refit
		for i := range l.group {
			near, best := kinds[0].rows[i], pick.rows[i]
			if near.err[0] <= best.err[0] && !precisions[l.p.l.as].nested() { // the upper halves gain in any case
				best = near
				l.nearest++
			}
			for s := range sides {
				l.before[s] += near.err[s]
				l.after[s] += best.err[s]
			}
			l.rows[g*l.group+i], l.offset[g*l.group+i] = best.row, best.offset
		}
	}
	return ""
}

// total is the error of channels on rows that were held out.
func total(rows []stored) (sum float64) {
	for _, r := range rows {
		sum += r.err[1]
	}
	return sum
}

func (l *lot) weights(c int) []float64 {
	w := make([]float64, l.width)
	data := model.Data[float32](l.weight)
	for k := range w {
		w[k] = float64(data[l.at(c, k)])
	}
	return w
}

// stored is one way to store an output channel, with its error where it was tuned and held out.
type stored struct {
	row
	w      []float64 // dequantized
	offset float64   // of the bias
	err    [2]float64
}

// kind is one way to round the channels of a group.
type kind struct {
	by    string
	refit bool // to the weights that fit what the float model makes of its own rows
	rows  []stored
}

// kinds stores the channels of group g rounded to nearest, then by the methods that the options ask for, each with the weights
// as they are and refitted. nil: the Hessian cannot be factored.
func (l *lot) kinds(ctx context.Context, sides []*side, g int) ([]kind, error) {
	s := sides[0]
	h, f := s.moments(l.free)
	k := l.width
	d := damped(h, k, damping)
	natural, falling := orders(d, k)
	a, b := newFactor(d, k, natural), newFactor(d, k, falling)
	if a == nil || b == nil {
		return nil, nil
	}
	plain, goal := make([][]float64, l.group), l.targets(g, h, f)
	if goal == nil {
		return nil, nil
	}
	near := make([]stored, l.group)
	for i := range l.group {
		plain[i], near[i] = l.weights(g*l.group+i), l.near(g*l.group+i)
	}
	best := func(i int, goal []float64) row {
		r := l.choice(g*l.group+i).best([]*factor{a, b}, goal)
		l.safe.hold(&r)
		return r
	}
	if precisions[l.p.l.as].nested() {
		whole, _ := s.moments(false)
		d := damped(whole, k, damping)
		u, v := newFactor(d, k, natural), newFactor(d, k, falling)
		if u == nil || v == nil {
			return nil, nil
		}
		best = func(i int, goal []float64) row { return l.choice(g*l.group+i).halves([]*factor{u, v}, a, goal) }
	}
	out := []kind{{by: "nearest", rows: near}}
	for _, t := range []struct {
		refit bool
		goals [][]float64
	}{{false, plain}, {true, goal}} {
		columns := make([]stored, l.group)
		err := l.each(ctx, func(i int) {
			columns[i] = l.store(best(i, t.goals[i]), t.goals[i], plain[i], s)
		})
		if err != nil {
			return nil, err
		}
		over := !l.until.IsZero() && time.Now().After(l.until)
		if l.o.Rounding != "adaround" || over {
			out = append(out, kind{"gptq", t.refit, columns})
		}
		if l.o.Rounding == "gptq" || over {
			continue
		}
		rows, err := l.anneal(ctx, a, t.goals, columns, g)
		if err != nil {
			return nil, err
		}
		relaxed := make([]stored, l.group)
		for i, r := range rows {
			l.safe.hold(&r)
			relaxed[i] = l.store(r, t.goals[i], plain[i], s)
		}
		out = append(out, kind{"adaround", t.refit, relaxed})
	}
	return out, l.each(ctx, func(i int) {
		for n, side := range sides {
			own := side.own(plain[i])
			for _, kind := range out {
				kind.rows[i].err[n] = own + side.rest(&kind.rows[i], plain[i])
			}
		}
	})
}

// each calls do for every channel of a group, channels in parallel.
func (l *lot) each(ctx context.Context, do func(i int)) error {
	group := task.NewGroup(ctx)
	for worker := range l.workers {
		group.Go("round weights", func(ctx context.Context) error {
			for i := worker; i < l.group; i += l.workers {
				if ctx.Err() != nil {
					return fail.From(ctx.Err())
				}
				do(i)
			}
			return nil
		})
	}
	return group.Wait()
}

// targets solves Ŵ·H = W·F for the channels of a group, held to W where the rows say little.
func (l *lot) targets(g int, h, f []float64) [][]float64 {
	k := l.width
	hd := damped(h, k, refitting)
	add := hd[0] - h[0]
	var c mat.Cholesky
	if !c.Factorize(mat.NewSymDense(k, hd)) {
		return nil
	}
	right := mat.NewDense(k, l.group, nil)
	ft := mat.NewDense(k, k, f).T()
	w := mat.NewDense(k, l.group, nil)
	for i := range l.group {
		w.SetCol(i, l.weights(g*l.group+i))
	}
	right.Mul(ft, w)
	right.Apply(func(i, j int, v float64) float64 { return v + add*w.At(i, j) }, right)
	var x mat.Dense
	if err := c.SolveTo(&x, right); err != nil {
		return nil
	}
	out := make([][]float64, l.group)
	for i := range out {
		out[i] = mat.Col(nil, i, &x)
	}
	return out
}

// orders are the columns as they come and by falling weight in the sums.
func orders(h []float64, k int) (natural, falling []int) {
	natural = make([]int, k)
	neg := make([]float64, k)
	falling = make([]int, k)
	for i := range k {
		natural[i], falling[i] = i, i
		neg[i] = -h[i*k+i]
	}
	floats.ArgsortStable(neg, falling)
	return natural, falling
}

// choice is the grid of channel c.
func (l *lot) choice(c int) choice {
	g := l.p.grid
	ch := choice{lo: g.lo, hi: g.hi, free: l.scaled() && precisions[l.p.l.as].dtype != model.Int8}
	if g.block > 0 {
		ch.fixed = make([]float64, l.width)
		for k := range ch.fixed {
			ch.fixed[k] = float64(g.scale[g.index(l.at(c, k))])
		}
		return ch
	}
	ch.scale = float64(g.scale[g.index(l.at(c, 0))])
	if l.o.Asymmetric {
		ch.shifts = []int{0, -1, 1, -2}
	}
	return ch
}

// near is channel c as it was written.
func (l *lot) near(c int) stored {
	g := l.p.grid
	s := stored{row: row{q: make([]int8, l.width)}, w: make([]float64, l.width)}
	data := model.Data[float32](l.weight)
	for k := range s.q {
		e := l.at(c, k)
		scale := g.scale[g.index(e)]
		s.q[k] = g.nearest(data[e], scale)
		s.w[k], s.scale = float64(s.q[k])*float64(scale), float64(scale)
	}
	return s
}

// store completes r, which was made for goal, with the bias that keeps the mean of the output of w.
func (l *lot) store(r row, goal, w []float64, s *side) stored {
	out := stored{row: r, w: make([]float64, l.width)}
	for k := range goal {
		out.w[k] = goal[k] - r.d[k]
	}
	if l.free {
		out.offset = floats.Dot(w, s.meanF) - floats.Dot(out.w, s.meanQ)
	}
	return out
}

// side is what the rows of one group say: those to tune on, or those held out.
type side struct {
	k            int
	n            float64
	q, f, ff     []float64 // [k+1, k+1] sums
	meanQ, meanF []float64
}

func newSide(s *grams, g int) *side {
	k := s.p.width
	w := k + 1
	out := &side{k: k, q: s.qq.sum[g], f: s.fq.sum[g], ff: s.ff.sum[g], meanQ: make([]float64, k), meanF: make([]float64, k)}
	out.n = out.q[k*w+k]
	for i := range k {
		out.meanQ[i], out.meanF[i] = out.q[i*w+k]/out.n, out.f[i*w+k]/out.n
	}
	return out
}

// moments are the sums without the ones, around the means where the bias takes those over.
func (s *side) moments(centred bool) (h, f []float64) {
	k := s.k
	h, f = make([]float64, k*k), make([]float64, k*k)
	for i := range k {
		for j := range k {
			h[i*k+j], f[i*k+j] = s.q[i*(k+1)+j], s.f[i*(k+1)+j]
			if centred {
				h[i*k+j] -= s.n * s.meanQ[i] * s.meanQ[j]
				f[i*k+j] -= s.n * s.meanF[i] * s.meanQ[j]
			}
		}
	}
	return h, f
}

// own is the sum of squares of what w gives on the float rows; with rest it is that of the difference to what a stored
// channel gives on the quantized ones.
func (s *side) own(w []float64) float64 {
	u := append(append([]float64(nil), w...), 0)
	return quadratic(s.ff, u, u)
}

func (s *side) rest(st *stored, w []float64) float64 {
	u := append(append([]float64(nil), w...), 0)
	v := append(append([]float64(nil), st.w...), st.offset)
	return quadratic(s.q, v, v) - 2*quadratic(s.f, u, v)
}

// quadratic is uᵀ·m·v.
func quadratic(m, u, v []float64) float64 {
	sum, k := 0.0, len(u)
	for i, x := range u {
		if x != 0 {
			sum += x * floats.Dot(m[i*k:][:k], v)
		}
	}
	return sum
}

// ints are all integers in the order of the weight.
func (l *lot) ints() []int8 {
	out := make([]int8, l.weight.Len())
	for c, r := range l.rows {
		for k, q := range r.q {
			out[l.at(c, k)] = q
		}
	}
	return out
}

// grid is the scale and the zero of each channel, and whether there is a zero that is not 0.
func (l *lot) grid() (scale []float32, zero []int, moved bool) {
	for _, r := range l.rows {
		scale, zero = append(scale, float32(r.scale)), append(zero, r.zero)
		moved = moved || r.zero != 0
	}
	return scale, zero, moved
}

func (l *lot) newBias() []float64 {
	out := append([]float64(nil), l.bias...)
	floats.Add(out, l.offset)
	return out
}

// said is what the ledger says about the layer.
func (l *lot) said() string {
	share := func(i int) float64 {
		if l.before[i] <= 0 {
			return 100
		}
		return 100 * l.after[i] / l.before[i]
	}
	s := fmt.Sprintf("error of its output %.0f %% of that of nearest rounding, %.0f %% held out", share(0), share(1))
	if l.held == l.tune {
		s = fmt.Sprintf("error of its output %.0f %% of that of nearest rounding", share(0))
	}
	if l.o.Rounding != l.by {
		s += ", by " + l.by
	}
	if l.refit {
		s += ", refitted to the float rows"
	}
	if l.nearest > 0 {
		s += fmt.Sprintf(", %d of %d channels to nearest", l.nearest, len(l.rows))
	}
	return s
}
