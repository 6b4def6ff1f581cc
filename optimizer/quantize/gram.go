package quantize

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"

	"fettle/internal/fail"
	"fettle/kernels/cpu"
	"fettle/kernels/gemm"
	"fettle/kernels/team"
	"fettle/model"
)

// patches reads the rows that the weights of a layer are multiplied with out of the layer's input: a window under each
// output position of a convolution, a row of a matrix product.
type patches struct {
	groups, width  int // width: numbers of a row, of one group
	kernel         []int
	stride, dilate []int
	begin          []int
	in, out        []int
	perGroup       int // channels
}

// newPatches describes layer n with weight w for an input shape; "" or why it has no such rows.
func newPatches(n *model.Node, w *model.Tensor, shape []int) (*patches, string) {
	if is(n, "Gemm", "MatMul") {
		k := w.Shape[0]
		if is(n, "Gemm") && n.Int("transB", 0) == 1 {
			k = w.Shape[1]
		}
		return &patches{groups: 1, width: k, perGroup: k}, ""
	}
	if !is(n, "Conv") || len(shape) != w.Rank() {
		return nil, "the operator has no rows to build a Hessian of"
	}
	p := &patches{groups: int(n.Int("group", 1)), perGroup: w.Shape[1], kernel: w.Shape[2:], in: shape[2:]}
	p.width = w.Len() / w.Shape[0]
	k := len(p.kernel)
	list := func(name string) []int {
		out := make([]int, k)
		for i := range out {
			out[i] = 1
			if v := n.Ints(name); len(v) == k {
				out[i] = int(v[i])
			}
		}
		return out
	}
	p.stride, p.dilate = list("strides"), list("dilations")
	p.begin, p.out = make([]int, k), make([]int, k)
	pads, auto := n.Ints("pads"), n.Str("auto_pad", "NOTSET")
	for i := range k {
		span := (p.kernel[i]-1)*p.dilate[i] + 1
		if auto == "SAME_UPPER" || auto == "SAME_LOWER" {
			p.out[i] = (p.in[i] + p.stride[i] - 1) / p.stride[i]
			total := max(0, (p.out[i]-1)*p.stride[i]+span-p.in[i])
			p.begin[i] = total / 2
			if auto == "SAME_LOWER" {
				p.begin[i] = total - total/2
			}
			continue
		}
		all := p.in[i]
		if len(pads) == 2*k && auto == "NOTSET" {
			p.begin[i] = int(pads[i])
			all += int(pads[i] + pads[k+i])
		}
		p.out[i] = (all-span)/p.stride[i] + 1
	}
	return p, ""
}

// count is the number of rows in x.
func (p *patches) count(x *model.Tensor) int {
	if p.kernel == nil {
		return x.Len() / p.width
	}
	n := x.Shape[0]
	for _, o := range p.out {
		n *= o
	}
	return n
}

// row writes row at of group g of x to dst, in the order of the weights of an output channel.
func (p *patches) row(dst []float32, x []float32, at, g int) {
	if p.kernel == nil {
		copy(dst, x[at*p.width:][:p.width])
		return
	}
	dims, plane := len(p.out), 1
	for _, d := range p.in {
		plane *= d
	}
	var room [4]int
	first := append(room[:0], p.out...)
	for i := dims - 1; i >= 0; i-- {
		first[i] = at%p.out[i]*p.stride[i] - p.begin[i]
		at /= p.out[i]
	}
	x = x[(at*p.groups+g)*p.perGroup*plane:][:p.perGroup*plane]
	taps := p.width / p.perGroup
	for t := range taps {
		off, inside, rest := 0, true, t
		stride := 1
		for i := dims - 1; i >= 0; i-- {
			c := first[i] + rest%p.kernel[i]*p.dilate[i]
			rest /= p.kernel[i]
			inside = inside && c >= 0 && c < p.in[i]
			off += c * stride
			stride *= p.in[i]
		}
		for c := range p.perGroup {
			if inside {
				dst[c*taps+t] = x[c*plane+off]
			} else {
				dst[c*taps+t] = 0
			}
		}
	}
}

// gramRows is how many rows are multiplied at once in float32; their products are added in float64.
const gramRows = 2048

