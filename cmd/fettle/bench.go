package main

import (
	"fmt"
	"io"
	"time"

	"fettle/app"
)

type benchCmd struct {
	Kernels benchKernelsCmd `cmd:"" help:"Time every kernel for a shape, and show which one a plan picks."`
	Train   benchTrainCmd   `cmd:"" help:"Time steps of training of a model on random numbers, and say which share of the multipliers works."`
}

type benchKernelsCmd struct {
	Shape     string        `arg:"" help:"M,N,K for the product of M x K by a constant K x N, or conv:C,H,W,M,K for a convolution of C channels of H x W to M by K x K; behind it may stand s2 (stride), d2 (dilation), g64 (groups), p0 (padding), n4 (batch)."`
	Int8      bool          `name:"int8" help:"8-bit kernels."`
	Threads   int           `default:"1" help:"Workers."`
	ISA       string        `name:"isa" help:"Poorer instruction set to use."`
	Precision string        `default:"exact" enum:"exact,fast,half" help:"fast: also kernels whose products may err by 1e-5 of the largest output; half: by 5e-3."`
	Pack      string        `default:"fast" enum:"small,fast" help:"small: mark what a plan for little memory picks."`
	Budget    time.Duration `default:"200ms" help:"Time for each kernel."`
	JSON      bool          `name:"json" help:"Print JSON."`
}

// Help gives an example that works.
func (benchKernelsCmd) Help() string {
	return "Example:\n  fettle bench kernels 196,256,1024\n  fettle bench kernels conv:64,56,56,64,3"
}

// Run times kernels.
func (c benchKernelsCmd) Run(e *env) error {
	r, err := e.app.BenchKernels(e.ctx, app.KernelRequest{Shape: c.Shape, Int8: c.Int8, Threads: c.Threads, ISA: c.ISA, Precision: c.Precision, Pack: c.Pack, Budget: c.Budget})
	if err != nil {
		return err
	}
	return e.print(c.JSON, r, func(w io.Writer) {
		fmt.Fprintf(w, "%s %s, %d thread(s), %s\n", r.Shape, r.DType, r.Threads, r.CPU)
		for _, k := range r.Candidates {
			mark := " "
			if k.Picked {
				mark = "*"
			}
			fmt.Fprintf(w, "%s %-36s %10s %8.1f GFLOP/s %9.1f kB packed\n", mark, k.Kernel, ms(float64(k.Ns)), k.GFlops, float64(k.PackedBytes)/1e3)
		}
		fmt.Fprintf(w, "* is what a plan picks: %.2f of the fastest time\n", r.Slower)
	})
}

type benchTrainCmd struct {
	Model   string        `arg:"" help:"File, or sample:NAME for a built-in network."`
	Batch   int           `default:"64" help:"Items a step."`
	Threads int           `default:"2" help:"Workers; the numbers do not depend on them."`
	ISA     string        `name:"isa" help:"Poorer instruction set to use."`
	Budget  time.Duration `default:"5s" help:"Time to measure for."`
	JSON    bool          `name:"json" help:"Print JSON."`
}

// Help gives an example that works.
func (benchTrainCmd) Help() string {
	return "Example:\n  fettle bench train sample:resnet20\n  fettle bench train model.onnx --batch 32 --threads 1"
}

// Run times training.
func (c benchTrainCmd) Run(e *env) error {
	r, err := e.app.BenchTrain(e.ctx, app.TrainRequest{Model: c.Model, Batch: c.Batch, Threads: c.Threads, ISA: c.ISA, Budget: c.Budget})
	if err != nil {
		return err
	}
	return e.print(c.JSON, r, func(w io.Writer) {
		fmt.Fprintf(w, "%s, batch %d, %d thread(s), %s\n", r.Model, r.Batch, r.Threads, r.CPU)
		fmt.Fprintf(w, "%.0f items a second, %s a step (median of %d): forward %s, backward %s, update %s\n", r.PerSecond, ms(float64(r.StepNs)), r.Steps, ms(float64(r.ForwardNs)), ms(float64(r.BackwardNs)), ms(float64(r.UpdateNs)))
		fmt.Fprintf(w, "%.0f GFLOP/s of %.0f that the multipliers give (%s): %.0f %%\n", r.GFlops, r.PeakGFlops, r.ISA, 100*r.Share)
	})
}
