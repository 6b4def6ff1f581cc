package conv

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"fettle/kernels/cpu"
	"fettle/kernels/team"
)

// resnet50 lists the 53 convolutions of ResNet-50 v1.5 at 224 x 224.
func resnet50() []Shape {
	relu := func(s Shape) Shape { s.Act.Kind = cpu.ReLU; return s }
	l := []Shape{relu(sq(3, 224, 224, 64, 7, 2, 3))}
	in, hw := 64, 56
	for i, st := range []struct{ mid, out, n int }{{64, 256, 3}, {128, 512, 4}, {256, 1024, 6}, {512, 2048, 3}} {
		for j := range st.n {
			stride := 1
			if i > 0 && j == 0 {
				stride = 2
			}
			l = append(l, relu(sq(in, hw, hw, st.mid, 1, 1, 0)), relu(sq(st.mid, hw, hw, st.mid, 3, stride, 1)))
			if j == 0 {
				l = append(l, sq(in, hw, hw, st.out, 1, stride, 0))
			}
			hw /= stride
			l = append(l, relu(with(sq(st.mid, hw, hw, st.out, 1, 1, 0), func(s *Shape) { s.Residual = true })))
			in = st.out
		}
	}
	return l
}

// mobilenetV2 lists the 52 convolutions of MobileNetV2, width 1, at 224 x 224.
func mobilenetV2() []Shape {
	six := func(s Shape) Shape { s.Act = cpu.Act{Kind: cpu.Clamp, B: 6}; return s }
	l := []Shape{six(sq(3, 224, 224, 32, 3, 2, 1))}
	in, hw := 32, 112
	for _, b := range []struct{ t, c, n, s int }{{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}} {
		for j := range b.n {
			st := 1
			if j == 0 {
				st = b.s
			}
			mid := in * b.t
			if b.t > 1 {
				l = append(l, six(sq(in, hw, hw, mid, 1, 1, 0)))
			}
			l = append(l, six(with(sq(mid, hw, hw, mid, 3, st, 1), func(s *Shape) { s.Groups = mid })))
			hw /= st
			l = append(l, with(sq(mid, hw, hw, b.c, 1, 1, 0), func(s *Shape) { s.Residual = st == 1 && in == b.c }))
			in = b.c
		}
	}
	return append(l, six(sq(in, hw, hw, 1280, 1, 1, 0)))
}

// BenchmarkNetwork runs all convolutions of a network in order, with buffers that are reused as an arena would.
func BenchmarkNetwork(b *testing.B) {
	nets := map[string][]Shape{"resnet50": resnet50(), "mobilenetv2": mobilenetV2()}
	for _, name := range []string{"resnet50", "mobilenetv2"} {
		for _, isa := range cpu.Detect().Levels()[1:] {
			for workers := 1; workers <= 2; workers++ {
				b.Run(fmt.Sprintf("%s/%v/%d", name, isa, workers), func(b *testing.B) { network(b, nets[name], cpu.Detect().Limit(isa), workers) })
			}
		}
	}
}

func network(b *testing.B, shapes []Shape, f cpu.Features, workers int) {
	var tasks []team.Task
	macs := int64(0)
	block := func(floats int) []float32 {
		m, err := cpu.NewBlock(4 * floats)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = m.Free() })
		return m.Floats()
	}
	var pool [4][]float32
	for i := range pool {
		pool[i] = block(3 << 20)
	}
	weights := block(80 << 20)
	for i, s := range shapes {
		algs, err := Plan(s, f)
		if err != nil {
			b.Fatal(err)
		}
		a := algs[0]
		n := roundUp(a.PackedLen(), 16)
		var packed []float32
		packed, weights = weights[:n], weights[n:]
		li, lo := cpu.NewLayout(1, s.C, s.H, s.W, a.In.Block, a.In.Border), cpu.NewLayout(1, s.M, s.OutH(), s.OutW(), a.Out.Block, cpu.Border{Top: 1, Left: 1, Bottom: 1, Right: 1})
		if i+1 < len(shapes) && shapes[i+1].KH == 1 {
			lo = cpu.NewLayout(1, s.M, s.OutH(), s.OutW(), a.Out.Block, cpu.Border{})
		}
		var lr *cpu.Layout
		if s.Residual {
			lr = &lo
		}
		k, err := a.Bind(packed, li, lo, lr, workers)
		if err != nil {
			b.Fatal(err)
		}
		if max(li.Len(), lo.Len(), k.Scratch()) > len(pool[0]) {
			b.Fatal(s, "does not fit")
		}
		tasks = append(tasks, k.On(Buffers{In: pool[i%2], Out: pool[1-i%2], Res: pool[2], Scratch: pool[3]}))
		macs += s.MACs()
	}
	crew := team.New(workers)
	defer crew.Close()
	t := math.Inf(1) // the best run: the machine may be shared
	for b.Loop() {
		begin := time.Now()
		if err := crew.Run(context.Background(), tasks...); err != nil {
			b.Fatal(err)
		}
		t = min(t, time.Since(begin).Seconds())
	}
	b.ReportMetric(t*1e3, "best-ms")
	b.ReportMetric(2*float64(macs)/t/1e9, "GFLOP/s")
}
