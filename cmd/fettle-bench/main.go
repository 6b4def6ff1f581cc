// Command fettle-bench is our side of scripts/bench.sh: it prepares one built-in network, writes the file that the other
// engine is to run, and then times a burst of runs for each number that it reads, so that both sides take turns on the
// same machine. Each answer is one line: the times of the runs in ms, wall or, for one thread, of the processor.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fettle/engine"
	"fettle/internal/fail"
	"fettle/kernels/cpu"
	"fettle/kernels/peak"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/optimizer"
	"fettle/optimizer/catalog"
	"fettle/sample"
)

func main() {
	name := flag.String("network", "resnet50", "built-in network")
	int8 := flag.Bool("int8", false, "quantize it, calibrated on random inputs")
	int16 := flag.Bool("int16", false, "the same with weights of 8 bits and values of 16")
	threads := flag.Int("threads", 1, "workers")
	write := flag.String("write", "", "file for the other engine")
	lite := flag.String("tflite", "", "the same network as a TensorFlow Lite file, where that format has its operators")
	limit := flag.String("isa", "", "poorer instruction set")
	fast := flag.Bool("fast", false, "products of bf16 parts where the processor has them")
	half := flag.Bool("half", false, "products in half precision where the processor has them")
	steps := flag.Bool("steps", false, "print the steps with their times instead of waiting for numbers")
	file := flag.String("model", "", "run this model file as it is instead of a built-in network")
	ready := flag.String("ready", "", "write the network as ours runs it to this file, and nothing else")
	events := flag.String("count", "", "print the steps with their instructions: the file that scripts/arm/count.c writes in an emulator")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := bench(ctx, options{*name, *int8, *int16, *threads, *write, *limit, *fast, *half, *steps, *file, *ready, *events, *lite})
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "fettle-bench:", err)
		os.Exit(1)
	}
}

type options struct {
	network string
	int8    bool
	int16   bool
	threads int
	write   string
	isa     string
	fast    bool
	half    bool
	steps   bool
	file    string
	ready   string
	events  string
	lite    string
}

func bench(ctx context.Context, o options) error {
	m, ours, err := models(ctx, o)
	if err != nil {
		return err
	}
	if o.lite != "" {
		if err := writeLite(ctx, o.lite, m); err != nil {
			fmt.Fprintln(os.Stderr, "fettle-bench:", err)
		}
	}
	if o.ready != "" {
		return onnx.WriteFile(o.ready, ours)
	}
	if o.write != "" {
		if err := onnx.WriteFile(o.write, m); err != nil {
			return err
		}
	}
	feat, err := cpu.Detect().Parse(o.isa)
	if err != nil {
		return err
	}
	begin := time.Now()
	plan, err := engine.Compile(ctx, ours, engine.Options{Threads: o.threads, Features: feat, Fast: o.fast, Half: o.half})
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: compiled in %.0f ms, %d steps, %.1f MB packed, %.1f MB arena\n", o.network, ms(time.Since(begin)), len(plan.Steps), float64(plan.PackBytes)/1e6, float64(plan.ArenaBytes)/1e6)
	s, err := plan.NewSession()
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Feed(random(plan.Inputs, 7)); err != nil {
		return err
	}
	if o.steps {
		return printSteps(ctx, s)
	}
	if o.events != "" {
		return printCounts(ctx, s, o.events)
	}
	macs := int64(0)
	for _, st := range plan.Steps {
		macs += st.MACs
	}
	fmt.Fprintf(os.Stderr, "macs %d\n", macs)
	return serve(ctx, s, o, feat)
}

