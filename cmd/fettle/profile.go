package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strconv"
	"time"

	"fettle/app"
	"fettle/internal/fail"
)

type profileCmd struct {
	Model     string        `arg:"" help:"ONNX file."`
	Target    string        `default:"local" help:"Where to measure."`
	Runtime   string        `default:"fettle" help:"Engine."`
	Threads   int           `default:"1" help:"Workers that share each layer."`
	Optimize  bool          `help:"Apply the recipe standard first."`
	Warmup    string        `default:"auto" help:"Inferences before the measurement; auto: until the times settle."`
	Runs      int           `default:"50" help:"Inferences a launch, clean and instrumented each."`
	Launches  int           `default:"3" help:"Starts of the program: the unit of replication."`
	Shape     []string      `help:"Shape of an input: NAME=1,3,224,224." placeholder:"NAME=DIMS" sep:"none"`
	Precision string        `default:"exact" enum:"exact,fast,half" help:"fast: products may err by 1e-5 of the largest output of their layer, where AMX with bf16 gains by it; half: by 5e-3, where an Arm processor has arithmetic in half precision; elsewhere both are exact."`
	Pack      string        `default:"auto" enum:"auto,small,fast" help:"Packed weights: small takes no algorithm that needs much more memory than the file's weights, fast any; auto: small where memory is short."`
	Sustain   time.Duration `help:"Measure launch after launch for so long, with clock and temperature: cold, warm and steady. 30m is usual." placeholder:"30m"`
	Every     time.Duration `help:"With --sustain: start a launch each so long, and let the target rest in between." placeholder:"10s"`
	Again     int           `default:"3" help:"How often launches are measured again during which the machine changed: throttled, or its canary moved."`
	Counters  bool          `help:"Also count cycles, instructions, misses and energy, where the target has the means."`
	NoCache   bool          `help:"Neither use nor keep a prepared plan: each launch packs the weights."`
	Out       string        `short:"o" help:"Write the profile, or with --sustain the curve, as JSON; fettle export makes pictures and tables of both."`
	JSON      bool          `name:"json" help:"Print JSON."`
	turn
	login
}

// Help gives an example that works.
func (profileCmd) Help() string {
	return "Example:\n  fettle sample -o sample.onnx && fettle profile sample.onnx --runs 20 --launches 2"
}

// Run measures.
func (c profileCmd) Run(e *env) error {
	if err := onlyFettle(c.Runtime); err != nil {
		return err
	}
	warm, err := warmup(c.Warmup)
	if err != nil {
		return err
	}
	shapes, err := parseShapes(c.Shape)
	if err != nil {
		return err
	}
	manner, err := c.manner()
	if err != nil {
		return err
	}
	m, err := e.app.Load(e.ctx, c.Model)
	if err != nil {
		return err
	}
	if !c.Optimize {
		if s := e.app.StandardSaves(e.ctx, m); s != "" {
			e.note("%s", s)
		}
	}
	q := app.ProfileRequest{Model: m, Name: app.BaseName(c.Model), Target: c.Target, Threads: c.Threads, Optimize: c.Optimize,
		Warmup: warm, Runs: c.Runs, Launches: c.Launches, Again: c.Again, Count: c.Counters, Shapes: shapes, Pack: c.Pack, Precision: c.Precision, Fresh: c.NoCache, Progress: e.progress, Asks: c.asks(e, ""),
		Manner: manner, Waiting: waiting(e)}
	if c.Every != 0 && c.Sustain == 0 {
		return fail.New(fail.Usage, "--every says how --sustain measures").Try("give both, or neither")
	}
	if c.Sustain != 0 {
		q.Every = c.Every
		return c.sustain(e, q)
	}
	p, err := e.app.Profile(e.ctx, q)
	if err != nil {
		return err
	}
	if c.Out != "" {
		if err := e.app.WriteProfile(c.Out, p); err != nil {
			return err
		}
	}
	return e.print(c.JSON, p, func(w io.Writer) { printProfile(w, p) })
}

// sustain draws the curve in text.
func (c profileCmd) sustain(e *env, q app.ProfileRequest) error {
	if c.Optimize {
		return fail.New(fail.Usage, "--sustain measures a file as it is").Try("write the optimized model first: fettle optimize")
	}
	s, err := e.app.Sustain(e.ctx, q, c.Sustain)
	if err != nil {
		return err
	}
	if c.Out != "" {
		if err := e.app.ExportCurve(s, "json", "", c.Out); err != nil {
			return err
		}
	}
	return e.print(c.JSON, s, func(w io.Writer) {
		fmt.Fprintf(w, "cold %s, warm %s, steady %s (%+.1f %%): %s\n", ms(s.ColdNs), ms(s.WarmNs), ms(s.SteadyNs), 100*s.Slower, s.Why)
		if s.Cut != "" {
			fmt.Fprintf(w, "  %s\n", s.Cut)
		}
		step := max(1, len(s.Points)/20)
		for i := 0; i < len(s.Points); i += step {
			p := s.Points[i]
			fmt.Fprintf(w, "  %7.0f s  %10s", p.AfterS, ms(p.P50Ns))
			if p.Hz != nil {
				fmt.Fprintf(w, "  %d MHz", *p.Hz/1e6)
			}
			if p.TemperatureC != nil {
				fmt.Fprintf(w, "  %.1f C", *p.TemperatureC)
			}
			if p.Throttled != nil && *p.Throttled {
				fmt.Fprint(w, "  throttled")
			}
			fmt.Fprintln(w)
		}
		for _, why := range s.Absent {
			fmt.Fprintf(w, "  absent: %s\n", why)
		}
	})
}

