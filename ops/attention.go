package ops

import (
	"math"

	"fettle/model"
)

// attentionOps: scaled dot products between sequences, and positions turned into rotations.
func attentionOps() []*Def { return []*Def{attentionDef, rotaryDef, tensorScatterDef} }

// heads is a tensor of attention: [batch, heads, length, size], or [batch, length, heads*size].
type heads struct {
	batch, heads, length, size int
	joined                     bool // the second form
}

// headsOf reads a shape; number is the attribute that the joined form needs.
func headsOf(s []int, number int64) (heads, bool) {
	switch {
	case len(s) == 4:
		return heads{batch: s[0], heads: s[1], length: s[2], size: s[3]}, number == 0 || int64(s[1]) == number
	case len(s) == 3 && number > 0 && int64(s[2])%number == 0:
		return heads{batch: s[0], heads: int(number), length: s[1], size: s[2] / int(number), joined: true}, true
	}
	return heads{}, false
}

// at is the place of the first number of a head's vector.
func (h heads) at(b, head, i int) int {
	if h.joined {
		return ((b*h.length+i)*h.heads + head) * h.size
	}
	return ((b*h.heads+head)*h.length + i) * h.size
}

func (h heads) dims() []int {
	if h.joined {
		return []int{h.batch, h.length, h.heads * h.size}
	}
	return []int{h.batch, h.heads, h.length, h.size}
}

var attentionDef = &Def{Name: "Attention", Since: []int{23, 24}, Exact: Rounding,
	In: []Port{{Name: "Q", Type: "T1"}, {Name: "K", Type: "T1"}, {Name: "V", Type: "T2"}, {Name: "attn_mask", Type: "U", Opt: true}, {Name: "past_key", Type: "T1", Opt: true},
		{Name: "past_value", Type: "T2", Opt: true}, {Name: "nonpad_kv_seqlen", Type: "int64", Opt: true}},
	Out:   []Port{{Name: "Y"}, {Name: "present_key", Opt: true}, {Name: "present_value", Opt: true}, {Name: "qk_matmul_output", Opt: true}},
	Types: map[string]Set{"T1": Floats, "T2": Floats, "U": Floats | Ints | BoolSet},
	Attrs: []AttrSpec{{Name: "is_causal", Type: model.AttrInt, Default: int64(0)}, {Name: "kv_num_heads", Type: model.AttrInt}, {Name: "q_num_heads", Type: model.AttrInt},
		{Name: "qk_matmul_output_mode", Type: model.AttrInt, Default: int64(0)}, {Name: "scale", Type: model.AttrFloat}, {Name: "softcap", Type: model.AttrFloat, Default: float32(0)},
		{Name: "softmax_precision", Type: model.AttrInt}},
	Infer: func(f *Inference) error {
		for i := range f.Out {
			f.Out[i] = model.Type{DType: f.In[0].DType}
			if i == 2 {
				f.Out[i].DType = f.In[2].DType
			}
		}
		if m := f.Int("qk_matmul_output_mode"); m < 0 || m > 3 {
			return f.BadAttr("qk_matmul_output_mode", "is %d, want 0 to 3", m)
		}
		shapes := make([][]int, 6)
		for i := range shapes {
			t := f.input(i)
			dims, ok := t.Shape.Ints()
			if f.Has(i) {
				if !ok || !t.Ranked {
					if i < 3 && t.Ranked && (len(t.Shape) < 3 || len(t.Shape) > 4) {
						return f.Bad("input %d has rank %d, want 3 or 4", i, len(t.Shape))
					}
					return nil
				}
				shapes[i] = dims
			}
		}
		a, why := attentionOf(f.Node, shapes)
		if why != "" {
			return f.Bad("%s", why)
		}
		y := a.q
		y.size = a.v.size
		for i, dims := range [][]int{y.dims(), {a.k.batch, a.k.heads, a.total, a.k.size}, {a.v.batch, a.v.heads, a.total, a.v.size}, {a.q.batch, a.q.heads, a.q.length, a.total}} {
			if i < len(f.Out) {
				f.Out[i] = model.TensorType(f.Out[i].DType, model.FixedShape(dims...))
			}
		}
		return nil
	},
	Cost: func(f *Inference) Cost {
		shapes := make([][]int, 6)
		for i := range shapes {
			dims, ok := f.input(i).Shape.Ints()
			if f.Has(i) && (!ok || !f.In[i].Ranked) {
				return Cost{}
			}
			if f.Has(i) {
				shapes[i] = dims
			}
		}
		a, why := attentionOf(f.Node, shapes)
		if why != "" {
			return Cost{}
		}
		scores := int64(a.q.batch) * int64(a.q.heads) * int64(a.q.length) * int64(a.total)
		return Cost{MACs: scores * int64(a.q.size+a.v.size), Ops: 4 * scores, Bytes: bytesOf(f)}
	},
	Eval: evalAttention,
}

