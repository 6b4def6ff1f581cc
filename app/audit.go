package app

import (
	"context"
	"fmt"
	"math"
	"slices"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/ops"
	"fettle/profiler/trace"
	"fettle/remote/deploy"
	"fettle/runtimes"
)

// AuditRequest says which model to follow through a target, value by value, and on what.
type AuditRequest struct {
	Model      *model.Model
	Name       string
	Target     string
	Data       string // "": seeded random inputs
	Preprocess string
	Inputs     int // how many inputs to run
	Threads    int
	Precision  string
	Pack       string
	ISA        string  // poorer instruction set for the target to use; "": its best
	Tolerance  float64 // of floats, as a share of the largest value of a layer; 0: calibrated by layer
	Progress   task.Progress
	Asks       Asks
	Manner     Manner
}

// Verdicts of an audit on a layer.
const (
	AuditSame      = "same"      // the bits of this computer
	AuditRounding  = "rounding"  // within what its arithmetic may round otherwise
	AuditInherited = "inherited" // it differs, but only because its inputs do
	AuditDiffers   = "differs"   // from the same inputs it computes something else
)

// Audit is what a target computes beside what this computer computes.
type Audit struct {
	Target string       `json:"target"`
	Inputs int          `json:"inputs"`
	First  *AuditLayer  `json:"first_difference"` // first layer that differs by itself; nil: none
	Layers []AuditLayer `json:"layers"`           // in the order of the target's plan, of those that have a value of their own
	Left   []string     `json:"left,omitempty"`   // values that cannot be compared
}

// AuditLayer is one value that leaves a step of the target's plan.
type AuditLayer struct {
	Value     string   `json:"value"`
	Name      string   `json:"name"`
	Op        string   `json:"op"`
	Kernel    string   `json:"kernel"` // of the target
	Origin    []string `json:"origin"`
	DType     string   `json:"dtype"`
	Tolerance float64  `json:"tolerance"` // share of the largest value; of whole numbers the distance
	Spread    float64  `json:"spread"`    // how far apart the instructions and algorithms of this computer are, of the same inputs of this layer
	Whole     float64  `json:"whole"`     // how far the target is from this computer, given the same inputs of the model
	Own       float64  `json:"own"`       // and given the same inputs of this layer
	Off       float64  `json:"off"`       // of whole numbers: the share of them that are not equal then
	Input     int      `json:"input"`     // on which input the layer itself is farthest off, from 0
	Verdict   string   `json:"verdict"`
}

// auditBatch is how many bytes of inner values a target sends at once.
const auditBatch = 32 << 20

