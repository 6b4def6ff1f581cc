package conv

import (
	"bytes"
	"context"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"unsafe"

	"fettle/kernels/cpu"
	"fettle/kernels/team"
)

// guarded copies v to the end of a page behind which nothing may be touched, with the 64 readable bytes that the contract gives.
func guarded[T uint8 | int16 | float32](t *testing.T, v []T) []T {
	t.Helper()
	size := int(unsafe.Sizeof(v[0])) * len(v)
	b, err := cpu.Guarded(size, 64)
	if err != nil {
		t.Skip(err)
	}
	d := unsafe.Slice((*T)(unsafe.Pointer(&b[0])), len(v))
	copy(d, v)
	return d
}

// faults reads the byte at offset i from the beginning of b.
func faults(b []uint8, i int) (fault bool) {
	defer func() { fault = recover() != nil }()
	sink.Store(uint32(*(*uint8)(unsafe.Add(unsafe.Pointer(&b[0]), i))))
	return false
}

var sink atomic.Uint32

// TestGuardPages runs every kernel on buffers that end where memory ends: a read more than 64 bytes behind a tensor, or a write behind it, faults.
// (Borders in front of a tensor are the tests of rows.)
func TestGuardPages(t *testing.T) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if !faults(guarded(t, make([]uint8, 100)), 100+64) || faults(guarded(t, make([]uint8, 100)), 100+63) {
		t.Fatal("the page behind a buffer does not stop who reads it, or the bytes before it do")
	}
	crew := team.New(1)
	defer crew.Close()
	f := cpu.Detect()
	for ci, c := range cases() {
		if testing.Short() && ci%2 == 1 {
			continue
		}
		s := c.s
		r := rand.New(rand.NewPCG(uint64(ci), 9))
		algs, err := Plan(s, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range algs {
			if a.ISA == cpu.Generic {
				continue
			}
			w := random(r, s.WeightLen())
			packed := cpu.Floats(a.PackedLen())
			if err := a.Pack(packed, w, nil); err != nil {
				t.Fatal(err)
			}
			li, lo := cpu.NewLayout(s.N, s.C, s.H, s.W, a.In.Block, a.In.Border), cpu.NewLayout(s.N, s.M, s.OutH(), s.OutW(), a.Out.Block, cpu.Border{})
			b, err := a.Bind(guarded(t, packed), li, lo, nil, 1)
			if err != nil {
				t.Fatal(err)
			}
			run := b.On(Buffers{In: guarded(t, make([]float32, li.Used())), Out: guarded(t, make([]float32, lo.Used())), Scratch: cpu.Floats(b.Scratch())})
			if err := crew.Run(context.Background(), run); err != nil {
				t.Errorf("%s, %s: %v", c.name, a.Name, err)
			}
		}
		names := map[string]bool{}
		for _, isa := range f.Levels() {
			q, err := PlanQ(s, f.Limit(isa))
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range q {
				if a.ISA == cpu.Generic || names[a.Name] {
					continue
				}
				names[a.Name] = true
				for _, least := range []int{-127, -128} {
					w := make([]int8, s.WeightLen())
					for i := range w {
						w[i] = int8(max(least, r.IntN(256)-128))
					}
					packed := cpu.Floats(a.PackedLen())
					if err := a.Pack(packed, w, Quant{InScale: 1, OutScale: 1, WScale: []float32{1}}); err != nil {
						t.Fatal(err)
					}
					li, lo := cpu.NewLayout(s.N, s.C, s.H, s.W, a.In.Block, a.In.Border), cpu.NewLayout(s.N, s.M, s.OutH(), s.OutW(), a.Out.Block, cpu.Border{})
					b, err := a.Bind(guarded(t, packed), li, lo, nil, 1)
					if err != nil {
						t.Fatal(err)
					}
					scratch := bytes.Repeat([]byte{0x11}, b.Scratch())
					if len(scratch) > 0 {
						scratch = guarded(t, scratch)
					}
					run := b.OnQ(QBuffers{In: guarded(t, make([]uint8, li.Used())), Out: guarded(t, make([]uint8, lo.Used())), Scratch: scratch})
					if err := crew.Run(context.Background(), run); err != nil {
						t.Errorf("%s, %s: %v", c.name, a.Name, err)
					}
				}
			}
		}
	}
}
