package compare

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"fettle/profiler"
	"fettle/views/kit"
	"fettle/views/kit/fake"
)

func comparison() *profiler.Comparison {
	return &profiler.Comparison{DeltaNs: -112, Bars: []profiler.Bar{
		{Label: "layer1.0.conv1", Op: "Conv", Origin: []string{"c1", "b1"}, From: []string{"0", "1"}, To: []string{"0"}, FromNs: 60, ToNs: 20, DeltaNs: -40, Why: "int8", Verdict: "faster"},
		{Label: "layer1.0.conv2", Op: "Conv", Origin: []string{"c2"}, From: []string{"2"}, To: []string{"1"}, FromNs: 90, ToNs: 20, DeltaNs: -70, Why: "int8", Verdict: "faster"},
		{Label: "cast", Op: "Cast", To: []string{"2"}, ToNs: 4, DeltaNs: 4, Verdict: "slower"},
		{Label: "relu", Op: "Relu", Origin: []string{"r"}, From: []string{"3"}, FromNs: 4, DeltaNs: -4, Why: "fused", Verdict: "faster"},
		{Kind: "unattributed", FromNs: 4, ToNs: 2, DeltaNs: -2, Verdict: "none"},
	}}
}

// However the bars are grouped, they add up to the difference.
func TestMovesAddUp(t *testing.T) {
	c := comparison()
	for by, n := range map[string]int{byMove: 4, byLayer: 5, byKind: 4} {
		m := moves(c, by)
		sum := 0.0
		for _, x := range m {
			sum += x.ns
		}
		if math.Abs(sum-c.DeltaNs) > 1e-9 || len(m) != n || !m[len(m)-1].rest {
			t.Errorf("by %s: %d moves that sum to %g, want %d and %g, the unexplained one last", by, len(m), sum, n, c.DeltaNs)
		}
	}
	for why, want := range map[string]string{"": "same kernel", "int8, 3 steps became 1, other kernel: direct -> int8_neon": "int8, 3 steps became 1",
		"other kernel: direct -> winograd": "other kernel", "0.5 times the multiplications": "same kernel"} {
		if got := moveName(&profiler.Bar{Why: why}); got != want {
			t.Errorf("move of %q is %q, want %q", why, got, want)
		}
	}
	if m := moves(c, byMove); m[0].label != "int8" || m[0].count != 2 || len(m[0].keys) != 3 {
		t.Errorf("first move %+v, want the two int8 layers with their three nodes", m[0])
	}
}

func TestRows(t *testing.T) {
	a := &profiler.Profile{Layers: []profiler.Layer{{ID: "0", Op: "Conv"}, {ID: "1", Op: "BatchNormalization"}, {ID: "2", Op: "Conv"}, {ID: "3", Op: "Relu"}}}
	r := rows(comparison(), a, nil, "delta", "")
	if r[0].name != "layer1.0.conv2" || r[1].from != "Conv + BatchNormalization" {
		t.Errorf("first rows %q and %q from %q", r[0].name, r[1].name, r[1].from)
	}
	var cast, relu, rest aligned
	for _, x := range r {
		switch {
		case x.rest:
			rest = x
		case x.name == "cast":
			cast = x
		case x.name == "relu":
			relu = x
		}
	}
	if !cast.added || cast.a != nil || cast.share != nil || cast.keys[0] != "2" {
		t.Errorf("new layer %+v: absent in A is not zero", cast)
	}
	if !relu.gone || relu.b != nil || relu.share == nil {
		t.Errorf("gone layer %+v: absent in B is not zero", relu)
	}
	if rest.added || rest.gone || rest.a == nil {
		t.Errorf("unexplained row %+v", rest)
	}
	if got := rows(comparison(), a, nil, "order", "batchnorm"); len(got) != 1 || got[0].name != "layer1.0.conv1" {
		t.Errorf("filter by an operator of A found %v", got)
	}
	if got := rows(comparison(), nil, nil, "order", ""); got[0].from != "0 + 1" {
		t.Errorf("without A's profile: %q", got[0].from)
	}
}

// The order is that of the run, not that of the bars, which profiler sorts by how much they moved.
func TestOrderIsThatOfTheRun(t *testing.T) {
	a := &profiler.Profile{Layers: []profiler.Layer{{ID: "0"}, {ID: "1"}, {ID: "2"}, {ID: "3"}}}
	b := &profiler.Profile{Layers: []profiler.Layer{{ID: "2"}, {ID: "1"}, {ID: "0"}}}
	var got []string
	for _, r := range rows(comparison(), a, b, "order", "") {
		got = append(got, r.name)
	}
	if want := []string{"cast", "layer1.0.conv2", "layer1.0.conv1", "relu", ""}; !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
	if bl := blocks(comparison(), a, b); bl[0].name != "cast" || bl[1].name != "layer1.0" {
		t.Errorf("blocks begin with %q, %q", bl[0].name, bl[1].name)
	}
}

func TestBlocks(t *testing.T) {
	b := blocks(comparison(), nil, nil)
	if len(b) != 3 || b[0].name != "layer1.0" || b[0].delta != -110 || !b[1].added || !b[2].gone {
		t.Errorf("blocks %+v", b)
	}
	for in, want := range map[string]string{"layer2.0.conv1": "layer2.0", "/encoder/0/MatMul": "encoder/0", "conv1": "conv1", ".x": ".x"} {
		if got := scope(in); got != want {
			t.Errorf("scope(%q) = %q, want %q", in, got, want)
		}
	}
}

type english struct{}

func (english) T(k string) string           { return k }
func (english) F(k string, a ...any) string { return fmt.Sprintf(k, a...) }

func TestConditionsMarkOnlyWhatMovesTimes(t *testing.T) {
	a, b := &profiler.Profile{Conditions: fake.Conditions("green")}, &profiler.Profile{Conditions: fake.Conditions("green")}
	b.Conditions.TemperatureC = []float64{64}
	for _, c := range conditions(english{}, a, b) {
		if c.differ {
			t.Errorf("%s differs: %q and %q", c.name, c.a, c.b)
		}
	}
	b.Conditions = fake.Conditions("amber")
	b.Plan.Threads = 4
	var got []string
	for _, c := range conditions(english{}, a, b) {
		if c.differ {
			got = append(got, c.name)
		}
	}
	if want := []string{"threads", "governor"}; !slices.Equal(got, want) {
		t.Errorf("differences %v, want %v", got, want)
	}
	b.Conditions = profiler.Conditions{}
	for _, c := range conditions(english{}, a, b) {
		if c.name == "temperature" && (c.b != kit.Absent || c.differ) {
			t.Errorf("absent temperature: %+v", c)
		}
	}
}

func TestHeadline(t *testing.T) {
	for _, c := range []struct{ verdict, what, change string }{
		{"faster", "B is faster", "−45.0 %"}, {"none", "No difference shown", "could have seen ≥ 0.800 %"},
	} {
		v := headline(english{}, &profiler.Comparison{Verdict: c.verdict, Ratio: [3]float64{.543, .55, .557}, Detectable: .008})
		if v.what != c.what || v.change != c.change {
			t.Errorf("%s: %q %q", c.verdict, v.what, v.change)
		}
	}
}