// attention is the form of one call.
type attention struct {
	q, k, v     heads
	past, total int
	mask        []int // shape, nil without
}

func attentionOf(n *model.Node, s [][]int) (*attention, string) {
	a := &attention{mask: s[3]}
	var ok1, ok2, ok3 bool
	a.q, ok1 = headsOf(s[0], n.Int("q_num_heads", 0))
	a.k, ok2 = headsOf(s[1], n.Int("kv_num_heads", 0))
	a.v, ok3 = headsOf(s[2], n.Int("kv_num_heads", 0))
	switch {
	case !ok1 || !ok2 || !ok3 || a.q.joined != a.k.joined || a.q.joined != a.v.joined:
		return nil, "Q, K and V have neither rank 4 nor rank 3 with q_num_heads and kv_num_heads that divide the last dimension"
	case a.q.batch != a.k.batch || a.q.batch != a.v.batch || a.k.heads != a.v.heads || a.k.length != a.v.length || a.q.size != a.k.size:
		return nil, "batch, heads, length and head size of Q, K and V do not go together"
	case a.k.heads == 0 || a.q.heads%a.k.heads != 0:
		return nil, "the heads of Q are not a multiple of those of K"
	case (s[4] == nil) != (s[5] == nil):
		return nil, "past_key and past_value come together"
	}
	if p := s[4]; p != nil {
		v := s[5]
		if len(p) != 4 || len(v) != 4 || p[0] != a.k.batch || v[0] != p[0] || p[1] != a.k.heads || v[1] != p[1] || v[2] != p[2] || p[3] != a.k.size || v[3] != a.v.size {
			return nil, "past_key and past_value do not have the batch, heads and sizes of K and V"
		}
		a.past = p[2]
	}
	a.total = a.past + a.k.length
	if m := a.mask; m != nil {
		if len(m) < 2 || len(m) > 4 {
			return nil, "the mask has neither rank 2, 3 nor 4"
		}
		want := []int{a.q.batch, a.q.heads, a.q.length, a.total}[4-len(m):]
		for i, d := range m {
			// The last dimension may be shorter: what is not named is not seen.
			if last := i == len(m)-1; d != 1 && d != want[i] && !(last && d < want[i]) {
				return nil, "the mask does not broadcast to batch, heads, length of Q and all keys"
			}
		}
	}
	return a, ""
}

func evalAttention(c *Call) error {
	shapes := make([][]int, 6)
	for i := range shapes {
		if c.Has(i) {
			shapes[i] = append([]int{}, c.In[i].Shape...)
		}
	}
	a, why := attentionOf(c.Node, shapes)
	if why != "" {
		return c.Bad("%s", why)
	}
	if c.Has(6) && c.In[6].Len() != a.q.batch {
		return c.Bad("%d lengths for a batch of %d", c.In[6].Len(), a.q.batch)
	}
	if err := c.room(a.q.batch+1, a.q.heads+1, a.q.length+1, a.total+1); err != nil {
		return err
	}
	key, err := c.withPast(a.k, 1, 4, a.past)
	if err != nil {
		return err
	}
	value, err := c.withPast(a.v, 2, 5, a.past)
	if err != nil {
		return err
	}
	out := a.q
	out.size = a.v.size
	if err := c.room(out.dims()...); err != nil {
		return err
	}
	y := make([]float64, product(out.dims()))
	qk := make([]float64, a.q.batch*a.q.heads*a.q.length*a.total)
	q, kv, vv := toFloat64(c.In[0]), toFloat64(key), toFloat64(value)
	scale := 1 / math.Sqrt(float64(a.q.size))
	if s := c.Node.Attr("scale"); s != nil {
		scale = float64(s.F)
	}
	row := make([]float64, a.total)
	group := a.q.heads / a.k.heads
	for b := range a.q.batch {
		for h := range a.q.heads {
			kvHead := (b*a.k.heads + h/group) * a.total
			for i := range a.q.length {
				qi := q[a.q.at(b, h, i):][:a.q.size]
				for j := range row {
					row[j] = scale * dot(qi, kv[(kvHead+j)*a.k.size:])
				}
				kept := qk[((b*a.q.heads+h)*a.q.length+i)*a.total:][:a.total]
				c.weigh(a, row, kept, b, h, i)
				to := y[out.at(b, h, i):][:out.size]
				for j, w := range row {
					for d, x := range vv[(kvHead+j)*a.v.size:][:a.v.size] {
						to[d] += w * x
					}
				}
			}
		}
	}
	if c.Out[0], err = c.fromFloat64(c.In[0].DType, out.dims(), y); err != nil {
		return err
	}
	if len(c.Out) > 1 {
		c.Out[1] = key
	}
	if len(c.Out) > 2 {
		c.Out[2] = value
	}
	if len(c.Out) > 3 {
		c.Out[3], err = c.fromFloat64(c.In[0].DType, []int{a.q.batch, a.q.heads, a.q.length, a.total}, qk)
	}
	return err
}

