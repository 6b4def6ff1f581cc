package ops

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// msAttentionOps: attention of ONNX Runtime's domain, before the standard had it.
func msAttentionOps() []*Def {
	return []*Def{msAttentionDef, quantAttentionDef, multiHeadDef, groupQueryDef, msRotaryDef}
}

// attending is one application of attention in numbers. Keys and values hold the past in front.
type attending struct {
	batch, heads, kvHeads int
	length, total         int       // of queries, of keys
	size, vsize           int       // of a head
	q                     []float64 // [batch, heads, length, size]
	k, v                  []float64 // [batch, kvHeads, total, size], vsize
	scale                 float64
}

// attend gives [batch, length, heads*vsize] and the scores as weigh left them. weigh adds masks to the scaled products of
// a query; what it makes minus infinity is not seen. smooth adds a weight for nothing, beside the keys.
func (c *Call) attend(a *attending, smooth func(h int) (float64, bool), weigh func(b, h, i int, row []float64)) (y, scores []float64, err error) {
	if err := c.room(a.batch+1, a.heads+1, a.length+1, a.total+1, 1); err != nil {
		return nil, nil, err
	}
	if err := c.room(a.batch, a.length, a.heads, a.vsize); err != nil {
		return nil, nil, err
	}
	y = make([]float64, a.batch*a.length*a.heads*a.vsize)
	scores = make([]float64, a.batch*a.heads*a.length*a.total)
	for b := range a.batch {
		for h := range a.heads {
			kv := (b*a.kvHeads + h/(a.heads/a.kvHeads)) * a.total
			for i := range a.length {
				at := (b*a.heads+h)*a.length + i
				q, row := a.q[at*a.size:][:a.size], scores[at*a.total:][:a.total]
				for j := range row {
					row[j] = a.scale * dot(q, a.k[(kv+j)*a.size:])
				}
				weigh(b, h, i, row)
				if len(row) == 0 {
					continue
				}
				w := append([]float64{}, row...)
				if extra, ok := smooth(h); ok {
					w = append(w, extra)
				}
				softmaxLine(w, len(w), 1, "Softmax")
				to := y[((b*a.length+i)*a.heads+h)*a.vsize:][:a.vsize]
				for j, p := range w[:a.total] {
					for d, x := range a.v[(kv+j)*a.vsize:][:a.vsize] {
						to[d] += p * x
					}
				}
			}
		}
	}
	return y, scores, nil
}

func notSmooth(int) (float64, bool) { return 0, false }

// split takes heads out of lines: from [batch, length, stride] at column first to [batch, heads, past+length, size] behind
// what past holds (nil: nothing, else [batch, heads, behind, size]).
func split(x []float64, batch, length, stride, first, heads, size int, past []float64, behind int) []float64 {
	total := behind + length
	out := make([]float64, batch*heads*total*size)
	for b := range batch {
		for h := range heads {
			to := out[(b*heads+h)*total*size:]
			if past != nil {
				copy(to[:behind*size], past[(b*heads+h)*behind*size:])
			}
			for i := range length {
				copy(to[(behind+i)*size:][:size], x[(b*length+i)*stride+first+h*size:])
			}
		}
	}
	return out
}

var msAttentionAttrs = []AttrSpec{{Name: "num_heads", Type: model.AttrInt, Required: true}, {Name: "unidirectional", Type: model.AttrInt, Default: int64(0)},
	{Name: "do_rotary", Type: model.AttrInt, Default: int64(0)}, {Name: "mask_filter_value", Type: model.AttrFloat, Default: float32(-10000)},
	{Name: "past_present_share_buffer", Type: model.AttrInt, Default: int64(0)}, {Name: "scale", Type: model.AttrFloat, Default: float32(0)}}

// msAttentionDef: the projection of one input to queries, keys and values with it.
var msAttentionDef = &Def{Name: "Attention", Domain: microsoft, Since: []int{1}, Types: map[string]Set{"T": Floats}, Exact: Rounding,
	In: []Port{{Name: "input", Type: "T"}, {Name: "weights", Type: "T"}, {Name: "bias", Type: "T", Opt: true}, {Name: "mask_index", Type: "int32", Opt: true}, {Name: "past", Type: "T", Opt: true},
		{Name: "attention_bias", Type: "T", Opt: true}, {Name: "past_sequence_length", Type: "int32", Opt: true}},
	Out:   []Port{{Name: "output"}, {Name: "present", Opt: true}},
	Attrs: append(append([]AttrSpec{}, msAttentionAttrs...), AttrSpec{Name: "qkv_hidden_sizes", Type: model.AttrInts}, AttrSpec{Name: "rotary_embedding_dim", Type: model.AttrInt, Default: int64(0)}),
	Infer: func(f *Inference) error { return inferProjected(f, projection{0, 1, 2, 3, 4, 5}, f.In[0].DType) },
	Cost:  projectedCost,
	Eval: func(c *Call) error {
		return c.projected(projection{0, 1, 2, 3, 4, 5}, toFloat64(c.In[0]), toFloat64(c.In[1]), c.In[0].DType)
	}}

