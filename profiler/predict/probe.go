package predict

import (
	"fmt"
	"math"
	"math/rand/v2"

	"fettle/model"
)

// Probe is a network made for measuring: layers of the kinds that networks are built of, with sizes drawn at random. Kernels are measured
// inside of networks because there they run as they will: behind one another, with weights that other layers have pushed out of the cache.
type Probe struct {
	Seed  uint64
	Style Style
}

// Style is a family of networks.
type Style int

// The styles of probes.
const (
	Residual   Style = iota // 3x3 and 1x1, sums, ReLU
	Inverted                // expand, depthwise, project
	Mixed                   // SiLU, concatenations, pools, enlargements
	styleCount              // of those that are drawn
	// the first probes are not drawn: they hold the ends of what the others draw
	SmallEnds
	ThinEnds
	WideEnds
)

// ends is how many probes hold the ends.
const ends = 3

// NewProbe draws the i-th probe of a seed.
func NewProbe(seed, i uint64) Probe {
	if i < ends {
		return Probe{Seed: seed, Style: SmallEnds + Style(i)}
	}
	return Probe{Seed: seed<<32 ^ i*2654435761, Style: Style(i % uint64(styleCount))}
}

// limits of a probe's layers: what a small board answers soon.
const (
	mostMACs    = 160e6 // of a layer
	mostWeights = 10 << 20
	mostValues  = 3 << 19
	netMACs     = 450e6
	netWeights  = 24 << 20
)

type draft struct {
	b       *model.Builder
	r       *rand.Rand
	c, h, w int
	x       string
	n       int
	macs    float64
	weights float64
	bn      bool
	act     string
	fill    []byte
	full    bool
}

// Build makes the network. Weights are of no meaning but for their size: a short pattern, which travels in little space.
func (p Probe) Build() (*model.Model, error) {
	r := rand.New(rand.NewPCG(p.Seed, 1))
	d := &draft{b: model.NewBuilder("probe", 17), r: r, fill: pattern()}
	d.c = pick(r, 3, 3, 3, 1, 4)
	d.h = pick(r, 32, 64, 96, 128, 160, 192, 192, 224, 224, 256, 320)
	d.w = d.h
	if p.Style > styleCount {
		return d.ends(p.Style)
	}
	d.x = d.b.Input("input", model.Float32, model.FixedShape(1, d.c, d.h, d.w))
	d.bn = r.IntN(2) == 0
	d.act = pick(r, "relu", "relu", "relu6", "silu")
	switch p.Style {
	case Residual:
		d.act = "relu"
	case Inverted:
		d.act = pick(r, "relu6", "relu6", "relu", "silu", "hardswish")
	case Mixed:
		d.act = pick(r, "silu", "silu", "relu")
	}
	d.conv(d.channels(8, 72), pick(r, 3, 3, 7), pick(r, 2, 2, 2, 1, max(1, 2-64/d.h)), 1, d.act)
	if p.Style != Inverted && r.IntN(2) == 0 {
		d.pool(pick(r, 3, 3, 2), 2)
	}
	for d.n < 300 && !d.full {
		for range 1 + r.IntN(3) { // blocks of one size of picture
			switch {
			case d.full:
			case p.Style == Residual:
				d.residual()
			case p.Style == Inverted:
				d.inverted()
			default:
				d.mixed()
			}
		}
		if d.h < pick(r, 4, 8, 8, 12, 16) || d.full {
			break
		}
		d.down(p.Style)
	}
	if p.Style == Mixed && r.IntN(2) == 0 {
		d.conv(d.channels(16, 160), 1, 1, 1, pick(r, "", ""))
		d.b.Output(d.x, model.Float32, model.FixedShape(1, d.c, d.h, d.w))
		return d.b.Model()
	}
	if r.IntN(2) == 0 && d.macs < netMACs {
		d.conv(d.channels(256, 2100), 1, 1, 1, d.act)
	}
	d.head()
	return d.b.Model()
}

