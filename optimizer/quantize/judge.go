package quantize

import (
	"context"
	"fmt"
	"math"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// batch is calibration data in memory: some to look at, some held out to judge by.
type batch struct {
	all  []map[string]*model.Tensor
	held int // of them, spread evenly
}

// isHeld reports whether item i judges.
func (s *batch) isHeld(i int) bool {
	n := len(s.all)
	return i*s.held/n != (i+1)*s.held/n
}

// part lists the items that judge, or the others.
func (s *batch) part(held bool) []map[string]*model.Tensor {
	var out []map[string]*model.Tensor
	for i, it := range s.all {
		if s.isHeld(i) == held {
			out = append(out, it)
		}
	}
	return out
}

// judges are the items that judge: those held out, all where there are none.
func (s *batch) judges() []map[string]*model.Tensor {
	if s.held == 0 {
		return s.all
	}
	return s.part(true)
}

// mostHeld bounds the items that judge.
const mostHeld = 64

// loadItems reads samples items to look at and half as many, at most mostHeld, to judge by; where the data has too few, a
// quarter of them judges. limit is the most of both.
func loadItems(ctx context.Context, data optimizer.Data, samples, limit int) (*batch, error) {
	n := min(samples+min((samples+1)/2, mostHeld), data.Len(), limit)
	s := &batch{held: min(n-min(samples, n), mostHeld)}
	if s.held < min(n/4, mostHeld) {
		s.held = min(n/4, mostHeld)
	}
	err := data.Each(ctx, n, func(_ int, in map[string]*model.Tensor) error {
		c := map[string]*model.Tensor{}
		for k, t := range in {
			c[k] = t.Clone()
		}
		s.all = append(s.all, c)
		return nil
	})
	if err == nil && len(s.all) == 0 {
		err = fail.New(fail.Usage, "there is no calibration data")
	}
	return s, err
}

// fidelity is how close the outputs of a model are to those of another.
type fidelity struct {
	N    int
	SQNR float64 // dB, of all float outputs together
	KL   float64 // mean, in nats, of the first output taken as one number a class; NaN where it is none
	Same float64 // share of items with the same class first; NaN likewise
	// Of a first output that is one probability, how far it moved in the mean. A class is what is above a half then: few items seldom
	// lie near it, so that counting answers would see nothing.
	Moved float64
}

// drop is what max_drop bounds, in percent: items with another answer; where there are no classes, the error of the outputs.
func (f fidelity) drop() float64 {
	if !math.IsNaN(f.KL) {
		return 100 * max(1-f.Same, f.Moved)
	}
	return 100 * math.Pow(10, -f.SQNR/20)
}

// better reports whether f is closer than g: by divergence where there are classes, else by error.
func (f fidelity) better(g fidelity) bool {
	if !math.IsNaN(f.KL) && !math.IsNaN(g.KL) {
		return f.KL < g.KL
	}
	return f.SQNR > g.SQNR
}

func (f fidelity) String() string {
	if math.IsNaN(f.KL) {
		return fmt.Sprintf("%.1f dB", f.SQNR)
	}
	return fmt.Sprintf("KL %.3g, %.1f dB, %.1f %% the same answer", f.KL, f.SQNR, 100*f.Same)
}

// outputs runs m on items and gives its outputs.
func outputs(ctx context.Context, env *optimizer.Env, m *model.Model, items []map[string]*model.Tensor) ([][]*model.Tensor, error) {
	w, err := newWalk(env, m, items)
	if err != nil {
		return nil, err
	}
	if err := w.to(ctx, len(m.Graph.Nodes)); err != nil {
		return nil, err
	}
	out := make([][]*model.Tensor, len(items))
	for i := range items {
		for _, o := range m.Graph.Outputs {
			out[i] = append(out[i], w.have[i][o.Name])
		}
	}
	return out, nil
}

// compare judges outputs by those of the float model.
func compare(want, got [][]*model.Tensor) fidelity {
	f := fidelity{N: len(want)}
	signal, noise := 0.0, 0.0
	for i := range want {
		for k, a := range want[i] {
			b := got[i][k]
			if a == nil || b == nil || a.DType != model.Float32 || b.DType != model.Float32 || a.Len() != b.Len() {
				continue
			}
			x, y := model.Data[float32](a), model.Data[float32](b)
			for e := range x {
				d := float64(x[e]) - float64(y[e])
				signal += float64(x[e]) * float64(x[e])
				noise += d * d
			}
			if k == 0 {
				f.KL += divergence(a, b) / float64(len(want))
				if top(x) == top(y) {
					f.Same += 1 / float64(len(want))
				}
				if len(x) == 1 {
					f.Moved += math.Abs(float64(x[0])-float64(y[0])) / float64(len(want))
				}
			}
		}
	}
	f.SQNR = decibel(signal, noise)
	return f
}

// top is the class of an output: the largest number, of a single one whether it is above a half.
func top(x []float32) int {
	if len(x) == 1 && x[0] >= .5 {
		return 1
	}
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// decibel is the ratio of a signal to noise; 200 where there is no noise.
func decibel(signal, noise float64) float64 {
	if noise == 0 || signal == 0 {
		return 200
	}
	return math.Min(10*math.Log10(signal/noise), 200)
}

// divergence is KL(softmax(a) || softmax(b)); a single number from 0 to 1 is the probability of one of two classes. NaN where a is not
// one row of numbers.
func divergence(a, b *model.Tensor) float64 {
	if a.Len() == 1 {
		p, q := float64(model.Data[float32](a)[0]), float64(model.Data[float32](b)[0])
		if p < 0 || p > 1 || q < 0 || q > 1 {
			return math.NaN()
		}
		term := func(p, q float64) float64 {
			if p == 0 {
				return 0
			}
			return p * math.Log(p/max(q, 1e-6))
		}
		return max(term(p, q)+term(1-p, 1-q), 0)
	}
	most := 0
	for _, d := range a.Shape {
		most = max(most, d)
	}
	if most < 2 || most != a.Len() {
		return math.NaN()
	}
	p, q := logSoftmax(model.Data[float32](a)), logSoftmax(model.Data[float32](b))
	sum := 0.0
	for i := range p {
		sum += math.Exp(p[i]) * (p[i] - q[i])
	}
	return math.Max(sum, 0)
}

// logSoftmax takes numbers that are probabilities already as they are.
func logSoftmax(x []float32) []float64 {
	out := make([]float64, len(x))
	top, low, sum := math.Inf(-1), math.Inf(1), 0.0
	for _, v := range x {
		top, low, sum = math.Max(top, float64(v)), math.Min(low, float64(v)), sum+float64(v)
	}
	if low >= 0 && math.Abs(sum-1) < 1e-3 {
		for i, v := range x {
			out[i] = math.Max(math.Log(float64(v)), -100)
		}
		return out
	}
	sum = 0
	for _, v := range x {
		sum += math.Exp(float64(v) - top)
	}
	for i, v := range x {
		out[i] = math.Max(float64(v)-top-math.Log(sum), -100)
	}
	return out
}
