package quantize

import (
	"context"
	"math"
	"slices"
	"sort"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
)

// Debugging says, value by value and weight by weight, how far a quantized model is from the float model it stands for.
type Debugging struct {
	Items   int     `json:"items"`
	Values  []Match `json:"values"`  // the worst first
	Weights []Match `json:"weights"` // the worst first
	First   *Match  `json:"first"`   // the first value in order of the graph below the limit; nil: none
}

// Match is a value, or a weight, that both models have.
type Match struct {
	Float     string         `json:"float"` // names
	Quantized string         `json:"quantized"`
	Op        string         `json:"op"` // that makes or reads it
	Origin    []model.NodeID `json:"origin"`
	SQNR      float64        `json:"sqnr_db"` // 200 where nothing differs
	Cosine    float64        `json:"cosine"`
	Saturated *float64       `json:"saturated"` // share of elements beyond the ends of the integers; nil where the value stays float

	at                      int
	signal, noise, dot, own float64
	n, out                  int64
	step                    *model.Node // QuantizeLinear behind the value
}

// Debug runs both models on the items of data, at most limit, and compares every value that nodes with the same origin make. A
// value is called broken below least decibels.
func Debug(ctx context.Context, env *optimizer.Env, float, quant *model.Model, limit int, least float64) (*Debugging, error) {
	if env.Data == nil || env.Data.Len() == 0 {
		return nil, fail.New(fail.Usage, "debugging needs data").Try("give a folder of typical inputs with --data")
	}
	values, weights := pairUp(float, quant)
	if len(values) == 0 {
		return nil, fail.New(fail.Invalid, "no value of one model stands for one of the other").
			Try("give the float model that the quantized one was made from, and a quantized one with QuantizeLinear and DequantizeLinear")
	}
	d := &Debugging{}
	for _, w := range weights {
		if err := w.weight(float, quant); err != nil {
			return nil, err
		}
		d.Weights = append(d.Weights, w.finish())
	}
	var names [2][]string
	for _, v := range values {
		names[0], names[1] = append(names[0], v.Float), append(names[1], v.Quantized)
	}
	var sessions [2]optimizer.Session
	var at [2]map[string]int
	for i, m := range []*model.Model{float, quant} {
		inf, _, err := ops.Infer(m, nil)
		if err != nil {
			return nil, err
		}
		var tapped *model.Model
		tapped, at[i] = expose(m, &selection{types: inf.Types}, slices.Compact(slices.Sorted(slices.Values(names[i]))))
		if sessions[i], err = env.Open(ctx, tapped); err != nil {
			return nil, err
		}
		defer sessions[i].Close()
	}
	total := min(limit, env.Data.Len())
	err := env.Data.Each(ctx, limit, func(i int, in map[string]*model.Tensor) error {
		want, err := sessions[0].Run(ctx, in)
		if err != nil {
			return fail.In(err, "run the float model", fail.Where{})
		}
		got, err := sessions[1].Run(ctx, in)
		if err != nil {
			return fail.In(err, "run the quantized model", fail.Where{})
		}
		for _, v := range values {
			a, b := want[at[0][v.Float]], got[at[1][v.Quantized]]
			if a != nil && b != nil && a.DType == model.Float32 && b.DType == model.Float32 && a.Len() == b.Len() {
				v.add(model.Data[float32](a), model.Data[float32](b), quant.Graph)
			}
		}
		d.Items++
		env.Progress.Report(int64(i+1), int64(total), "compare values")
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, v := range values {
		if v.n > 0 {
			d.Values = append(d.Values, v.finish())
		}
	}
	for i := range d.Values {
		if v := d.Values[i]; v.SQNR < least {
			d.First = &v
			break
		}
	}
	for _, l := range [][]Match{d.Values, d.Weights} {
		sort.SliceStable(l, func(a, b int) bool { return l[a].SQNR < l[b].SQNR })
	}
	return d, nil
}

// pairUp matches nodes by what they stand for: the last node of the float model among those whose origins make up the origin of
// a quantized node computes the same value, and where it is the same operator, with the same weight.
func pairUp(float, quant *model.Model) (values, weights []*Match) {
	by := map[model.NodeID][]int{} // positions in the float model
	for i, n := range float.Graph.Nodes {
		for _, o := range n.Origin {
			by[o] = append(by[o], i)
		}
	}
	counterpart := func(n *model.Node) *model.Node {
		var within []int
		for _, o := range n.Origin {
			if len(by[o]) == 0 {
				return nil
			}
			for _, i := range by[o] {
				for _, other := range float.Graph.Nodes[i].Origin {
					if !slices.Contains(n.Origin, other) {
						return nil
					}
				}
				within = append(within, i)
			}
		}
		if len(within) == 0 {
			return nil
		}
		return float.Graph.Nodes[slices.Max(within)]
	}
	last := map[*model.Node]int{} // of the float model: the last quantized node with the same origin
	partner := make([]*model.Node, len(quant.Graph.Nodes))
	for i, n := range quant.Graph.Nodes {
		if is(n, "QuantizeLinear", "DequantizeLinear", "Cast") || len(n.Outputs) == 0 || len(n.Inputs) == 0 {
			continue
		}
		if f := counterpart(n); f != nil && len(f.Outputs) > 0 {
			partner[i], last[f] = f, i
		}
	}
	fixed := func(m *model.Model, name string) bool {
		for range 2 {
			if m.Graph.Init(name) != nil {
				return true
			}
			p := m.Graph.Producer(name)
			if p == nil || !is(p, "DequantizeLinear", "Cast") {
				return false
			}
			name = p.Inputs[0]
		}
		return false
	}
	for i, n := range quant.Graph.Nodes {
		f := partner[i]
		if f == nil || last[f] != i {
			continue
		}
		v := &Match{Float: f.Outputs[0], Quantized: n.Outputs[0], Op: n.Op, Origin: n.Origin, at: i}
		for _, u := range quant.Graph.Users(v.Quantized) {
			if is(u, "QuantizeLinear") && len(u.Inputs) == 3 {
				v.step = u
			}
		}
		values = append(values, v)
		if a, b := input(f, 1), input(n, 1); f.Op == n.Op && is(n, "Conv", "ConvTranspose", "Gemm", "MatMul") && float.Graph.Init(a) != nil && fixed(quant, b) {
			weights = append(weights, &Match{Float: a, Quantized: b, Op: n.Op, Origin: n.Origin, at: i})
		}
	}
	return values, weights
}

// add takes the elements of one item.
func (v *Match) add(want, got []float32, g *model.Graph) {
	scale, zero, lo, hi := float32(0), float32(0), float32(0), float32(0)
	if v.step != nil {
		s, z := g.Init(v.step.Inputs[1]), g.Init(v.step.Inputs[2])
		if s != nil && z != nil && s.Len() == 1 {
			scale, zero = float32(s.Float64At(0)), float32(z.Int64At(0))
			bits := z.DType.Bits()
			if lo, hi = -float32(int(1)<<(bits-1)), float32(int(1)<<(bits-1)-1); z.DType == model.Uint8 || z.DType == model.Uint16 {
				lo, hi = 0, float32(int(1)<<bits-1)
			}
		}
	}
	for i, a := range want {
		x, y := float64(a), float64(got[i])
		v.signal += x * x
		v.own += y * y
		v.dot += x * y
		v.noise += (x - y) * (x - y)
		if scale > 0 {
			if q := got[i]/scale + zero; q < lo-0.5 || q > hi+0.5 {
				v.out++
			}
		}
	}
	v.n += int64(len(want))
	if scale > 0 {
		share := float64(v.out) / float64(v.n)
		v.Saturated = &share
	}
}

// weight compares a weight with its dequantized form.
func (v *Match) weight(float, quant *model.Model) error {
	want := float.Graph.Init(v.Float)
	got := quant.Graph.Init(v.Quantized)
	if p := quant.Graph.Producer(v.Quantized); p != nil {
		part := &model.Graph{Name: "weight", Nodes: []*model.Node{p}, Outputs: []model.Value{{Name: v.Quantized, Type: model.TypeOf(want)}}}
		for _, in := range p.Inputs {
			if t := quant.Graph.Init(in); t != nil {
				part.Inits = append(part.Inits, &model.Init{Name: in, Tensor: t})
			}
		}
		out, err := ops.Evaluate(context.Background(), quant.WithGraph(part), nil)
		if err != nil {
			return fail.In(err, "dequantize a weight", fail.Where{Tensor: v.Quantized})
		}
		got = out[0]
	}
	if got == nil || got.Len() != want.Len() || got.DType != model.Float32 || want.DType != model.Float32 {
		return fail.New(fail.Invalid, "is another weight").At(fail.Where{Tensor: v.Quantized})
	}
	v.add(model.Data[float32](want), model.Data[float32](got), quant.Graph)
	return nil
}

// finish makes the figures of the sums.
func (v *Match) finish() Match {
	v.SQNR = decibel(v.signal, v.noise)
	if v.signal == 0 && v.noise > 0 {
		v.SQNR = -200
	}
	v.Cosine = 1
	if v.signal > 0 && v.own > 0 {
		v.Cosine = v.dot / math.Sqrt(v.signal*v.own)
	}
	return *v
}
