// Package predict reckons the least time that arithmetic allows on a target: the floor. No engine can go below it, so a goal below it is
// impossible, and a layer far above it has room.
//
// It invents nothing: where the core, its clock or a number type is not in the table, there is no floor but a reason. It does not guess
// how fast an engine will be. Start reading at Floor.
package predict

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"fettle/profiler"
	"fettle/profiler/trace"
	"fettle/remote/board"
)

// Machine is what of a target the floor depends on.
type Machine struct {
	Parts     []string  // names of its cores: "Cortex-A72"; several where they differ
	Arch      string    // as Go names it
	ISA       []string  // flags as the kernel names them: "asimddp", "avx512f"
	Cores     int       // 0: not known
	Hz        int64     // highest clock; 0: not known
	MemoryBps float64   // measured; 0: not known
	CacheB    int64     // largest cache; 0: not known
	Each      []Cluster // its cores by kind where they are known; empty: all are taken for the fastest
}

// Cluster is some equal cores.
type Cluster struct {
	Part  string
	Cores int
	Hz    int64
}

// Target takes the facts that a trace carries. hz are clocks seen during the run, which the highest clock cannot be below.
func Target(t trace.Target, hz []int64) Machine {
	m := Machine{Arch: t.Arch, ISA: t.ISA, Cores: t.Cores, Hz: t.MaxHz, MemoryBps: t.MemoryBps, CacheB: t.CacheB}
	if m.Hz > 0 {
		for _, v := range hz {
			m.Hz = max(m.Hz, v)
		}
	} else if len(hz) > 0 {
		m.Hz = slices.Max(hz)
	}
	for _, s := range strings.FieldsFunc(t.CPU, func(r rune) bool { return strings.ContainsRune(",+/;", r) }) {
		m.Parts = append(m.Parts, strings.TrimSpace(s))
	}
	return m
}

// Board takes the facts of a board.
func Board(f board.Facts) Machine {
	m := Machine{Arch: f.Arch, ISA: f.ISA, Cores: len(f.Cores)}
	for _, c := range f.Cores {
		if !slices.Contains(m.Parts, c.Part) {
			m.Parts = append(m.Parts, c.Part)
		}
		m.Hz = max(m.Hz, c.MaxHz)
		if i := slices.IndexFunc(m.Each, func(k Cluster) bool { return k.Part == c.Part && k.Hz == c.MaxHz }); i >= 0 {
			m.Each[i].Cores++
		} else {
			m.Each = append(m.Each, Cluster{c.Part, 1, c.MaxHz})
		}
	}
	if len(m.Each) < 2 || m.Arch != "arm64" || slices.ContainsFunc(m.Each, func(k Cluster) bool { return k.Hz == 0 }) {
		m.Each = nil // one kind, or not known well enough
	}
	for _, v := range f.Hz {
		m.Hz = max(m.Hz, v)
	}
	return m
}

// Work is what one layer must do.
type Work struct {
	Op      string
	DType   string // of its products: "float32", "int8", "uint8"
	MACs    int64  // of the direct algorithm
	Bytes   int64  // that it must read and write
	Window  []int  // kernel height and width of a convolution; empty: not known
	Strides []int
	Threads int // 0: all cores
}

// Floor is the least time of work on m in nanoseconds, with its arithmetic in a sentence; nil with the reason where it cannot be
// reckoned. It is the larger of products over peak and bytes over bandwidth; transforms, waiting and everything else are left out.
func Floor(m Machine, w Work) (*float64, string) {
	compute, why := products(m, w)
	memory, moved := bytes(m, w)
	switch {
	case compute == nil && memory == nil:
		return nil, why + "; " + moved
	case compute == nil:
		return memory, moved
	case memory == nil || *compute >= *memory:
		return compute, why
	}
	return memory, moved
}

// products bounds by multiplications.
func products(m Machine, w Work) (*float64, string) {
	if w.MACs <= 0 {
		return nil, "it multiplies nothing that is counted"
	}
	perCycle, why := peak(m, w.DType)
	if perCycle == 0 {
		return nil, why
	}
	if m.Hz <= 0 {
		return nil, "the target does not say how fast its clock is"
	}
	cores := m.Cores
	if w.Threads > 0 && (cores == 0 || w.Threads < cores) {
		cores = w.Threads
	}
	if cores <= 0 {
		return nil, "the number of cores is not known"
	}
	saved, by := algorithm(w)
	if rate, words := mixed(m, w, cores); rate > 0 {
		ns := float64(w.MACs) / saved / rate * 1e9
		return &ns, fmt.Sprintf("%s MAC%s / (%s) = %s", count(float64(w.MACs)), by, words, ms(ns))
	}
	ns := float64(w.MACs) / saved / (float64(cores) * perCycle * float64(m.Hz)) * 1e9
	return &ns, fmt.Sprintf("%s MAC%s / (%s × %g MAC a cycle × %s GHz) = %s", count(float64(w.MACs)), by, plural(cores, "core"), perCycle, three(float64(m.Hz)/1e9), ms(ns))
}