// quantAttentionDef: the same with input and weights on grids.
var quantAttentionDef = &Def{Name: "QAttention", Domain: microsoft, Since: []int{1}, Exact: Rounding,
	In: []Port{{Name: "input", Type: "T1"}, {Name: "weight", Type: "T2"}, {Name: "bias", Type: "T3"}, {Name: "input_scale", Type: "T3"}, {Name: "weight_scale", Type: "T3"},
		{Name: "mask_index", Type: "int32", Opt: true}, {Name: "input_zero_point", Type: "T1", Opt: true}, {Name: "weight_zero_point", Type: "T2", Opt: true}, {Name: "past", Type: "T3", Opt: true}},
	Out: []Port{{Name: "output"}, {Name: "present", Opt: true}}, Types: map[string]Set{"T1": bytes8, "T2": bytes8, "T3": Set(1<<model.Float32 | 1<<model.Float16)}, Attrs: msAttentionAttrs,
	Infer: func(f *Inference) error {
		for _, i := range []int{3, 6} {
			if err := f.single(i); err != nil {
				return err
			}
		}
		if d, ok := f.In[1].Shape.Ints(); ok && f.In[1].Ranked && len(d) == 2 {
			for _, i := range []int{4, 7} {
				if s, ok := f.input(i).Shape.Ints(); ok && f.input(i).Ranked && product(s) != 1 && (len(s) != 1 || s[0] != d[1]) {
					return f.Bad("input %d (%s) has shape %v, want one number or one a column", i, port(f.Def.In, i).Name, s)
				}
			}
		}
		return inferProjected(f, projection{0, 1, 2, 5, 8, -1}, f.In[2].DType)
	},
	Cost: projectedCost,
	Eval: func(c *Call) error {
		x, w := zeroed(c.In[0], c.opt(6), 0), zeroed(c.In[1], c.opt(7), 1)
		for i := range x {
			x[i] *= c.In[3].Float64At(0)
		}
		for i := range w {
			w[i] *= c.In[4].Float64At(i % c.In[1].Shape[1] % c.In[4].Len())
		}
		return c.projected(projection{0, 1, 2, 5, 8, -1}, x, w, c.In[2].DType)
	}}

// projection says which inputs hold what; -1: there is none.
type projection struct{ x, w, bias, mask, past, scores int }

// projected is the form of an Attention: input [batch, length, in], weights [in, 2*hidden + vhidden].
type projected struct {
	batch, length, in, heads int
	hidden, vhidden          int
	past                     int
	mask                     maskForm
}

func projectedOf(n *model.Node, p projection, dims func(int) []int) (*projected, string) {
	x, w, past := dims(p.x), dims(p.w), dims(p.past)
	if len(x) != 3 || len(w) != 2 || w[0] != x[2] {
		return nil, "input and weights are not [batch, length, in] and [in, out]"
	}
	f := &projected{batch: x[0], length: x[1], in: x[2]}
	heads := n.Int("num_heads", 0)
	if heads < 1 || heads > 1<<20 {
		return nil, "num_heads is not a positive number"
	}
	f.heads, f.hidden, f.vhidden = int(heads), w[1]/3, w[1]/3
	if h := n.Ints("qkv_hidden_sizes"); h != nil {
		if len(h) != 3 || h[0] != h[1] || h[0] < 0 || h[2] < 0 || h[0] > maxDim/4 || h[2] > maxDim/4 {
			return nil, "qkv_hidden_sizes are not three sizes of which the first two are the same"
		}
		f.hidden, f.vhidden = int(h[0]), int(h[2])
	}
	if 2*f.hidden+f.vhidden != w[1] || f.hidden%f.heads != 0 || f.vhidden%f.heads != 0 {
		return nil, "the weights' columns are not heads of queries, keys and values"
	}
	if b := dims(p.bias); b != nil && (len(b) != 1 || b[0] != w[1]) {
		return nil, "the bias does not have an element for each column of the weights"
	}
	if past != nil {
		if len(past) != 5 || past[0] != 2 || past[1] != f.batch || past[2] != f.heads || past[4] != f.hidden/f.heads || f.hidden != f.vhidden {
			return nil, "past is not [2, batch, heads, length, size] for heads of one size"
		}
		f.past = past[3]
	}
	var why string
	if f.mask, why = maskOf(dims(p.mask), f.batch, f.length, f.past+f.length); why != "" {
		return nil, why
	}
	if f.mask == mask4 && n.Int("unidirectional", 0) != 0 {
		return nil, "a mask of rank 4 with unidirectional"
	}
	return f, scoresFit(dims(p.scores), f.batch, f.heads, f.length, f.past+f.length)
}

