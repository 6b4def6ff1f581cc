package blocks

import (
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/mat"

	"fettle/internal/fail"
	"fettle/internal/spec"
	"fettle/model"
	"fettle/optimizer"
)

// stand is what could be in the place of a block; the block itself is one.
type stand struct {
	name    string
	part    *model.Model // nil: nothing at all, the value goes past
	macs    float64
	bytes   float64
	ns      float64
	damage  float64 // of the answers, with only this block replaced
	learned string  // how its training went
}

func (s *stand) nodes() int {
	if s.part == nil {
		return 0
	}
	return len(s.part.Graph.Nodes)
}

// make gives the block of a kind as it is before it learns; nil with the reason where there is none.
func (w *work) make(ctx context.Context, b *block, kind string, data optimizer.Data) (*model.Model, string, error) {
	switch kind {
	case "thin-25", "thin-50", "thin-75":
		ratio := map[string]float64{"thin-25": 0.25, "thin-50": 0.5, "thin-75": 0.75}[kind]
		return w.byPass(ctx, b, data, "prune-channels", map[string]any{"ratio": ratio, "criterion": "obc", "slower": "keep", "samples": int64(data.Len())})
	case "low-rank":
		return w.byPass(ctx, b, data, "factorize", map[string]any{"error": 0.15, "ratio": 0.7, "slower": "keep", "samples": int64(data.Len())})
	case "separable":
		m, err := separable(b.part)
		return m, "no dense convolution of several taps that two thinner ones could be cheaper than", err
	case "small-kernel":
		m, err := smallKernel(b.part)
		return m, "no convolution of an odd kernel with equal pads", err
	}
	return nil, "", fail.New(fail.Internal, "stand-in %q", kind)
}

// byPass lets another pass work on the block.
func (w *work) byPass(ctx context.Context, b *block, data optimizer.Data, pass string, options map[string]any) (*model.Model, string, error) {
	p := w.env.Passes.Find(pass)
	if p == nil {
		return nil, "there is no pass " + pass, nil
	}
	if err := spec.Decode(p.Options(), options); err != nil {
		return nil, "", err
	}
	env := w.inner(data)
	env.Base = b.part
	out, found, err := p.Apply(ctx, env, b.part)
	if fail.Is(err, fail.Unsupported) || fail.Is(err, fail.Invalid) {
		return nil, fail.From(err).Why, nil
	}
	if err != nil {
		return nil, "", err
	}
	if out != b.part {
		return out, "", nil
	}
	for _, f := range found {
		if f.Outcome == optimizer.Refused {
			return nil, f.Reason, nil
		}
	}
	return nil, "nothing to do", nil
}

// convolutions calls change for each plain convolution with stored weights of its own and applies what it gives; nil where it gives nothing.
func convolutions(m *model.Model, change func(v *optimizer.View, n *model.Node, w *model.Tensor) *model.Patch) (*model.Model, error) {
	v := optimizer.NewView(m, name)
	var patches []*model.Patch
	for _, n := range m.Graph.Nodes {
		if n.Op != "Conv" || n.Domain != "" || len(n.Inputs) < 2 {
			continue
		}
		w := m.Graph.Init(n.Inputs[1])
		if w == nil || w.DType != model.Float32 || w.Rank() != 4 || v.Shared("", n.Inputs[1], n) != "" {
			continue
		}
		if p := change(v, n, w); p != nil {
			patches = append(patches, p)
		}
	}
	if len(patches) == 0 {
		return nil, nil
	}
	return m.Apply(patches...)
}

// separable gives each dense convolution of several taps as one by channel and one by pixel: of each input channel the taps of all outputs, as a
// matrix, have one pair of singular vectors that says most; the pair is the two layers.
func separable(m *model.Model) (*model.Model, error) {
	return convolutions(m, func(v *optimizer.View, n *model.Node, w *model.Tensor) *model.Patch {
		outs, ins, taps := w.Shape[0], w.Shape[1], w.Shape[2]*w.Shape[3]
		if n.Int("group", 1) != 1 || taps == 1 || ins*taps+outs*ins >= outs*ins*taps {
			return nil
		}
		d := model.Data[float32](w)
		depth, point := model.NewTensor(model.Float32, ins, 1, w.Shape[2], w.Shape[3]), model.NewTensor(model.Float32, outs, ins, 1, 1)
		for c := range ins {
			a := mat.NewDense(outs, taps, nil)
			for o := range outs {
				for k := range taps {
					a.Set(o, k, float64(d[(o*ins+c)*taps+k]))
				}
			}
			var svd mat.SVD
			if !svd.Factorize(a, mat.SVDThin) {
				return nil
			}
			var left, right mat.Dense
			svd.UTo(&left)
			svd.VTo(&right)
			size := svd.Values(nil)[0]
			for k := range taps {
				model.Data[float32](depth)[c*taps+k] = float32(right.At(k, 0))
			}
			for o := range outs {
				model.Data[float32](point)[o*ins+c] = float32(size * left.At(o, 0))
			}
		}
		first, second := *n, model.Node{Name: n.Name + "_point", Op: "Conv", Origin: n.Origin, Outputs: n.Outputs}
		middle, wd, wp := n.Outputs[0]+".depth", n.Inputs[1]+".depth", n.Inputs[1]+".point"
		first.Raw, first.Name, first.ID = nil, n.Name+"_depth", n.ID+"/depth"
		first.Inputs, first.Outputs = []string{n.Inputs[0], wd}, []string{middle}
		first.Attrs = withInt(n.Attrs, "group", int64(ins))
		second.ID, second.Inputs = n.ID+"/point", append([]string{middle, wp}, n.Inputs[2:]...)
		p := &model.Patch{Drop: []model.NodeID{n.ID}, Add: []*model.Node{&first, &second}, Inits: []*model.Init{{Name: wd, Tensor: depth}, {Name: wp, Tensor: point}}}
		p.DropInits = []string{n.Inputs[1]}
		return p
	})
}

