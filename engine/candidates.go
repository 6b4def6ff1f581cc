package engine

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"fettle/internal/fail"
	"fettle/kernels/conv"
	"fettle/kernels/cpu"
	"fettle/kernels/gemm"
	"fettle/kernels/team"
)

// Work is a shape that kernels compete for: a matrix product or a convolution.
type Work struct {
	Conv *conv.Shape
	Gemm *gemm.Shape
	Int8 bool
}

// maxWork bounds the elements of a tensor of Work, maxMACs its multiply-accumulates.
const (
	maxWork = 1 << 28
	maxMACs = 1 << 38
)

// ParseWork reads "M,N,K" as the product of M x K by constant K x N, and "conv:C,H,W,M,K" as a convolution of C channels of H
// x W to M by K x K, padded to keep the size. Behind the numbers of a convolution may stand s2 (stride), d2 (dilation), g64
// (groups), p0 (padding), n4 (batch).
func ParseWork(text string, int8 bool) (Work, error) {
	bad := func(format string, args ...any) (Work, error) {
		return Work{}, fail.New(fail.Usage, format, args...).Doing("read the shape %q", text).Try("write M,N,K or conv:C,H,W,M,K[,s2][,d2][,g64][,p0][,n4]")
	}
	list, isConv := strings.CutPrefix(text, "conv:")
	var nums []int
	opts := map[byte]int{'s': 1, 'd': 1, 'g': 1, 'n': 1, 'p': -1}
	for _, w := range strings.Split(list, ",") {
		w = strings.TrimSpace(w)
		if isConv && w != "" && len(nums) == 5 {
			v, err := strconv.Atoi(w[1:])
			if _, known := opts[w[0]]; !known || err != nil || v < 0 {
				return bad("%q is no option of a convolution", w)
			}
			opts[w[0]] = v
			continue
		}
		v, err := strconv.Atoi(w)
		if err != nil || v < 1 || v > maxWork {
			return bad("%q is no size from 1 to %d", w, maxWork)
		}
		nums = append(nums, v)
	}
	fits := func(sizes ...int) bool {
		n := 1.0
		for _, s := range sizes {
			n *= float64(s)
		}
		return n <= maxWork
	}
	if !isConv {
		if len(nums) != 3 {
			return bad("a product has three sizes, not %d", len(nums))
		}
		s := &gemm.Shape{M: nums[0], N: nums[1], K: nums[2], ConstB: true, Int8: int8, TransB: int8}
		if !fits(s.M, s.N) || !fits(s.M, s.K) || !fits(s.N, s.K) || float64(s.M)*float64(s.N)*float64(s.K) > maxMACs {
			return bad("the matrices are too large")
		}
		return Work{Gemm: s, Int8: int8}, nil
	}
	if len(nums) != 5 {
		return bad("a convolution has five sizes, not %d", len(nums))
	}
	k := nums[4]
	if opts['p'] < 0 {
		opts['p'] = (k - 1) * opts['d'] / 2
	}
	s := &conv.Shape{N: opts['n'], C: nums[0], H: nums[1], W: nums[2], M: nums[3], KH: k, KW: k, SH: opts['s'], SW: opts['s'], DH: opts['d'], DW: opts['d'],
		PadT: opts['p'], PadL: opts['p'], PadB: opts['p'], PadR: opts['p'], Groups: opts['g']}
	if err := s.Check(); err != nil {
		return bad("%v", err)
	}
	if !fits(s.N, s.C+64, s.H+2*s.PadT, s.W+2*s.PadL) || !fits(s.N, s.M+64, s.OutH(), s.OutW()) || !fits(s.WeightLen()) || s.MACs() > maxMACs {
		return bad("the tensors are too large")
	}
	return Work{Conv: s, Int8: int8}, nil
}

// Candidate is a kernel that can do a work, with what was measured.
type Candidate struct {
	Kernel      string  `json:"kernel"`
	ISA         string  `json:"isa"`
	Ns          int64   `json:"ns"` // tenth percentile
	GFlops      float64 `json:"gflops"`
	Runs        int     `json:"runs"`
	PackedBytes int64   `json:"packed_bytes"`
	Picked      bool    `json:"picked"` // what a plan takes, by the rules of the kernel tables
}

// Candidates times every kernel for w, each for about budget, and marks the one that plans with opt take. They are in the
// order of the tables: the best by their rules first.
func Candidates(ctx context.Context, w Work, opt Options, budget time.Duration) ([]Candidate, error) {
	list, err := w.rivals(&opt)
	if err != nil {
		return nil, err
	}
	words := 0
	if w.Conv != nil {
		words = w.Conv.WeightLen()
	} else {
		words = w.Gemm.N * w.Gemm.K
	}
	if w.Int8 {
		words = (words + 3) / 4
	}
	picked := choose(&opt, list, words)
	crew := team.New(max(1, opt.Threads))
	defer crew.Close()
	out := make([]Candidate, 0, len(list))
	for _, r := range list {
		run, err := r.bind(max(1, opt.Threads))
		if err != nil {
			return nil, fail.New(fail.Internal, "%s: %v", r.name, err)
		}
		ns, runs, err := timed(ctx, crew, run, budget)
		if err != nil {
			return nil, err
		}
		out = append(out, Candidate{Kernel: r.name, ISA: r.isa.String(), Ns: ns, GFlops: 2 * float64(r.macs) / float64(max(1, ns)), Runs: runs,
			PackedBytes: 4 * int64(r.packed), Picked: r.name == picked.name && r.packed == picked.packed})
	}
	return out, nil
}

