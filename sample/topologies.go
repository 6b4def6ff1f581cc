// Package sample holds the networks that come with Fettle: one small network that the project trained itself on pictures
// that it generates itself, and builders of well-known topologies with seeded random weights, named as untrained.
//
// It reads no files. Start reading at List.
package sample

import (
	"fmt"

	"fettle/internal/fail"
	"fettle/model"
)

// Network is one entry of the list.
type Network struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Trained bool   `json:"trained"`
	Source  string `json:"source"` // paper of the topology
	build   func() (*model.Model, error)
}

// List gives every built-in network; the first is the trained sample.
func List() []Network {
	return []Network{
		{Name, "Shapes: 8 classes of generated 32x32 pictures, trained by Fettle", true, "cmd/fettle-train-sample", shapes},
		{"resnet18", "ResNet-18, 224x224", false, "He et al. 2016, arXiv:1512.03385", resnet18},
		{"resnet50", "ResNet-50 v1.5, 224x224", false, "He et al. 2016, arXiv:1512.03385, stride in the 3x3", resnet50},
		{"resnet20", "ResNet-20 for 32x32 pictures", false, "He et al. 2016, arXiv:1512.03385, section 4.2", resnet20},
		{"mobilenetv1", "MobileNetV1, 224x224", false, "Howard et al. 2017, arXiv:1704.04861", mobilenetv1},
		{"mobilenetv2", "MobileNetV2, 224x224", false, "Sandler et al. 2018, arXiv:1801.04381", mobilenetv2},
		{"efficientnet-b0", "EfficientNet-B0, 224x224", false, "Tan and Le 2019, arXiv:1905.11946", func() (*model.Model, error) { return efficientnet("efficientnet-b0", "silu", true) }},
		{"efficientnet-lite0", "EfficientNet-Lite0, 224x224", false, "Tan and Le 2019; Lite: no squeeze-excite, ReLU6", func() (*model.Model, error) { return efficientnet("efficientnet-lite0", "relu6", false) }},
		{"squeezenet11", "SqueezeNet 1.1, 224x224", false, "Iandola et al. 2016, arXiv:1602.07360", squeezenet11},
		{"yolov8n", "YOLOv8n, 320x320, without box decoding", false, "Ultralytics YOLOv8, 2023", yolov8n},
		{"bert-mini", "BERT-mini, 128 tokens", false, "Turc et al. 2019, arXiv:1908.08962", bertMini},
	}
}

// Build makes the network called name; fail.NotFound lists the names.
func Build(name string) (*model.Model, error) {
	names := ""
	for _, n := range List() {
		if n.Name == name {
			return n.build()
		}
		names += " " + n.Name
	}
	return nil, fail.New(fail.NotFound, "no built-in network %q", name).Try("choose one of:%s", names)
}

func resnet18() (*model.Model, error) {
	n, x := newNet("resnet18", 3, 224, 224)
	x = n.conv(x, 64, cv{k: 7, s: 2, pad: 3, act: "relu"})
	x = n.maxpool(x, 3, 2, 1)
	for i, c := range []int{64, 128, 256, 512} {
		for j := range 2 {
			n.scope = fmt.Sprintf("layer%d.%d", i+1, j)
			s := 1
			if j == 0 && i > 0 {
				s = 2
			}
			y := n.conv(x, c, cv{k: 3, s: s, pad: 1, act: "relu"})
			y = n.conv(y, c, cv{k: 3, pad: 1, gain: 0.3})
			if s == 2 {
				n.scope += ".downsample"
				x = n.conv(x, c, cv{k: 1, s: 2, gain: 0.7})
				n.scope = fmt.Sprintf("layer%d.%d", i+1, j)
			}
			x = n.add(y, x, "relu")
		}
	}
	n.scope = ""
	return n.done(n.fc(n.gap(x), 1000))
}

func resnet50() (*model.Model, error) {
	n, x := newNet("resnet50", 3, 224, 224)
	x = n.conv(x, 64, cv{k: 7, s: 2, pad: 3, act: "relu"})
	x = n.maxpool(x, 3, 2, 1)
	for i, st := range []struct{ c, r int }{{64, 3}, {128, 4}, {256, 6}, {512, 3}} {
		for j := range st.r {
			scope := fmt.Sprintf("layer%d.%d", i+1, j)
			n.scope = scope
			s := 1
			if j == 0 && i > 0 {
				s = 2
			}
			y := n.conv(x, st.c, cv{k: 1, act: "relu"})
			y = n.conv(y, st.c, cv{k: 3, s: s, pad: 1, act: "relu"})
			y = n.conv(y, 4*st.c, cv{k: 1, gain: 0.3})
			if j == 0 {
				n.scope = scope + ".downsample"
				x = n.conv(x, 4*st.c, cv{k: 1, s: s, gain: 0.7})
				n.scope = scope
			}
			x = n.add(y, x, "relu")
		}
	}
	n.scope = ""
	return n.done(n.fc(n.gap(x), 1000))
}

