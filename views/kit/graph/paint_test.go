package graph

import (
	"bytes"
	"flag"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"

	"fettle/views/kit/raster"
	"fettle/views/kit/theme"
)

var update = flag.Bool("update", false, "rewrite the golden pictures")

func fonts(t testing.TB) *raster.Fonts {
	f, err := raster.NewFonts(goregular.TTF, gobold.TTF)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func inks(dark bool) *Inks { return NewInks(theme.Colors(dark), dark) }

// small has one of everything the painter knows.
func small() *Scene {
	s := &Scene{Key: Legend{Unit: "ms", Node: [3]string{"6.49", "3.24"}, Group: [3]string{"41.7", "20.8"}}}
	add := func(x, y, w, h float32, n Node) {
		n.Box = Rect{x, y, x + w, y + h}
		s.Nodes = append(s.Nodes, n)
	}
	s.Frames = append(s.Frames,
		Frame{Box: Rect{10, 90, 460, 330}, Title: "layer3", Sub: "6 blocks", Val: "41.7 ms"},
		Frame{Box: Rect{24, 126, 446, 320}, Title: "layer3.0", Sub: "bottleneck", Val: "11.0 ms", Depth: 1})
	add(120, 20, 232, 50, Node{Title: "layer2", Sub: "4 blocks, 13 convs", Val: "28.9 ms", Heat: .69, Len: .69, Badge: "mix", Group: true})
	add(40, 170, 180, 50, Node{Title: "conv2 with a very long name", Sub: "Conv 3×3", Val: "3.52 ms", Heat: .54, Len: .54, Badge: "i8"})
	add(240, 170, 190, 50, Node{Title: "down", Sub: "Conv 1×1 /2", Heat: -1, Badge: "f32"})
	add(40, 238, 180, 50, Node{Title: "bn2", Sub: "folded into conv2", Heat: -1, Diff: Removed})
	add(240, 238, 190, 50, Node{Title: "cast", Sub: "1×64×56×56", Val: "1.02 ms", Heat: .1, Len: .1, Diff: Added})
	add(150, 346, 168, 28, Node{Title: "add", Sub: "+ ReLU", Val: "0.15 ms", Heat: .02, Small: true, Diff: Changed})
	s.Edge(0, true, 236, 74, 236, 126)
	s.Edge(1, true, 236, 146, 130, 170)
	s.Edge(2, true, 236, 146, 335, 170)
	s.Edge(3, true, 130, 288, 210, 346)
	s.Edge(4, true, 335, 288, 260, 346)
	s.Edge(5, false, 236, 374, 236, 420)
	s.Build()
	return s
}

// kinds is small under a lens with classes.
func kinds(k *Inks) *Scene {
	s := small()
	s.Key = Legend{Unit: "Type", Classes: []Class{{"convolution", k.Primary, 41}, {"element-wise", k.Warning, 7}}}
	return s
}

func view(s *Scene, c Camera) *View {
	v := &View{Camera: c, Marks: make([]Mark, len(s.Nodes)), Minimap: true, Legend: true, Words: English}
	if len(v.Marks) > 4 {
		v.Marks[1] = Selected | Found
		v.Marks[2] = Coupled
		v.Marks[4] = Current
	}
	return v
}

func TestGolden(t *testing.T) {
	for _, c := range []struct {
		name    string
		dark    bool
		zoom    float64
		scale   float64
		classes bool
	}{{"dark-100", true, 1, 1, false}, {"light-150", false, 1, 1.5, true}, {"dark-55", true, .55, 1, false}, {"light-15", false, .15, 1, false}} {
		k := inks(c.dark)
		s := small()
		v := view(s, Camera{-100, 0, c.zoom})
		if c.classes {
			s = kinds(k)
			v.Ramp = k.Classes(s.Key.Classes)
		}
		img := image.NewRGBA(image.Rect(0, 0, int(640*c.scale), int(440*c.scale)))
		NewPainter(fonts(t), k).Paint(img, c.scale, s, v)
		golden(t, "testdata/"+c.name+".png", img)
	}
}

// golden compares with a kept picture; other processors may fuse multiply and add, so a rounding step at rims is allowed.
func golden(t *testing.T, name string, img *image.RGBA) {
	t.Helper()
	if *update {
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	ref, ok := want.(*image.RGBA)
	if !ok || ref.Rect != img.Rect {
		t.Fatalf("%s: %T %v", name, want, want.Bounds())
	}
	far, sum := 0, 0
	for i, b := range img.Pix {
		d := int(b) - int(ref.Pix[i])
		d = max(d, -d)
		sum += d
		if d > 24 {
			far++
		}
	}
	if far > len(img.Pix)/5000 || sum > len(img.Pix)/50 {
		t.Errorf("%s: %d channels differ by more than 24, mean %.4f", name, far, float64(sum)/float64(len(img.Pix)))
	}
}

// Chinese comes from our own font, which the toolkit's lacks: no two characters look alike.
func TestChinese(t *testing.T) {
	picture := func(title string) []byte {
		s := &Scene{Nodes: []Node{{Box: Rect{10, 10, 210, 60}, Title: title, Heat: .5}}}
		s.Build()
		img := image.NewRGBA(image.Rect(0, 0, 220, 70))
		NewPainter(Fonts(), inks(true)).Paint(img, 1, s, &View{Camera: Camera{Zoom: 1}})
		return img.Pix
	}
	if bytes.Equal(picture("卷积"), picture("池化")) {
		t.Error("two words give the same picture: the characters are missing")
	}
}

func TestNoAllocations(t *testing.T) {
	s := small()
	for _, z := range []float64{.1, 1} {
		p := NewPainter(fonts(t), inks(true))
		img := image.NewRGBA(image.Rect(0, 0, 640, 440))
		v := view(s, Camera{-20, -20, z})
		x := 0.0
		a := testing.AllocsPerRun(50, func() {
			x++
			v.Camera.X = -20 + math.Mod(x, 7)
			p.Paint(img, 1, s, v)
		})
		if a > 1 { // the canvas
			t.Errorf("zoom %v: %v allocations a frame", z, a)
		}
	}
}

// Any camera and any size: no panic, and every pixel is opaque.
func TestAnyCamera(t *testing.T) {
	s := small()
	r := rand.New(rand.NewPCG(1, 2))
	p := NewPainter(fonts(t), inks(true))
	both := []*Inks{inks(true), inks(false)}
	for i := range 300 {
		w, h := 1+r.IntN(300), 1+r.IntN(300)
		c := Camera{r.Float64()*900 - 400, r.Float64()*900 - 400, MinZoom * math.Pow(MaxZoom/MinZoom, r.Float64())}
		p.Inks = both[i%2]
		img := image.NewRGBA(image.Rect(0, 0, w, h))
		p.Paint(img, []float64{1, 1.25, 2}[i%3], s, view(s, c))
		for k := 3; k < len(img.Pix); k += 4 {
			if img.Pix[k] != 255 {
				t.Fatalf("camera %v: hole at byte %d", c, k)
			}
		}
	}
	empty := &Scene{}
	empty.Build()
	p.Paint(image.NewRGBA(image.Rect(0, 0, 200, 200)), 1, empty, view(empty, Camera{0, 0, 1}))
}

func TestRamps(t *testing.T) {
	for _, dark := range []bool{true, false} {
		k := inks(dark)
		d := k.Diverging()
		if d.Strip[128] != k.Bg4 || d.Strip[0] != k.Gain || d.Body[128] != k.Bg2 {
			t.Errorf("diverging: %x %x %x", d.Strip[0], d.Strip[128], d.Body[128])
		}
		cs := []Class{{Color: k.Gain}, {Color: k.Loss}, {Color: k.Primary}, {Color: k.Warning}, {Color: k.Focus}}
		r := k.Classes(cs)
		for i, c := range cs {
			if r.Strip[uint8(ClassValue(i, len(cs))*255)] != c.Color {
				t.Errorf("class %d: %x", i, c.Color)
			}
		}
		// hot is the end far from the background
		lum := func(c raster.Color) int { k := c.NRGBA(); return int(k.R)*2 + int(k.G)*7 + int(k.B) }
		if h := &k.HeatRamp.Strip; (lum(h[255]) > lum(h[0])) != dark {
			t.Errorf("dark %v: heat runs the wrong way", dark)
		}
	}
}
