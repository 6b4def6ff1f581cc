package ops

import (
	"math"

	"fettle/model"
)

// multiHeadDef: attention of queries, keys and values that are projected already; a bias of the projection may come with them.
//
//	query [batch, length, heads*size] with key and value [batch, keys, heads*size], or [batch, heads, keys, size] as they are
//	cached; or key [batch, keys, heads, 2, size] holds both; or query [batch, length, heads, 3, size] holds all
var multiHeadDef = &Def{Name: "MultiHeadAttention", Domain: microsoft, Since: []int{1}, Types: map[string]Set{"T": Floats}, Exact: Rounding,
	In: []Port{{Name: "query", Type: "T"}, {Name: "key", Type: "T", Opt: true}, {Name: "value", Type: "T", Opt: true}, {Name: "bias", Type: "T", Opt: true}, {Name: "key_padding_mask", Type: "int32", Opt: true},
		{Name: "attention_bias", Type: "T", Opt: true}, {Name: "past_key", Type: "T", Opt: true}, {Name: "past_value", Type: "T", Opt: true}, {Name: "past_sequence_length", Type: "int32", Opt: true},
		{Name: "cache_indirection", Type: "int32", Opt: true}},
	Out: []Port{{Name: "output"}, {Name: "present_key", Opt: true}, {Name: "present_value", Opt: true}, {Name: "qk", Opt: true}},
	Attrs: []AttrSpec{{Name: "num_heads", Type: model.AttrInt, Required: true}, {Name: "unidirectional", Type: model.AttrInt, Default: int64(0)},
		{Name: "mask_filter_value", Type: model.AttrFloat, Default: float32(-10000)}, {Name: "scale", Type: model.AttrFloat, Default: float32(0)}},
	Infer: func(f *Inference) error {
		if f.Has(8) || f.Has(9) {
			return f.unsupportedAttr("", "a past that shares its memory with the present, or comes from several beams")
		}
		d := f.In[0].DType
		for i := range f.Out {
			f.Out[i] = model.Type{DType: d}
		}
		dims, ok := f.known(0, 1, 2, 3, 4, 5, 6, 7)
		if !ok {
			return nil
		}
		a, why := multiHeadOf(f.Node, dims)
		if why != "" {
			return f.Bad("%s", why)
		}
		total := a.past + a.keys
		for i, s := range [][]int{{a.batch, a.length, a.heads * a.vsize}, {a.batch, a.heads, total, a.size}, {a.batch, a.heads, total, a.vsize}, {a.batch, a.heads, a.length, total}} {
			if i < len(f.Out) {
				f.Out[i] = model.TensorType(d, model.FixedShape(s...))
			}
		}
		return nil
	},
	Cost: func(f *Inference) Cost {
		dims, ok := f.known(0, 1, 2, 6)
		if !ok {
			return Cost{}
		}
		a, why := multiHeadOf(f.Node, func(i int) []int {
			if i > 2 && i < 6 {
				return nil
			}
			return dims(i)
		})
		if why != "" {
			return Cost{}
		}
		return attendCost(f, a.batch*a.heads, a.length, a.past+a.keys, a.size+a.vsize)
	},
	Eval: func(c *Call) error {
		f, why := multiHeadOf(c.Node, c.dims)
		if why != "" {
			return c.Bad("%s", why)
		}
		if err := c.room(f.batch+1, f.heads+1, f.past+f.keys+1, f.size+f.vsize+1); err != nil {
			return err
		}
		if err := c.room(f.batch+1, f.heads+1, f.length+1, f.size+1); err != nil {
			return err
		}
		a := f.numbers(c)
		y, scores, err := c.attend(a, notSmooth, masking(c.opt(4), f.mask, float64(c.Float("mask_filter_value")), c.Int("unidirectional") != 0 && f.length > 1, f.past, c.opt(5)))
		if err != nil {
			return err
		}
		d := c.In[0].DType
		outs := []struct {
			v    []float64
			dims []int
		}{{y, []int{f.batch, f.length, f.heads * f.vsize}}, {a.k, []int{f.batch, f.heads, a.total, f.size}}, {a.v, []int{f.batch, f.heads, a.total, f.vsize}}, {scores, []int{f.batch, f.heads, f.length, a.total}}}
		for i := range c.Out {
			if c.Out[i], err = c.fromFloat64(d, outs[i].dims, outs[i].v); err != nil {
				return err
			}
		}
		return nil
	}}

