package tflite

import (
	"fettle/internal/fail"
	"fettle/model"
)

// Budget bounds what a file may ask of the reader.
type Budget struct {
	FileBytes int64
	Tensors   int
	Operators int
	NameBytes int
	Dims      int
	Read      int64 // bytes of lists that operators and tensors may refer to, counted again where they share one
}

// DefaultBudget fits every file that the format can hold.
func DefaultBudget() Budget {
	return Budget{FileBytes: maxFile, Tensors: 500_000, Operators: 500_000, NameBytes: 4096, Dims: 8, Read: 1 << 28}
}

const identifier = "TFL3"

// Is reports whether head is the start of a TensorFlow Lite file; 8 bytes decide.
func Is(head []byte) bool { return len(head) >= 8 && string(head[4:8]) == identifier }

// decode reads the tables of a file. Constants alias b.
func decode(b []byte, budget Budget) (*file, error) {
	if !Is(b) {
		return nil, fail.New(fail.Invalid, "this is no TensorFlow Lite file: it does not say TFL3")
	}
	v := &view{b: b}
	root := v.record(v.u32(0))
	if n := root.int(0, 0); v.err == nil && n != 3 {
		return nil, fail.New(fail.Unsupported, "the file has version %d of the format, 3 is read", n)
	}
	d := &decoder{view: v, Budget: budget}
	f := d.model(root)
	if v.err != nil {
		return nil, v.err
	}
	return f, nil
}

type decoder struct {
	*view
	Budget
	read int64
}

func (d *decoder) refuse(err *fail.Error) {
	if d.err == nil {
		d.err = err
	}
}

// spend counts what shared lists add up to: a small file can refer to one long list a million times.
func (d *decoder) spend(bytes int) {
	if d.read += int64(bytes); d.read > d.Read {
		d.refuse(fail.New(fail.TooBig, "the lists of the file add up to more than %d bytes", d.Read))
	}
}

func (d *decoder) model(root record) *file {
	graphs := root.records(2, d.Operators)
	if d.err != nil {
		return nil
	}
	if len(graphs) == 0 {
		d.refuse(fail.New(fail.Invalid, "the file holds no graph").At(fail.Where{Field: "subgraphs"}))
		return nil
	}
	if len(graphs) > 1 {
		d.refuse(fail.New(fail.Unsupported, "the file has %d graphs; graphs inside of others (IF, WHILE) are not read", len(graphs)).At(fail.Where{Field: "subgraphs"}))
		return nil
	}
	g := graphs[0]
	f := &file{name: d.string(g, 4), description: d.string(root, 3), inputs: g.ints(1), outputs: g.ints(2)}
	buffers, codes := root.records(4, d.Tensors), root.records(1, d.Operators)
	for _, t := range g.records(0, d.Tensors) {
		f.tensors = append(f.tensors, d.tensor(t, buffers))
		if d.err != nil {
			return nil
		}
	}
	for _, o := range g.records(3, d.Operators) {
		f.ops = append(f.ops, d.operator(o, codes, len(f.tensors)))
		if d.err != nil {
			return nil
		}
	}
	for _, list := range [][]int32{f.inputs, f.outputs} {
		for _, i := range list {
			if int(i) < 0 || int(i) >= len(f.tensors) {
				d.refuse(fail.New(fail.Corrupt, "tensor %d is an input or output, there are %d", i, len(f.tensors)))
				return nil
			}
		}
	}
	return f
}

func (d *decoder) string(r record, id int) string {
	b := r.vector(id, 1)
	if len(b) > d.NameBytes {
		d.refuse(fail.New(fail.TooBig, "a name of %d bytes, at most %d are read", len(b), d.NameBytes))
		return ""
	}
	d.spend(len(b))
	return string(b)
}

func (d *decoder) tensor(r record, buffers []record) tensor {
	t := tensor{name: d.string(r, 3), shape: r.ints(0), dtype: r.byte(1)}
	where := fail.Where{Tensor: t.name}
	if d.err != nil {
		return t
	}
	if len(t.shape) > d.Dims {
		d.refuse(fail.New(fail.TooBig, "the tensor has %d dimensions, at most %d are read", len(t.shape), d.Dims).At(where))
		return t
	}
	if q, ok := r.sub(4); ok {
		t.quant = d.quant(q, t, where)
	}
	if _, ok := r.sub(6); ok {
		d.refuse(fail.New(fail.Unsupported, "the tensor is stored sparsely").At(where).Try("convert the model without sparsity"))
	}
	b := int(r.int(2, 0))
	if b < 0 || b >= len(buffers) {
		if b != 0 {
			d.refuse(fail.New(fail.Corrupt, "the tensor is in buffer %d, there are %d", b, len(buffers)).At(where))
		}
		return t
	}
	if buffers[b].long(1) > 1 {
		d.refuse(fail.New(fail.Unsupported, "the tensor's bytes lie behind the tables").At(where))
	}
	if data := buffers[b].vector(0, 1); len(data) > 0 {
		t.data = data
		d.size(t, where)
	}
	return t
}