func printProfile(w io.Writer, p *app.Profile) {
	fmt.Fprintf(w, "%s on %s, %d thread(s), %s\n", p.Model.Name, p.Target.Name, p.Plan.Threads, p.Runtime.Name)
	row := func(name string, v *float64) {
		if v == nil {
			fmt.Fprintf(w, "  %-4s needs more runs\n", name)
			return
		}
		fmt.Fprintf(w, "  %-4s %s\n", name, ms(*v))
	}
	row("p50", p.Clean.P50Ns)
	row("p90", p.Clean.P90Ns)
	row("p99", p.Clean.P99Ns)
	fmt.Fprintf(w, "  p50 between %s and %s (95 %%), n = %d in %d launches; first %s, load %s\n", ms(p.Clean.IntervalP50[0]), ms(p.Clean.IntervalP50[1]),
		p.Clean.N, p.Clean.Launches, ms(p.Clean.FirstNs), ms(p.Clean.LoadNs))
	fmt.Fprintf(w, "  seal %s", p.Conditions.Seal)
	for _, why := range p.Conditions.Why {
		fmt.Fprintf(w, "; %s", why)
	}
	fmt.Fprintln(w)
	printCounters(w, p)
	layers := append([]app.ProfileLayer(nil), p.Layers...)
	sort.SliceStable(layers, func(i, j int) bool { return layers[i].P50Ns > layers[j].P50Ns })
	for i, l := range layers {
		if i == 20 {
			fmt.Fprintf(w, "  … %d more\n", len(layers)-i)
			break
		}
		fmt.Fprintf(w, "  %-32.32s %-18s %10s %5.1f %%  %s%s\n", l.Name, l.Op, ms(l.P50Ns), 100*l.Share, l.Kernel, layerCounts(l.Counters))
	}
	fmt.Fprintf(w, "  unattributed %s; layers add up to the total within %.2f %%; watching costs %.2f %%\n", ms(p.UnattributedNs), 100*p.Closure, 100*p.ObserverCost)
}

// layerCounts are the counts of a layer in a few words, "" without any.
func layerCounts(c map[string]float64) string {
	out := ""
	for _, n := range []string{"instructions", "cycles", "l1-misses", "cache-misses", "branch-misses", "stalls"} {
		if v, ok := c[n]; ok {
			out += fmt.Sprintf("  %s %s", count(int64(v)), n)
		}
	}
	if v, ok := c["cpu-time"]; ok && out == "" {
		out = "  " + ms(v) + " of processor time"
	}
	return out
}

// printCounters says what an inference took of the processor, of memory and of the power supply.
func printCounters(w io.Writer, p *app.Profile) {
	fmt.Fprintf(w, "  memory: weights %s, arena %s, the process at most %s\n", size(p.Memory.Weights), size(p.Memory.ArenaPlanned), size(p.Memory.RSSPeak))
	c := p.Counters
	if c == nil {
		return
	}
	names := slices.Sorted(maps.Keys(c.Values))
	for _, n := range names {
		fmt.Fprintf(w, "  %-14s %s an inference\n", n, count(int64(c.Values[n])))
	}
	if c.IPC != nil {
		fmt.Fprintf(w, "  %.2f instructions a cycle\n", *c.IPC)
	}
	if e := p.Energy; e != nil {
		fmt.Fprintf(w, "  energy %.3g mJ an inference, %s: %s\n", e.Millijoules, e.Kind, e.Why)
	}
	for _, why := range c.Absent {
		fmt.Fprintf(w, "  not counted: %s\n", why)
	}
	if k := c.Cost; k != nil {
		fmt.Fprintf(w, "  counting: reading %d counters takes %s, %.1f %% of the shortest layer (%.32s); an inference takes %+.1f %% while they run", k.Counters, ms(k.ReadNs), 100*k.OfLayer, k.Shortest, 100*k.Running)
		if k.Stepping != 0 {
			fmt.Fprintf(w, ", %+.1f %% while they are read between all layers", 100*k.Stepping)
		}
		fmt.Fprintln(w, "; no time above has any of it")
	}
}

// warmup reads "auto" or a number.
func warmup(s string) (int, error) {
	if s == "auto" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 100_000 {
		return 0, fail.New(fail.Usage, "%q is no number of inferences", s).At(fail.Where{Option: "warmup"}).Try("write --warmup auto or --warmup 20")
	}
	return n, nil
}
