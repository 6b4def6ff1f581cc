package profile

import (
	"fmt"
	"math"
	"testing"

	"fettle/app"
	"fettle/profiler"
)

func number(v float64) *float64 { return &v }

// sampleProfile has two large layers, n small ones of two kinds, and something unexplained.
func sampleProfile(n int) *profiler.Profile {
	p := &profiler.Profile{Clean: profiler.Clean{N: 150, Launches: 3, P50Ns: number(250e6), P90Ns: number(254e6), IntervalP50: [2]float64{248e6, 252e6}}, UnattributedNs: 4e6, Closure: .016}
	add := func(name, op string, ns, floor float64) {
		l := profiler.Layer{ID: fmt.Sprint(len(p.Layers)), Name: name, Op: op, Origin: []string{name}, P50Ns: ns, Share: ns / 250e6, MACs: 1e6, Bytes: 2e5}
		if floor > 0 {
			l.FloorNs = number(floor)
		}
		p.Layers = append(p.Layers, l)
	}
	add("conv1", "Conv", 100e6, 50e6)
	add("conv2", "Conv", 80e6, 60e6)
	for i := range n {
		add(fmt.Sprintf("relu%d", i), []string{"Relu", "Add"}[i%2], 66e6/float64(n), float64(i%2)*1e5)
	}
	return p
}

func TestListSumsToTheTotal(t *testing.T) {
	p := sampleProfile(60)
	for _, mode := range []string{"largest", "all", "kind"} {
		rows := list(p, listing{mode: mode, sort: columnMs})
		sum := 0.0
		for _, r := range rows {
			if r.kind != sumRow {
				sum += r.ns
			}
		}
		if last := rows[len(rows)-1]; last.kind != sumRow || math.Abs(sum-last.ns) > 1 {
			t.Errorf("%s: rows sum to %g, the last says %g", mode, sum, last.ns)
		}
	}
}

func TestListModes(t *testing.T) {
	p := sampleProfile(60)
	largest := list(p, listing{mode: "largest", sort: columnMs})
	if largest[0].name != "conv1" || len(largest) != 11+2+2 {
		t.Errorf("%d rows, first %q; want 11 layers, 2 sums, rest and sum", len(largest), largest[0].name)
	}
	if g := largest[11]; g.kind != groupRow || g.count+largest[12].count != 51 {
		t.Errorf("group %+v and %+v hold not all 51 small layers", g, largest[12])
	}
	for _, g := range list(p, listing{mode: "kind", sort: columnMs}) {
		if g.op == "Relu" && g.floor != nil {
			t.Error("a sum has a floor although its layers have none")
		}
		if g.op == "Add" && g.floor == nil {
			t.Error("a sum has no floor although all its layers have one")
		}
	}
	up := list(p, listing{mode: "all", sort: columnMs, up: true})
	if up[len(up)-3].name != "conv1" {
		t.Errorf("ascending ends with %q", up[len(up)-3].name)
	}
	if got := list(p, listing{mode: "largest", filter: "CONV2"}); len(got) != 1 || got[0].name != "conv2" {
		t.Errorf("filter found %v", got)
	}
}

func TestAbsentIsNotZero(t *testing.T) {
	p := sampleProfile(0)
	p.Layers[1].P50Ns = 0
	p.Clean.P50Ns = nil
	rows := list(p, listing{mode: "all", sort: columnMs})
	if rows[1].kind != absentRow || len(rows) != 2 {
		t.Errorf("rows %+v: a layer without a time is absent, and without a total there is no sum", rows)
	}
	for _, q := range percentiles(p) {
		if q.name == "p99" && (q.ns != nil || q.need != 1000) {
			t.Errorf("p99 %+v", q)
		}
	}
	if drift(p) != nil {
		t.Error("drift without a canary")
	}
	p.Launches = []profiler.LaunchResult{{Canary: 100}, {Canary: 101}}
	if d := drift(p); d == nil || math.Abs(*d-.01) > 1e-9 {
		t.Errorf("drift %v, want 1 %%", d)
	}
}

func TestShownRun(t *testing.T) {
	old, new_, live := &app.Run{ID: "1", Profile: sampleProfile(0)}, &app.Run{ID: "2", Profile: sampleProfile(0)}, &app.Run{ID: "3", Partial: true}
	for _, c := range []struct {
		name, picked, want string
		runs               []*app.Run
	}{{"newest", "", "2", []*app.Run{old, new_}}, {"picked", "1", "1", []*app.Run{old, new_}}, {"live before all", "1", "3", []*app.Run{old, new_, live}},
		{"gone pick", "9", "2", []*app.Run{old, new_}}, {"none", "", "", nil}} {
		r := shown(&app.State{Runs: c.runs}, c.picked)
		if got := ""; (r == nil && c.want != "") || (r != nil && r.ID != c.want) {
			t.Errorf("%s: %v %v", c.name, r, got)
		}
	}
}

func TestRoofline(t *testing.T) {
	p := sampleProfile(4)
	if best := highest(p); math.Abs(best-10) > 1e-9 { // from the tightest floor, 1e5 ns
		t.Errorf("the best algorithm reaches %g GMAC/s", best)
	}
	p.Layers[0].Window, p.Layers[1].Window = []int{1, 1}, []int{3, 3}
	w := windowsOf(p)
	if w[p.Layers[0].Name] != 0 || w[p.Layers[1].Name] != 1 || w[p.Layers[2].Name] != 2 {
		t.Errorf("shapes %v", w)
	}
}