// Audit runs a model on a target and brings back every value that leaves a step of the target's plan. Each is compared twice: with what this
// computer makes of the same inputs of the model, and with what it makes of the values that the target itself had before the
// step. The second comparison tells the step that computes something else from those behind it, which have to differ.
func (a *App) Audit(ctx context.Context, q AuditRequest) (*Audit, error) {
	if q.Inputs < 1 || q.Inputs > 1000 || !(q.Tolerance >= 0 && q.Tolerance <= 1) {
		return nil, fail.New(fail.Usage, "%d inputs, a tolerance of %g", q.Inputs, q.Tolerance).Doing("audit").Try("give 1 to 1000 inputs and a tolerance of 0 to 1")
	}
	ins, err := a.auditInputs(ctx, q)
	if err != nil {
		return nil, err
	}
	b, err := pack(q.Name, q.Model)
	if err != nil {
		return nil, err
	}
	out := &Audit{Target: q.Target, Inputs: len(ins), Layers: []AuditLayer{}}
	err = a.measuring(ctx, ProfileRequest{Target: q.Target, Asks: q.Asks, Progress: q.Progress, Manner: q.Manner}, func(c *deploy.Conn) error {
		opt := deploy.NewProfileOptions()
		opt.Threads, opt.Precision, opt.Pack, opt.ISA, opt.Inputs = max(q.Threads, 1), q.Precision, q.Pack, q.ISA, ins[0]
		opt.Shapes = runOptions(ins[0], 1).Shapes
		opt.Launches, opt.Runs, opt.Warmup = 1, 1, 1
		t, err := c.Profile(ctx, deploy.FromBundle(b), opt, nil)
		if err != nil {
			return err
		}
		cut, err := cutModel(q.Model, t.Steps)
		if err != nil {
			return err
		}
		for i, in := range ins {
			if err := a.auditOne(ctx, c, q, opt.How, cut, i, in, out); err != nil {
				return err
			}
			q.Progress.Report(int64(i+1), int64(len(ins)), "audit")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out.judge()
	return out, nil
}

func (a *App) auditInputs(ctx context.Context, q AuditRequest) ([]map[string]*model.Tensor, error) {
	if q.Data != "" {
		return a.healthInputs(ctx, q.Model, HealthRule{Samples: q.Inputs, Data: q.Data, Preprocess: q.Preprocess})
	}
	var out []map[string]*model.Tensor
	for i := range q.Inputs {
		in, err := a.inputs(ctx, q.Model, []string{fmt.Sprint("random:", i+1)}, q.Preprocess)
		if err != nil {
			return nil, err
		}
		out = append(out, in)
	}
	return out, nil
}

// cutting is a model with the values that leave steps.
type cutting struct {
	wide  *model.Model // they are outputs
	apart *model.Model // and each step reads those of the target, which are inputs, instead of its own
	taps  []tap
}

type tap struct {
	value string
	step  trace.Step
	typ   model.Type
	from  string // its name as an input of apart; "": no other step reads it
}

// cutModel finds the values that pass from one step to another or leave the model. Values inside of a step exist nowhere on the
// target: asking for them would make it run another plan.
func cutModel(m *model.Model, steps []trace.Step) (*cutting, error) {
	inf, _, err := ops.Infer(m, nil)
	if err != nil {
		return nil, err
	}
	by := map[string]int{} // imported node to the step that computes it: a copy to another layout stands for the same nodes
	for i, s := range steps {
		for _, o := range s.Origin {
			if k, ok := by[o]; !ok || s.MACs >= steps[k].MACs {
				by[o] = i
			}
		}
	}
	named := map[string]int{}
	for i, s := range steps {
		named[s.Name] = i
	}
	step := map[model.NodeID]int{}
	for i, n := range m.Graph.Nodes {
		step[n.ID] = -1 - i // no step says that it runs it: one of its own
		if n.Op == "DequantizeLinear" {
			continue // on a target that keeps bytes nothing runs it: the bytes before it pass from step to step
		}
		for _, o := range n.Origin {
			if s, ok := named[n.Label()]; ok && slices.Contains(steps[s].Origin, string(o)) {
				step[n.ID] = s
				break
			}
			if s, ok := by[string(o)]; ok {
				step[n.ID] = s
				break
			}
		}
	}
	c := &cutting{}
	renamed := map[string]string{}
	for _, n := range m.Graph.Nodes {
		for _, v := range n.Outputs {
			leaves, read := m.Graph.Output(v) != nil, false
			for _, u := range m.Graph.Users(v) {
				read = read || step[u.ID] != step[n.ID]
			}
			t, known := inf.Types[v]
			if n.Op == "DequantizeLinear" {
				read = false
			}
			if v == "" || !leaves && !read || !known || t.Kind != model.KindTensor || t.DType == model.String {
				continue
			}
			x := tap{value: v, typ: t, step: trace.Step{ID: string(n.ID), Name: n.Label(), Op: n.Op}}
			if s := step[n.ID]; s >= 0 {
				x.step = steps[s]
			}
			if x.step.Origin == nil {
				for _, o := range n.Origin {
					x.step.Origin = append(x.step.Origin, string(o))
				}
			}
			if read {
				x.from = "target:" + v
				renamed[v] = x.from
			}
			c.taps = append(c.taps, x)
		}
	}
	if len(c.taps) == 0 {
		return nil, fail.New(fail.Unsupported, "no step of the plan has a tensor for output").Doing("audit").Try("compare the whole with fettle deploy, whose health check looks at the outputs")
	}
	c.wide = wider(m, c.taps)
	g := c.wide.Graph.Shallow()
	g.Nodes = make([]*model.Node, len(m.Graph.Nodes))
	for i, n := range m.Graph.Nodes {
		k := *n
		k.Raw, k.Inputs = nil, append([]string(nil), n.Inputs...)
		for j, v := range k.Inputs {
			if p := m.Graph.Producer(v); p != nil && step[p.ID] != step[n.ID] && renamed[v] != "" {
				k.Inputs[j] = renamed[v]
			}
		}
		g.Nodes[i] = &k
	}
	g.Inputs = append([]model.Value(nil), g.Inputs...)
	for _, x := range c.taps {
		if x.from != "" {
			g.Inputs = append(g.Inputs, model.Value{Name: x.from, Type: x.typ})
		}
	}
	c.apart = m.WithGraph(g)
	return c, nil
}

// wider is m with the taps for outputs, and no others.
func wider(m *model.Model, taps []tap) *model.Model {
	g := m.Graph.Shallow()
	g.Outputs = nil
	for _, x := range taps {
		g.Outputs = append(g.Outputs, model.Value{Name: x.value, Type: x.typ})
	}
	return m.WithGraph(g)
}

// auditOne compares on one input.
func (a *App) auditOne(ctx context.Context, c *deploy.Conn, q AuditRequest, how deploy.How, cut *cutting, no int, in map[string]*model.Tensor, out *Audit) error {
	whole, err := a.evaluate(ctx, cut.wide, in)
	if err != nil {
		return err
	}
	how.Shapes = runOptions(in, 1).Shapes
	got := map[string]*model.Tensor{}
	for from := 0; from < len(cut.taps); {
		to, bytes := from, 0
		for to < len(cut.taps) && (to == from || bytes+len(whole[cut.taps[to].value].Raw) <= auditBatch) {
			bytes += len(whole[cut.taps[to].value].Raw)
			to++
		}
		b, err := pack(q.Name, wider(q.Model, cut.taps[from:to]))
		if err != nil {
			return err
		}
		r, err := c.Run(ctx, deploy.FromBundle(b), how, in)
		if err != nil {
			return err
		}
		for name, t := range r.Outputs {
			got[name] = t
		}
		from = to
	}
	feed := map[string]*model.Tensor{}
	for name, t := range in {
		feed[name] = t
	}
	for _, x := range cut.taps {
		if t := got[x.value]; x.from != "" && t != nil {
			feed[x.from] = t
		}
	}
	own, err := a.evaluate(ctx, cut.apart, feed)
	if err != nil {
		return err
	}
	others, err := a.variants(ctx, cut.apart, feed, q.Precision == "half")
	if err != nil {
		return err
	}
	for i, x := range cut.taps {
		if no == 0 {
			out.Layers = append(out.Layers, AuditLayer{Value: x.value, Name: x.step.Name, Op: x.step.Op, Kernel: x.step.Kernel, Origin: x.step.Origin,
				DType: x.typ.DType.String()})
		}
		l := &out.Layers[i]
		for _, o := range others {
			far, err := farApart(o[x.value], own[x.value])
			if err != nil {
				return fail.In(err, "audit", fail.Where{Tensor: x.value})
			}
			l.Spread = math.Max(l.Spread, far)
		}
		l.Tolerance = layerTolerance(x.typ.DType, l.Spread, q.Precision, q.Tolerance)
		v, w := got[x.value], whole[x.value]
		if v == nil || w == nil || own[x.value] == nil {
			return fail.New(fail.Corrupt, "the target sent no value").At(fail.Where{Tensor: x.value}).Doing("audit").Try("update its agent")
		}
		far, err := farApart(v, w)
		if err != nil {
			return fail.In(err, "audit", fail.Where{Tensor: x.value})
		}
		l.Whole = math.Max(l.Whole, far)
		if far, err = farApart(v, own[x.value]); err != nil {
			return fail.In(err, "audit", fail.Where{Tensor: x.value})
		}
		off := share(v, own[x.value])
		if far > l.Own || far == l.Own && off > l.Off {
			l.Own, l.Input = far, no
		}
		l.Off = math.Max(l.Off, off)
	}
	return nil
}

// farApart is the largest |got - want|: of floats as a share of the largest |want|, of other numbers as it is. Values that are no numbers have to
// be in the same places.
func farApart(got, want *model.Tensor) (float64, error) {
	if got.DType != want.DType || fmt.Sprint(got.Shape) != fmt.Sprint(want.Shape) {
		return 0, fail.New(fail.Failed, "the target has %s, this computer %s", model.TypeOf(got), model.TypeOf(want)).Try("update its agent")
	}
	worst, largest := 0.0, 0.0
	for i := range want.Len() {
		x, y := got.Float64At(i), want.Float64At(i)
		if x == y || math.IsNaN(x) && math.IsNaN(y) {
			if !math.IsNaN(y) && !math.IsInf(y, 0) {
				largest = math.Max(largest, math.Abs(y))
			}
			continue
		}
		if d := math.Abs(x - y); d <= math.MaxFloat64 {
			worst, largest = math.Max(worst, d), math.Max(largest, math.Abs(y))
		} else {
			return math.MaxFloat64, nil
		}
	}
	if want.DType.Float() && largest > 0 {
		worst /= largest
	}
	return math.Min(worst, math.MaxFloat64), nil
}

// share is how many whole numbers of got are others than those of want.
func share(got, want *model.Tensor) float64 {
	if want.DType.Float() || want.Len() == 0 {
		return 0
	}
	n := 0
	for i := range want.Len() {
		if got.Float64At(i) != want.Float64At(i) {
			n++
		}
	}
	return float64(n) / float64(want.Len())
}

// variants are what other instructions and other algorithms of this computer make of the same inputs: portable kernels, and those that do without
// Winograd. They show what a layer may be rounded otherwise by, on a board too, which has others still. For a board that computes in half precision the
// inputs of each layer are rounded to it as well.
func (a *App) variants(ctx context.Context, m *model.Model, in map[string]*model.Tensor, half bool) ([]map[string]*model.Tensor, error) {
	generic, small := runOptions(in, 1), runOptions(in, 1)
	generic.ISA, small.Pack = "generic", "small"
	var out []map[string]*model.Tensor
	for _, opt := range []runtimes.Options{generic, small} {
		v, err := a.evaluateBy(ctx, m, in, opt)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	if half {
		rounded := map[string]*model.Tensor{}
		for name, t := range in {
			if rounded[name] = t; t.DType == model.Float32 {
				h, r := model.NewTensor(model.Float16, t.Shape...), model.NewTensor(model.Float32, t.Shape...)
				for i := range t.Len() {
					h.SetFloat64(i, t.Float64At(i))
					r.SetFloat64(i, h.Float64At(i))
				}
				rounded[name] = r
			}
		}
		v, err := a.evaluateBy(ctx, m, rounded, runOptions(in, 1))
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

const (
	spreadTimes = 8    // a layer may be as many times farther off than this computer's own kernels are from each other
	leastFar    = 2e-6 // what may always differ of floats: some steps of the largest value's last digit
	leastHalf   = 2e-3 // the same in half precision
	mostFar     = 5e-3 // never more, whatever the spread
	mostHalf    = 5e-2
	mostOff     = 0.01 // of 8-bit and 16-bit numbers may be one step off
)

// layerTolerance is what a layer may differ by where only the order and the width of its sums are others, from how far the kernels of this computer are
// from each other in it. 8-bit outputs may fall on the other side of a half.
func layerTolerance(d model.DType, spread float64, precision string, asked float64) float64 {
	least, most := leastFar, mostFar
	switch {
	case !d.Float():
		if d == model.Int8 || d == model.Uint8 || d == model.Int16 || d == model.Uint16 {
			return 1
		}
		return 0
	case asked > 0:
		return asked
	case d == model.Float16 || d == model.BFloat16 || precision == "half":
		least, most = leastHalf, mostHalf
	case precision == "fast":
		least = 1e-5 // as it is promised
	}
	return math.Min(most, math.Max(least, spreadTimes*spread))
}

// judge gives each layer its verdict and finds the first that differs.
func (u *Audit) judge() {
	for i := range u.Layers {
		l := &u.Layers[i]
		switch {
		case l.Own > l.Tolerance, l.Off > mostOff:
			l.Verdict = AuditDiffers
			if u.First == nil {
				first := *l
				u.First = &first
			}
		case l.Whole > l.Tolerance:
			l.Verdict = AuditInherited
		case l.Whole > 0:
			l.Verdict = AuditRounding
		default:
			l.Verdict = AuditSame
		}
	}
}
