package app

import (
	"context"
	"strings"
	"time"

	"fettle/internal/fail"
	"fettle/kernels/cpu"
	"fettle/kernels/peak"
	"fettle/model"
	"fettle/train"
)

// TrainRequest says for which network the speed of training is measured.
type TrainRequest struct {
	Model   string // a file, or sample:NAME
	Batch   int
	Threads int
	ISA     string // poorer instruction set, "" for the best
	Budget  time.Duration
}

// TrainReport is how fast training goes on this computer.
type TrainReport struct {
	Model      string  `json:"model"`
	CPU        string  `json:"cpu"`
	ISA        string  `json:"isa"`
	Batch      int     `json:"batch"`
	Threads    int     `json:"threads"`
	Steps      int     `json:"steps"`
	StepNs     int64   `json:"step_ns"` // forward, backward and update, medians
	ForwardNs  int64   `json:"forward_ns"`
	BackwardNs int64   `json:"backward_ns"`
	UpdateNs   int64   `json:"update_ns"`
	PerSecond  float64 `json:"items_per_second"`
	MACs       int64   `json:"macs"`        // of a step
	GFlops     float64 `json:"gflops"`      // over the whole step
	PeakGFlops float64 `json:"peak_gflops"` // what the multipliers of so many cores give, measured just after
	Share      float64 `json:"share_of_peak"`
}

// BenchTrain takes steps of training on random numbers and says how long they take; the model is not changed.
func (a *App) BenchTrain(ctx context.Context, q TrainRequest) (*TrainReport, error) {
	if q.Threads < 1 || q.Threads > maxThreads || q.Batch < 1 || q.Batch > 4096 || q.Budget <= 0 || q.Budget > 10*time.Minute {
		return nil, fail.New(fail.Usage, "%d threads, batch %d, %v", q.Threads, q.Batch, q.Budget).Doing("bench train").Try("give 1 to %d threads, a batch of 1 to 4096 and at most ten minutes", maxThreads)
	}
	feat, err := cpu.Detect().Parse(a.isa)
	if err == nil {
		feat, err = feat.Parse(q.ISA)
	}
	if err != nil {
		return nil, fail.New(fail.Usage, "%v", err).Doing("bench train")
	}
	var m *model.Model
	if name, built := strings.CutPrefix(q.Model, samplePrefix); built {
		m, err = a.Sample(name)
	} else {
		m, err = a.Load(ctx, q.Model)
	}
	if err != nil {
		return nil, err
	}
	shape, err := itemShape(m)
	if err != nil {
		return nil, fail.In(err, "bench train", fail.Where{})
	}
	s, err := train.Measure(ctx, m, train.Trial{Shape: shape, Batch: q.Batch, Threads: q.Threads, Budget: q.Budget, CPU: feat})
	if err != nil {
		return nil, fail.In(err, "bench train", fail.Where{})
	}
	begin := time.Now()
	top, isa := peak.Measure(feat, false, 50*time.Millisecond, func() int64 { return int64(time.Since(begin)) })
	r := &TrainReport{Model: q.Model, CPU: feat.String(), ISA: isa.String(), Batch: q.Batch, Threads: q.Threads, Steps: s.Steps, MACs: s.MACs,
		StepNs: int64(s.Step()), ForwardNs: int64(s.Forward), BackwardNs: int64(s.Backward), UpdateNs: int64(s.Update)}
	sec := s.Step().Seconds()
	r.PerSecond, r.GFlops = float64(q.Batch)/sec, 2e-9*float64(s.MACs)/sec
	if r.PeakGFlops = 2e-9 * top * float64(q.Threads); top > 0 {
		r.Share = r.GFlops / r.PeakGFlops
	}
	return r, nil
}

// itemShape is the shape of the only input without the batch.
func itemShape(m *model.Model) ([]int, error) {
	free := m.Graph.Free()
	if len(free) != 1 || !free[0].Type.Ranked || len(free[0].Type.Shape) < 2 {
		return nil, fail.New(fail.Unsupported, "training needs one input with a batch")
	}
	var shape []int
	for _, d := range free[0].Type.Shape[1:] {
		if !d.Known() {
			return nil, fail.New(fail.Unsupported, "the input %s has no fixed size", free[0].Name)
		}
		shape = append(shape, int(d.N))
	}
	return shape, nil
}