// multiHead is the form of a MultiHeadAttention.
type multiHead struct {
	batch, heads, length, keys, past int
	size, vsize                      int
	mask                             maskForm
}

func multiHeadOf(n *model.Node, dims func(int) []int) (*multiHead, string) {
	q, k, v := dims(0), dims(1), dims(2)
	number := n.Int("num_heads", 0)
	if number < 1 || number > 1<<20 {
		return nil, "num_heads is not a positive number"
	}
	a := &multiHead{heads: int(number)}
	const wrong = "query, key and value have none of the forms that go together"
	switch {
	case len(q) == 5 && k == nil && v == nil && q[2] == a.heads && q[3] == 3:
		a.batch, a.length, a.keys, a.size, a.vsize = q[0], q[1], q[1], q[4], q[4]
	case len(q) != 3 || q[2]%a.heads != 0:
		return nil, wrong
	case len(k) == 5 && v == nil && k[0] == q[0] && k[2] == a.heads && k[3] == 2 && k[4] == q[2]/a.heads:
		a.batch, a.length, a.keys, a.size, a.vsize = q[0], q[1], k[1], k[4], k[4]
	case len(k) == 3 && len(v) == 3 && k[0] == q[0] && v[0] == q[0] && k[1] == v[1] && k[2] == q[2] && v[2]%a.heads == 0:
		a.batch, a.length, a.keys, a.size, a.vsize = q[0], q[1], k[1], q[2]/a.heads, v[2]/a.heads
	case len(k) == 4 && len(v) == 4 && k[0] == q[0] && v[0] == q[0] && k[1] == a.heads && v[1] == a.heads && k[2] == v[2] && k[3] == q[2]/a.heads:
		a.batch, a.length, a.keys, a.size, a.vsize = q[0], q[1], k[2], k[3], v[3]
	default:
		return nil, wrong
	}
	if b := dims(3); b != nil && (len(b) != 1 || b[0] != a.heads*(2*a.size+a.vsize)) {
		return nil, "the bias does not have an element for each column of query, key and value"
	}
	pk, pv := dims(6), dims(7)
	if (pk == nil) != (pv == nil) {
		return nil, "past_key and past_value come together"
	}
	if pk != nil {
		if len(pk) != 4 || len(pv) != 4 || pk[0] != a.batch || pv[0] != a.batch || pk[1] != a.heads || pv[1] != a.heads || pk[2] != pv[2] || pk[3] != a.size || pv[3] != a.vsize {
			return nil, "past_key and past_value are not [batch, heads, length, size]"
		}
		if len(k) == 4 {
			return nil, "a past besides keys that are cached"
		}
		a.past = pk[2]
	}
	var why string
	m := dims(4)
	if a.mask, why = maskOf(m, a.batch, a.length, a.past+a.keys); why != "" || a.mask == mask4 || a.mask == maskSpans {
		return nil, "key_padding_mask has none of the shapes [batch], [batch, keys], [batch, queries, keys]"
	}
	return a, scoresFit(dims(5), a.batch, a.heads, a.length, a.past+a.keys)
}

// numbers brings the inputs into heads, with their bias and past.
func (f *multiHead) numbers(c *Call) *attending {
	a := &attending{batch: f.batch, heads: f.heads, kvHeads: f.heads, length: f.length, total: f.past + f.keys, size: f.size, vsize: f.vsize, scale: c.scaleOr(f.size)}
	var pastK, pastV []float64
	if c.Has(6) {
		pastK, pastV = toFloat64(c.In[6]), toFloat64(c.In[7])
	}
	// part takes the heads of one of n things that lie side by side in each head, with its piece of the bias.
	part := func(in, length, n, i, size, bias int, past []float64, behind int) []float64 {
		x := toFloat64(c.In[in])
		stride := f.heads * size * n
		line := make([]float64, f.batch*length*f.heads*size)
		for at := range line {
			row, h, d := at/(f.heads*size), at/size%f.heads, at%size
			line[at] = x[row*stride+(h*n+i)*size+d]
			if c.Has(3) {
				line[at] += c.In[3].Float64At(bias + h*size + d)
			}
		}
		return split(line, f.batch, length, f.heads*size, 0, f.heads, size, past, behind)
	}
	d := f.heads * f.size
	switch {
	case !c.Has(1):
		a.q, a.k, a.v = part(0, f.length, 3, 0, f.size, 0, nil, 0), part(0, f.length, 3, 1, f.size, d, pastK, f.past), part(0, f.length, 3, 2, f.size, 2*d, pastV, f.past)
		return a
	case !c.Has(2):
		a.k, a.v = part(1, f.keys, 2, 0, f.size, d, pastK, f.past), part(1, f.keys, 2, 1, f.size, 2*d, pastV, f.past)
	case len(c.In[1].Shape) == 4: // what is cached has its bias
		a.k, a.v = toFloat64(c.In[1]), toFloat64(c.In[2])
	default:
		a.k, a.v = part(1, f.keys, 1, 0, f.size, d, pastK, f.past), part(2, f.keys, 1, 0, f.vsize, 2*d, pastV, f.past)
	}
	a.q = part(0, f.length, 1, 0, f.size, 0, nil, 0)
	return a
}

