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

// TestMeasureScores runs the measurement on a clock that ticks by calls: every probe with a choice has scores of all its kernels, the portable ones
// are left out, and no more is begun once the time is over.
func TestMeasureScores(t *testing.T) {
	if len(best().Levels()) == 1 {
		t.Skip("portable kernels only")
	}
	for _, c := range []struct {
		name   string
		tick   time.Duration
		budget time.Duration
		some   bool
	}{{"time enough", time.Microsecond, time.Second, true}, {"no time", time.Second, time.Millisecond, false}} {
		now := time.Unix(0, 0)
		clock := func() time.Time { now = now.Add(c.tick); return now }
		scores, err := engine.MeasureScores(context.Background(), engine.Options{Threads: 1, Features: best()}, c.budget, clock)
		if err != nil {
			t.Fatal(err)
		}
		if (len(scores) > 1) != c.some {
			t.Errorf("%s: %d scores", c.name, len(scores))
		}
		seen := map[engine.Score]bool{}
		of := map[string]int{}
		for _, s := range scores {
			if s.Ns != int64(c.tick) || strings.Contains(s.Kernel, "generic") || seen[s] {
				t.Errorf("%s: %+v", c.name, s)
			}
			seen[s] = true
			of[s.Probe]++
		}
		for p, n := range of {
			if n < 2 {
				t.Errorf("%s: %s has %d kernel", c.name, p, n)
			}
		}
	}
	if engine.Measured(cpu.Features{Arch: "amd64", AVX2: true}) || !engine.Measured(cpu.Features{Arch: "arm64", NEON: true}) || engine.Measured(cpu.Features{Arch: "arm64"}) {
		t.Error("scores are for arm64 with NEON")
	}
}
