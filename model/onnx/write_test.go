package onnx

import (
	"bytes"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

// TestWriteWithoutValues: a model with a hole is refused before anything is written.
func TestWriteWithoutValues(t *testing.T) {
	whole := model.Scalar32(1)
	for _, c := range []struct {
		name string
		attr model.Attr
		init *model.Init
		ok   bool
	}{
		{"a tensor attribute without a tensor", model.Attr{Name: "value", Type: model.AttrTensor}, nil, false},
		{"a graph attribute without a graph", model.Attr{Name: "body", Type: model.AttrGraph}, nil, false},
		{"a list with a hole", model.Attr{Name: "values", Type: model.AttrTensors, Tensors: []*model.Tensor{whole, nil}}, nil, false},
		{"a list of graphs with a hole", model.Attr{Name: "bodies", Type: model.AttrGraphs, Graphs: []*model.Graph{nil}}, nil, false},
		{"an initializer without a tensor", model.Attr{Name: "value", Type: model.AttrTensor, T: whole}, &model.Init{Name: "w"}, false},
		{"a body whose node has a hole", model.Attr{Name: "body", Type: model.AttrGraph, G: &model.Graph{Nodes: []*model.Node{
			{Op: "Constant", Outputs: []string{"c"}, Attrs: []model.Attr{{Name: "value", Type: model.AttrTensor}}}}}}, nil, false},
		{"a reference needs no value", model.Attr{Name: "value", Type: model.AttrTensor, Ref: "v"}, nil, true},
		{"a whole one", model.Attr{Name: "value", Type: model.AttrTensor, T: whole}, &model.Init{Name: "w", Tensor: whole}, true},
	} {
		g := &model.Graph{Name: "g", Nodes: []*model.Node{{Op: "Constant", Outputs: []string{"y"}, Attrs: []model.Attr{c.attr}}}}
		if c.init != nil {
			g.Inits = append(g.Inits, c.init)
		}
		var b bytes.Buffer
		err := Write(&b, &model.Model{IRVersion: 8, Opsets: []model.Opset{{Version: 17}}, Graph: g})
		if c.ok && (err != nil || b.Len() == 0) || !c.ok && (!fail.Is(err, fail.Invalid) || b.Len() > 0) {
			t.Errorf("%s: %v, %d bytes written", c.name, err, b.Len())
		}
	}
}
