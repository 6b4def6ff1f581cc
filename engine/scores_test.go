package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"fettle/engine"
	"fettle/kernels/cpu"
)

// TestScoresChoose: equal scores give equal plans; a kernel that measured faster than the one of the rules is taken, and the step says so; what gains
// less than noise is not; small plans and shapes without a probe keep to the rules.
func TestScoresChoose(t *testing.T) {
	ctx := context.Background()
	m := optimized(t, resized(t, "resnet20", 0))
	rule, err := engine.Compile(ctx, m, engine.Options{Threads: 1, Features: best()})
	if err != nil {
		t.Fatal(err)
	}
	w, err := engine.ParseWork("conv:32,16,16,32,3", false)
	if err != nil {
		t.Fatal(err)
	}
	list, err := engine.Candidates(ctx, w, engine.Options{Threads: 1, Features: best()}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 2 {
		t.Skip("one kernel only")
	}
	first, other := list[0].Kernel, ""
	for _, c := range list[1:] {
		if c.Kernel != first && c.ISA != "generic" {
			other = c.Kernel
			break
		}
	}
	if other == "" {
		t.Skip("one kernel in vectors only")
	}
	kernels := func(scores []engine.Score, small bool) (names string, why int) {
		p, err := engine.Compile(ctx, m, engine.Options{Threads: 1, Features: best(), Scores: scores, Small: small})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range p.Steps {
			names += s.Kernel + "\n"
			if strings.HasPrefix(s.Why, "measured: 2.00 times as fast as "+first) {
				why++
			}
		}
		return names, why
	}
	byRule := ""
	for _, s := range rule.Steps {
		byRule += s.Kernel + "\n"
	}
	scores := func(a, b int64) []engine.Score {
		var l []engine.Score
		for _, p := range []string{"3x3 of few channels", "3x3 of many channels"} {
			l = append(l, engine.Score{Probe: p, Kernel: first, Ns: a}, engine.Score{Probe: p, Kernel: other, Ns: b})
		}
		return l
	}
	got, n := kernels(scores(200, 100), false)
	again, _ := kernels(scores(200, 100), false)
	if got == byRule || n == 0 || got != again || strings.Count(got, other) <= strings.Count(byRule, other) {
		t.Errorf("%s measured twice as fast as %s: %d steps say so\n%s", other, first, n, got)
	}
	for name, s := range map[string][]engine.Score{"noise": scores(100, 97), "one kernel": scores(200, 100)[:1], "other kernels": {{Probe: "3x3 of few channels", Kernel: "f32_conv_1x1__z80", Ns: 1}}, "other probes": {{Probe: "9x9", Kernel: other, Ns: 1}}} {
		if got, _ := kernels(s, false); got != byRule {
			t.Errorf("%s: other kernels than by the rules\n%s", name, got)
		}
	}
	small, _ := kernels(nil, true)
	if got, _ := kernels(scores(200, 100), true); got != small {
		t.Errorf("a small plan goes by scores\n%s", got)
	}
	a, b := engine.Options{Features: best(), Scores: scores(200, 100)}, engine.Options{Features: best()}
	if engine.PreparedName(preparedKey, a) == engine.PreparedName(preparedKey, b) {
		t.Error("plans by scores and by rules have one name")
	}
}

// TestScoresOfClusters: where cores are unlike, a kernel's speed is that of the cores that work, the fastest first; a kernel that the slow ones did
// not finish is not taken where they work; the name of the prepared plan tells numbers of threads apart.
func TestScoresOfClusters(t *testing.T) {
	w, err := engine.ParseWork("conv:32,16,16,32,3", false)
	if err != nil {
		t.Fatal(err)
	}
	list, err := engine.Candidates(context.Background(), w, engine.Options{Threads: 1, Features: best()}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 3 || list[1].ISA == "generic" {
		t.Skip("one kernel in vectors only")
	}
	rule, other := list[0].Kernel, list[1].Kernel
	m := optimized(t, resized(t, "resnet20", 0))
	of := func(core string, cores int, a, b int64) []engine.Score {
		l := []engine.Score{{Probe: "3x3 of few channels", Kernel: rule, Ns: a, Core: core, Cores: cores}}
		if b > 0 {
			l = append(l, engine.Score{Probe: "3x3 of few channels", Kernel: other, Ns: b, Core: core, Cores: cores})
		}
		return l
	}
	for _, c := range []struct {
		name    string
		scores  []engine.Score
		threads int
		want    string // of a layer's reason
	}{
		{"big cores alone", append(of("big", 2, 100, 50), of("little", 4, 200, 800)...), 2, "measured: 2.00 times as fast"},
		{"little ones too", append(of("big", 2, 100, 50), of("little", 4, 100, 800)...), 6, "measured: " + rule + " is the fastest"},
		{"both like it", append(of("big", 2, 100, 50), of("little", 4, 200, 100)...), 6, "measured: 2.00 times as fast"},
		{"not measured on the little ones", append(of("big", 2, 100, 50), of("little", 4, 200, 0)...), 6, "measured: " + rule + " is the fastest"},
		{"more threads than cores", append(of("big", 2, 100, 50), of("little", 2, 200, 100)...), 9, "measured: 2.00 times as fast"},
	} {
		p, err := engine.Compile(context.Background(), m, engine.Options{Threads: c.threads, Features: best(), Scores: c.scores})
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, s := range p.Steps {
			found = found || strings.HasPrefix(s.Why, c.want)
		}
		if !found {
			t.Errorf("%s: no step says %q", c.name, c.want)
		}
	}
	name := func(threads int, scores []engine.Score) string {
		return engine.PreparedName(preparedKey, engine.Options{Threads: threads, Features: best(), Scores: scores})
	}
	unlike, alike := append(of("big", 2, 100, 50), of("little", 4, 100, 800)...), of("", 0, 100, 50)
	if name(2, unlike) == name(6, unlike) || name(2, alike) != name(6, alike) {
		t.Error("threads are in the name of a plan if and only if cores are unlike")
	}
}

// TestMeasureScores runs the measurement on a clock that ticks by calls: every probe with a choice has scores of all its kernels, the portable ones
// are left out; a slow processor is measured with fewer runs, and on one that would take too long no more is begun. Each cluster has scores of its own.
func TestMeasureScores(t *testing.T) {
	if len(best().Levels()) == 1 {
		t.Skip("portable kernels only")
	}
	calls := map[string]int{}
	for _, c := range []struct {
		name     string
		tick     time.Duration
		budget   time.Duration
		clusters []cpu.Cluster
		some     bool
	}{
		{"time enough", time.Microsecond, time.Second, nil, true},
		{"slow", 30 * time.Millisecond, time.Second, nil, true},
		{"no time", time.Second, time.Millisecond, nil, false},
		{"two clusters", time.Microsecond, time.Second, []cpu.Cluster{{CPUs: []int{0}, Core: "Cortex-A76"}, {CPUs: []int{0}}}, true},
	} {
		now := time.Unix(0, 0)
		clock := func() time.Time { calls[c.name]++; now = now.Add(c.tick); return now }
		scores, err := engine.MeasureScores(context.Background(), engine.Options{Threads: 1, Features: best()}, c.clusters, c.budget, clock)
		if err != nil {
			t.Fatal(err)
		}
		if (len(scores) > 1) != c.some {
			t.Errorf("%s: %d scores", c.name, len(scores))
		}
		seen := map[engine.Score]bool{}
		of, cores := map[string]int{}, map[string]bool{}
		for _, s := range scores {
			if s.Ns != int64(c.tick) || strings.Contains(s.Kernel, "generic") || seen[s] {
				t.Errorf("%s: %+v", c.name, s)
			}
			seen[s] = true
			of[s.Probe+s.Core]++
			cores[s.Core] = true
		}
		if n := max(1, len(c.clusters)); c.some && (len(cores) != n || cores[""] != (n == 1)) {
			t.Errorf("%s: scores of %v", c.name, cores)
		}
		for p, n := range of {
			if n < 2 {
				t.Errorf("%s: %s has %d kernel", c.name, p, n)
			}
		}
	}
	if calls["slow"] >= calls["time enough"]*3/4 || calls["two clusters"] != 2*calls["time enough"] {
		t.Errorf("runs go neither by the processor's speed nor by its clusters: %v", calls)
	}
	if engine.Measured(cpu.Features{Arch: "amd64", AVX2: true}) || !engine.Measured(cpu.Features{Arch: "arm64", NEON: true}) || engine.Measured(cpu.Features{Arch: "arm64"}) {
		t.Error("scores are for arm64 with NEON")
	}
}