// smallKernel leaves the middle tap of each convolution.
func smallKernel(m *model.Model) (*model.Model, error) {
	return convolutions(m, func(_ *optimizer.View, n *model.Node, w *model.Tensor) *model.Patch {
		kh, kw := w.Shape[2], w.Shape[3]
		if kh*kw == 1 || kh%2 == 0 || kw%2 == 0 || n.Str("auto_pad", "NOTSET") != "NOTSET" {
			return nil
		}
		dilate := []int64{1, 1}
		if d := n.Ints("dilations"); len(d) == 2 {
			dilate = d
		}
		y, x := int64(kh/2)*dilate[0], int64(kw/2)*dilate[1]
		if !slices.Equal(n.Ints("pads"), []int64{y, x, y, x}) {
			return nil
		}
		t := model.NewTensor(model.Float32, w.Shape[0], w.Shape[1], 1, 1)
		for i := range model.Data[float32](t) {
			model.Data[float32](t)[i] = model.Data[float32](w)[i*kh*kw+kh*kw/2]
		}
		c := *n
		c.Raw, c.ID = nil, n.ID+"/middle"
		c.Inputs = slices.Clone(n.Inputs)
		c.Inputs[1] = n.Inputs[1] + ".middle"
		c.Attrs = nil
		for _, a := range n.Attrs {
			if a.Name != "pads" && a.Name != "dilations" && a.Name != "kernel_shape" {
				c.Attrs = append(c.Attrs, a)
			}
		}
		return &model.Patch{Drop: []model.NodeID{n.ID}, Add: []*model.Node{&c}, Inits: []*model.Init{{Name: c.Inputs[1], Tensor: t}}, DropInits: []string{n.Inputs[1]}}
	})
}

func withInt(attrs []model.Attr, name string, v int64) []model.Attr {
	var out []model.Attr
	for _, a := range attrs {
		if a.Name != name {
			out = append(out, a)
		}
	}
	return append(out, model.IntAttr(name, v))
}

// splice is m with a stand-in in the place of a block. past says which values stand for the ends of blocks that went before, and learns of this one.
func splice(m *model.Model, b *block, s *stand, past map[string]string) (*model.Model, error) {
	if s.part == b.part {
		return m, nil
	}
	v := optimizer.NewView(m, name)
	p := &model.Patch{}
	for _, n := range b.nodes {
		p.Drop = append(p.Drop, n.ID)
	}
	p.DropInits = v.Unread(b.nodes...)
	if s.part == nil {
		from := b.in
		if to := past[from]; to != "" {
			from = to
		}
		p.Redirect, past[b.out] = map[string]string{b.out: from}, from
	} else {
		kept := map[string]bool{}
		rename := map[string]string{}
		for _, in := range s.part.Graph.Inits {
			old := m.Graph.Init(in.Name)
			switch {
			case old != nil && old.DType == in.Tensor.DType && slices.Equal(old.Shape, in.Tensor.Shape) && slices.Equal(old.Raw, in.Tensor.Raw):
			case old != nil && v.Shared("", in.Name, b.nodes...) != "": // others read what it was
				rename[in.Name] = in.Name + "." + b.out
				p.Inits = append(p.Inits, &model.Init{Name: rename[in.Name], Tensor: in.Tensor})
			default:
				p.Inits = append(p.Inits, in)
			}
			kept[in.Name] = true
		}
		p.DropInits = slices.DeleteFunc(p.DropInits, func(in string) bool { return kept[in] })
		for _, n := range s.part.Graph.Nodes {
			c := *n
			c.Inputs = slices.Clone(n.Inputs)
			for i, in := range c.Inputs {
				if to := rename[in]; to != "" {
					c.Inputs[i], c.Raw = to, nil
				} else if to := past[in]; to != "" {
					c.Inputs[i], c.Raw = to, nil
				}
			}
			p.Add = append(p.Add, &c)
		}
	}
	out, err := m.Apply(p)
	if err != nil {
		return nil, fail.In(err, fmt.Sprintf("put %s in the place of the block before %s", s.name, b.out), fail.Where{})
	}
	g := out.Graph.Shallow()
	g.Values = nil // declared types of inner values may be stale
	return out.WithGraph(g), nil
}