// maskForm is the kind of mask by its shape.
type maskForm int

const (
	maskNone  maskForm = iota
	maskEnds           // [batch]: how many keys are seen
	maskSpans          // [2*batch]: ends, then starts
	mask2              // [batch, total]
	mask3              // [batch, length, total]
	mask4              // [batch, 1, most, most], from the past's row and column 0 on
)

func maskOf(s []int, batch, length, total int) (maskForm, string) {
	switch {
	case s == nil, len(s) == 2 && s[1] == 1 && total != 1 && (s[0] == batch || s[0] == 1):
		return maskNone, ""
	case len(s) == 1 && s[0] == batch:
		return maskEnds, ""
	case len(s) == 1 && s[0] == 2*batch:
		return maskSpans, ""
	case len(s) == 2 && s[0] == batch && s[1] == total:
		return mask2, ""
	case len(s) == 3 && s[0] == batch && s[1] == length && s[2] == total:
		return mask3, ""
	case len(s) == 4 && s[0] == batch && s[1] == 1 && s[2] == s[3] && s[2] >= total:
		return mask4, ""
	}
	return 0, "the mask has none of the shapes [batch], [2*batch], [batch, keys], [batch, queries, keys], [batch, 1, most, most]"
}

// scoresFit checks what is added to scores [batch or 1, heads or 1, length, total].
func scoresFit(s []int, batch, heads, length, total int) string {
	if s != nil && (len(s) != 4 || s[0] != batch && s[0] != 1 || s[1] != heads && s[1] != 1 || s[2] != length || s[3] != total) {
		return "attention_bias is not [batch or 1, heads or 1, queries, keys]"
	}
	return ""
}

// masking adds filter to the scores of keys that the mask hides, hides those behind the query where causal, and adds bias.
func masking(m *model.Tensor, form maskForm, filter float64, causal bool, past int, bias *model.Tensor) func(b, h, i int, row []float64) {
	return func(b, h, i int, row []float64) {
		n := len(row)
		for j := range row {
			seen := true
			switch form {
			case maskEnds:
				seen = int64(j) < m.Int64At(b)
			case maskSpans:
				seen = int64(j) < m.Int64At(b) && int64(j) >= m.Int64At(m.Len()/2+b)
			case mask2:
				seen = m.Int64At(b*n+j) > 0
			case mask3:
				seen = m.Int64At((b*m.Shape[1]+i)*n+j) > 0
			case mask4:
				seen = m.Int64At((b*m.Shape[2]+past+i)*m.Shape[3]+j) > 0
			}
			if !seen {
				row[j] += filter
			}
			if bias != nil {
				at := i*n + j
				if bias.Shape[1] != 1 {
					at += h * bias.Shape[2] * n
				}
				if bias.Shape[0] != 1 {
					at += b * bias.Shape[1] * bias.Shape[2] * n
				}
				row[j] += bias.Float64At(at)
			}
			if causal && j > past+i {
				row[j] = math.Inf(-1)
			}
		}
	}
}

// known gives dims of inputs for the form of a node; false where one that is there is not known.
func (f *Inference) known(inputs ...int) (func(int) []int, bool) {
	for _, i := range inputs {
		if i >= 0 && f.Has(i) {
			if _, ok := f.In[i].Shape.Ints(); !ok || !f.In[i].Ranked {
				return nil, false
			}
		}
	}
	return func(i int) []int {
		if i < 0 || !f.Has(i) {
			return nil
		}
		d, _ := f.In[i].Shape.Ints()
		return append([]int{}, d...)
	}, true
}

