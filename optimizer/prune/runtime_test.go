package prune

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"fettle/model"
	"fettle/model/onnx"
	"fettle/optimizer"
)

// TestGroupsInONNXRuntime: of every network at hand, every group cut alone at a random ratio, and FETTLE_GROUPS joint selections, give in ONNX Runtime
// what the network gives with the cut channels multiplied by nothing. It takes minutes: without FETTLE_GROUPS it is skipped; scripts/groups.sh
// runs it on networks whose constants are folded, as recipes have them.
func TestGroupsInONNXRuntime(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("FETTLE_GROUPS"))
	if err != nil {
		t.Skip("FETTLE_GROUPS is no number of joint selections")
	}
	dir := os.Getenv("FETTLE_GROUPS_DIR")
	if dir == "" {
		dir = "../../../shared/data/models"
	}
	files, _ := filepath.Glob(filepath.Join(dir, os.Getenv("FETTLE_GROUPS_OF")+"*.onnx"))
	if len(files) == 0 {
		t.Skip("no networks at hand")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			m, err := onnx.ReadFile(context.Background(), file, onnx.DefaultBudget())
			if err != nil {
				t.Fatal(err)
			}
			g := m.Graph // weights that are listed as inputs are constants, as eliminate-dead makes them
			m = m.WithGraph(&model.Graph{Name: g.Name, Nodes: g.Nodes, Inits: g.Inits, Inputs: g.Free(), Outputs: g.Outputs})
			in, err := optimizer.RandomInputsOf(m, 2, 3, func(v model.Value, dim int) int {
				if dim == 1 && len(v.Type.Shape) == 2 {
					return 512 // of sound
				}
				return 1
			})
			if err != nil {
				t.Skip(err)
			}
			for _, x := range in {
				if rate := x["sr"]; rate != nil { // of sound too: others are refused
					rate.SetInt64(0, 16000)
				}
			}
			s, err := newSpace(m)
			if err != nil {
				t.Skipf("no groups: %v", err)
			}
			r := rand.New(rand.NewPCG(9, 9))
			var all []map[int]bool
			groups, locked := s.groups(), 0
			draw := func(gone map[int]bool, g *Group, may func(int) bool) {
				share := r.Float64()
				cut := false
				for _, k := range r.Perm(len(g.classes)) {
					if c := g.classes[k]; c.why == "" && (r.Float64() < share || !cut) && may(c.root) {
						gone[c.root], cut = true, true
					}
				}
			}
			for _, g := range groups {
				gone := map[int]bool{}
				if draw(gone, g, s.sparing()); len(gone) == 0 {
					locked++
					continue
				}
				all = append(all, gone)
			}
			alone := len(all)
			for range rounds {
				gone, may := map[int]bool{}, s.sparing()
				for _, g := range groups {
					if r.IntN(2) == 0 {
						draw(gone, g, may)
					}
				}
				all = append(all, gone)
			}
			if alone == 0 {
				t.Skipf("%d groups, all of them locked: %v", len(groups), groups)
			}
			worst := 0.0
			for from := 0; from < len(all); from += 20 { // a process runs many: they are written and read once
				some := in
				if from >= alone {
					some = in[:1]
				}
				for i, d := range inRuntime(t, s, some, all[from:min(len(all), from+20)]) {
					if worst = max(worst, d); d > 1e-4 {
						t.Errorf("selection %d: %d channels cut, the outputs differ by %.2g", from+i, len(all[from+i]), d)
					}
				}
			}
			t.Logf("%d groups cut alone, %d keep all, %d joint selections: at most %.2g apart", alone, locked, rounds, worst)
		})
	}
}

// inRuntime runs the network with channels cut, and with them multiplied by nothing.
func inRuntime(t *testing.T, s *space, in []map[string]*model.Tensor, selections []map[int]bool) []float64 {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, gone := range selections {
		cut, err := s.cut(gone)
		must(err)
		masked := map[string]*model.Tensor{}
		for _, rd := range s.reads {
			w := masked[rd.weight]
			if w == nil {
				w = s.v.G.Init(rd.weight).Clone()
			}
			inner := 1
			for _, d := range w.Shape[rd.axis+1:] {
				inner *= d
			}
			for k := range w.Len() {
				if gone[find(s.same, rd.atoms[k/inner%w.Shape[rd.axis]])] {
					model.Data[float32](w)[k] = 0
				}
			}
			masked[rd.weight] = w
		}
		mask, err := rewrite(s.v.M, masked, nil, nil)
		must(err)
		must(onnx.WriteFile(filepath.Join(dir, fmt.Sprint(i, "a.onnx")), cut))
		must(onnx.WriteFile(filepath.Join(dir, fmt.Sprint(i, "b.onnx")), mask))
	}
	type described struct {
		Name  string `json:"name"`
		DType string `json:"dtype"`
		Shape []int  `json:"shape"`
		File  string `json:"file"`
	}
	var list [][]described
	for i, x := range in {
		var row []described
		for name, v := range x {
			f := fmt.Sprintf("in-%d-%d", i, len(row))
			must(os.WriteFile(filepath.Join(dir, f), v.Raw, 0o600))
			row = append(row, described{name, v.DType.String(), append([]int{}, v.Shape...), f})
		}
		list = append(list, row)
	}
	b, err := json.Marshal(list)
	must(err)
	must(os.WriteFile(filepath.Join(dir, "in.json"), b, 0o600))
	c := exec.Command("node", "testdata/pairs.js", dir)
	modules, err := filepath.Abs("../../.cache/ort/node_modules")
	must(err)
	c.Env = append(os.Environ(), "NODE_PATH="+modules, "ORT_DISABLE_TELEMETRY=1")
	out, err := c.Output()
	if e, ok := err.(*exec.ExitError); ok {
		t.Fatalf("ONNX Runtime: %s", e.Stderr)
	}
	must(err)
	var d []float64
	must(json.Unmarshal(out, &d))
	if len(d) != len(selections) {
		t.Fatalf("%d of %d pairs were run", len(d), len(selections))
	}
	os.RemoveAll(dir)
	return d
}
