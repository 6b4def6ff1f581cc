package ops

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"fettle/model"
	"fettle/model/onnx"
)

// described is a tensor for, or of, testdata/ort.js.
type described struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
	Data  []byte `json:"data"` // little-endian elements; texts as JSON
}

// answer is what ONNX Runtime gave for one example, beside what was wanted.
type answer struct {
	err            string
	outputs, wants []*model.Tensor
}

// inONNXRuntime runs every example there. Values that its binding has no type for go in as initializers and come out through
// nodes that take them apart or cast them.
func inONNXRuntime(t *testing.T, examples []*example, wants [][]*model.Tensor) []answer {
	t.Helper()
	dir := t.TempDir()
	var feeds [][]described
	answers := make([]answer, len(examples))
	for i, x := range examples {
		var row []described
		row, answers[i].wants = store(t, dir, i, x, wants[i])
		feeds = append(feeds, row)
	}
	for i, r := range runAll(t, dir, feeds) {
		answers[i].err = r.Error
		for _, o := range r.Outputs {
			answers[i].outputs = append(answers[i].outputs, read(t, o))
		}
	}
	return answers
}

// held are the types that node's binding has arrays for.
func held(d model.DType) bool {
	switch d {
	case model.Float32, model.Float64, model.Float16, model.Int8, model.Uint8, model.Int16, model.Uint16, model.Int32, model.Uint32, model.Int64, model.Uint64, model.Bool, model.String:
		return true
	}
	return false
}

// expressible says whether the comparison can bring the values in and out.
func expressible(x *example, want []*model.Tensor) bool {
	for _, v := range x.inputs {
		if v.DType == model.Map || v.DType == model.Complex64 || v.DType == model.Complex128 {
			return false
		}
	}
	for _, v := range want {
		if v == nil || v.DType == model.Complex64 || v.DType == model.Complex128 {
			return false
		}
		for _, e := range v.Elems { // maps are not held either
			if !held(e.DType) {
				return false
			}
		}
	}
	return true
}

// store writes example n and says which files feed it and which tensors it should give.
func store(t *testing.T, dir string, n int, x *example, want []*model.Tensor) ([]described, []*model.Tensor) {
	t.Helper()
	g := &model.Graph{Name: "g"}
	var row []described
	add := func(op, out string, in []string, attrs ...model.Attr) {
		g.Nodes = append(g.Nodes, &model.Node{ID: model.NodeID("make " + out), Name: "make " + out, Op: op, Inputs: in, Outputs: []string{out}, Attrs: attrs})
	}
	given := func(name string, v *model.Tensor) {
		g.Inits = append(g.Inits, &model.Init{Name: name, Tensor: v})
	}
	for _, v := range x.m.Graph.Inputs {
		in := x.inputs[v.Name]
		if !reads(x, v.Name) {
			continue
		}
		switch {
		case in.DType == model.Sequence && len(in.Elems) == 0:
			add("SequenceEmpty", v.Name, nil, model.IntAttr("dtype", int64(in.Elem)))
		case in.DType == model.Sequence:
			var names []string
			for i, e := range in.Elems {
				names = append(names, fmt.Sprintf("%s_%d", v.Name, i))
				given(names[i], e)
			}
			add("SequenceConstruct", v.Name, names)
		case !held(in.DType) || in.DType == model.String || x.fixed[v.Name]:
			given(v.Name, in)
		default:
			g.Inputs = append(g.Inputs, v)
			row = append(row, described{v.Name, in.DType.String(), append([]int{}, in.Shape...), in.Raw})
		}
	}
	g.Nodes = append(g.Nodes, x.m.Graph.Nodes...)
	var flat []*model.Tensor
	out := func(name string, v *model.Tensor) {
		g.Outputs = append(g.Outputs, model.Value{Name: name, Type: model.Type{DType: v.DType}})
		flat = append(flat, v)
	}
	for i, o := range x.node.Outputs {
		v := want[i]
		if x.node.Op == "Optional" {
			add("OptionalHasElement", o+"_has", []string{o})
			out(o+"_has", model.FromSlice(model.Bool, []bool{!v.None}))
			if v.None {
				continue
			}
			add("OptionalGetElement", o+"_got", []string{o})
			o += "_got"
		}
		switch {
		case v.DType == model.Sequence:
			add("SequenceLength", o+"_length", []string{o})
			out(o+"_length", model.FromSlice(model.Int64, []int64{int64(len(v.Elems))}))
			for k, e := range v.Elems {
				at := fmt.Sprintf("%s_at%d", o, k)
				given(at+"_i", model.FromSlice(model.Int64, []int64{int64(k)}))
				add("SequenceAt", at, []string{o, at + "_i"})
				out(at, e)
			}
		case !held(v.DType):
			to := model.Float32
			if v.DType.Integer() {
				to = model.Int8
			}
			c := model.NewTensor(to, v.Shape...)
			for k := range v.Len() {
				c.SetFloat64(k, v.Float64At(k))
			}
			add("Cast", o+"_cast", []string{o}, model.IntAttr("to", int64(to)))
			out(o+"_cast", c)
		default:
			out(o, v)
		}
	}
	if err := onnx.WriteFile(filepath.Join(dir, strconv.Itoa(n)+".onnx"), x.m.WithGraph(g)); err != nil {
		t.Fatal(err)
	}
	return row, flat
}

