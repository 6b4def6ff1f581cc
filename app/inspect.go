package app

import (
	"context"
	"fmt"
	"os"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
	"fettle/profiler/predict"
)

// Inspection says what is in a model; its JSON form is fixed for scripts.
type Inspection struct {
	Format      string           `json:"format"`
	Name        string           `json:"name"`
	SHA256      string           `json:"sha256"`
	IRVersion   int64            `json:"ir_version"`
	Producer    string           `json:"producer"`
	Opsets      map[string]int64 `json:"opsets"`
	Inputs      []ValueInfo      `json:"inputs"`
	Outputs     []ValueInfo      `json:"outputs"`
	Nodes       int              `json:"nodes"`
	Ops         map[string]int   `json:"ops"`
	Parameters  int64            `json:"parameters"`
	MACs        int64            `json:"macs"`
	WeightBytes int64            `json:"weight_bytes"`
	FileBytes   int64            `json:"file_bytes"`
	Unsupported []string         `json:"unsupported,omitempty"`
	Notes       []string         `json:"notes,omitempty"` // what a conversion to another format changed
	Layers      []LayerInfo      `json:"layers"`
}

// ValueInfo is an input or output; shape holds numbers, and strings where a size is not fixed.
type ValueInfo struct {
	Name  string `json:"name"`
	DType string `json:"dtype"` // of a tensor's elements; of anything else the whole type: seq(map(int64, float32[]))
	Shape []any  `json:"shape"` // nil: none is known, or it is no tensor
}

// String is the type with its shape, where it has one.
func (v ValueInfo) String() string {
	if v.Shape == nil {
		return v.DType
	}
	return fmt.Sprintf("%s%v", v.DType, v.Shape)
}

// LayerInfo is one node with what it costs.
type LayerInfo struct {
	ID              string `json:"id"`
	Name            string `json:"name"`
	Op              string `json:"op"`
	MACs            int64  `json:"macs"`
	WeightBytes     int64  `json:"weight_bytes"`
	ActivationBytes int64  `json:"activation_bytes"`
	Output          string `json:"output"`
	FloorNs         *int64 `json:"floor_ns,omitempty"`
	FloorWhy        string `json:"floor_why,omitempty"`

	Int8Most    *float64 `json:"int8_most,omitempty"`    // how many times faster 8-bit integers can be at most
	Int8Against *float64 `json:"int8_against,omitempty"` // the same against the best float algorithm
	Int8Why     string   `json:"int8_why,omitempty"`

	dtype           string
	window, strides []int
}

// InspectOn is Inspect with each layer's floor on a target, with all of its cores.
func (a *App) InspectOn(ctx context.Context, path, target string, asks Asks) (*Inspection, error) {
	in, err := a.Inspect(ctx, path)
	if err != nil {
		return nil, err
	}
	f, err := a.factsOf(ctx, target, asks)
	if err != nil {
		return nil, err
	}
	in.bound(predict.Board(*f))
	return in, nil
}

// bound gives each layer its floor on a machine.
func (in *Inspection) bound(machine predict.Machine) {
	for i := range in.Layers {
		l := &in.Layers[i]
		w := l.work()
		ns, why := predict.Floor(machine, w)
		if l.FloorWhy = why; ns != nil {
			v := int64(*ns)
			l.FloorNs = &v
		}
		if l.MACs > 0 {
			g := predict.Int8(machine, w)
			if l.Int8Why = g.Why; g.Most > 0 {
				l.Int8Most, l.Int8Against = &g.Most, &g.Against
			}
		}
	}
}

// work is what the layer must do.
func (l *LayerInfo) work() predict.Work {
	return predict.Work{Op: l.Op, DType: l.dtype, MACs: l.MACs, Bytes: l.WeightBytes + l.ActivationBytes, Window: l.window, Strides: l.strides}
}

// Inspect reads what is in the file at path.
func (a *App) Inspect(ctx context.Context, path string) (*Inspection, error) {
	m, err := a.Load(ctx, path)
	if err != nil {
		return nil, err
	}
	in, err := Describe(m)
	if err != nil {
		return nil, fail.In(err, "inspect "+path, fail.Where{File: path})
	}
	if st, err := os.Stat(path); err == nil {
		in.FileBytes = st.Size()
	}
	return in, nil
}

