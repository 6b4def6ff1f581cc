package app

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/profiler/predict"
)

// TestFeasible holds the goal "30 ms and 18 MB with ResNet-50 on four Cortex-A72 at 1.8 GHz" against what is known of that board, with no
// board at hand: 142 ms in floats, 71 in 8 bits, so not with this network; 39 to 54 ms with 1.1 GMAC, 17 to 24 with a small one.
func TestFeasible(t *testing.T) {
	a := open(t)
	m, err := a.Sample("resnet50")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "r50.onnx")
	if err := a.Save(file, m); err != nil {
		t.Fatal(err)
	}
	const goal = "p99<=30ms,size<=18MB"
	v, err := a.Feasible(t.Context(), file, "pi4", goal, 0, 0, Asks{})
	if err != nil {
		t.Fatal(err)
	}
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > 0.01*want {
			t.Errorf("%s: %.4g, want %.4g", what, got, want)
		}
	}
	near("floats", v.Floors.Direct/1e6, 142)
	near("floats by Winograd", v.Floors.Winograd/1e6, 100)
	near("8 bits", v.Floors.Int8/1e6, 71)
	if v.Verdict != predict.Impossible || len(v.Answers) != 2 || v.Answers[1].Verdict != predict.Likely {
		t.Errorf("verdict %s: %+v", v.Verdict, v.Answers)
	}
	if why := v.Answers[0].Why; !strings.Contains(why, "4 cores × 8 MAC a cycle × 1.80 GHz") {
		t.Errorf("no arithmetic: %s", why)
	}
	for what, want := range map[string][2]float64{"ResNet-50 pruned": {39, 54}, "MobileNetV2": {17, 24}, "8-bit integers": {142, 197}} {
		found := false
		for _, w := range v.Answers[0].Ways {
			if !strings.Contains(w.What, what) {
				continue
			}
			found = true
			if math.Round(w.Ms[0]) != want[0] || math.Round(w.Ms[1]) != want[1] {
				t.Errorf("%s: %.1f to %.1f ms, want %v", what, w.Ms[0], w.Ms[1], want)
			}
		}
		if !found {
			t.Errorf("%s is no way out: %+v", what, v.Answers[0].Ways)
		}
	}
	for _, c := range []struct {
		name, board, goal string
		measured, used    float64
		want              string
	}{
		{"just below the floor", "pi4", "ms<=70", 0, 0, predict.Impossible},
		{"just above it", "pi4", "ms<=72", 0, 0, predict.Unlikely},
		{"as engines reach", "pi4", "ms<=143", 0, 0, predict.Likely},
		{"this engine has shown more", "pi4", "ms<=100", 0, 0.75, predict.Likely},
		{"measured", "pi4", "ms<=150", 149e6, 0, predict.Met},
		{"measured, and too slow", "pi4", "ms<=143", 150e6, 0, predict.Likely},
		{"control: the same goal on a processor that can", "jetson-agx-orin", goal, 0, 0, predict.Likely},
		{"control: four fast and four small cores", "rk3588", "ms<=30", 0, 0, predict.Likely},
		{"larger than any", "pi4", "size<=5MB", 0, 0, predict.Unlikely},
		{"fits as it is", "pi4", "size<=200MB", 0, 0, predict.Met},
	} {
		v, err := a.Feasible(t.Context(), file, c.board, c.goal, c.measured, c.used, Asks{})
		if err != nil || v.Verdict != c.want {
			t.Errorf("%s: %+v, %v; want %s", c.name, v, err, c.want)
		}
	}
	if _, err := a.Feasible(t.Context(), file, "pi44", goal, 0, 0, Asks{}); !fail.Is(err, fail.NotFound) || !strings.Contains(err.Error(), "rk3588") {
		t.Errorf("an unknown board: %v", err)
	}
	if _, err := a.Feasible(t.Context(), file, "pi4", "drop<=1", 0, 0, Asks{}); !fail.Is(err, fail.Usage) {
		t.Errorf("a goal without a limit: %v", err)
	}
}

// TestEveryBoard: each board that is built in answers from facts alone, with floors in order and every word of the verdicts where it belongs.
func TestEveryBoard(t *testing.T) {
	a := open(t)
	m, err := a.Sample("resnet20")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "r20.onnx")
	if err := a.Save(file, m); err != nil {
		t.Fatal(err)
	}
	boards := BuiltInBoards()
	if len(boards) < 6 {
		t.Fatalf("%d boards are built in", len(boards))
	}
	for _, k := range boards {
		v, err := a.Feasible(t.Context(), file, k.Name, "ms<=1", 0, 0, Asks{})
		if err != nil {
			t.Errorf("%s: %v", k.Name, err)
			continue
		}
		f := v.Floors
		if !(f.Int8 > 0 && f.Int8 <= f.Direct && f.Winograd > 0 && f.Winograd < f.Direct) || f.Why == "" {
			t.Errorf("%s: floors %+v", k.Name, f)
		}
		least := min(f.Int8, f.Winograd, f.Direct) / 1e6
		for _, c := range []struct {
			ms       float64
			measured float64
			want     string
		}{{0.9 * least, 0, predict.Impossible}, {1.05 * least, 0, predict.Unlikely}, {20 * least, 0, predict.Likely}, {20 * least, 19e6 * least, predict.Met}} {
			v, err := a.Feasible(t.Context(), file, k.Name, fmt.Sprintf("ms<=%.9f", c.ms), c.measured, 0, Asks{})
			if err != nil || v.Verdict != c.want || len(v.Answers) != 1 || v.Answers[0].Why == "" {
				t.Errorf("%s, %.3g ms of a floor of %.3g: %+v, %v; want %s", k.Name, c.ms, least, v, err, c.want)
			}
		}
	}
}
