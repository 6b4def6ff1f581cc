package app

import (
	"bytes"
	"context"
	"math"
	"path/filepath"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/optimizer"
)

// TestLevels: one file answers at two precisions; the ends of the rule are the two models bit for bit.
func TestLevels(t *testing.T) {
	ctx, a := context.Background(), open(t)
	dir := t.TempDir()
	base, err := a.Sample("")
	if err != nil {
		t.Fatal(err)
	}
	r := &optimizer.Recipe{Schema: 1, Seed: 1, Steps: []optimizer.RecipeStep{{Pass: "fold-batchnorm"}, {Pass: "quantize", Options: map[string]any{"weights": "nested"}}}}
	o, err := a.Optimize(ctx, base, r, OptimizeOptions{Data: SampleCalibrate, Unproven: true})
	if err != nil {
		t.Fatal(err)
	}
	both, alone := filepath.Join(dir, "both.onnx"), filepath.Join(dir, "int4.onnx")
	if err := a.Save(both, o.Model); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Convert(ctx, ConvertRequest{In: both, Out: alone, Level: "int4"}); err != nil {
		t.Fatal(err)
	}
	zero, inf, part := 0.0, math.Inf(1), 0.5
	run := func(file string, l Levels) *RunResult {
		t.Helper()
		r, err := a.Run(ctx, RunRequest{Model: file, Inputs: []string{"random:1"}, Threads: 1, Levels: l})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	same := func(what string, x, y *RunResult) {
		t.Helper()
		for _, n := range x.Names {
			if !bytes.Equal(x.Tensors[n].Raw, y.Tensors[n].Raw) {
				t.Errorf("%s: %v and %v", what, x.Outputs, y.Outputs)
			}
		}
	}
	high, low := run(both, Levels{}), run(both, Levels{Level: "int4"})
	if bytes.Equal(high.Tensors[high.Names[0]].Raw, low.Tensors[low.Names[0]].Raw) {
		t.Error("both levels give the same")
	}
	same("tau 0", low, run(both, Levels{Level: "auto", Tau: &zero}))
	same("tau infinite", high, run(both, Levels{Level: "auto", Tau: &inf}))
	same("int8", high, run(both, Levels{Level: "int8"}))
	if r := run(both, Levels{Level: "auto", Tau: &inf, Deadline: time.Nanosecond}); r.Level != "int4" || r.Margin == nil {
		t.Errorf("no time: %+v", r)
	}
	eval := func(l Levels) (score float64, twice int) {
		t.Helper()
		r, err := a.Eval(ctx, EvalRequest{Model: both, Data: SampleScore, Limit: 200, Levels: l})
		if err != nil {
			t.Fatal(err)
		}
		if r.Twice != nil {
			twice = *r.Twice
		}
		return *r.Score, twice
	}
	s4, _ := eval(Levels{Level: "int4"})
	s8, _ := eval(Levels{Level: "int8"})
	at0, n0 := eval(Levels{Level: "auto", Tau: &zero})
	atInf, nInf := eval(Levels{Level: "auto", Tau: &inf})
	mid, n := eval(Levels{Level: "auto", Tau: &part})
	if at0 != s4 || atInf != s8 || n0 != 0 || nInf != 200 || n <= 0 || n >= 200 || mid < min(s4, s8)-0.02 {
		t.Errorf("int4 %v, int8 %v, tau 0: %v (%d), infinite: %v (%d), 0.5: %v (%d)", s4, s8, at0, n0, atInf, nInf, mid, n)
	}
	if _, err := a.Run(ctx, RunRequest{Model: alone, Inputs: []string{"random:1"}, Threads: 1, Levels: Levels{Level: "int4"}}); !fail.Is(err, fail.Unsupported) {
		t.Errorf("a model of one level: %v", err)
	}
}