// ends are networks with the widest and the thinnest layers at each size of picture.
func (d *draft) ends(s Style) (*model.Model, error) {
	d.c, d.act = 3, "relu"
	begin := func(h int) {
		d.h, d.w = h, h
		d.x = d.b.Input("input", model.Float32, model.FixedShape(1, d.c, h, h))
	}
	switch s {
	case WideEnds:
		begin(224)
		d.conv(72, 7, 2, 1, "relu")
		d.pool(3, 2)
		for _, c := range []int{64, 128, 256, 528} {
			d.conv(c, 1, 1, 1, "relu")
			d.conv(c, 3, 1, 1, "relu")
			d.conv(4*c, 1, 1, 1, "relu")
			if c > 500 {
				d.conv(c, 1, 1, 1, "relu")
				d.conv(4*c, 1, 1, 1, "relu")
				break
			}
			in, h := d.x, d.h
			d.conv(2*c, 1, 1, 1, "relu")
			d.conv(2*c, 3, 2, 1, "relu")
			d.conv(8*c, 1, 1, 1, "")
			y, down := d.x, d.h
			d.x, d.c, d.h, d.w = in, 4*c, h, h
			d.conv(8*c, 1, 2, 1, "")
			d.x = d.b.Node("Add", d.name("add"), []string{y, d.x})
			d.active("relu")
			d.h, d.w = down, down
		}
	case ThinEnds:
		begin(320)
		d.act = "silu"
		d.conv(8, 3, 2, 1, "silu")
		for _, c := range []int{8, 16, 64, 240, 720, 1400} {
			d.conv(c, 1, 1, 1, "silu")
			d.conv(c, 3, 1, c, "silu")
			d.conv(c, 5, 1, c, "relu6")
			d.squeeze()
			d.conv(max(8, c/6), 1, 1, 1, "")
			if d.h > 8 {
				d.conv(d.c, 3, 1, d.c, "relu6")
				d.conv(c, 1, 1, 1, "silu")
				d.conv(c, pick(d.r, 3, 5), 2, c, "silu")
			}
		}
	case SmallEnds:
		begin(32)
		d.conv(16, 3, 1, 1, "relu")
		for range 4 {
			c := d.c
			d.conv(16, 3, 1, 1, "silu")
			d.conv(8, 1, 1, 1, "relu")
			d.conv(8, 3, 1, 1, "relu")
			d.conv(8, 3, 1, 8, "relu6")
			d.squeeze()
			d.conv(16, 1, 2, 1, "")
			d.conv(c, 1, 1, 1, "silu")
		}
	}
	d.head()
	return d.b.Model()
}

// channels draws a number of channels: mostly multiples of 8, as networks have them, and others, as pruning leaves them.
func (d *draft) channels(lo, hi float64) int {
	v := math.Exp(math.Log(lo) + d.r.Float64()*(math.Log(hi)-math.Log(lo)))
	switch d.r.IntN(12) {
	case 0: // the ends, so that what lies between is enclosed
		return int(pick(d.r, lo, hi))
	case 1, 2, 3:
		return max(1, int(math.Round(v)))
	case 4, 5, 6:
		return max(16, 16*int(math.Round(v/16)))
	}
	return max(8, 8*int(math.Round(v/8)))
}

// wide draws channels for a convolution of k x k from what there is, within the limits.
func (d *draft) wide(lo, hi float64, k int) int {
	per := float64(d.c * k * k)
	most := min(mostMACs/(per*float64(d.h*d.w)), mostWeights/4/per, mostValues/float64(d.h*d.w))
	return d.channels(min(lo, max(most, 8)), max(min(hi, most), 9))
}

func (d *draft) name(op string) string { d.n++; return fmt.Sprintf("%s%d", op, d.n) }

func (d *draft) tensor(name string, shape ...int) string {
	n := 4
	for _, v := range shape {
		n *= v
	}
	d.weights += float64(n)
	t := &model.Tensor{DType: model.Float32, Shape: shape, Raw: d.fill[:0]}
	if n <= len(d.fill) {
		t.Raw = d.fill[:n:n]
	} else {
		t = model.NewTensor(model.Float32, shape...)
		for i := 0; i < len(t.Raw); i += len(d.fill) {
			copy(t.Raw[i:], d.fill)
		}
	}
	return d.b.Const(name, t)
}

// pattern are small numbers of both signs, again and again.
func pattern() []byte {
	t := model.NewTensor(model.Float32, 1<<16)
	v := model.Data[float32](t)
	for i := range v {
		v[i] = float32(i%251-125) / 4096
	}
	return t.Raw
}