// gram sums products of the rows of two matrices, for each group of a layer: sum += aᵀ·b. A one behind each row makes the
// last line and column the sums of the rows, and the last element their number.
type gram struct {
	width int // with the one
	sum   [][]float64
}

// grams sums the products of two kinds of rows, those of the float model and those of the quantized one, of picked places.
type grams struct {
	p       *patches
	qq      *gram // of the quantized model's rows
	fq      *gram // of the float model's rows with those
	ff      *gram // of the float model's rows
	a, b, c []float32
	run     *gemm.Run
	scratch []float32
	team    *team.Team
	at      []place // rows that wait
}

type place struct {
	q, f []float32
	row  int
}

func newGrams(p *patches, t *team.Team) (*grams, error) {
	w := p.width + 1
	s := &grams{p: p, team: t, a: make([]float32, gramRows*w), b: make([]float32, gramRows*w), c: make([]float32, w*w)}
	s.qq, s.fq, s.ff = &gram{width: w}, &gram{width: w}, &gram{width: w}
	for range p.groups {
		for _, g := range []*gram{s.qq, s.fq, s.ff} {
			g.sum = append(g.sum, make([]float64, w*w))
		}
	}
	algorithms, err := gemm.Plan(gemm.Shape{M: w, N: w, K: gramRows, TransA: true}, cpu.Detect())
	if err != nil {
		return nil, fail.New(fail.Internal, "%v", err)
	}
	k, err := algorithms[0].Bind(t.Size())
	if err != nil {
		return nil, fail.New(fail.Internal, "%v", err)
	}
	s.scratch = make([]float32, k.Scratch())
	if s.run, err = k.On(gemm.Buffers{A: s.a, B: s.a, C: s.c, Scratch: s.scratch}); err != nil {
		return nil, fail.New(fail.Internal, "%v", err)
	}
	return s, nil
}

// add takes at most rows rows of an item, picked by r.
func (s *grams) add(ctx context.Context, quant, float *model.Tensor, rows int, r *rand.Rand) error {
	n := s.p.count(quant)
	if s.p.count(float) != n {
		return fail.New(fail.Internal, "%v rows of the float model, %v of the quantized one", float.Shape, quant.Shape)
	}
	q, f := model.Data[float32](quant), model.Data[float32](float)
	for _, at := range spread(n, rows, r) {
		s.at = append(s.at, place{q, f, at})
		if len(s.at) == gramRows {
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush multiplies the rows that wait.
func (s *grams) flush(ctx context.Context) error {
	if len(s.at) == 0 {
		return nil
	}
	w := s.qq.width
	for g := range s.p.groups {
		clear(s.a)
		clear(s.b)
		for i, at := range s.at {
			a, b := s.a[i*w:][:w], s.b[i*w:][:w]
			s.p.row(a, at.q, at.row, g)
			s.p.row(b, at.f, at.row, g)
			a[w-1], b[w-1] = 1, 1
		}
		for _, to := range []struct {
			left, right []float32
			sum         []float64
		}{{s.a, s.a, s.qq.sum[g]}, {s.b, s.a, s.fq.sum[g]}, {s.b, s.b, s.ff.sum[g]}} {
			if err := s.run.Set(gemm.Buffers{A: to.left, B: to.right, C: s.c, Scratch: s.scratch}); err != nil {
				return fail.New(fail.Internal, "%v", err)
			}
			if err := s.team.Run(ctx, s.run); err != nil {
				return fail.From(err)
			}
			for i, v := range s.c {
				to.sum[i] += float64(v)
			}
		}
	}
	s.at = s.at[:0]
	return nil
}

// widest is the largest Hessian, in numbers, that is factored: 64 MiB in float64. There are six of it.
const widest = 1 << 23

// fits says why the Hessian of a layer is too large, or "".
func (p *patches) fits() string {
	if n := p.groups * (p.width + 1) * (p.width + 1); n > widest {
		return fmt.Sprintf("its sums run over %d numbers, whose Hessian is larger than %d MiB", p.width, widest*8>>20)
	}
	return ""
}

func newTeam() *team.Team { return team.New(runtime.GOMAXPROCS(0)) }
