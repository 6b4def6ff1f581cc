package app

import (
	"context"
	"time"

	"fettle/engine"
	"fettle/internal/fail"
	"fettle/kernels/cpu"
)

// KernelRequest says for which shape the engine's kernels are timed.
type KernelRequest struct {
	Shape     string // M,N,K or conv:C,H,W,M,K…
	Int8      bool
	Threads   int
	ISA       string // poorer instruction set, "" for the best
	Precision string // fast: kernels whose products may err by 1e-5 of the largest output too; half: by 5e-3
	Pack      string // small marks what a plan for little memory takes
	Budget    time.Duration
}

// KernelReport lists all kernels for a shape, in the order of the engine's tables.
type KernelReport struct {
	Shape      string             `json:"shape"`
	DType      string             `json:"dtype"`
	Threads    int                `json:"threads"`
	CPU        string             `json:"cpu"`
	MACs       int64              `json:"macs"`
	Candidates []engine.Candidate `json:"candidates"`
	Slower     float64            `json:"slower"` // time of the kernel that a plan picks by that of the fastest
}

// BenchKernels times every kernel for a shape on this computer, and says which one a plan picks.
func (a *App) BenchKernels(ctx context.Context, q KernelRequest) (*KernelReport, error) {
	if q.Threads < 1 || q.Threads > maxThreads || q.Budget <= 0 || q.Budget > time.Minute {
		return nil, fail.New(fail.Usage, "%d threads, %v a kernel", q.Threads, q.Budget).Doing("bench kernels").Try("give 1 to %d threads and at most a minute", maxThreads)
	}
	feat, err := cpu.Detect().Parse(a.isa)
	if err == nil {
		feat, err = feat.Parse(q.ISA)
	}
	if err != nil {
		return nil, fail.New(fail.Usage, "%v", err).Doing("bench kernels")
	}
	w, err := engine.ParseWork(q.Shape, q.Int8)
	if err != nil {
		return nil, err
	}
	list, err := engine.Candidates(ctx, w, engine.Options{Threads: q.Threads, Features: feat, Small: q.Pack == "small", Fast: q.Precision == "fast", Half: q.Precision == "half"}, q.Budget)
	if err != nil {
		return nil, err
	}
	r := &KernelReport{Shape: q.Shape, DType: "float32", Threads: q.Threads, CPU: feat.String(), Candidates: list}
	if q.Int8 {
		r.DType = "int8"
	}
	if w.Conv != nil {
		r.MACs = w.Conv.MACs()
	} else {
		r.MACs = w.Gemm.MACs()
	}
	best, picked := list[0].Ns, list[0].Ns
	for _, c := range list {
		best = min(best, c.Ns)
		if c.Picked {
			picked = c.Ns
		}
	}
	r.Slower = float64(picked) / float64(max(1, best))
	return r, nil
}