func (d *draft) conv(out, k, stride, groups int, act string) {
	h, w := (d.h+2*(k/2)-k)/stride+1, (d.w+2*(k/2)-k)/stride+1
	d.macs += float64(h * w * out * d.c / groups * k * k)
	name := d.name("conv")
	ins := []string{d.x, d.tensor(name+".w", out, d.c/groups, k, k)}
	if !d.bn {
		ins = append(ins, d.tensor(name+".b", out))
	}
	kk, s, p := int64(k), int64(stride), int64(k/2)
	d.x = d.b.Node("Conv", name, ins, model.IntAttr("group", int64(groups)), model.IntsAttr("kernel_shape", kk, kk), model.IntsAttr("strides", s, s),
		model.IntsAttr("pads", p, p, p, p), model.IntsAttr("dilations", 1, 1))
	d.c, d.h, d.w = out, h, w
	if d.bn {
		name := d.name("bn")
		one := model.NewTensor(model.Float32, out)
		for i, v := 0, model.Data[float32](one); i < out; i++ {
			v[i] = 1
		}
		d.x = d.b.Node("BatchNormalization", name, []string{d.x, d.b.Const(name+".scale", one), d.tensor(name+".b", out), d.tensor(name+".m", out), d.b.Const(name+".v", one)})
	}
	d.active(act)
	d.full = d.macs > netMACs || d.weights > netWeights
}

func (d *draft) active(act string) {
	switch act {
	case "relu":
		d.x = d.b.Node("Relu", d.name("relu"), []string{d.x})
	case "relu6":
		n := d.name("clip")
		d.x = d.b.Node("Clip", n, []string{d.x, d.b.Const(n+".lo", model.Scalar32(0)), d.b.Const(n+".hi", model.Scalar32(6))})
	case "silu":
		s := d.b.Node("Sigmoid", d.name("sigmoid"), []string{d.x})
		d.x = d.b.Node("Mul", d.name("mul"), []string{d.x, s})
	case "hardswish":
		d.x = d.b.Node("HardSwish", d.name("hardswish"), []string{d.x})
	case "sigmoid":
		d.x = d.b.Node("Sigmoid", d.name("sigmoid"), []string{d.x})
	}
}

func (d *draft) pool(k, stride int) {
	p := int64(k / 2)
	if k == 2 {
		p = 0
	}
	d.x = d.b.Node("MaxPool", d.name("maxpool"), []string{d.x}, model.IntsAttr("kernel_shape", int64(k), int64(k)), model.IntsAttr("strides", int64(stride), int64(stride)),
		model.IntsAttr("pads", p, p, p, p))
	d.h, d.w = (d.h+2*int(p)-k)/stride+1, (d.w+2*int(p)-k)/stride+1
}

func (d *draft) down(s Style) {
	switch {
	case s == Inverted:
		d.conv(d.c, pick(d.r, 3, 3, 5), 2, d.c, d.act)
		d.conv(d.wide(16, 512, 1), 1, 1, 1, pick(d.r, "", d.act))
	case s == Residual && d.r.IntN(3) == 0:
		d.conv(d.wide(16, 2100, 1), 1, 2, 1, pick(d.r, "", d.act))
	case s == Mixed && d.r.IntN(3) == 0:
		d.pool(pick(d.r, 2, 3), 2)
	default:
		d.conv(d.wide(16, 640, 3), 3, 2, 1, d.act)
	}
}

// residual is a block with a sum at its end, or without.
func (d *draft) residual() {
	in, c := d.x, d.c
	sum := d.r.IntN(3) > 0
	out := c
	if !sum {
		out = d.wide(16, 2100, pick(d.r, 1, 3))
	}
	last := d.act
	if sum {
		last = ""
	}
	if d.r.IntN(2) == 0 { // bottleneck
		d.conv(d.wide(16, 512, 1), 1, 1, 1, d.act)
		d.conv(d.wide(16, 512, 3), 3, 1, 1, d.act)
		d.conv(out, 1, 1, 1, last)
	} else {
		d.conv(d.wide(16, 720, 3), 3, 1, 1, d.act)
		d.conv(out, 3, 1, 1, last)
	}
	if sum && d.c == c {
		d.x = d.b.Node("Add", d.name("add"), []string{d.x, in})
		d.active(d.act)
	}
	if d.h >= 8 && d.r.IntN(3) == 0 && !d.full { // half the size, and what was before comes through a convolution
		in, c, h := d.x, d.c, d.h
		d.conv(d.wide(16, 640, 3), 3, 2, 1, d.act)
		out := d.wide(16, 2100, 3)
		d.conv(out, pick(d.r, 1, 3), 1, 1, "")
		y := d.x
		d.x, d.c, d.h, d.w = in, c, h, h
		d.conv(out, 1, 2, 1, "")
		d.x = d.b.Node("Add", d.name("add"), []string{y, d.x})
		d.active(d.act)
	}
}

