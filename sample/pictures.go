package sample

import (
	"image"
	"image/color"
	"math"
	"math/rand/v2"
)

// PictureSize is the width and height of the generated pictures.
const PictureSize = 32

// Classes are the shapes that the trained sample tells apart, in label order.
func Classes() []string {
	return []string{"circle", "cross", "diamond", "ring", "square", "star", "stripes", "triangle"}
}

// Split names a set of generated pictures; the sets never share one.
type Split uint64

// The sets: for training, for calibration, for scoring.
const (
	TrainSplit     Split = 1
	CalibrateSplit Split = 2
	ScoreSplit     Split = 3
)

// Picture draws picture i of a split: a shape of class i mod 8 with random place, size, turn and colours on a noisy
// background with a second faint shape. The same split and i give the same pixels on every machine.
func Picture(s Split, i int) (img *image.RGBA, label int) {
	rng := rand.New(rand.NewPCG(uint64(s)<<32|uint64(i), 0xfe771e))
	label = i % len(Classes())
	img = image.NewRGBA(image.Rect(0, 0, PictureSize, PictureSize))
	uniform := func(lo, hi float64) float64 { return lo + float64((hi-lo)*rng.Float64()) }
	var back, front, faint [3]float64
	for c := range back {
		back[c] = uniform(40, 215)
		faint[c] = back[c] + uniform(-30, 30)
		d := uniform(45, 110)
		if rng.IntN(2) == 0 {
			d = -d
		}
		front[c] = back[c] + d
	}
	slopeX, slopeY := uniform(-1.2, 1.2), uniform(-1.2, 1.2)
	noise := uniform(6, 20)
	main := placed{label, uniform(12, 20), uniform(12, 20), uniform(8, 13), uniform(-0.6, 0.6)}
	other := placed{rng.IntN(len(Classes())), uniform(4, 28), uniform(4, 28), uniform(4, 7), uniform(0, 2*math.Pi)}
	for y := range PictureSize {
		for x := range PictureSize {
			a, b := main.cover(x, y), other.cover(x, y)
			var px [3]uint8
			for c := range px {
				v := back[c] + float64(slopeX*float64(x-16)) + float64(slopeY*float64(y-16))
				v += float64(b * (faint[c] - back[c]))
				v += float64(a * (front[c] - v))
				v += float64(noise * (rng.Float64() + rng.Float64() - 1))
				px[c] = uint8(math.Max(0, math.Min(255, math.Round(v))))
			}
			img.SetRGBA(x, y, color.RGBA{px[0], px[1], px[2], 255})
		}
	}
	return img, label
}

// placed is a shape with centre, radius and turn.
type placed struct {
	class     int
	cx, cy, r float64
	turn      float64
}

// cover is the share of pixel (x, y) inside the shape, from 3x3 samples.
func (p placed) cover(x, y int) float64 {
	sin, cos := math.Sincos(p.turn)
	in := 0
	for i := range 9 {
		dx := float64(x) + float64(i%3)/3 + 1.0/6 - p.cx
		dy := float64(y) + float64(i/3)/3 + 1.0/6 - p.cy
		u, v := (float64(dx*cos)+float64(dy*sin))/p.r, (float64(dy*cos)-float64(dx*sin))/p.r
		if inside(p.class, u, v) {
			in++
		}
	}
	return float64(in) / 9
}

// inside tests a point of the unit shape of a class, in the order of Classes.
func inside(class int, u, v float64) bool {
	r := math.Hypot(u, v)
	au, av := math.Abs(u), math.Abs(v)
	switch class {
	case 0: // circle
		return r < 0.92
	case 1: // cross
		return au < 0.32 && av < 1 || av < 0.32 && au < 1
	case 2: // diamond, longer than wide
		return float64(au*1.7)+av < 1.1
	case 3: // ring
		return r < 1 && r > 0.56
	case 4: // square
		return au < 0.8 && av < 0.8
	case 5: // star with five points
		a := math.Mod(math.Atan2(v, u)+2*math.Pi, 2*math.Pi/5) - math.Pi/5
		return r < 0.48+float64(0.6*math.Abs(a)/(math.Pi/5))
	case 6: // stripes
		return au < 0.9 && av < 0.9 && math.Mod(u+3, 0.6) < 0.3
	}
	return v > -0.75 && v < 0.85 && au < 0.58*(v+0.75) // triangle
}