// dims is the shape of input i, nil where it is absent.
func (c *Call) dims(i int) []int {
	if i < 0 || !c.Has(i) {
		return nil
	}
	return append([]int{}, c.In[i].Shape...)
}

func (f *Inference) unsupportedAttr(name, what string) error {
	return fail.New(fail.Unsupported, "%s", what).At(fail.Where{Node: string(f.Node.ID), Op: f.Node.Op, Attr: name})
}

func inferProjected(f *Inference, p projection, d model.DType) error {
	if f.Int("do_rotary") != 0 {
		return f.unsupportedAttr("do_rotary", "attention that turns queries and keys by itself")
	}
	if f.Int("past_present_share_buffer") != 0 {
		return f.unsupportedAttr("past_present_share_buffer", "a past that shares its memory with the present")
	}
	for i := range f.Out {
		f.Out[i] = model.Type{DType: d}
	}
	dims, ok := f.known(p.x, p.w, p.bias, p.mask, p.past, p.scores)
	if !ok {
		return nil
	}
	a, why := projectedOf(f.Node, p, dims)
	if why != "" {
		return f.Bad("%s", why)
	}
	f.Out[0] = model.TensorType(d, model.FixedShape(a.batch, a.length, a.vhidden))
	if len(f.Out) > 1 {
		if a.hidden != a.vhidden {
			return f.Bad("a present of keys and values of different sizes")
		}
		f.Out[1] = model.TensorType(d, model.FixedShape(2, a.batch, a.heads, a.past+a.length, a.hidden/a.heads))
	}
	return nil
}

func projectedCost(f *Inference) Cost {
	x, okX := f.In[0].Shape.Ints()
	w, okW := f.In[1].Shape.Ints()
	if !okX || !okW || len(x) != 3 || len(w) != 2 {
		return Cost{}
	}
	rows := int64(x[0]) * int64(x[1])
	return Cost{MACs: rows*int64(x[2])*int64(w[1]) + rows*int64(x[1])*int64(w[1])*2/3, Bytes: bytesOf(f)}
}

// projected runs an Attention on its input and weights as real numbers.
func (c *Call) projected(p projection, x, w []float64, d model.DType) error {
	f, why := projectedOf(c.Node, p, c.dims)
	if why != "" {
		return c.Bad("%s", why)
	}
	columns := 2*f.hidden + f.vhidden
	if err := c.room(f.batch+1, f.length+f.past+1, columns+1); err != nil {
		return err
	}
	qkv, _, err := product2(c, x, []int{f.batch, f.length, f.in}, w, []int{f.in, columns})
	if err != nil {
		return err
	}
	if c.Has(p.bias) {
		for i := range qkv {
			qkv[i] += c.In[p.bias].Float64At(i % columns)
		}
	}
	size, vsize := f.hidden/f.heads, f.vhidden/f.heads
	var pastK, pastV []float64
	if c.Has(p.past) {
		past := toFloat64(c.In[p.past])
		pastK, pastV = past[:len(past)/2], past[len(past)/2:]
	}
	a := &attending{batch: f.batch, heads: f.heads, kvHeads: f.heads, length: f.length, total: f.past + f.length, size: size, vsize: vsize, scale: c.scaleOr(size),
		q: split(qkv, f.batch, f.length, columns, 0, f.heads, size, nil, 0),
		k: split(qkv, f.batch, f.length, columns, f.hidden, f.heads, size, pastK, f.past),
		v: split(qkv, f.batch, f.length, columns, 2*f.hidden, f.heads, vsize, pastV, f.past)}
	var scores *model.Tensor
	if p.scores >= 0 {
		scores = c.opt(p.scores)
	}
	y, _, err := c.attend(a, notSmooth, masking(c.opt(p.mask), f.mask, float64(c.Float("mask_filter_value")), c.Int("unidirectional") != 0 && f.length > 1, f.past, scores))
	if err != nil {
		return err
	}
	if c.Out[0], err = c.fromFloat64(d, []int{f.batch, f.length, f.vhidden}, y); err != nil {
		return err
	}
	if len(c.Out) > 1 {
		c.Out[1], err = c.fromFloat64(d, []int{2, f.batch, f.heads, a.total, size}, append(append([]float64{}, a.k...), a.v...))
	}
	return err
}

// scaleOr is the attribute scale, or one by the root of a head's size.
func (c *Call) scaleOr(size int) float64 {
	if s := float64(c.Float("scale")); s != 0 {
		return s
	}
	return 1 / math.Sqrt(float64(size))
}
