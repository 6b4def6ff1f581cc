package sample

import (
	"math"
	"math/rand/v2"
	"strconv"

	"fettle/model"
)

// net builds a convolutional network layer by layer: a thin hand over model.Builder that knows shapes and draws weights.
// Weights are seeded: He initialisation, residual branches scaled down so that activations stay near one.
type net struct {
	b     *model.Builder
	rng   *rand.Rand
	shape map[string][]int // without the batch
	scope string           // prefix of node names, as exporters write it: layer1.0
	batch model.Dim
	n     map[string]int
}

const opset = 17

func newNet(name string, c, h, w int) (*net, string) {
	n := &net{b: model.NewBuilder(name, opset), rng: rand.New(rand.NewPCG(20261124, uint64(len(name)))), shape: map[string][]int{}, n: map[string]int{}}
	n.batch = model.Sym("batch")
	n.b.Meta("fettle.origin", "topology of a well-known network with seeded random weights: untrained")
	x := n.b.Input("input", model.Float32, model.Shape{n.batch, model.Fixed(c), model.Fixed(h), model.Fixed(w)})
	n.shape[x] = []int{c, h, w}
	return n, x
}

// name gives the next free name of a kind in the current scope.
func (n *net) name(kind string) string {
	full := kind
	if n.scope != "" {
		full = n.scope + "." + kind
	}
	n.n[full]++
	if c := n.n[full]; c > 1 {
		return full + strconv.Itoa(c)
	}
	return full
}

func (n *net) normal(size int, std float64, shape ...int) *model.Tensor {
	t := model.NewTensor(model.Float32, shape...)
	d := model.Data[float32](t)
	for i := range size {
		d[i] = float32(n.rng.NormFloat64() * std)
	}
	return t
}

// cv are the choices of a convolution.
type cv struct {
	k, s, g int
	pad     int // -1: k/2
	act     string
	gain    float64
	bias    bool // a bias instead of a BatchNormalization
}

// conv adds Conv, BatchNormalization (unless a bias is asked for) and the activation.
func (n *net) conv(x string, out int, o cv) string {
	if o.s == 0 {
		o.s = 1
	}
	if o.g == 0 {
		o.g = 1
	}
	if o.gain == 0 {
		o.gain = 1
	}
	if o.pad < 0 {
		o.pad = o.k / 2
	}
	in := n.shape[x]
	c, h, w := in[0], in[1], in[2]
	fan := c / o.g * o.k * o.k
	name := n.name("conv")
	ins := []string{x, n.b.Const(name+".weight", n.normal(out*fan, math.Sqrt(2/float64(fan))*o.gain, out, c/o.g, o.k, o.k))}
	if o.bias {
		ins = append(ins, n.b.Const(name+".bias", n.normal(out, 0.05, out)))
	}
	k, s, p := int64(o.k), int64(o.s), int64(o.pad)
	y := n.b.Node("Conv", name, ins, model.IntsAttr("dilations", 1, 1), model.IntAttr("group", int64(o.g)), model.IntsAttr("kernel_shape", k, k),
		model.IntsAttr("pads", p, p, p, p), model.IntsAttr("strides", s, s))
	n.shape[y] = []int{out, (h+2*o.pad-o.k)/o.s + 1, (w+2*o.pad-o.k)/o.s + 1}
	if !o.bias {
		y = n.norm(y)
	}
	return n.act(y, o.act)
}

func (n *net) norm(x string) string {
	c := n.shape[x][0]
	name := n.name("bn")
	around := func(mean, spread float64) *model.Tensor {
		t := model.NewTensor(model.Float32, c)
		d := model.Data[float32](t)
		for i := range d {
			d[i] = float32(mean + spread*(n.rng.Float64()*2-1))
		}
		return t
	}
	y := n.b.Node("BatchNormalization", name, []string{x, n.b.Const(name+".weight", around(1, 0.1)), n.b.Const(name+".bias", around(0, 0.05)),
		n.b.Const(name+".running_mean", around(0, 0.05)), n.b.Const(name+".running_var", around(1, 0.1))}, model.FloatAttr("epsilon", 1e-5))
	n.shape[y] = n.shape[x]
	return y
}