func reads(x *example, name string) bool {
	for _, n := range x.m.Graph.Nodes {
		for _, r := range model.Reads(n) {
			if r == name {
				return true
			}
		}
	}
	return false
}

type result struct {
	Error   string      `json:"error"`
	Outputs []described `json:"outputs"`
}

// lane is a part of the models, from first on and before end, that one process after the other runs.
type lane struct {
	first, end int
	file       string // of results, a line a model
	results    []result
}

// runAll runs the models in two processes at a time. One that brings ONNX Runtime down ends its process; the next begins
// behind it.
func runAll(t *testing.T, dir string, feeds [][]described) []result {
	t.Helper()
	b, err := json.Marshal(feeds)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "list.json"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	modules, _ := filepath.Abs("../.cache/ort/node_modules")
	half := len(feeds) / 2
	lanes := []*lane{{first: 0, end: half, file: "results-0"}, {first: half, end: len(feeds), file: "results-1"}}
	for {
		var running []*exec.Cmd
		var of []*lane
		for _, l := range lanes {
			if at := l.first + len(l.results); at < l.end {
				c := exec.Command("node", "testdata/ort.js", dir, strconv.Itoa(at), strconv.Itoa(l.end), l.file)
				c.Env = append(os.Environ(), "NODE_PATH="+modules, "ORT_DISABLE_TELEMETRY=1")
				c.Stderr = &bytes.Buffer{}
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				running, of = append(running, c), append(of, l)
			}
		}
		if len(running) == 0 {
			return append(lanes[0].results, lanes[1].results...)
		}
		for i, c := range running {
			of[i].finish(t, dir, c)
		}
	}
}

// finish waits for the process of a lane and reads what it has run.
func (l *lane) finish(t *testing.T, dir string, c *exec.Cmd) {
	t.Helper()
	ended := c.Wait()
	before := len(l.results)
	l.results = l.results[:0]
	if b, err := os.ReadFile(filepath.Join(dir, l.file)); err == nil {
		for line := range strings.Lines(string(b)) {
			var r result
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			l.results = append(l.results, r)
		}
	}
	missing := l.first+len(l.results) < l.end
	if ended == nil && missing || len(l.results) < before {
		t.Fatalf("ONNX Runtime ran %d of %d models: %s", len(l.results), l.end-l.first, c.Stderr)
	}
	if ended != nil && missing {
		r := result{Error: "the process ended: " + ended.Error()}
		line, _ := json.Marshal(r)
		l.results = append(l.results, r)
		appendTo(t, filepath.Join(dir, l.file), append(line, '\n'))
	}
}

func appendTo(t *testing.T, path string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, d described) *model.Tensor {
	t.Helper()
	dt, _ := model.ParseDType(d.DType)
	if dt != model.String {
		return &model.Tensor{DType: dt, Shape: d.Shape, Raw: d.Data}
	}
	s := model.NewTensor(dt, d.Shape...)
	if err := json.Unmarshal(d.Data, &s.Strs); err != nil {
		t.Fatal(err)
	}
	return s
}