func resnet20() (*model.Model, error) {
	n, x := newNet("resnet20", 3, 32, 32)
	x = n.conv(x, 16, cv{k: 3, pad: 1, act: "relu"})
	for i, c := range []int{16, 32, 64} {
		for j := range 3 {
			scope := fmt.Sprintf("layer%d.%d", i+1, j)
			n.scope = scope
			s := 1
			if j == 0 && i > 0 {
				s = 2
			}
			y := n.conv(x, c, cv{k: 3, s: s, pad: 1, act: "relu"})
			y = n.conv(y, c, cv{k: 3, pad: 1, gain: 0.4})
			if s == 2 {
				n.scope = scope + ".downsample"
				x = n.conv(x, c, cv{k: 1, s: 2, gain: 0.7})
				n.scope = scope
			}
			x = n.add(y, x, "relu")
		}
	}
	n.scope = ""
	return n.done(n.fc(n.gap(x), 10))
}

func mobilenetv1() (*model.Model, error) {
	n, x := newNet("mobilenetv1", 3, 224, 224)
	x = n.conv(x, 32, cv{k: 3, s: 2, pad: 1, act: "relu6"})
	for i, b := range []struct{ c, s int }{{64, 1}, {128, 2}, {128, 1}, {256, 2}, {256, 1}, {512, 2}, {512, 1}, {512, 1}, {512, 1}, {512, 1}, {512, 1}, {1024, 2}, {1024, 1}} {
		n.scope = fmt.Sprintf("block%d", i+1)
		x = n.conv(x, n.shape[x][0], cv{k: 3, s: b.s, pad: 1, g: n.shape[x][0], act: "relu6"})
		x = n.conv(x, b.c, cv{k: 1, act: "relu6"})
	}
	n.scope = ""
	return n.done(n.fc(n.gap(x), 1000))
}

// mbconv is the inverted residual block; se > 0 adds squeeze-and-excite with that many channels.
func (n *net) mbconv(x string, expand, out, k, s int, act string, se int) string {
	in := n.shape[x][0]
	y := x
	if expand != 1 {
		y = n.conv(y, in*expand, cv{k: 1, act: act})
	}
	y = n.conv(y, in*expand, cv{k: k, s: s, pad: -1, g: in * expand, act: act})
	if se > 0 {
		z := n.conv(n.gap(y), se, cv{k: 1, act: act, bias: true})
		z = n.conv(z, in*expand, cv{k: 1, bias: true})
		y = n.mul(y, n.act(z, "sigmoid"))
	}
	if s == 1 && in == out {
		return n.add(n.conv(y, out, cv{k: 1, gain: 0.4}), x, "")
	}
	return n.conv(y, out, cv{k: 1, gain: 0.7})
}

type stage struct{ expand, c, r, s, k int }

func mobilenetv2() (*model.Model, error) {
	n, x := newNet("mobilenetv2", 3, 224, 224)
	x = n.conv(x, 32, cv{k: 3, s: 2, pad: 1, act: "relu6"})
	x = n.stages(x, []stage{{1, 16, 1, 1, 3}, {6, 24, 2, 2, 3}, {6, 32, 3, 2, 3}, {6, 64, 4, 2, 3}, {6, 96, 3, 1, 3}, {6, 160, 3, 2, 3}, {6, 320, 1, 1, 3}}, "relu6", false)
	x = n.conv(x, 1280, cv{k: 1, act: "relu6"})
	return n.done(n.fc(n.gap(x), 1000))
}

func (n *net) stages(x string, st []stage, act string, se bool) string {
	block := 0
	for _, t := range st {
		for j := range t.r {
			n.scope = fmt.Sprintf("features.%d", block)
			block++
			s, squeeze := 1, 0
			if j == 0 {
				s = t.s
			}
			if se {
				squeeze = max(1, n.shape[x][0]/4)
			}
			x = n.mbconv(x, t.expand, t.c, t.k, s, act, squeeze)
		}
	}
	n.scope = ""
	return x
}