func (n *net) act(x, kind string) string {
	var y string
	switch kind {
	case "":
		return x
	case "relu":
		y = n.b.Node("Relu", n.name("relu"), []string{x})
	case "relu6":
		name := n.name("relu6")
		y = n.b.Node("Clip", name, []string{x, n.b.Const(name+".min", model.Scalar32(0)), n.b.Const(name+".max", model.Scalar32(6))})
	case "sigmoid":
		y = n.b.Node("Sigmoid", n.name("sigmoid"), []string{x})
	case "silu":
		s := n.b.Node("Sigmoid", n.name("sigmoid"), []string{x})
		y = n.b.Node("Mul", n.name("mul"), []string{x, s})
	}
	n.shape[y] = n.shape[x]
	return y
}

func (n *net) add(x, y, act string) string {
	z := n.b.Node("Add", n.name("add"), []string{x, y})
	n.shape[z] = n.shape[x]
	return n.act(z, act)
}

func (n *net) mul(x, y string) string {
	z := n.b.Node("Mul", n.name("scale"), []string{x, y})
	n.shape[z] = n.shape[x]
	return z
}

func (n *net) concat(xs ...string) string {
	z := n.b.Node("Concat", n.name("concat"), xs, model.IntAttr("axis", 1))
	s := append([]int(nil), n.shape[xs[0]]...)
	s[0] = 0
	for _, x := range xs {
		s[0] += n.shape[x][0]
	}
	n.shape[z] = s
	return z
}

func (n *net) maxpool(x string, k, s, p int) string {
	y := n.b.Node("MaxPool", n.name("maxpool"), []string{x}, model.IntsAttr("kernel_shape", int64(k), int64(k)),
		model.IntsAttr("pads", int64(p), int64(p), int64(p), int64(p)), model.IntsAttr("strides", int64(s), int64(s)))
	in := n.shape[x]
	n.shape[y] = []int{in[0], (in[1]+2*p-k)/s + 1, (in[2]+2*p-k)/s + 1}
	return y
}

func (n *net) gap(x string) string {
	y := n.b.Node("GlobalAveragePool", n.name("avgpool"), []string{x})
	n.shape[y] = []int{n.shape[x][0], 1, 1}
	return y
}

func (n *net) up2(x string) string {
	name := n.name("upsample")
	y := n.b.Node("Resize", name, []string{x, "", n.b.Const(name+".scales", model.Float32s([]float32{1, 1, 2, 2}, 4))},
		model.StrAttr("mode", "nearest"), model.StrAttr("nearest_mode", "floor"), model.StrAttr("coordinate_transformation_mode", "asymmetric"))
	in := n.shape[x]
	n.shape[y] = []int{in[0], 2 * in[1], 2 * in[2]}
	return y
}

// fc flattens and multiplies.
func (n *net) fc(x string, out int) string {
	in := 1
	for _, d := range n.shape[x] {
		in *= d
	}
	f := n.b.Node("Flatten", n.name("flatten"), []string{x}, model.IntAttr("axis", 1))
	name := n.name("fc")
	y := n.b.Node("Gemm", name, []string{f, n.b.Const(name+".weight", n.normal(in*out, math.Sqrt(1/float64(in)), out, in)),
		n.b.Const(name+".bias", n.normal(out, 0.05, out))}, model.IntAttr("transB", 1))
	n.shape[y] = []int{out}
	return y
}

func (n *net) done(outputs ...string) (*model.Model, error) {
	for _, o := range outputs {
		s := model.Shape{n.batch}
		for _, d := range n.shape[o] {
			s = append(s, model.Fixed(d))
		}
		n.b.Output(o, model.Float32, s)
	}
	return n.b.Model()
}