// weigh turns scaled products into weights by cap, mask and softmax, and keeps what qk_matmul_output_mode asks for. The cap
// comes before the mask, as the specification was corrected (onnx issue 7865): after it, it would lift minus infinity.
func (c *Call) weigh(a *attention, row, kept []float64, b, h, i int) {
	mode := c.Int("qk_matmul_output_mode")
	keep := func(stage int64) {
		if mode == stage {
			copy(kept, row)
		}
	}
	keep(0)
	if limit := float64(c.Float("softcap")); limit > 0 {
		for j := range row {
			row[j] = limit * math.Tanh(row[j]/limit)
		}
	}
	keep(1)
	for j := range row {
		hidden := c.Int("is_causal") != 0 && j > i+a.past || c.Has(6) && int64(j) >= c.In[6].Int64At(b)
		if m := c.opt(3); m != nil && !hidden {
			at := 0
			full := []int{b, h, i, j}[4-len(a.mask):]
			for d, n := range a.mask {
				p := full[d]
				if n == 1 {
					p = 0
				}
				if p >= n {
					hidden = true
				}
				at = at*n + p
			}
			switch {
			case hidden:
			case m.DType == model.Bool:
				hidden = m.Raw[at] == 0
			default:
				row[j] += m.Float64At(at)
			}
		}
		if hidden {
			row[j] = math.Inf(-1)
		}
	}
	keep(2)
	if len(row) > 0 {
		softmaxLine(row, len(row), 1, "Softmax")
	}
	keep(3)
}

// withPast is input i as [batch, heads, past+length, size], behind what input p remembers.
func (c *Call) withPast(h heads, i, p, past int) (*model.Tensor, error) {
	total := past + h.length
	y, err := c.make(c.In[i].DType, []int{h.batch, h.heads, total, h.size})
	if err != nil {
		return nil, err
	}
	for b := range h.batch {
		for k := range h.heads {
			to := (b*h.heads + k) * total
			if past > 0 {
				copyRun(y, to*h.size, c.In[p], (b*h.heads+k)*past*h.size, past*h.size)
			}
			for t := range h.length {
				copyRun(y, (to+past+t)*h.size, c.In[i], h.at(b, k, t), h.size)
			}
		}
	}
	return y, nil
}

// rotaryDef turns pairs of numbers of each head by angles that depend on the position.
var rotaryDef = &Def{Name: "RotaryEmbedding", Since: []int{23}, Exact: Rounding,
	In:  []Port{{Name: "X", Type: "T"}, {Name: "cos_cache", Type: "T"}, {Name: "sin_cache", Type: "T"}, {Name: "position_ids", Type: "int64", Opt: true}},
	Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Floats},
	Attrs: []AttrSpec{{Name: "interleaved", Type: model.AttrInt, Default: int64(0)}, {Name: "num_heads", Type: model.AttrInt, Default: int64(0)},
		{Name: "rotary_embedding_dim", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		f.Out[0] = f.In[0]
		if err := f.ranked(0, 3, 4); err != nil {
			return err
		}
		x, ok := f.In[0].Shape.Ints()
		if !f.In[0].Ranked || !ok {
			return nil
		}
		h, turned, why := rotaryOf(f.Node, x)
		if why != "" {
			return f.Bad("%s", why)
		}
		want := []int{h.batch, h.length, turned / 2}
		if f.Has(3) {
			want = []int{-1, turned / 2}
			if err := f.shaped(3, h.batch, h.length); err != nil {
				return err
			}
		}
		if err := f.shaped(1, want...); err != nil {
			return err
		}
		if f.Has(3) && f.In[1].Ranked {
			want[0] = f.In[1].Shape[0].N
		}
		return f.shaped(2, want...)
	},
	Eval: func(c *Call) error {
		h, turned, why := rotaryOf(c.Node, c.In[0].Shape)
		if why != "" {
			return c.Bad("%s", why)
		}
		half := turned / 2
		x, cos, sin := toFloat64(c.In[0]), toFloat64(c.In[1]), toFloat64(c.In[2])
		apart := c.Int("interleaved") == 0
		if err := c.room(h.batch+1, h.length+1, h.heads+1); err != nil {
			return err
		}
		for b := range h.batch {
			for i := range h.length {
				angle := b*h.length + i
				if c.Has(3) {
					p := c.In[3].Int64At(angle)
					if p < 0 || p >= int64(c.In[1].Shape[0]) {
						return c.Bad("position %d, the caches have %d", p, c.In[1].Shape[0])
					}
					angle = int(p)
				}
				for k := range h.heads {
					v := x[h.at(b, k, i):][:h.size]
					for j := range half {
						p, q := 2*j, 2*j+1
						if apart {
							p, q = j, half+j
						}
						co, si := cos[angle*half+j], sin[angle*half+j]
						v[p], v[q] = co*v[p]-si*v[q], si*v[p]+co*v[q]
					}
				}
			}
		}
		var err error
		c.Out[0], err = c.fromFloat64(c.In[0].DType, c.In[0].Shape, x)
		return err
	}}

