package quantize

import (
	"context"
	"fmt"
	"strings"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// job is one application of the pass: the float model with what was measured of it, from which quantized models are written
// for one plan after another.
type job struct {
	env   *optimizer.Env
	o     Options
	float *model.Model // raised to the operator set that the weights need
	sel   *selection   // of every layer that may be quantized
	steps map[string]step
	batch *batch // nil: nothing is tuned or judged
	want  [][]*model.Tensor
	found []optimizer.Finding // about the model as a whole
}

// written is a quantized model and how it was made.
type written struct {
	*writer
	model *model.Model
}

// newJob measures what the options need. It is nil where the model has no layer to quantize.
func newJob(ctx context.Context, env *optimizer.Env, o Options, m *model.Model) (*job, error) {
	opset, ir := versions(o)
	up, err := optimizer.Upgrade(m, opset, ir)
	if err != nil {
		return nil, err
	}
	if o.static() {
		up = unfuse(up, o)
	}
	j := &job{env: env, o: o, float: up}
	if j.sel, err = selectNodes(env, up, o, plan{}); err != nil || len(j.sel.layers) == 0 {
		return nil, err
	}
	if env.Data == nil || env.Data.Len() == 0 {
		return j, j.withoutData()
	}
	if o.static() {
		ranges, err := calibrate(ctx, env, up, j.sel, o.Samples)
		if err != nil {
			return nil, fail.In(err, "calibrate", fail.Where{})
		}
		if j.steps, err = chooseSteps(ranges, o); err != nil {
			return nil, err
		}
		j.tellConstant(ranges)
	}
	j.tellZeros()
	if j.tunes() || o.Weights == "mixed" || o.Weights == "nested" || o.MaxDrop < 100 {
		return j, j.load(ctx)
	}
	return j, nil
}

// tunes reports whether weights or biases are changed on data.
func (j *job) tunes() bool {
	return j.o.Rounding != "nearest" || j.o.CorrectBias && j.o.static()
}

// withoutData refuses what cannot be done without.
func (j *job) withoutData() error {
	for _, c := range []struct {
		needed        bool
		what, instead string
	}{
		{j.o.static(), "quantizing values", "set activations = \"none\" for weights only"},
		{j.o.Rounding != "nearest", "rounding = \"" + j.o.Rounding + "\"", "set rounding = \"nearest\""},
		{j.o.Weights == "mixed", "weights = \"mixed\"", "set weights to one type"},
		{j.o.MaxDrop < 100, "max_drop", "set max_drop = 100"},
	} {
		if c.needed {
			return fail.New(fail.Usage, "%s needs calibration data", c.what).Doing("quantize").
				Try("give a folder of typical inputs with --data, or %s", c.instead)
		}
	}
	return nil
}

// memory bounds what is kept of the values of items.
const memory = 512 << 20

// load reads items to tune on and to judge by, as many as memory allows.
func (j *job) load(ctx context.Context) error {
	one, err := loadItems(ctx, j.env.Data, 1, 1)
	if err != nil {
		return err
	}
	w, err := newWalk(j.env, j.float, one.all)
	if err != nil {
		return err
	}
	var at []int
	for id := range j.sel.layers {
		at = append(at, j.float.Graph.Position(id))
	}
	each := w.each(at)
	samples := j.o.Samples
	if j.o.Rounding == "nearest" {
		samples = min(samples, meanItems)
	}
	if j.batch, err = loadItems(ctx, j.env.Data, samples, int(max(memory/each, 2))); err != nil {
		return err
	}
	j.want, err = outputs(ctx, j.env, j.float, j.batch.judges())
	return err
}

// write makes the quantized model of a plan, rounded to nearest.
func (j *job) write(p plan) (*written, error) {
	s, err := selectNodes(j.env, j.float, j.o, p)
	if err != nil {
		return nil, err
	}
	w := &writer{m: j.float, o: j.o, sel: s, used: names(j.float), consts: map[string]string{}, steps: map[string]step{}}
	for v := range s.group { // the plan's groups are parts of those that were measured
		if j.sel.marked(v) {
			w.steps[s.find(v)] = j.steps[j.sel.find(v)]
		}
	}
	m, err := w.write()
	if err != nil {
		return nil, fail.In(err, "quantize", fail.Where{})
	}
	return &written{w, m}, nil
}

// judge compares a model with the float model on the items that judge.
func (j *job) judge(ctx context.Context, m *model.Model) (fidelity, error) {
	got, err := outputs(ctx, j.env, m, j.batch.judges())
	if err != nil {
		return fidelity{}, err
	}
	return compare(j.want, got), nil
}

// where names the items that judge.
func (j *job) where() string {
	if j.batch.held == 0 {
		return "the calibration items, as there are too few to hold some out"
	}
	return fmt.Sprintf("%d held-out items", j.batch.held)
}

// run plans, writes and tunes.
func (j *job) run(ctx context.Context) (*model.Model, []optimizer.Finding, error) {
	p := plan{as: map[model.NodeID]string{}, float: map[model.NodeID]string{}}
	if err := j.choose(&p); err != nil {
		return nil, nil, err
	}
	if j.o.Weights == "mixed" {
		if err := j.mix(ctx, &p); err != nil {
			return nil, nil, err
		}
	}
	w, out, err := j.make(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	if j.o.MaxDrop < 100 {
		changed, err := j.bound(ctx, &p, out)
		if err != nil {
			return nil, nil, err
		}
		if changed {
			if w, out, err = j.make(ctx, p); err != nil {
				return nil, nil, err
			}
		}
	}
	if j.o.Weights == "mixed" || j.o.MaxDrop < 100 {
		f, err := j.judge(ctx, out)
		if err != nil {
			return nil, nil, err
		}
		j.say(optimizer.Applied, "quantize", fmt.Sprintf("outputs on %s: %s", j.where(), f))
	}
	j.tellPairs(w, out)
	var more []optimizer.Finding
	if j.o.Activations == "dynamic" {
		if out, more, err = toDynamic(out); err != nil {
			return nil, nil, err
		}
		j.found = append(j.found, more...)
	}
	if as := map[string]func(*model.Model) (*model.Model, []optimizer.Finding, error){"qoperator": toOperators, "matmulnbits": toNBits}[j.o.Export]; as != nil {
		if out, more, err = as(out); err != nil {
			return nil, nil, err
		}
		j.found = append(j.found, more...)
	}
	if j.o.Weights == "nested" {
		if out, err = j.nest(ctx, w, out); err != nil {
			return nil, nil, err
		}
	}
	found := w.sel.found
	for i := range found {
		if found[i].Outcome == optimizer.Applied && len(found[i].Nodes) > 0 {
			found[i].Gain.Bytes = w.saved[found[i].Nodes[0]]
			found[i].Reason = w.notes[found[i].Nodes[0]]
		}
	}
	return out, append(found, j.found...), nil
}

// make writes a plan and tunes the result, which is kept where it comes closer to the float model.
func (j *job) make(ctx context.Context, p plan) (*written, *model.Model, error) {
	w, err := j.write(p)
	if err != nil || !j.tunes() || len(w.placed) == 0 {
		return w, w.modelOf(), err
	}
	t := &tuner{env: j.env, o: j.o, w: w.writer, float: j.float, quant: w.model, items: j.batch, notes: map[model.NodeID]string{}}
	out, err := t.run(ctx)
	if err != nil {
		return nil, nil, err
	}
	near, err := j.judgeLevels(ctx, w, w.model)
	if err != nil {
		return nil, nil, err
	}
	tuned, err := j.judgeLevels(ctx, w, out)
	if err != nil {
		return nil, nil, err
	}
	label, before, after := "rounding "+j.o.Rounding, "with nearest rounding", "with "+j.o.Rounding
	if j.o.Rounding == "nearest" {
		label, before, after = "bias correction", "without", "with it"
	}
	reason := fmt.Sprintf("outputs on %s: %s %s, %s %s", j.where(), near, before, tuned, after)
	kept := tuned.better(near)
	for id, n := range t.notes {
		if kept || strings.HasPrefix(n, toNearest) {
			w.note(id, n)
		}
	}
	if !kept {
		j.say(optimizer.Refused, label, reason+": reverted")
		return w, w.model, nil
	}
	j.say(optimizer.Applied, label, reason)
	return w, out, nil
}

func (w *written) modelOf() *model.Model {
	if w == nil {
		return nil
	}
	return w.model
}

// say adds a line about the whole model to the ledger.
func (j *job) say(o optimizer.Outcome, label, reason string) {
	j.found = append(j.found, optimizer.Finding{Rule: "quantize", Label: label, Outcome: o, Reason: reason})
}

// versions are the opset and the IR version that the weights need.
func versions(o Options) (int, int64) {
	w := precisions[o.Weights]
	if o.Weights == "mixed" && !o.static() {
		w = precisions["int4"]
	}
	opset, ir := o.versionsOf(w.opset, w.ir)
	w.opset, w.ir = opset, ir
	if o.Activations == "int16" {
		return max(w.opset, blockOpset), max(w.ir, blockIR)
	}
	if o.Block > 0 {
		return max(w.opset, blockOpset), max(w.ir, blockIR)
	}
	return w.opset, w.ir
}