// models gives the network as the other engine gets it, and as ours runs it: other engines rewrite a graph by themselves while
// they load it, ours runs it as written, so the recipe "standard" comes before. Quantized, both have gone through the same quantizer with the
// same data: theirs behind fold-batchnorm, with values of uint8, which is the form that ONNX Runtime has integer kernels for.
func models(ctx context.Context, o options) (theirs, ours *model.Model, err error) {
	if o.file != "" {
		m, err := onnx.ReadFile(ctx, o.file, onnx.DefaultBudget())
		return m, m, err
	}
	m, err := sample.Build(o.network)
	if err != nil {
		return nil, nil, err
	}
	env := optimizer.Env{Passes: catalog.Passes()}
	derive := func(steps ...optimizer.RecipeStep) (*model.Model, error) {
		derived, err := optimizer.Run(ctx, m, &optimizer.Recipe{Schema: 1, Seed: 1, Steps: steps}, env)
		if err != nil {
			return nil, err
		}
		return derived[len(derived)-1].Model, nil
	}
	standard := catalog.Standard().Steps
	if !o.int8 && !o.int16 {
		ours, err = derive(standard...)
		return m, ours, err
	}
	env.Data = calibration{random(m.Graph.Free(), 1), random(m.Graph.Free(), 2)}
	env.Runner = runner{}
	quantize := optimizer.RecipeStep{Pass: "quantize", Options: map[string]any{"calibration": "minmax", "activations": "uint8"}}
	if o.int16 {
		quantize.Options["activations"] = "int16"
	}
	if ours, err = derive(append(standard, quantize)...); err != nil || o.write == "" && o.lite == "" {
		return ours, ours, err
	}
	theirs, err = derive(optimizer.RecipeStep{Pass: "fold-batchnorm"}, quantize)
	return theirs, ours, err
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// serve answers each number on the input with the times of so many runs. The log gets the peak of one core at that moment.
func serve(ctx context.Context, s *engine.Session, o options, feat cpu.Features) error {
	for range 3 {
		if err := s.Exec(ctx, nil); err != nil {
			return err
		}
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		n, err := strconv.Atoi(strings.TrimSpace(in.Text()))
		if err != nil {
			return err
		}
		if v, isa := peak.Measure(feat, o.int8, 5*time.Millisecond, func() int64 { return int64(cpuTime()) }); v > 0 {
			fmt.Fprintf(os.Stderr, "peak %.0f %v\n", v, isa)
		}
		var b strings.Builder
		for range n {
			begin, used := time.Now(), cpuTime()
			if err := s.Exec(ctx, nil); err != nil {
				return err
			}
			d := time.Since(begin)
			if o.threads == 1 {
				d = cpuTime() - used
			}
			fmt.Fprintf(&b, "%.4f ", ms(d))
		}
		fmt.Println(b.String())
	}
	return in.Err()
}

// cpuTime is the processor time of this process so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// printSteps prints the tenth percentile of each step, slowest first.
func printSteps(ctx context.Context, s *engine.Session) error {
	const runs = 30
	times := make([][]int64, len(s.Plan.Steps))
	ns := make([]int64, len(s.Plan.Steps))
	for range runs {
		if err := s.Exec(ctx, ns); err != nil {
			return err
		}
		for i, v := range ns {
			times[i] = append(times[i], v)
		}
	}
	order := make([]int, len(times))
	total := 0.0
	for i := range times {
		order[i] = i
		sort.Slice(times[i], func(a, b int) bool { return times[i][a] < times[i][b] })
		total += float64(times[i][runs/10])
	}
	sort.Slice(order, func(a, b int) bool { return times[order[a]][runs/10] > times[order[b]][runs/10] })
	byKernel := map[string]float64{}
	for _, i := range order {
		st, t := s.Plan.Steps[i], float64(times[i][runs/10])
		byKernel[st.Op+" "+st.Kernel] += t
		fmt.Printf("%9.4f ms %5.1f %%  %-28s %-18s %-30s %-8s", t/1e6, 100*t/total, strings.ReplaceAll(st.Name, " ", ""), st.Op, st.Kernel, st.DType)
		if st.MACs > 0 {
			fmt.Printf(" %6.1f GFLOP/s", 2*float64(st.MACs)/t)
		}
		if len(st.Nodes) > 0 { // the value it makes, by which scripts/layers.sh finds the layer in other profiles
			fmt.Printf("  =%s", s.Plan.Model.Graph.Node(st.Nodes[len(st.Nodes)-1]).Outputs[0])
		}
		fmt.Println()
	}
	fmt.Printf("%9.4f ms in all\n", total/1e6)
	var names []string
	for k := range byKernel {
		names = append(names, k)
	}
	sort.Slice(names, func(a, b int) bool { return byKernel[names[a]] > byKernel[names[b]] })
	for _, k := range names {
		fmt.Printf("%9.4f ms %5.1f %%  %s\n", byKernel[k]/1e6, 100*byKernel[k]/total, k)
	}
	return nil
}

// random draws inputs: floats in 0..1, integers below 1,000, unknown dimensions as 1.
func random(values []model.Value, seed uint64) map[string]*model.Tensor {
	r := rand.New(rand.NewPCG(seed, 3))
	out := map[string]*model.Tensor{}
	for _, v := range values {
		dims := make([]int, len(v.Type.Shape))
		for i, d := range v.Type.Shape {
			dims[i] = 1
			if d.Known() {
				dims[i] = d.N
			}
		}
		t := model.NewTensor(v.Type.DType, dims...)
		for i := range t.Len() {
			if v.Type.DType.Float() {
				t.SetFloat64(i, r.Float64())
			} else {
				t.SetInt64(i, r.Int64N(1000))
			}
		}
		out[v.Name] = t
	}
	return out
}

// calibration is a list of inputs as calibration data.
type calibration []map[string]*model.Tensor

func (c calibration) Len() int     { return len(c) }
func (c calibration) Hash() string { return "random" }
func (c calibration) Each(_ context.Context, limit int, visit func(int, map[string]*model.Tensor) error) error {
	for i, x := range c[:min(limit, len(c))] {
		if err := visit(i, x); err != nil {
			return err
		}
	}
	return nil
}

// runner calibrates on the engine.
type runner struct{}

func (runner) Open(ctx context.Context, m *model.Model) (optimizer.Session, error) {
	p, err := engine.Compile(ctx, m, engine.Options{Threads: 1, Features: cpu.Detect()})
	if err != nil {
		return nil, fail.In(err, "prepare", fail.Where{})
	}
	s, err := p.NewSession()
	if err != nil {
		return nil, err
	}
	return session{s}, nil
}

type session struct{ *engine.Session }

func (s session) Close() error { s.Session.Close(); return nil }