// inverted expands, filters and projects, with squeeze and excite now and then.
func (d *draft) inverted() {
	in, c := d.x, d.c
	wide := min(d.c*pick(d.r, 1, 2, 3, 4, 6, 6), mostValues/(d.h*d.w), 1400)
	if d.r.IntN(4) == 0 {
		wide = d.wide(16, 1200, 1)
	}
	if wide > d.c {
		d.conv(wide, 1, 1, 1, d.act)
	}
	stride := pick(d.r, 1, 1, 1, 2)
	if d.h <= 7 {
		stride = 1
	}
	d.conv(d.c, pick(d.r, 3, 3, 5), stride, d.c, d.act)
	if d.r.IntN(3) == 0 {
		d.squeeze()
	}
	out := d.wide(12, 400, 1)
	sum := stride == 1 && d.r.IntN(2) == 0
	if sum {
		out = c
	}
	d.conv(out, 1, 1, 1, pick(d.r, "", "", "", d.act))
	if sum && d.r.IntN(4) > 0 {
		d.x = d.b.Node("Add", d.name("add"), []string{d.x, in})
	}
}

func (d *draft) squeeze() {
	x, c, h, w := d.x, d.c, d.h, d.w
	bn := d.bn
	d.bn = false
	d.x = d.b.Node("GlobalAveragePool", d.name("pool"), []string{d.x})
	d.h, d.w = 1, 1
	d.conv(max(4, c/pick(d.r, 4, 8, 16, 24)), 1, 1, 1, d.act)
	d.conv(c, 1, 1, 1, "sigmoid")
	d.x = d.b.Node("Mul", d.name("scale"), []string{x, d.x})
	d.c, d.h, d.w, d.bn = c, h, w, bn
}

// mixed joins branches.
func (d *draft) mixed() {
	switch d.r.IntN(4) {
	case 0: // squeeze, then two widths side by side
		d.conv(d.wide(8, 96, 1), 1, 1, 1, d.act)
		x, c := d.x, d.c
		d.conv(d.wide(16, 256, 1), 1, 1, 1, d.act)
		y, cy := d.x, d.c
		d.x, d.c = x, c
		d.conv(d.wide(16, 256, 3), 3, 1, 1, d.act)
		d.join(y, cy)
	case 1: // pools in a row
		if d.c > 320 {
			d.conv(d.wide(32, 256, 1), 1, 1, 1, d.act)
		}
		x, c := d.x, d.c
		d.pool(5, 1)
		d.join(x, c)
		d.conv(d.wide(32, 256, 1), 1, 1, 1, d.act)
	case 2: // larger, with what was before
		if d.h <= 40 && d.c*d.h*d.w*4 < mostValues {
			n := d.name("resize")
			d.x = d.b.Node("Resize", n, []string{d.x, "", d.b.Const(n+".scales", model.Float32s([]float32{1, 1, 2, 2}, 4))},
				model.StrAttr("mode", "nearest"), model.StrAttr("nearest_mode", "floor"), model.StrAttr("coordinate_transformation_mode", "asymmetric"))
			d.h, d.w = 2*d.h, 2*d.w
			d.conv(d.wide(16, 256, 1), 1, 1, 1, d.act)
			d.conv(d.wide(16, 256, 3), 3, 2, 1, d.act)
		}
	default: // branches with a sum in one of them
		d.conv(d.wide(16, 256, 1), 1, 1, 1, d.act)
		x, c := d.x, d.c
		d.conv(d.c, 3, 1, 1, d.act)
		d.conv(d.c, 3, 1, 1, d.act)
		if d.r.IntN(2) == 0 {
			d.x = d.b.Node("Add", d.name("add"), []string{d.x, x})
		}
		d.join(x, c)
		d.conv(d.wide(16, 320, 1), 1, 1, 1, d.act)
	}
}

func (d *draft) join(y string, c int) {
	d.x = d.b.Node("Concat", d.name("concat"), []string{y, d.x}, model.IntAttr("axis", 1))
	d.c += c
}

func (d *draft) head() {
	d.x = d.b.Node("GlobalAveragePool", d.name("pool"), []string{d.x})
	d.x = d.b.Node("Flatten", d.name("flatten"), []string{d.x}, model.IntAttr("axis", 1))
	out := pick(d.r, 10, 100, 200, 500, 1000, 1000)
	n := d.name("fc")
	d.x = d.b.Node("Gemm", n, []string{d.x, d.tensor(n+".w", out, d.c), d.tensor(n+".b", out)}, model.IntAttr("transB", 1))
	d.b.Output(d.x, model.Float32, model.FixedShape(1, out))
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }
