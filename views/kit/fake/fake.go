// Package fake makes states as a studio would publish them after a day of work, for tests and pictures of screens.
//
// The shapes and amounts of work are those of ResNet-50; the times are made up so that they add up. Nothing but tests
// imports it. Start reading at State.
package fake

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"fettle/app"
	"fettle/internal/fail"
	"fettle/profiler"
	"fettle/profiler/trace"
	"fettle/remote/board"
	"fettle/remote/wire"
)

// Now is the time at which all of it was published.
var now = time.Date(2026, 11, 24, 11, 2, 0, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

// State has two runs, compared, five boards and some deployments. No model is open in it: tests that need one add it.
func State() *app.State {
	a, b := Run("A-0409", "original", 1, profiler.Amber), Run("B-0412", "mixed-1", 0, profiler.Green)
	c := Compare(a, b)
	return &app.State{Seq: 1, Screen: "profile", Runs: []*app.Run{a, b}, CompareA: a.ID, CompareB: b.ID, Compared: c, Boards: Boards(),
		Deploys: Deploys(), Selection: app.Selection{Origins: []string{"layer2.0.conv1"}, From: "model"}, Settings: app.Settings{Language: "en", Dark: true, Threads: 4}}
}

// conv is a convolution of ResNet-50.
type conv struct {
	name   string
	k      int
	in, ot int
	side   int // of the output
}

func convs() []conv {
	out := []conv{{"conv1", 7, 3, 64, 112}}
	in, side := 64, 56
	for l, n := range []int{3, 4, 6, 3} {
		mid := 64 << l
		for b := range n {
			name := fmt.Sprintf("layer%d.%d.", l+1, b)
			out = append(out, conv{name + "conv1", 1, in, mid, side}, conv{name + "conv2", 3, mid, mid, side}, conv{name + "conv3", 1, mid, mid * 4, side})
			if b == 0 {
				out = append(out, conv{name + "down", 1, in, mid * 4, side})
			}
			in = mid * 4
		}
		side /= 2
	}
	return out
}

// Profile is a run of the network: slow 1 is as imported, 0 after quantization and fusion.
func Profile(id string, slow float64, seal string) *profiler.Profile {
	r := rand.New(rand.NewPCG(7, uint64(slow*10)))
	p := &profiler.Profile{Schema: 1, ID: id, TakenUnix: now.Unix(), Model: trace.Model{SHA256: "9f3c71aa04bee1", Name: "resnet50-v1.5"},
		Target: trace.Target{Name: "lab-pi4", SoC: "Raspberry Pi 4", CPU: "Cortex-A72", Arch: "arm64", Cores: 4, MaxHz: 1.8e9, MemoryBps: 3.9e9, CacheB: 1 << 20}, Runtime: trace.Runtime{Name: "fettle", Version: "0.1.0"},
		Plan: trace.Plan{Threads: 4, Precision: "float32"}, ObserverCost: .004, Complete: true}
	if slow < 1 {
		p.Plan.Precision = "mixed"
	}
	add := func(name, op, kernel, dtype string, origin []string, ns float64, macs, bytes int64, floor float64) {
		l := profiler.Layer{ID: fmt.Sprint(len(p.Layers)), Name: name, Op: op, Kernel: kernel, DType: dtype, Origin: origin, Threads: 4, Device: "cpu",
			P50Ns: ns, Interval: [2]float64{ns * .99, ns * 1.012}, MACs: macs, Bytes: bytes}
		if floor > 0 {
			l.FloorNs, l.FloorWhy = &floor, "direct: MACs / (4 cores x 4 MAC x 1.8 GHz)"
		}
		p.Layers = append(p.Layers, l)
	}
	for _, c := range convs() {
		macs := int64(c.k*c.k*c.in*c.ot) * int64(c.side*c.side)
		bytes := int64(c.k*c.k*c.in*c.ot+(c.in+c.ot)*c.side*c.side) * 4
		floor := max(float64(macs)/28.8, float64(bytes)/3.9)
		ns := floor * (1.35 + .5*r.Float64())
		if slow < 1 && c.name != "conv1" {
			add(c.name, "Conv", "int8_neon", "int8", []string{c.name, c.name + ".bn", c.name + ".relu"}, ns*.52, macs, bytes/4, floor/2)
			p.Layers[len(p.Layers)-1].Window = []int{c.k, c.k}
			continue
		}
		kernel := "direct"
		if c.k == 3 {
			kernel = "winograd_f43"
		}
		add(c.name, "Conv", kernel, "float32", []string{c.name}, ns, macs, bytes, floor)
		p.Layers[len(p.Layers)-1].Window = []int{c.k, c.k}
		if slow == 1 {
			act := float64(c.ot*c.side*c.side) * 8 / 3.9
			add(c.name+".bn", "BatchNormalization", "row", "float32", []string{c.name + ".bn"}, act*.55, 0, 0, 0)
			if c.name[len(c.name)-4:] != "down" {
				add(c.name+".relu", "Relu", "row", "float32", []string{c.name + ".relu"}, act*.4, 0, 0, 0)
			}
		}
	}
	if slow < 1 {
		for i := range 4 {
			add(fmt.Sprintf("cast%d", i), "Cast", "row", "mixed", nil, 1e6, 0, 0, 0)
		}
	}
	add("avgpool", "GlobalAveragePool", "pool", "float32", []string{"avgpool"}, .31e6, 0, 0, 0)
	add("fc", "Gemm", "gemm", "float32", []string{"fc"}, 1.9e6, 2048000, 8192000, 1.2e6)
	sum := 0.0
	for _, l := range p.Layers {
		sum += l.P50Ns
	}
	total := sum * 1.017
	for i := range p.Layers {
		p.Layers[i].Share = p.Layers[i].P50Ns / total
	}
	p.UnattributedNs, p.Closure = total-sum, .017
	p.Clean = profiler.Clean{N: 120, Launches: 3, P50Ns: &total, P90Ns: ptr(total * 1.02), MeanNs: total, MinNs: total * .99, Outliers: 3,
		IntervalP50: [2]float64{total * .9935, total * 1.0065}, FirstNs: total * 1.9, LoadNs: 84e6}
	for i := range 120 {
		v := total * (1 + r.NormFloat64()*.006)
		if i%40 == 39 {
			v *= 1.06
		}
		p.Clean.SamplesNs = append(p.Clean.SamplesNs, int64(v))
	}
	for i := range 3 {
		p.Launches = append(p.Launches, profiler.LaunchResult{N: 40, P50Ns: total, Canary: 1e6 * (1 + .006*float64(i))})
	}
	p.Conditions = Conditions(seal)
	return p
}

// Conditions are those of a run with this seal.
func Conditions(seal string) profiler.Conditions {
	c := profiler.Conditions{Governor: "performance", Hz: []int64{1800000000, 1800000000, 1800000000, 1800000000}, TemperatureC: []float64{61}, Throttled: ptr(false),
		Load: ptr(.04), CoreIDs: []int{0, 1, 2, 3}, Seal: seal}
	switch seal {
	case profiler.Amber:
		c.Governor, c.TemperatureC = "ondemand", []float64{63}
		c.Why = []string{"governor is ondemand, so the clock may move; set it to performance", "load of 0.12 a core; stop other programs"}
		c.Load = ptr(.12)
	case profiler.Red:
		c.Throttled = ptr(true)
		c.Why = []string{"the processor was slowed down; cool the board"}
	}
	return c
}

// Run is a complete run.
func Run(id, label string, slow float64, seal string) *app.Run {
	return &app.Run{ID: id, Label: label, Target: "lab-pi4", Hash: fmt.Sprint("hash-", label), Profile: Profile(id, slow, seal), Started: now}
}

// Compare aligns two runs by name, well enough for pictures; profiler.Compare does it by origin.
func Compare(a, b *app.Run) *app.Comparison {
	ref := func(r *app.Run) profiler.RunRef {
		return profiler.RunRef{ID: r.ID, Model: r.Label, Target: r.Target, P50Ns: *r.Profile.Clean.P50Ns, Seal: r.Profile.Conditions.Seal}
	}
	c := &profiler.Comparison{Schema: 1, A: ref(a), B: ref(b), Verdict: profiler.Faster, Detectable: .008, Floor: .005,
		Conditions: []string{"governor: ondemand in A, performance in B"}}
	c.DeltaNs = c.B.P50Ns - c.A.P50Ns
	mid := c.B.P50Ns / c.A.P50Ns
	c.Ratio = [3]float64{mid * .993, mid, mid * 1.006}
	used, sum := map[string]bool{}, 0.0
	for _, lb := range b.Profile.Layers {
		bar := profiler.Bar{Label: lb.Name, Op: lb.Op, Origin: lb.Origin, To: []string{lb.ID}, ToNs: lb.P50Ns, Verdict: profiler.NoDifference, Kind: "layers"}
		for _, la := range a.Profile.Layers {
			if slices.ContainsFunc(la.Origin, func(o string) bool { return slices.Contains(lb.Origin, o) }) {
				bar.From = append(bar.From, la.ID)
				bar.FromNs += la.P50Ns
				used[la.ID] = true
			}
		}
		bar.DeltaNs = bar.ToNs - bar.FromNs
		switch {
		case len(bar.From) == 0:
			bar.Why, bar.Verdict = "new in B", profiler.Slower
		case len(bar.From) > 1:
			bar.Why = fmt.Sprintf("%s, one step instead of %d", lb.DType, len(bar.From))
		default:
			bar.Why = "same kernel"
		}
		if bar.DeltaNs < -.02*bar.FromNs {
			bar.Verdict = profiler.Faster
		}
		bar.Interval = [2]float64{bar.DeltaNs - math.Abs(bar.DeltaNs)*.05, bar.DeltaNs + math.Abs(bar.DeltaNs)*.05}
		sum += bar.DeltaNs
		c.Bars = append(c.Bars, bar)
	}
	for _, la := range a.Profile.Layers {
		if !used[la.ID] {
			c.Bars = append(c.Bars, profiler.Bar{Label: la.Name, Op: la.Op, Origin: la.Origin, From: []string{la.ID}, FromNs: la.P50Ns, DeltaNs: -la.P50Ns, Verdict: profiler.Faster, Why: "gone in B", Kind: "layers"})
			sum -= la.P50Ns
		}
	}
	c.Bars = append(c.Bars, profiler.Bar{Label: "unattributed", Kind: "unattributed", FromNs: a.Profile.UnattributedNs, ToNs: b.Profile.UnattributedNs, DeltaNs: c.DeltaNs - sum, Verdict: profiler.NoDifference})
	return &app.Comparison{A: a, B: b, Result: c}
}

// Facts are those of a Raspberry Pi 4.
func Facts() *app.TargetFacts {
	f := &app.TargetFacts{SoC: "Raspberry Pi 4 Model B", Arch: "arm64", ISA: []string{"fp", "asimd", "crc32"}, MemoryBytes: 4e9, OS: "Debian 12", Kernel: "6.6.20", StorageFree: 21e9}
	for range 4 {
		f.Cores = append(f.Cores, board.Core{Part: "Cortex-A72", MaxHz: 1800000000})
		f.Hz = append(f.Hz, 1800000000)
	}
	f.Governor, f.TemperatureC, f.Throttled, f.Undervoltage, f.Load, f.MemoryFree = "performance", ptr(61.0), ptr(false), ptr(false), ptr(.1), ptr(int64(3.7e9))
	f.Runtimes = []board.Runtime{{Name: "fettle", Version: "0.1.0", Present: true}, {Name: "onnxruntime", Why: "no libonnxruntime.so in the usual folders"}}
	f.Agent = board.Agent{Version: "0.1.0", SHA256: "4c1d"}
	return f
}

// Boards are this computer and four boards, one of them out of reach.
func Boards() []*app.Board {
	host := Facts()
	host.SoC, host.Arch, host.ISA, host.OS = "Workstation", "amd64", []string{"avx2", "fma", "avx512f", "avx512_vnni"}, "Debian 13"
	host.Governor, host.TemperatureC, host.Throttled = "", nil, nil
	for i := range host.Cores {
		host.Cores[i].Part = "EPYC"
	}
	pi5 := Facts()
	pi5.SoC, pi5.ISA = "Raspberry Pi 5", []string{"asimd", "asimdhp", "asimddp"}
	for i := range pi5.Cores {
		pi5.Cores[i] = board.Core{Part: "Cortex-A76", MaxHz: 2400000000}
		pi5.Hz[i] = 2400000000
	}
	pi5.TemperatureC, pi5.MemoryFree = ptr(58.0), ptr(int64(6.9e9))
	rk := Facts()
	rk.SoC, rk.ISA, rk.Governor = "RK3588", []string{"asimd", "asimdhp", "asimddp"}, "ondemand"
	for i := range 4 {
		rk.Cores[i] = board.Core{Part: "Cortex-A76", MaxHz: 2400000000}
		rk.Cores = append(rk.Cores, board.Core{Part: "Cortex-A55", MaxHz: 1800000000})
	}
	return []*app.Board{
		{Name: "local", Local: true, Facts: host, Connected: true},
		{Name: "lab-pi4", Address: "ssh://pi@192.168.1.20", Facts: Facts(), Connected: true},
		{Name: "lab-pi5", Address: "ssh://pi@192.168.1.21", Facts: pi5, Connected: true, Busy: true},
		{Name: "rk3588-a", Address: "ssh://lab@rk3588-a:2222", Facts: rk, Connected: true},
		{Name: "gate-07", Address: "ssh://root@10.0.0.7", Err: fail.New(fail.Unreachable, "no answer on port 22 within 5 s").Doing("reach gate-07").At(fail.Where{Board: "gate-07"}).Try("check power and cable, then try again")},
	}
}

// Deploys are what lies on two of the boards.
func Deploys() []app.Deployment {
	d := func(target, name string, v, prev int, sha string, n int64, state string) app.Deployment {
		return app.Deployment{Target: target, Deployment: wire.Deployment{Name: name, Version: v, Previous: prev, SHA256: sha, Bytes: n, State: state}}
	}
	return []app.Deployment{
		d("lab-pi4", "resnet50", 7, 6, "9f3c71aa04be55d2c4e1", 25700000, "active"),
		d("lab-pi4", "labels-demo", 1, 0, "77aa01bc9de2231f00aa", 2400000, "active"),
		d("lab-pi5", "resnet50", 6, 5, "51cc0a9911ff0a331b07", 102000000, "active"),
	}
}
