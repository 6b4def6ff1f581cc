package predict

import "fettle/model"

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
