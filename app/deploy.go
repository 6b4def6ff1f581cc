package app

import (
	"context"
	"slices"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/remote/bundle"
	"fettle/remote/deploy"
)

// DeployRequest says what to put where.
type DeployRequest struct {
	Model    *model.Model
	Target   string
	Name     string
	Health   HealthRule
	Service  bool // keep it running on the board
	Progress task.Progress
	Asks     Asks
}

// HealthRule is what a version has to show on the board before it becomes the active one. The zero value compares outputs
// for two random inputs with this computer's, where the model can be run on such.
type HealthRule struct {
	None       bool          // no trial at all
	Data       string        // folder of samples; "": random inputs
	Preprocess string        // of Data; "": as the model says
	Samples    int           // 0: 2
	Tolerance  float64       // 0: 0.001, and 0.02 for a quantized model, whose steps may fall to the other side
	MaxP99     time.Duration // 0: any
	MinAgree   float64       // with the version before, in the shadow run
	Shadow     time.Duration // how long to run beside the version before; 0: not
	Threads    int
}

const (
	usualSamples      = 2
	usualTolerance    = 1e-3
	quantizeTolerance = 2e-2
)

// bundleOf packs a model with its health rule.
func (a *App) bundleOf(ctx context.Context, name string, m *model.Model, h HealthRule) (*bundle.Bundle, error) {
	b, err := pack(name, m)
	if err != nil || h.None {
		return b, err
	}
	inputs, err := a.healthInputs(ctx, m, h)
	if err != nil {
		return nil, err
	}
	asked := h.Data != "" || h.MaxP99 > 0 || h.MinAgree > 0 || h.Shadow > 0
	if len(inputs) == 0 {
		if asked {
			return nil, fail.New(fail.Unsupported, "no inputs can be made for it").Doing("make health samples").Try("give some: --samples DIR")
		}
		return b, nil
	}
	run, done, err := a.scoreRun(ctx, m)
	if err != nil {
		return nil, err
	}
	defer done()
	rule := bundle.Health{Tolerance: h.Tolerance, MaxP99Ns: h.MaxP99.Nanoseconds(), MinAgree: h.MinAgree, Threads: h.Threads, Shapes: map[string][]int{}}
	if rule.Tolerance == 0 {
		rule.Tolerance = toleranceOf(m)
	}
	var samples [][2][]bundle.Tensor
	for _, in := range inputs {
		out, err := run(ctx, in)
		named := map[string]*model.Tensor{}
		for i, t := range out {
			if t == nil || t.None || t.DType.Composite() {
				err = fail.New(fail.Unsupported, "output %s is no tensor", m.Graph.Outputs[i].Name)
			}
			named[m.Graph.Outputs[i].Name] = t
		}
		if err != nil {
			if asked || ctx.Err() != nil {
				return nil, fail.In(err, "make health samples", fail.Where{})
			}
			return b, nil // what this computer cannot run is no rule for a board
		}
		for name, t := range in {
			rule.Shapes[name] = t.Shape
		}
		samples = append(samples, [2][]bundle.Tensor{encoded(in), encoded(named)})
	}
	return b, b.SetHealth(rule, samples)
}

func (a *App) healthInputs(ctx context.Context, m *model.Model, h HealthRule) ([]map[string]*model.Tensor, error) {
	n := h.Samples
	if n == 0 {
		n = usualSamples
	}
	if h.Data == "" {
		in, err := a.verifyInputs(ctx, m, 1)
		return in[:min(n, len(in))], err
	}
	pre, err := preprocessOf(m, h.Preprocess, h.Data)
	if err != nil {
		return nil, err
	}
	set, err := a.openData(h.Data, m, pre)
	if err != nil {
		return nil, err
	}
	var out []map[string]*model.Tensor
	err = set.Each(ctx, n, func(_ int, in map[string]*model.Tensor) error {
		out = append(out, in)
		return nil
	})
	return out, err
}

// toleranceOf is what the arithmetic of another processor may change.
func toleranceOf(m *model.Model) float64 {
	for _, n := range m.Graph.Nodes {
		switch n.Op {
		case "QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger":
			return quantizeTolerance
		}
	}
	return usualTolerance
}

// encoded are tensors by name, always in the same order: the same samples are the same bundle.
func encoded(ts map[string]*model.Tensor) []bundle.Tensor {
	var out []bundle.Tensor
	for name, t := range ts {
		out = append(out, bundle.Tensor{Name: name, Data: onnx.WriteTensor(name, t)})
	}
	slices.SortFunc(out, func(x, y bundle.Tensor) int {
		if x.Name < y.Name {
			return -1
		}
		return 1
	})
	return out
}

// Deploy puts a model on a board: missing chunks travel, the version is tried, the rename of the manifest is the commit.
func (a *App) Deploy(ctx context.Context, q DeployRequest) (*Deployment, error) {
	b, err := a.bundleOf(ctx, q.Name, q.Model, q.Health)
	if err != nil {
		return nil, err
	}
	return a.install(ctx, b, q)
}

func (a *App) install(ctx context.Context, b *bundle.Bundle, q DeployRequest) (out *Deployment, err error) {
	err = a.with(ctx, q.Target, q.Asks, q.Progress, func(c *deploy.Conn) error {
		r, err := c.Install(ctx, b, q.Health.Shadow, q.Progress)
		if err == nil {
			out = &Deployment{Target: q.Target, Deployment: r.Deployment, Sent: r.Sent, Upload: r.Upload}
		}
		if err == nil && q.Service {
			st, notes, serr := c.StartService(ctx, q.Name)
			out.Service, out.Notes, err = &st, notes, serr
		}
		return err
	})
	return out, err
}

// DeployResult is what became of one board of several.
type DeployResult struct {
	Target     string      `json:"target"`
	Deployment *Deployment `json:"deployment,omitempty"`
	Err        *fail.Error `json:"-"`
}

// DeployAll puts one model on several boards at once. Each is a transaction of its own: one that fails keeps its version
// before, and does not stop the others.
func (a *App) DeployAll(ctx context.Context, q DeployRequest, targets []string) ([]DeployResult, error) {
	b, err := a.bundleOf(ctx, q.Name, q.Model, q.Health)
	if err != nil {
		return nil, err
	}
	out := make([]DeployResult, len(targets))
	g := task.NewGroup(ctx)
	for i, t := range targets {
		g.Go("deploy to "+t, func(ctx context.Context) error {
			one := q
			one.Target = t
			if len(targets) > 1 && q.Progress != nil {
				one.Progress = func(done, total int64, what string) { q.Progress.Report(done, total, t+": "+what) }
			}
			d, err := a.install(ctx, b, one)
			out[i] = DeployResult{Target: t, Deployment: d, Err: fail.From(err)}
			return nil
		})
	}
	return out, g.Wait()
}