func efficientnet(name, act string, se bool) (*model.Model, error) {
	n, x := newNet(name, 3, 224, 224)
	x = n.conv(x, 32, cv{k: 3, s: 2, pad: 1, act: act})
	x = n.stages(x, []stage{{1, 16, 1, 1, 3}, {6, 24, 2, 2, 3}, {6, 40, 2, 2, 5}, {6, 80, 3, 2, 3}, {6, 112, 3, 1, 5}, {6, 192, 4, 2, 5}, {6, 320, 1, 1, 3}}, act, se)
	x = n.conv(x, 1280, cv{k: 1, act: act})
	return n.done(n.fc(n.gap(x), 1000))
}

func squeezenet11() (*model.Model, error) {
	n, x := newNet("squeezenet11", 3, 224, 224)
	relu := func(x string, c, k, pad int) string { return n.conv(x, c, cv{k: k, pad: pad, act: "relu", bias: true}) }
	x = n.conv(x, 64, cv{k: 3, s: 2, act: "relu", bias: true})
	x = n.maxpool(x, 3, 2, 0)
	fires := 0
	fire := func(sq, e int) {
		n.scope = fmt.Sprintf("fire%d", fires+2)
		fires++
		y := relu(x, sq, 1, 0)
		x = n.concat(relu(y, e, 1, 0), relu(y, e, 3, 1))
		n.scope = ""
	}
	fire(16, 64)
	fire(16, 64)
	x = n.maxpool(x, 3, 2, 0)
	fire(32, 128)
	fire(32, 128)
	x = n.maxpool(x, 3, 2, 0)
	fire(48, 192)
	fire(48, 192)
	fire(64, 256)
	fire(64, 256)
	x = n.gap(relu(x, 1000, 1, 0))
	y := n.b.Node("Flatten", "flatten", []string{x}, model.IntAttr("axis", 1))
	n.shape[y] = []int{1000}
	return n.done(y)
}

// yolov8n is backbone, neck and head without the decoding of boxes. The channel split of a C2f block is written as two
// 1x1 convolutions, which is the same arithmetic as one convolution and a split.
func yolov8n() (*model.Model, error) {
	n, input := newNet("yolov8n", 3, 320, 320)
	conv := func(x string, c, k, s int) string { return n.conv(x, c, cv{k: k, s: s, pad: -1, act: "silu"}) }
	c2f := func(scope, x string, c, r int, shortcut bool) string {
		n.scope = scope
		h := c / 2
		a, y := conv(x, h, 1, 1), conv(x, h, 1, 1)
		outs := []string{a, y}
		for range r {
			z := conv(conv(y, h, 3, 1), h, 3, 1)
			if shortcut {
				z = n.add(z, y, "")
			}
			y = z
			outs = append(outs, y)
		}
		z := conv(n.concat(outs...), c, 1, 1)
		n.scope = ""
		return z
	}
	x := conv(input, 16, 3, 2)
	x = c2f("stage1", conv(x, 32, 3, 2), 32, 1, true)
	p3 := c2f("stage2", conv(x, 64, 3, 2), 64, 2, true)
	p4 := c2f("stage3", conv(p3, 128, 3, 2), 128, 2, true)
	x = c2f("stage4", conv(p4, 256, 3, 2), 256, 1, true)
	n.scope = "sppf"
	a := conv(x, 128, 1, 1)
	b := n.maxpool(a, 5, 1, 2)
	c := n.maxpool(b, 5, 1, 2)
	p5 := conv(n.concat(a, b, c, n.maxpool(c, 5, 1, 2)), 256, 1, 1)
	n.scope = ""
	n4 := c2f("neck1", n.concat(n.up2(p5), p4), 128, 1, false)
	n3 := c2f("neck2", n.concat(n.up2(n4), p3), 64, 1, false)
	m4 := c2f("neck3", n.concat(conv(n3, 64, 3, 2), n4), 128, 1, false)
	m5 := c2f("neck4", n.concat(conv(m4, 128, 3, 2), p5), 256, 1, false)
	var outs []string
	for i, f := range []string{n3, m4, m5} {
		n.scope = fmt.Sprintf("head%d", i+1)
		outs = append(outs, n.conv(conv(conv(f, 64, 3, 1), 64, 3, 1), 64, cv{k: 1, gain: 0.7, bias: true}))
		outs = append(outs, n.conv(conv(conv(f, 80, 3, 1), 80, 3, 1), 80, cv{k: 1, gain: 0.7, bias: true}))
	}
	return n.done(outs...)
}
