package predict

import (
	"math"
	"strings"
	"testing"

	"fettle/profiler"
	"fettle/profiler/trace"
	"fettle/remote/board"
)

func pi4() Machine {
	return Machine{Parts: []string{"Cortex-A72"}, Arch: "arm64", Cores: 4, Hz: 1_800_000_000}
}

func TestFloor(t *testing.T) {
	x86 := func(isa ...string) Machine { return Machine{Arch: "amd64", ISA: isa, Cores: 2, Hz: 3e9} }
	conv := Work{Op: "Conv", DType: "float32", MACs: 115_605_504, Window: []int{3, 3}, Strides: []int{1, 1}} // 64 -> 64 channels, 56 x 56
	with := func(w Work, f func(*Work)) Work { f(&w); return w }
	direct := 115_605_504.0 / (4 * 4 * 1.8) // ns
	for _, c := range []struct {
		name string
		m    Machine
		w    Work
		ns   float64 // NaN: none
		why  string
	}{
		{"1x1", pi4(), with(conv, func(w *Work) { w.Window = []int{1, 1} }), direct, "116 M MAC / (4 cores × 4 MAC a cycle × 1.80 GHz) = 4.01 ms"},
		{"3x3 by Winograd", pi4(), conv, direct / 5.0625, "Winograd F(6,3)"},
		{"3x3 stride 2 is direct", pi4(), with(conv, func(w *Work) { w.Strides = []int{2, 2} }), direct, "116 M MAC / (4"},
		{"5x5 is direct", pi4(), with(conv, func(w *Work) { w.Window = []int{5, 5} }), direct, "116 M MAC / (4"},
		{"size not known", pi4(), with(conv, func(w *Work) { w.Window = nil }), direct / 5.0625, "not known"},
		{"int8 is direct, 8 a cycle", pi4(), with(conv, func(w *Work) { w.DType = "int8" }), direct / 2, "8 MAC a cycle"},
		{"one thread", pi4(), with(conv, func(w *Work) { w.Window, w.Threads = []int{1, 1}, 1 }), direct * 4, "(1 core × 4"},
		{"more threads than cores", pi4(), with(conv, func(w *Work) { w.Window, w.Threads = []int{1, 1}, 9 }), direct, "(4 cores"},
		{"AVX-512", x86("avx2", "avx512f"), with(conv, func(w *Work) { w.Window = []int{1, 1} }), 115_605_504.0 / (2 * 32 * 3), "32 MAC a cycle"},
		{"VNNI", x86("avx512f", "avx512_vnni"), with(conv, func(w *Work) { w.DType = "uint8" }), 115_605_504.0 / (2 * 128 * 3), "128 MAC"},
		{"AVX-512 without VNNI, int8", x86("avx2", "avx512f"), with(conv, func(w *Work) { w.DType = "int8" }), math.NaN(), "not in the table"},
		{"no clock", Machine{Parts: []string{"Cortex-A72"}, Arch: "arm64", Cores: 4}, conv, math.NaN(), "how fast its clock is"},
		{"core not in the table", Machine{Parts: []string{"Cortex-A72", "Cortex-X9"}, Arch: "arm64", Cores: 4, Hz: 1e9}, conv, math.NaN(), `"Cortex-X9"`},
		{"no core named", Machine{Arch: "arm64", Cores: 4, Hz: 1e9}, conv, math.NaN(), "what core"},
		{"mixed cores take the faster", Machine{Parts: []string{"Cortex-A55", "Cortex-A76"}, Arch: "arm64", Cores: 8, Hz: 2e9}, with(conv, func(w *Work) { w.DType = "int8" }), 115_605_504.0 / (8 * 32 * 2), "32 MAC"},
		{"riscv64", Machine{Arch: "riscv64", Cores: 1, Hz: 1e9}, conv, math.NaN(), `"riscv64"`},
		{"float16", pi4(), with(conv, func(w *Work) { w.DType = "float16" }), math.NaN(), `"float16"`},
		{"nothing to multiply", pi4(), Work{Op: "Relu", DType: "float32", Bytes: 1 << 20}, math.NaN(), "multiplies nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ns, why := Floor(c.m, c.w)
			if (ns == nil) != math.IsNaN(c.ns) || ns != nil && math.Abs(*ns/c.ns-1) > 1e-9 {
				got := math.NaN()
				if ns != nil {
					got = *ns
				}
				t.Errorf("%g ns, want %g", got, c.ns)
			}
			if !strings.Contains(why, c.why) {
				t.Errorf("why: %s", why)
			}
		})
	}
}

func TestFloorByMemory(t *testing.T) {
	m := pi4()
	m.MemoryBps, m.CacheB = 4e9, 1<<20
	relu := Work{Op: "Relu", DType: "float32", Bytes: 9 << 20}
	if ns, why := Floor(m, relu); ns == nil || math.Abs(*ns-float64(8<<20)/4) > 1 || !strings.Contains(why, "4.00 GB a second") {
		t.Errorf("%v %s", ns, why)
	}
	relu.Bytes = 1 << 19
	if ns, why := Floor(m, relu); ns != nil || !strings.Contains(why, "cache") {
		t.Errorf("in the cache: %v %s", ns, why)
	}
	gemv := Work{Op: "Gemm", DType: "float32", MACs: 4_000_000, Bytes: 16_000_000}
	if _, why := Floor(m, gemv); !strings.Contains(why, "GB a second") {
		t.Errorf("memory is the larger bound: %s", why)
	}
	gemv.MACs *= 1000
	if _, why := Floor(m, gemv); !strings.Contains(why, "MAC a cycle") {
		t.Errorf("products are the larger bound: %s", why)
	}
}

func TestAnnotate(t *testing.T) {
	p := &profiler.Profile{Target: trace.Target{CPU: "Cortex-A72", Arch: "arm64", Cores: 4, MaxHz: 1.5e9}, Plan: trace.Plan{Threads: 2}, Conditions: profiler.Conditions{Hz: []int64{1.8e9}},
		Layers: []profiler.Layer{{Op: "Gemm", DType: "float32", MACs: 28_800_000}, {Op: "Relu", DType: "float32"}, {Op: "Gemm", DType: "float32", MACs: 28_800_000, Threads: 1}}}
	Annotate(p)
	if sum := p.FloorNs; sum == nil || math.Abs(*sum-(2e6+4e6)) > 1 {
		t.Fatalf("sum %v: %+v", p.FloorNs, p.Layers)
	}
	if p.Layers[1].FloorNs != nil || p.Layers[1].FloorWhy == "" {
		t.Errorf("Relu: %+v", p.Layers[1])
	}
	p.Layers[2].DType = "int4"
	if Annotate(p); p.FloorNs != nil {
		t.Error("a sum although a layer has no floor")
	}
	p.Layers = nil
	if Annotate(p); p.FloorNs != nil {
		t.Error("a sum of nothing")
	}
}

func TestBoard(t *testing.T) {
	f := board.Facts{Arch: "arm64", Cores: []board.Core{{Part: "Cortex-A55", MaxHz: 1.8e9}, {Part: "Cortex-A55", MaxHz: 1.8e9}, {Part: "Cortex-A76", MaxHz: 2.4e9}}}
	m := Board(f)
	if m.Cores != 3 || m.Hz != 2.4e9 || len(m.Parts) != 2 {
		t.Errorf("%+v", m)
	}
	if ns, _ := Floor(Board(board.Facts{Arch: "arm64", Cores: []board.Core{{Part: "Cortex-A53"}}}), Work{Op: "Conv", DType: "int8", MACs: 1}); ns != nil {
		t.Error("a floor without a clock")
	}
}