// timed runs task until budget is over, at least 3 times, and gives the tenth percentile.
func timed(ctx context.Context, crew *team.Team, task team.Task, budget time.Duration) (ns int64, runs int, err error) {
	var all []int64
	for begin := time.Now(); len(all) < 4 || time.Since(begin) < budget && len(all) < 10000; {
		start := time.Now()
		if err := crew.Run(ctx, task); err != nil {
			return 0, 0, err
		}
		all = append(all, int64(time.Since(start)))
	}
	all = all[1:] // the first one meets cold caches
	slices.Sort(all)
	return all[len(all)/10], len(all), nil
}

// rival is one kernel for a work.
type rival struct {
	name   string
	isa    cpu.ISA
	macs   int64
	packed int
	bind   func(workers int) (team.Task, error)
}

// PackedLen is the number of words of packed weights.
func (r rival) PackedLen() int { return r.packed }

func (w Work) rivals(opt *Options) ([]rival, error) {
	var out []rival
	wrong := func(err error) error { return fail.New(fail.Usage, "%v", err) }
	switch {
	case w.Gemm != nil:
		s := *w.Gemm
		s.Fast, s.Half = opt.Fast && !s.Int8, opt.Half && !s.Int8
		list, err := gemm.Plan(s, opt.Features)
		if err != nil {
			return nil, wrong(err)
		}
		for _, a := range list {
			out = append(out, rival{a.Name, a.ISA, a.MACs, a.PackedLen(), func(workers int) (team.Task, error) { return gemmTask(a, workers) }})
		}
	case w.Int8:
		list, err := conv.PlanQ(*w.Conv, opt.Features)
		if err != nil {
			return nil, wrong(err)
		}
		for _, a := range list {
			out = append(out, rival{a.Name, a.ISA, a.MACs, a.PackedLen(), func(workers int) (team.Task, error) { return convTask8(a, workers) }})
		}
	default:
		s := *w.Conv
		s.Fast, s.Half = opt.Fast, opt.Half
		list, err := conv.Plan(s, opt.Features)
		if err != nil {
			return nil, wrong(err)
		}
		for _, a := range list {
			out = append(out, rival{a.Name, a.ISA, a.MACs, a.PackedLen(), func(workers int) (team.Task, error) { return convTask(a, workers) }})
		}
	}
	return out, nil
}

// ramp fills v with small numbers that are all different from their neighbours.
func ramp(v []float32) []float32 {
	for i := range v {
		v[i] = float32(i%17-8) / 16
	}
	return v
}

func ramp8[T int8 | uint8](v []T) []T {
	for i := range v {
		v[i] = T(i % 100)
	}
	return v
}

func gemmTask(a *gemm.Algorithm, workers int) (team.Task, error) {
	s := a.Shape
	packed := cpu.Floats(a.PackedLen())
	k, err := a.Bind(workers)
	if err != nil {
		return nil, err
	}
	b := gemm.Buffers{Packed: packed, Scratch: cpu.Floats(k.Scratch())}
	if s.Int8 {
		if err := a.PackInt8(packed, ramp8(make([]int8, s.N*s.K)), 0); err != nil {
			return nil, err
		}
		b.A8, b.C32, b.Bias32 = ramp8(cpu.Aligned[uint8](s.M*s.K)), cpu.Aligned[int32](s.M*s.N), nil
		return k.On(b)
	}
	if err := a.Pack(packed, ramp(make([]float32, s.N*s.K)), 0); err != nil {
		return nil, err
	}
	b.A, b.C = ramp(cpu.Floats(s.M*s.K)), cpu.Floats(s.M*s.N)
	return k.On(b)
}

func convTask(a *conv.Algorithm, workers int) (team.Task, error) {
	s := a.Shape
	packed := cpu.Floats(a.PackedLen())
	if err := a.Pack(packed, ramp(make([]float32, s.WeightLen())), nil); err != nil {
		return nil, err
	}
	in := cpu.NewLayout(s.N, s.C, s.H, s.W, a.In.Block, a.In.Border)
	out := cpu.NewLayout(s.N, s.M, s.OutH(), s.OutW(), a.Out.Block, a.Out.Border)
	k, err := a.Bind(packed, in, out, nil, workers)
	if err != nil {
		return nil, err
	}
	return k.On(conv.Buffers{In: ramp(cpu.Floats(in.Len())), Out: cpu.Floats(out.Len()), Scratch: cpu.Floats(k.Scratch())}), nil
}

func convTask8(a *conv.QAlgorithm, workers int) (team.Task, error) {
	s := a.Shape
	packed := cpu.Floats(a.PackedLen())
	q := conv.Quant{InScale: 0.02, OutScale: 0.1, InZero: 128, OutZero: 128, WScale: []float32{0.01}}
	if err := a.Pack(packed, ramp8(make([]int8, s.WeightLen())), q); err != nil {
		return nil, err
	}
	in := cpu.NewLayout(s.N, s.C, s.H, s.W, a.In.Block, a.In.Border)
	out := cpu.NewLayout(s.N, s.M, s.OutH(), s.OutW(), a.Out.Block, a.Out.Border)
	k, err := a.Bind(packed, in, out, nil, workers)
	if err != nil {
		return nil, err
	}
	return k.OnQ(conv.QBuffers{In: ramp8(cpu.Aligned[uint8](in.Len())), Out: cpu.Aligned[uint8](out.Len())}), nil
}