// rotaryOf gives the form of the input and how many numbers of each head turn.
func rotaryOf(n *model.Node, x []int) (heads, int, string) {
	number := n.Int("num_heads", 0)
	if len(x) == 4 {
		number = 0
	}
	h, ok := headsOf(x, number)
	if !ok {
		return h, 0, "the input has neither rank 4 nor rank 3 with num_heads that divides the last dimension"
	}
	turned := n.Int("rotary_embedding_dim", 0)
	if turned == 0 {
		turned = int64(h.size)
	}
	if turned < 0 || turned > int64(h.size) || turned%2 != 0 {
		return h, 0, "rotary_embedding_dim is not an even part of the head size"
	}
	return h, int(turned), ""
}

// tensorScatterDef writes the update of each batch entry into a copy of the cache, from a place on along the axis.
var tensorScatterDef = &Def{Name: "TensorScatter", Since: []int{24}, In: []Port{{Name: "past_cache", Type: "T"}, {Name: "update", Type: "T"}, {Name: "write_indices", Type: "int64", Opt: true}},
	Out: []Port{{Name: "present_cache"}}, Types: map[string]Set{"T": Any},
	Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt, Default: int64(-2)}, {Name: "mode", Type: model.AttrString, Default: "linear", Enum: []string{"linear", "circular"}}},
	Infer: func(f *Inference) error {
		f.Out[0] = f.In[0]
		if !f.In[0].Ranked {
			return nil
		}
		s := f.In[0].Shape
		axis, ok := axisOf(f.Int("axis"), len(s))
		if !ok || axis == 0 {
			return f.BadAttr("axis", "is %d, the cache has rank %d and a batch in front", f.Int("axis"), len(s))
		}
		want := sizes(s, 0)
		want[axis] = -1
		if err := f.shaped(1, want...); err != nil {
			return err
		}
		return f.shaped(2, s[0].N)
	},
	Eval: func(c *Call) error {
		x, u := c.In[0], c.In[1]
		axis, ok := axisOf(c.Int("axis"), len(x.Shape))
		if !ok || axis == 0 {
			return c.Bad("axis %d of rank %d", c.Int("axis"), len(x.Shape))
		}
		y, err := c.make(x.DType, x.Shape)
		if err != nil {
			return err
		}
		copyRun(y, 0, x, 0, x.Len())
		c.Out[0] = y
		n, size := u.Shape[axis], x.Shape[axis]
		if n > size {
			return c.Bad("an update of %d for a cache of %d", n, size)
		}
		if u.Len() == 0 {
			return nil
		}
		outer, inner := product(x.Shape[1:axis]), product(x.Shape[axis+1:])
		for b := range x.Shape[0] {
			from := int64(0)
			if c.Has(2) {
				from = c.In[2].Int64At(b)
			}
			if from < 0 || from > int64(size) || c.Str("mode") == "linear" && from+int64(n) > int64(size) {
				return c.Bad("an update of %d at %d of a cache of %d", n, from, size)
			}
			for o := range outer {
				line := b*outer + o
				for k := range n {
					copyRun(y, (line*size+(int(from)+k)%size)*inner, u, (line*n+k)*inner, inner)
				}
			}
		}
		return nil
	}}