// Describe counts a model. Costs of dimensions that are not fixed are counted with 1.
func Describe(m *model.Model) (*Inspection, error) {
	g := m.Graph
	in := &Inspection{Format: "onnx", Name: g.Name, SHA256: m.Hash(), IRVersion: m.IRVersion, Producer: m.Producer,
		Opsets: map[string]int64{}, Nodes: len(g.Nodes), Ops: map[string]int{}}
	if m.Source != nil {
		in.Format, in.FileBytes = m.Source.Format, int64(len(m.Source.Bytes))
	}
	for _, o := range m.Opsets {
		in.Opsets[o.Domain] = o.Version
	}
	for _, v := range g.Free() {
		in.Inputs = append(in.Inputs, valueInfo(v))
	}
	for _, v := range g.Outputs {
		in.Outputs = append(in.Outputs, valueInfo(v))
	}
	for _, i := range g.Inits {
		in.Parameters += int64(i.Tensor.Len())
		in.WeightBytes += int64(len(i.Tensor.Raw))
	}
	inf, missing, err := ops.Infer(m, fixed(g))
	if err != nil { // a size of 1 may be too small for the model: then what hangs on open sizes is not counted
		inf, missing, err = ops.Infer(m, nil)
	}
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, n := range missing {
		op := opName(n)
		if !seen[op] {
			seen[op] = true
			in.Unsupported = append(in.Unsupported, op)
		}
	}
	for _, n := range g.Nodes {
		in.Ops[opName(n)]++
		l := layerInfo(m, n, inf)
		in.MACs += l.MACs
		in.Layers = append(in.Layers, l)
	}
	return in, nil
}

func opName(n *model.Node) string {
	if n.Domain == "" || n.Domain == "ai.onnx" {
		return n.Op
	}
	return n.Domain + ":" + n.Op
}

// fixed gives every open input dimension the size 1, so that costs can be counted.
func fixed(g *model.Graph) map[string]model.Type {
	out := map[string]model.Type{}
	for _, v := range g.Free() {
		t := v.Type
		t.Shape = append(model.Shape(nil), t.Shape...)
		for i := range t.Shape {
			if !t.Shape[i].Known() {
				t.Shape[i] = model.Fixed(1)
			}
		}
		out[v.Name] = t
	}
	return out
}

func layerInfo(m *model.Model, n *model.Node, inf *ops.Inferred) LayerInfo {
	l := LayerInfo{ID: string(n.ID), Name: n.Label(), Op: opName(n)}
	for i, name := range n.Inputs {
		if t := m.Graph.Init(name); t != nil {
			l.WeightBytes += int64(len(t.Raw))
			if i == 1 && n.Op == "Conv" && len(t.Shape) > 2 {
				l.window = t.Shape[2:]
			}
		}
	}
	for _, v := range n.Ints("strides") {
		l.strides = append(l.strides, int(v))
	}
	for i, o := range n.Outputs {
		t := inf.Types[o]
		if dims, ok := t.Shape.Ints(); ok && t.Ranked {
			if c, err := model.Count(dims); err == nil {
				l.ActivationBytes += int64(t.DType.Bytes(c))
			}
		}
		if i == 0 {
			l.Output, l.dtype = t.String(), t.DType.String()
		}
	}
	d, err := ops.Lookup(n.Domain, n.Op, m.Opset(n.Domain))
	if err != nil || d.Cost == nil {
		return l
	}
	f := &ops.Inference{Node: n, Def: d, Opset: m.Opset(n.Domain), Const: func(i int) *model.Tensor { return inf.Consts[n.Inputs[i]] }}
	for _, name := range n.Inputs {
		f.In = append(f.In, inf.Types[name])
	}
	for _, name := range n.Outputs {
		f.Out = append(f.Out, inf.Types[name])
	}
	l.MACs = d.Cost(f).MACs
	return l
}

func valueInfo(v model.Value) ValueInfo {
	out := ValueInfo{Name: v.Name, DType: v.Type.DType.String()}
	if v.Type.Kind != model.KindTensor {
		out.DType = v.Type.String()
		return out
	}
	if v.Type.Ranked {
		out.Shape = []any{}
	}
	for _, d := range v.Type.Shape {
		if d.Known() {
			out.Shape = append(out.Shape, d.N)
		} else {
			out.Shape = append(out.Shape, d.String())
		}
	}
	return out
}
