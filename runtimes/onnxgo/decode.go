package onnxgo

import (
	"github.com/owulveryck/onnx-go"

	"fettle/internal/fail"
	"fettle/model"
)

// Decoded is what onnx-go understands of a file.
type Decoded struct {
	Nodes   []DecodedNode
	Weights map[string]*model.Tensor
}

// DecodedNode is one operation, in file order.
type DecodedNode struct {
	Op      string
	Inputs  []string // trailing absent ones are left out
	Outputs []string
	Attrs   []model.Attr // by name
}

// Decode reads a file with onnx-go. fail.Unsupported for what the library refuses, fail.Corrupt where it panics.
func Decode(b []byte) (d *Decoded, err error) {
	defer Recover(&err)
	back := New(nil)
	m := onnx.NewModel(back)
	if err := m.UnmarshalBinary(b); err != nil {
		return nil, fail.New(fail.Unsupported, "onnx-go refuses the file: %v", err)
	}
	made := map[*Node]bool{}
	d = &Decoded{Weights: map[string]*model.Tensor{}}
	for _, o := range back.ops {
		n := DecodedNode{Op: o.Name}
		for _, v := range o.in {
			name := ""
			if v != nil {
				name = v.name
			}
			n.Inputs = append(n.Inputs, name)
		}
		for len(n.Inputs) > 0 && n.Inputs[len(n.Inputs)-1] == "" {
			n.Inputs = n.Inputs[:len(n.Inputs)-1]
		}
		for _, v := range o.out {
			n.Outputs = append(n.Outputs, v.name)
			made[v] = true
		}
		if n.Attrs, err = attributes(o.Attributes); err != nil {
			return nil, fail.In(err, "", fail.Where{Op: o.Name})
		}
		d.Nodes = append(d.Nodes, n)
	}
	for _, v := range back.nodes {
		if v.t == nil || made[v] || v.t.DataSize() == 0 && !v.t.IsScalar() {
			continue
		}
		t, err := fromGorgonia(v.t)
		if err != nil {
			return nil, fail.In(err, "", fail.Where{Tensor: v.name})
		}
		d.Weights[v.name] = t
	}
	return d, nil
}
