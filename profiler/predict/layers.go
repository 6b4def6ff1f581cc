package predict

import (
	"fmt"

	"fettle/model"
)

func (d *draft) name(op string) string { d.n++; return fmt.Sprintf("%s%d", op, d.n) }

func (d *draft) tensor(name string, shape ...int) string {
	n := 4
	for _, v := range shape {
		n *= v
	}
	d.weights += float64(n)
	for len(d.fill) < n {
		d.fill = append(d.fill, d.fill...)
	}
	return d.b.Const(name, &model.Tensor{DType: model.Float32, Shape: shape, Raw: d.fill[:n:n]})
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
	d.convolve(out, k, stride, groups, 1, act)
}

// spread is a 3x3 convolution over pixels that lie apart.
func (d *draft) spread(out, apart int, act string) { d.convolve(out, 3, 1, 1, apart, act) }

func (d *draft) convolve(out, k, stride, groups, apart int, act string) {
	pad := k / 2 * apart
	h, w := (d.h+2*pad-apart*(k-1)-1)/stride+1, (d.w+2*pad-apart*(k-1)-1)/stride+1
	d.macs += float64(h * w * out * d.c / groups * k * k)
	name := d.name("conv")
	ins := []string{d.x, d.tensor(name+".w", out, d.c/groups, k, k)}
	if !d.bn {
		ins = append(ins, d.tensor(name+".b", out))
	}
	kk, s, p, a := int64(k), int64(stride), int64(pad), int64(apart)
	d.x = d.b.Node("Conv", name, ins, model.IntAttr("group", int64(groups)), model.IntsAttr("kernel_shape", kk, kk), model.IntsAttr("strides", s, s),
		model.IntsAttr("pads", p, p, p, p), model.IntsAttr("dilations", a, a))
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
	d.full = d.macs > d.most.macs || d.weights > d.most.weights
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
	case "leaky":
		d.x = d.b.Node("LeakyRelu", d.name("leaky"), []string{d.x}, model.FloatAttr("alpha", 0.1))
	case "sigmoid":
		d.x = d.b.Node("Sigmoid", d.name("sigmoid"), []string{d.x})
	}
}

// pool takes the largest of windows.
func (d *draft) pool(k, stride int) {
	p := int64(k / 2)
	if k == 2 {
		p = 0
	}
	d.x = d.b.Node("MaxPool", d.name("maxpool"), []string{d.x}, model.IntsAttr("kernel_shape", int64(k), int64(k)), model.IntsAttr("strides", int64(stride), int64(stride)),
		model.IntsAttr("pads", p, p, p, p))
	d.h, d.w = (d.h+2*int(p)-k)/stride+1, (d.w+2*int(p)-k)/stride+1
}

// average is an average over windows, without padding.
func (d *draft) average(k, stride int) {
	d.x = d.b.Node("AveragePool", d.name("average"), []string{d.x}, model.IntsAttr("kernel_shape", int64(k), int64(k)), model.IntsAttr("strides", int64(stride), int64(stride)))
	d.h, d.w = (d.h-k)/stride+1, (d.w-k)/stride+1
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

// head ends a classifier.
func (d *draft) head() {
	d.gather()
	if d.h <= 16 && d.r.IntN(4) == 0 {
		d.average(d.h, d.h)
	} else {
		d.x = d.b.Node("GlobalAveragePool", d.name("pool"), []string{d.x})
	}
	out := pick(d.r, 2, 10, 100, 200, 500, 1000, 1000)
	n := d.name("fc")
	if d.r.IntN(5) == 0 {
		d.x = d.b.Node("Reshape", n+".rows", []string{d.x, d.b.Const(n+".shape", model.Int64s(1, int64(d.c)))})
	} else {
		d.x = d.b.Node("Flatten", d.name("flatten"), []string{d.x}, model.IntAttr("axis", 1))
	}
	if d.r.IntN(6) == 0 {
		d.x = d.b.Node("MatMul", n, []string{d.x, d.tensor(n+".w", d.c, out)})
		d.x = d.b.Node("Add", n+".add", []string{d.x, d.tensor(n+".b", out)})
	} else {
		d.x = d.b.Node("Gemm", n, []string{d.x, d.tensor(n+".w", out, d.c), d.tensor(n+".b", out)}, model.IntAttr("transB", 1))
	}
	if d.r.IntN(2) == 0 {
		d.x = d.b.Node("Softmax", d.name("softmax"), []string{d.x}, model.IntAttr("axis", 1))
	}
	d.b.Output(d.x, model.Float32, model.FixedShape(1, out))
}