// msRotaryDef is RotaryEmbedding with position ids as the second input: one for each token, or the first one of all lines.
var msRotaryDef = &Def{Name: "RotaryEmbedding", Domain: microsoft, Since: []int{1}, Exact: Rounding,
	In:  []Port{{Name: "input", Type: "T"}, {Name: "position_ids", Type: "int64"}, {Name: "cos_cache", Type: "T"}, {Name: "sin_cache", Type: "T"}},
	Out: []Port{{Name: "output"}}, Types: map[string]Set{"T": Floats},
	Attrs: []AttrSpec{{Name: "interleaved", Type: model.AttrInt, Default: int64(0)}, {Name: "num_heads", Type: model.AttrInt, Default: int64(0)},
		{Name: "rotary_embedding_dim", Type: model.AttrInt, Default: int64(0)}, {Name: "is_packed_batching", Type: model.AttrInt, Default: int64(0)}, {Name: "scale", Type: model.AttrFloat, Default: float32(1)}},
	Infer: func(f *Inference) error {
		f.Out[0] = f.In[0]
		if f.Int("is_packed_batching") != 0 {
			return f.unsupportedAttr("is_packed_batching", "lines of different lengths in one")
		}
		if f.Float("scale") != 1 {
			return f.unsupportedAttr("scale", "a RotaryEmbedding with a scale")
		}
		dims, ok := f.known(0, 1, 2, 3)
		if !ok {
			return nil
		}
		if _, _, why := msRotaryOf(f.Node, dims); why != "" {
			return f.Bad("%s", why)
		}
		return nil
	},
	Eval: func(c *Call) error {
		h, half, why := msRotaryOf(c.Node, c.dims)
		if why != "" {
			return c.Bad("%s", why)
		}
		if err := c.room(h.batch+1, h.length+1, h.heads+1); err != nil {
			return err
		}
		x, ids := toFloat64(c.In[0]), c.In[1]
		t := turning{half: half, apart: c.Int("interleaved") == 0, cos: toFloat64(c.In[2]), sin: toFloat64(c.In[3])}
		for b := range h.batch {
			for i := range h.length {
				place := int64(i)
				if len(ids.Shape) == 1 {
					place += ids.Int64At(0)
				} else {
					place = ids.Int64At(b*h.length + i)
				}
				for k := range h.heads {
					if !t.turn(x[h.at(b, k, i):][:h.size], place) {
						return c.Bad("position %d, the caches have %d", place, c.In[2].Shape[0])
					}
				}
			}
		}
		var err error
		c.Out[0], err = c.fromFloat64(c.In[0].DType, c.In[0].Shape, x)
		return err
	}}

// msRotaryOf gives the form of the input and how many pairs of each head turn. Without a number of heads the caches say how
// long a head is.
func msRotaryOf(n *model.Node, dims func(int) []int) (heads, int, string) {
	x, ids, cos, sin := dims(0), dims(1), dims(2), dims(3)
	if len(cos) != 2 || !sameDims(cos, sin) {
		return heads{}, 0, "the caches are not two matrices of one shape"
	}
	number, turned := n.Int("num_heads", 0), n.Int("rotary_embedding_dim", 0)
	if turned == 0 {
		turned = 2 * int64(cos[1])
		if len(x) == 3 && turned > 0 {
			number = int64(x[2]) / turned
		}
	}
	if len(x) == 4 {
		number = 0
	}
	h, ok := headsOf(x, number)
	if !ok {
		return h, 0, "the input has neither rank 4 nor rank 3 with heads that divide the last dimension"
	}
	if turned != 2*int64(cos[1]) || turned > int64(h.size) {
		return h, 0, "the caches turn more than a head has, or not what rotary_embedding_dim says"
	}
	if !(len(ids) == 1 && ids[0] == 1) && !sameDims(ids, []int{h.batch, h.length}) {
		return h, 0, "position_ids are neither one number nor one for each token"
	}
	return h, cos[1], ""
}

