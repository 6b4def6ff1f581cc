// Package native offers Fettle's own engine as a runtime.
//
// It owns nothing but the translation between the two. Start reading at New.
package native

import (
	"context"
	"strings"

	"fettle/engine"
	"fettle/internal/fail"
	"fettle/kernels/cpu"
	"fettle/model"
	"fettle/runtimes"
)

// Version is the version of the engine, stored with every run.
const Version = "0.1.0"

type native struct {
	feat    cpu.Features
	choices string // "", "measured" or "rules"
}

// New gives the engine for this processor. limit names a poorer instruction set ("" for none), behind a comma what chooses kernels: measured or
// rules, where that is not left to the processor ("avx2,measured", ",rules"). An unknown name is fail.Usage.
func New(limit string) (runtimes.Runtime, error) {
	limit, choices, _ := strings.Cut(limit, ",")
	f, err := cpu.Detect().Parse(limit)
	if err != nil {
		return nil, fail.New(fail.Usage, "%v", err)
	}
	if choices != "" && choices != "measured" && choices != "rules" {
		return nil, fail.New(fail.Usage, "kernels cannot be chosen by %q", choices).Try("say measured or rules")
	}
	return native{f, choices}, nil
}

// measured tells whether measurements choose kernels: where engine.Measured says so, if the user says nothing.
func (n native) measured(f cpu.Features) bool {
	if n.choices == "" {
		return engine.Measured(f)
	}
	return n.choices == "measured" && len(f.Levels()) > 1
}

func (n native) Name() string { return "fettle" }

func (n native) Probe(context.Context) runtimes.Facts {
	return runtimes.Facts{Name: "fettle", Version: Version, Present: true, Path: n.feat.String()}
}

func (n native) Prepare(ctx context.Context, m *model.Model, opt runtimes.Options) (runtimes.Session, error) {
	eo, err := n.options(opt)
	if err != nil {
		return nil, err
	}
	if eo.Scores, err = n.scores(ctx, eo, opt); err != nil {
		return nil, err
	}
	p, err := engine.Compile(ctx, m, eo)
	if err != nil {
		return nil, err
	}
	if q := n.keep(ctx, p, opt); q != p {
		p = q
		release()
	}
	return open(p)
}

// options are the engine's.
func (n native) options(opt runtimes.Options) (engine.Options, error) {
	feat, err := n.feat.Parse(opt.ISA)
	if err != nil {
		return engine.Options{}, fail.New(fail.Usage, "%v", err)
	}
	eo := engine.Options{Threads: max(1, opt.Threads), Features: feat, Shapes: opt.Shapes, Types: opt.Types}
	switch opt.Precision {
	case "", "exact":
	case "fast":
		eo.Fast = feat.Has(cpu.AMXBF16) // elsewhere vectors of float32 are as fast as it gets, and exact; doctor says so
	case "half":
		eo.Half = feat.Has(cpu.NEONFP16) // elsewhere nothing gains by it
	default:
		return eo, fail.New(fail.Usage, "no precision is called %q", opt.Precision).At(fail.Where{Option: "precision"}).Try("say exact, fast or half")
	}
	switch opt.Pack {
	case "", "auto":
		if eo.Room = opt.Room; eo.Room == 0 {
			eo.Room = available() / 2
		}
	case "small":
		eo.Small = true
	case "fast":
	default:
		return eo, fail.New(fail.Usage, "weights cannot be packed as %q", opt.Pack).At(fail.Where{Option: "pack"}).Try("say auto, small or fast")
	}
	return eo, nil
}

func open(p *engine.Plan) (runtimes.Session, error) {
	s, err := p.NewSession()
	if err != nil {
		return nil, err
	}
	return session{s}, nil
}

type session struct{ s *engine.Session }

func (s session) Inputs() []model.Value  { return s.s.Plan.Inputs }
func (s session) Outputs() []model.Value { return s.s.Plan.Outputs }

func (s session) Steps() []runtimes.Step {
	out := make([]runtimes.Step, len(s.s.Plan.Steps))
	for i, st := range s.s.Plan.Steps {
		origin := make([]string, len(st.Origin))
		for k, o := range st.Origin {
			origin[k] = string(o)
		}
		out[i] = runtimes.Step{ID: st.ID, Name: st.Name, Op: st.Op, Origin: origin, Kernel: st.Kernel, Why: st.Why, DType: st.DType, Device: "cpu", MACs: st.MACs, Bytes: st.Bytes,
			Window: st.Window, Strides: st.Strides}
	}
	return out
}

func (s session) Memory() runtimes.Memory {
	p := s.s.Plan
	return runtimes.Memory{Weights: p.PackBytes, Arena: int64(p.ArenaBytes), Floor: int64(p.FloorBytes), Prepared: p.Prepared, Small: p.Options.Small}
}

func (s session) Feed(in map[string]*model.Tensor) error     { return s.s.Feed(in) }
func (s session) Exec(ctx context.Context, ns []int64) error { return s.s.Exec(ctx, ns) }
func (s session) Result() []*model.Tensor                    { return s.s.Outputs() }
func (s session) Mark(at *int64)                             { s.s.Mark(at) }
func (s session) Close() error                               { s.s.Close(); return nil }
