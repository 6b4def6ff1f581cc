package predict

import (
	"math/rand/v2"

	"fettle/model"
)

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
		d.conv(64, 3, 2, 1, "relu") // the first layer of most networks that take photographs, in integers too
		d.pool(3, 2)
		d.pool(2, 2)
		d.side()
		d.x, d.c, d.h, d.w = "input", 3, 224, 224
		d.conv(100, 7, 2, 1, "relu")
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
		for i, c := range []int{8, 16, 64, 240, 720, 1400} {
			d.conv(c, 1, 1, 1, "silu")
			d.conv(c, 3, 1, c, "silu")
			d.conv(c, 5, 1, c, "relu6")
			d.squeeze()
			d.conv(max(8, c/6), 1, 1, 1, "")
			if d.h > 8 {
				d.conv(d.c, 3, 1, d.c, "relu6")
				d.conv(c, 1, 1, 1, "silu")
				d.conv(c, 5-2*(i%2), 2, c, "silu")
			}
			if c == 720 {
				d.conv(c, 3, 2, c, "relu6")
			}
		}
	case OddEnds:
		begin(224)
		d.conv(64, 5, 2, 1, "relu")
		d.shuffle(4)
		d.cut(2)
		for range 3 {
			d.arithmetic()
		}
		d.conv(256, 1, 1, 1, "relu")
		d.average(3, 3)
		d.side()
		d.side()
		d.average(2, 2)
		d.side()
		d.x, d.c, d.h, d.w = "input", 3, 224, 224
		d.conv(100, 11, 4, 1, "relu")
		d.pool(2, 2)
		d.conv(8, 5, 1, 1, "relu")
		d.conv(72, 5, 1, 1, "silu")
		d.spread(320, 2, "relu")
		d.spread(8, 4, "")
		d.conv(320, 7, 1, 1, "relu")
		d.conv(64, 5, 2, 1, "")
		d.spread(16, 2, "relu")
		d.spread(16, 2, "")
		d.conv(512, 1, 1, 1, "leaky")
		d.conv(512, 3, 1, 8, "relu")
		d.conv(64, 3, 1, 2, "")
		d.conv(64, 3, 3, 1, "relu")
		d.average(3, 1)
	case SmallEnds:
		d.c = 1
		begin(32)
		d.conv(8, 3, 1, 1, "relu")
		d.pool(3, 2)
		d.average(2, 2)
		d.pool(2, 2)
		d.side()
		d.cut(2)
		d.shuffle(4)
		for range 3 {
			d.arithmetic()
		}
		d.side()
		d.x, d.c, d.h, d.w = "input", 1, 32, 32
		d.conv(16, 3, 1, 1, "relu")
		for range 4 {
			c := d.c
			d.conv(16, 3, 1, 1, "silu")
			d.conv(8, 1, 1, 1, "relu")
			d.conv(8, 3, 1, 1, "relu")
			d.conv(8, 3, 1, 8, "relu6")
			d.squeeze()
			if d.h > 16 {
				d.conv(8, 5, 1, 1, "relu")
			}
			d.conv(16, 1, 2, 1, "")
			d.conv(c, 1, 1, 1, "silu")
		}
	}
	d.head()
	return d.b.Model()
}

// Gauge is a small network of all sorts of layers, measured beside each probe: it takes longer while other work on the target slows all
// networks, so that the time of a probe can be told from that of the moment.
func Gauge() (*model.Model, error) {
	d := &draft{b: model.NewBuilder("gauge", 17), r: rand.New(rand.NewPCG(1, 1)), fill: pattern(), act: "relu"}
	d.most.channels, d.most.macs, d.most.weights = 2100, netMACs, netWeights
	d.c, d.h, d.w = 3, 64, 64
	d.x = d.b.Input("input", model.Float32, model.FixedShape(1, d.c, d.h, d.w))
	d.conv(16, 3, 2, 1, "relu")
	d.conv(16, 3, 1, 1, "relu")
	d.conv(64, 1, 1, 1, "relu")
	d.conv(64, 3, 1, 64, "relu")
	d.conv(64, 3, 2, 1, "relu")
	d.conv(128, 3, 1, 1, "relu")
	d.conv(512, 1, 1, 1, "relu")
	d.conv(512, 3, 2, 512, "relu")
	d.conv(1024, 1, 1, 1, "relu") // more weights than a small cache holds
	d.conv(512, 1, 1, 1, "")
	d.head()
	return d.b.Model()
}