// mixed is how many products a second the fastest of differing cores make together, and the sum in words; 0 where they do not differ.
func mixed(m Machine, w Work, cores int) (rate float64, words string) {
	each := slices.Clone(m.Each)
	speed := func(k Cluster) float64 {
		v, _ := armPeak([]string{k.Part}, !float(w.DType))
		return v * float64(k.Hz)
	}
	slices.SortStableFunc(each, func(a, b Cluster) int { return cmp.Compare(speed(b), speed(a)) })
	var parts []string
	for _, k := range each {
		n := min(k.Cores, cores)
		if cores -= n; n == 0 {
			break
		}
		if speed(k) == 0 {
			return 0, ""
		}
		rate += float64(n) * speed(k)
		parts = append(parts, fmt.Sprintf("%d %s × %g MAC a cycle × %s GHz", n, k.Part, speed(k)/float64(k.Hz), three(float64(k.Hz)/1e9)))
	}
	return rate, strings.Join(parts, " + ")
}

// bytes bounds by memory. What a cache holds need not come from memory, so only layers larger than the largest cache count.
func bytes(m Machine, w Work) (*float64, string) {
	switch {
	case m.MemoryBps <= 0:
		return nil, "the speed of its memory was not measured"
	case m.CacheB <= 0:
		return nil, "the size of its caches is not known"
	case w.Bytes <= m.CacheB:
		return nil, "its data may stay in the cache"
	}
	ns := float64(w.Bytes-m.CacheB) / m.MemoryBps * 1e9
	return &ns, fmt.Sprintf("(%s B - %s B cache) / %s GB a second = %s", count(float64(w.Bytes)), count(float64(m.CacheB)), three(m.MemoryBps/1e9), ms(ns))
}

// algorithm is how many times fewer products than the direct way the best known algorithm needs, and its name for the sentence.
//
// Winograd F(m×m, 3×3) needs (m+2)² products where the direct way needs 9m² (Lavin and Gray 2016, arXiv:1509.09308): 2.25, 4 and 5.06 times fewer for m = 2, 4, 6.
// Its transformed values do not fit 8 bits, so it counts for floating point only.
func algorithm(w Work) (saved float64, by string) {
	if !strings.Contains(w.Op, "Conv") || !float(w.DType) {
		return 1, ""
	}
	unit := func(s []int) bool { return !slices.ContainsFunc(s, func(v int) bool { return v != 1 }) }
	switch {
	case len(w.Window) == 0:
		return 81.0 / 16, " / 5.06 (Winograd F(6,3), allowed for because the kernel size is not known)"
	case slices.Equal(w.Window, []int{3, 3}) && unit(w.Strides):
		return 81.0 / 16, " / 5.06 (Winograd F(6,3), the best of direct, F(2,3), F(4,3) and F(6,3))"
	}
	return 1, ""
}

func float(dtype string) bool { return dtype == "float32" || dtype == "f32" || dtype == "float" }

// Annotate sets the floor of every layer of p, or why there is none, and of the whole where every layer that multiplies has one: layers
// run one after the other, so their sum bounds it.
func Annotate(p *profiler.Profile) {
	m := Target(p.Target, p.Conditions.Hz)
	sum, whole := 0.0, len(p.Layers) > 0
	for i := range p.Layers {
		l := &p.Layers[i]
		threads := p.Plan.Threads
		if l.Threads > 0 {
			threads = l.Threads
		}
		l.FloorNs, l.FloorWhy = Floor(m, Work{Op: l.Op, DType: l.DType, MACs: l.MACs, Bytes: l.Bytes, Window: l.Window, Strides: l.Strides, Threads: threads})
		if l.FloorNs != nil {
			sum += *l.FloorNs
		} else if l.MACs > 0 {
			whole = false
		}
	}
	p.FloorNs = nil
	if whole && sum > 0 {
		p.FloorNs = &sum
	}
}

func count(v float64) string {
	switch {
	case v >= 1e9:
		return three(v/1e9) + " G"
	case v >= 1e6:
		return three(v/1e6) + " M"
	case v >= 1e3:
		return three(v/1e3) + " k"
	}
	return three(v) + " "
}

func ms(ns float64) string {
	if ns < 1e6 {
		return three(ns/1e3) + " µs"
	}
	return three(ns/1e6) + " ms"
}

// three writes three significant digits.
func three(v float64) string {
	if v == 0 {
		return "0"
	}
	d := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	return fmt.Sprintf("%.*f", max(0, d), v)
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
