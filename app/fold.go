package app

import (
	"fmt"

	"fettle/dataset"
	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// foldPreprocess puts the arithmetic of a preprocessing block in front of m: the input becomes the picture itself, uint8 of
// [1, height, width, 3] in RGB, and a board need not know mean, deviation, order of colours or layout. Resizing and cutting stay
// outside: they depend on what a camera gives. The block that is left says so.
func foldPreprocess(m *model.Model, p *dataset.Preprocess) (*model.Model, error) {
	free := m.Graph.Free()
	if len(free) != 1 {
		return nil, fail.New(fail.Unsupported, "a picture is one input, the model has %d", len(free))
	}
	in := free[0]
	where := fail.Where{Tensor: in.Name}
	switch {
	case in.Type.DType != model.Float32 || !in.Type.Ranked || len(in.Type.Shape) != 4:
		return nil, fail.New(fail.Unsupported, "the input is %s, not float32 of four dimensions", in.Type).At(where)
	case p.Colour == "gray":
		return nil, fail.New(fail.Unsupported, "colour = \"gray\" cannot be part of the model: its rounding has no operators").At(fail.Where{Option: "colour"})
	}
	channels, planar := 3, true
	if d := in.Type.Shape[1]; d.Known() && d.N != channels {
		planar = false
		if d := in.Type.Shape[3]; d.Known() && d.N != channels {
			return nil, fail.New(fail.Invalid, "the input has shape %s, which holds no picture of %d colours", in.Type.Shape, channels).At(where)
		}
	}
	m, err := optimizer.Upgrade(m, 13, 7)
	if err != nil {
		return nil, err
	}
	g := m.Graph
	used := map[string]bool{}
	for _, n := range g.Nodes {
		used[n.Name] = true
		for _, o := range n.Outputs {
			used[o] = true
		}
	}
	for _, x := range g.Inits {
		used[x.Name] = true
	}
	name := func(s string) string {
		base := s
		for k := 2; used[s]; k++ {
			s = fmt.Sprintf("%s_%d", base, k)
		}
		used[s] = true
		return s
	}
	f := &folding{g: g, name: name}
	picture := name("picture")
	used[picture] = true
	x := f.add("Cast", picture, nil, model.IntAttr("to", int64(model.Float32)))
	if p.Colour == "bgr" {
		x = f.add("Gather", x, model.FromSlice(model.Int64, []int64{2, 1, 0}, 3), model.IntAttr("axis", 3))
	}
	x = f.add("Mul", x, model.Float32s([]float32{float32(p.Scale)}, 1))
	x = f.add("Sub", x, vector(p.Mean, channels))
	x = f.add("Div", x, vector(p.Std, channels))
	if planar {
		x = f.add("Transpose", x, nil, model.IntsAttr("perm", 0, 3, 1, 2))
	}
	f.nodes[len(f.nodes)-1].Outputs[0] = in.Name // the model reads on as before
	height, width := p.Size[0], p.Size[1]
	shape := model.Shape{model.Fixed(1), model.Fixed(height), model.Fixed(width), model.Fixed(channels)}
	ng := &model.Graph{Name: g.Name, Doc: g.Doc, Nodes: append(f.nodes, g.Nodes...), Outputs: g.Outputs, Values: g.Values, Meta: g.Meta, Unknown: g.Unknown,
		Inits: append(append([]*model.Init(nil), g.Inits...), f.inits...)}
	for _, v := range g.Inputs {
		if v.Name == in.Name {
			v = model.Value{Name: picture, Doc: v.Doc, Type: model.TensorType(model.Uint8, shape)}
		}
		ng.Inputs = append(ng.Inputs, v)
	}
	if err := ng.Check(nil); err != nil {
		return nil, fail.New(fail.Internal, "folding broke the graph: %v", err)
	}
	left := &dataset.Preprocess{Size: p.Size, Resize: p.Resize, Crop: p.Crop, Colour: "rgb", Scale: 1, Mean: []float64{0}, Std: []float64{1}}
	return m.WithGraph(ng).Apply(&model.Patch{Meta: []model.KV{{Key: dataset.MetadataKey, Value: string(left.Format())}}})
}

type folding struct {
	g     *model.Graph
	name  func(string) string
	nodes []*model.Node
	inits []*model.Init
}

// add appends a node that reads x and perhaps a constant.
func (f *folding) add(op, x string, c *model.Tensor, attrs ...model.Attr) string {
	in := []string{x}
	if c != nil {
		n := f.name("preprocess_" + op + "_by")
		f.inits = append(f.inits, &model.Init{Name: n, Tensor: c})
		in = append(in, n)
	}
	out := f.name("preprocess_" + op)
	id := model.NodeID("preprocess/" + op)
	f.nodes = append(f.nodes, &model.Node{ID: id, Name: f.name("preprocess/" + op), Op: op, Inputs: in, Outputs: []string{out}, Attrs: attrs, Origin: []model.NodeID{id}})
	return out
}

// vector repeats one number for all channels.
func vector(v []float64, n int) *model.Tensor {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(v[i%len(v)])
	}
	return model.Float32s(out, n)
}