// size refuses a constant whose bytes do not fill its shape.
func (d *decoder) size(t tensor, where fail.Where) {
	dt, ok := dtypes[t.dtype]
	if !ok {
		d.refuse(fail.New(fail.Unsupported, "the tensor has elements of type %d", t.dtype).At(where))
		return
	}
	dims := make([]int, len(t.shape))
	for i, n := range t.shape {
		dims[i] = int(n)
	}
	n, err := model.Count(dims)
	if err != nil {
		d.refuse(fail.From(err).At(where))
		return
	}
	if n > len(t.data) || dt.Bytes(n) != len(t.data) {
		d.refuse(fail.New(fail.Corrupt, "%d bytes for %s%v", len(t.data), dt, dims).At(where))
	}
}

func (d *decoder) quant(r record, t tensor, where fail.Where) *quant {
	q := &quant{scale: r.floats(2), zero: r.longs(3), axis: r.int(6, 0)}
	d.spend(4*len(q.scale) + 8*len(q.zero))
	if r.byte(4) != 0 {
		d.refuse(fail.New(fail.Unsupported, "the tensor has a quantization of its own kind").At(where))
	}
	if len(q.scale) == 0 {
		return nil
	}
	if len(q.zero) == 0 {
		q.zero = make([]int64, len(q.scale))
	}
	if len(q.zero) == 1 && len(q.scale) > 1 {
		for len(q.zero) < len(q.scale) {
			q.zero = append(q.zero, q.zero[0])
		}
	}
	switch {
	case len(q.zero) != len(q.scale):
		d.refuse(fail.New(fail.Corrupt, "%d scales and %d zero points", len(q.scale), len(q.zero)).At(where))
	case len(q.scale) > 1 && (q.axis < 0 || int(q.axis) >= len(t.shape) || int(t.shape[q.axis]) != len(q.scale)):
		d.refuse(fail.New(fail.Corrupt, "%d scales along dimension %d of %v", len(q.scale), q.axis, t.shape).At(where))
	}
	return q
}

func (d *decoder) operator(r record, codes []record, tensors int) operator {
	o := operator{inputs: r.ints(1), outputs: r.ints(2), tag: uint8(r.byte(3))}
	d.spend(4 * (len(o.inputs) + len(o.outputs)))
	i := int(r.int(0, 0))
	if i < 0 || i >= len(codes) {
		d.refuse(fail.New(fail.Corrupt, "an operator has code %d, there are %d", i, len(codes)))
		return o
	}
	o.code = max(code(codes[i].byte(0)), code(codes[i].int(3, 0)))
	o.version = codes[i].int(2, 1)
	o.custom = d.string(codes[i], 1)
	for k, t := range append(append([]int32{}, o.inputs...), o.outputs...) {
		if int(t) >= tensors || t < -1 || t < 0 && k >= len(o.inputs) {
			d.refuse(fail.New(fail.Corrupt, "an operator reads or makes tensor %d, there are %d", t, tensors).At(fail.Where{Op: o.label()}))
			return o
		}
	}
	opts, ok := r.sub(4)
	if !ok {
		return o
	}
	o.options = options{}
	for id, kind := range optionTypes[o.tag] {
		size := map[rune]int{'b': 1, 'o': 1}[kind]
		if kind == '.' || opts.field(id, max(size, 1)) == 0 {
			continue
		}
		switch kind {
		case 'b':
			o.options[id] = opts.byte(id)
		case 'o':
			o.options[id] = opts.byte(id) != 0
		case 'i':
			o.options[id] = opts.int(id, 0)
		case 'f':
			o.options[id] = opts.float(id)
		case 'v':
			o.options[id] = opts.ints(id)
			d.spend(4 * len(o.options[id].([]int32)))
		}
	}
	return o
}

// label is the operator's name in the schema.
func (o *operator) label() string {
	if o.code == opCustom || o.custom != "" {
		return "custom operator " + o.custom
	}
	if n, ok := names[o.code]; ok {
		return n
	}
	return "operator " + itoa(int(o.code))
}

// Operators lists the operators of a file in order, as the schema spells them; nil where the file cannot be read.
func Operators(b []byte) []string {
	f, err := decode(b, DefaultBudget())
	if err != nil {
		return nil
	}
	out := make([]string, len(f.ops))
	for i := range f.ops {
		out[i] = f.ops[i].label()
	}
	return out
}