// turning rotates pairs of numbers of a head by the angles of a position: the halves against each other where apart, else
// neighbours.
type turning struct {
	half     int
	apart    bool
	cos, sin []float64 // [positions, half]
}

// turn rotates v; false where the caches do not have the position.
func (t *turning) turn(v []float64, place int64) bool {
	if t.half == 0 {
		return true
	}
	if place < 0 || place >= int64(len(t.cos)/t.half) {
		return false
	}
	for j := range t.half {
		p, q := 2*j, 2*j+1
		if t.apart {
			p, q = j, t.half+j
		}
		co, si := t.cos[int(place)*t.half+j], t.sin[int(place)*t.half+j]
		v[p], v[q] = co*v[p]-si*v[q], si*v[p]+co*v[q]
	}
	return true
}

// groupQueryDef: several heads of queries share one of keys and values; the cache [batch, heads, most, size] may be longer
// than what is in it.
var groupQueryDef = &Def{Name: "GroupQueryAttention", Domain: microsoft, Since: []int{1}, Types: map[string]Set{"T": Floats}, Exact: Rounding,
	In: []Port{{Name: "query", Type: "T"}, {Name: "key", Type: "T", Opt: true}, {Name: "value", Type: "T", Opt: true}, {Name: "past_key", Type: "T", Opt: true}, {Name: "past_value", Type: "T", Opt: true},
		{Name: "seqlens_k", Type: "int32"}, {Name: "total_sequence_length", Type: "int32"}, {Name: "cos_cache", Type: "T", Opt: true}, {Name: "sin_cache", Type: "T", Opt: true},
		{Name: "position_ids", Type: "int64", Opt: true}, {Name: "attention_bias", Type: "T", Opt: true}, {Name: "head_sink", Type: "T", Opt: true}},
	Out: []Port{{Name: "output"}, {Name: "present_key", Opt: true}, {Name: "present_value", Opt: true}},
	Attrs: []AttrSpec{{Name: "num_heads", Type: model.AttrInt, Required: true}, {Name: "kv_num_heads", Type: model.AttrInt, Required: true}, {Name: "scale", Type: model.AttrFloat, Default: float32(0)},
		{Name: "softcap", Type: model.AttrFloat, Default: float32(0)}, {Name: "local_window_size", Type: model.AttrInt, Default: int64(-1)}, {Name: "do_rotary", Type: model.AttrInt, Default: int64(0)},
		{Name: "rotary_interleaved", Type: model.AttrInt, Default: int64(0)}, {Name: "smooth_softmax", Type: model.AttrInt, Default: int64(0)}, {Name: "causal", Type: model.AttrInt, Default: int64(1)},
		{Name: "k_quant_type", Type: model.AttrString, Default: "NONE"}, {Name: "v_quant_type", Type: model.AttrString, Default: "NONE"}, {Name: "qk_output", Type: model.AttrInt, Default: int64(0)},
		{Name: "sliding_window_cache", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		for _, a := range []string{"qk_output", "sliding_window_cache"} {
			if f.Int(a) != 0 {
				return f.unsupportedAttr(a, "GroupQueryAttention with "+a)
			}
		}
		if f.Str("k_quant_type") != "NONE" || f.Str("v_quant_type") != "NONE" {
			return f.unsupportedAttr("k_quant_type", "a cache on a grid")
		}
		d := f.In[0].DType
		for i := range f.Out {
			f.Out[i] = model.Type{DType: d}
		}
		if err := f.single(6); err != nil {
			return err
		}
		dims, ok := f.known(0, 1, 2, 3, 4, 5, 7, 8, 9, 11)
		if !ok {
			return nil
		}
		a, why := groupQueryOf(f.Node, dims)
		if why != "" {
			return f.Bad("%s", why)
		}
		f.Out[0] = model.TensorType(d, model.FixedShape(a.batch, a.length, a.heads*a.size))
		present := model.Sym("")
		if t := f.Value(6); t != nil && t.Len() == 1 {
			if n := t.Int64At(0); n >= 0 && n < maxDim {
				present = model.Fixed(max(int(n), a.most))
			}
		}
		for i := 1; i < len(f.Out); i++ {
			f.Out[i] = model.TensorType(d, model.Shape{model.Fixed(a.batch), model.Fixed(a.kvHeads), present, model.Fixed(a.size)})
		}
		return nil
	},
	Cost: func(f *Inference) Cost {
		dims, ok := f.known(0, 1, 2, 3, 4, 5, 7, 8, 9, 11)
		if !ok {
			return Cost{}
		}
		a, why := groupQueryOf(f.Node, dims)
		if why != "" {
			return Cost{}
		}
		return attendCost(f, a.batch*a.heads, a.length, max(a.most, a.length), 2*a.size)
	},
	Eval: evalGroupQuery,
}

// attendCost: every query of every line meets every key, in so many numbers of keys and values.
func attendCost(f *Inference, lines, queries, keys, sizes int) Cost {
	scores := int64(lines) * int64(queries) * int64(keys)
	return Cost{MACs: scores * int64(sizes), Ops: 4 * scores, Bytes: bytesOf(f)}
}

// groupQuery is the form of a GroupQueryAttention.
type groupQuery struct {
	batch, heads, kvHeads, length, size int
	most                                int // rows of the past's memory
	packed                              bool
}

func groupQueryOf(n *model.Node, dims func(int) []int) (*groupQuery, string) {
	q, k, v := dims(0), dims(1), dims(2)
	heads, kv := n.Int("num_heads", 0), n.Int("kv_num_heads", 0)
	if heads < 1 || kv < 1 || heads > 1<<20 || heads%kv != 0 {
		return nil, "num_heads is not a multiple of kv_num_heads"
	}
	a := &groupQuery{heads: int(heads), kvHeads: int(kv)}
	switch {
	case len(q) == 3 && k == nil && v == nil && q[2]%(a.heads+2*a.kvHeads) == 0:
		a.packed, a.size = true, q[2]/(a.heads+2*a.kvHeads)
	case len(q) == 3 && q[2]%a.heads == 0 && sameDims(k, v) && sameDims(k, []int{q[0], q[1], q[2] / a.heads * a.kvHeads}):
		a.size = q[2] / a.heads
	default:
		return nil, "query, key and value are neither three of one length nor one that holds all"
	}
	a.batch, a.length = q[0], q[1]
	if pk, pv := dims(3), dims(4); pk != nil || pv != nil {
		if !sameDims(pk, pv) || len(pk) != 4 || pk[0] != a.batch || pk[1] != a.kvHeads || pk[3] != a.size {
			return nil, "past_key and past_value are not [batch, kv_num_heads, length, size]"
		}
		a.most = pk[2]
	}
	if s := dims(5); product(s) != a.batch {
		return nil, "seqlens_k does not have a number for each line of the batch"
	}
	cos, sin := dims(7), dims(8)
	if n.Int("do_rotary", 0) != 0 && (len(cos) != 2 || !sameDims(cos, sin) || 2*cos[1] > a.size) {
		return nil, "do_rotary without caches of cosines and sines for a head"
	}
	if p := dims(9); p != nil && product(p) != a.batch*a.length {
		return nil, "position_ids do not have a number for each token"
	}
	if s := dims(11); s != nil && (len(s) != 1 || s[0] != a.heads) {
		return nil, "head_sink does not have a number for each head"
	}
	return a, ""
}

func evalGroupQuery(c *Call) error {
	f, why := groupQueryOf(c.Node, c.dims)
	if why != "" {
		return c.Bad("%s", why)
	}
	all := c.In[6].Int64At(0)
	if all < int64(f.length) || all > maxDim {
		return c.Bad("total_sequence_length is %d with %d new tokens", all, f.length)
	}
	first := all == int64(f.length)
	rows := max(int(all), f.most)
	if err := c.room(f.batch+1, f.heads+2*f.kvHeads, rows+1, f.size+1); err != nil {
		return err
	}
	before := make([]int, f.batch) // tokens of each line that are in the cache
	for b := range before {
		n := c.In[5].Int64At(b) + 1
		if n < 0 || n > int64(rows) || !first && n < int64(f.length) {
			return c.Bad("line %d has %d tokens, %d of them new, in a cache of %d", b, n, f.length, rows)
		}
		if !first {
			before[b] = int(n) - f.length
		}
	}
	if s := c.dims(10); s != nil {
		if why := scoresFit(s, f.batch, f.heads, f.length, s[len(s)-1]); why != "" || s[3] < int(all) {
			return c.Bad("attention_bias %v is not [batch or 1, heads or 1, queries, keys]", s)
		}
	}
	a, why := f.numbers(c, before, rows)
	if why != "" {
		return c.Bad("%s", why)
	}
	limit, window := float64(c.Float("softcap")), int(c.Int("local_window_size"))
	smooth := func(h int) (float64, bool) {
		if c.Has(11) {
			return c.In[11].Float64At(h), true
		}
		return 0, c.Int("smooth_softmax") != 0
	}
	y, _, err := c.attend(a, smooth, func(b, h, i int, row []float64) {
		at := before[b] + i
		for j := range row {
			if limit > 0 {
				row[j] = limit * math.Tanh(row[j]/limit)
			}
			if m := c.opt(10); m != nil && j < m.Shape[3] {
				row[j] += m.Float64At(((b%m.Shape[0]*m.Shape[1]+h%m.Shape[1])*f.length+i)*m.Shape[3] + j)
			}
			if c.Int("causal") != 0 && j > at || window > 0 && j <= at-window || j >= before[b]+f.length {
				row[j] = math.Inf(-1)
			}
		}
	})
	if err != nil {
		return err
	}
	d := c.In[0].DType
	if c.Out[0], err = c.fromFloat64(d, []int{f.batch, f.length, f.heads * f.size}, y); err != nil {
		return err
	}
	for i, v := range [][]float64{1: a.k, 2: a.v} {
		if i > 0 && i < len(c.Out) {
			if c.Out[i], err = c.fromFloat64(d, []int{f.batch, f.kvHeads, rows, f.size}, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// numbers brings the inputs into heads, turned by their positions, and writes keys and values behind the past of each line.
func (f *groupQuery) numbers(c *Call, before []int, rows int) (*attending, string) {
	a := &attending{batch: f.batch, heads: f.heads, kvHeads: f.kvHeads, length: f.length, total: rows, size: f.size, vsize: f.size, scale: c.scaleOr(f.size)}
	q, k, v := toFloat64(c.In[0]), []float64(nil), []float64(nil)
	stride, kvStride, kAt, vAt := f.heads*f.size, f.kvHeads*f.size, 0, 0
	if f.packed {
		stride = (f.heads + 2*f.kvHeads) * f.size
		k, v, kvStride, kAt, vAt = q, q, stride, f.heads*f.size, (f.heads+f.kvHeads)*f.size
	} else {
		k, v = toFloat64(c.In[1]), toFloat64(c.In[2])
	}
	a.q = split(q, f.batch, f.length, stride, 0, f.heads, f.size, nil, 0)
	newK := split(k, f.batch, f.length, kvStride, kAt, f.kvHeads, f.size, nil, 0)
	newV := split(v, f.batch, f.length, kvStride, vAt, f.kvHeads, f.size, nil, 0)
	if c.Int("do_rotary") != 0 {
		t := turning{half: c.In[7].Shape[1], apart: c.Int("rotary_interleaved") == 0, cos: toFloat64(c.In[7]), sin: toFloat64(c.In[8])}
		for _, x := range []struct {
			v     []float64
			heads int
		}{{a.q, f.heads}, {newK, f.kvHeads}} {
			for at := 0; at < len(x.v); at += f.size {
				b, i := at/f.size/f.length/x.heads, at/f.size%f.length
				place := int64(before[b] + i)
				if c.Has(9) {
					place = c.In[9].Int64At(b*f.length + i)
				}
				if !t.turn(x.v[at:at+f.size], place) {
					return nil, "a position that the caches do not have"
				}
			}
		}
	}
	cache := func(now []float64, past int) []float64 {
		out := make([]float64, f.batch*f.kvHeads*rows*f.size)
		var old []float64
		if c.Has(past) {
			old = toFloat64(c.In[past])
		}
		for at := range f.batch * f.kvHeads {
			n := before[at/f.kvHeads]
			if old != nil {
				copy(out[at*rows*f.size:][:min(n, f.most)*f.size], old[at*f.most*f.size:])
			}
			copy(out[(at*rows+n)*f.size:][:f.length*f.size], now[at*f.length*f.size:])
		}
		return out
	}
	a.k, a.v = cache(newK, 3), cache(newV, 4)
	return a, ""
}
