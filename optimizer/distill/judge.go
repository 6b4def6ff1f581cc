package distill

import (
	"context"
	"fmt"
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// result is how far outputs are from those of the original on held-out items.
type result struct {
	Classes bool
	KL      float64 // mean KL(original || model) of outputs that are one number a class
	Same    float64 // share of items with the same answer
	Noise   float64 // squared difference as a share of the squared outputs
}

func (d result) better(e result) bool {
	if d.Classes {
		return d.KL < e.KL
	}
	return d.Noise < e.Noise
}

func (d result) String() string {
	if d.Classes {
		return fmt.Sprintf("KL %.3g, %.1f %% the same answer", d.KL, 100*d.Same)
	}
	return fmt.Sprintf("%.3g of the squared size of the outputs", d.Noise)
}

// judge runs m on the held-out items.
func (c *course) judge(ctx context.Context, m *model.Model) (result, error) {
	if c.thawed == nil { // the same function in less time
		folded, _, err := fold(m)
		if err != nil {
			return result{}, err
		}
		m = folded
	}
	s, err := c.env.Open(ctx, m)
	if err != nil {
		return result{}, err
	}
	defer s.Close()
	d := result{}
	signal, noise := 0.0, 0.0
	for i, x := range c.held {
		out, err := s.Run(ctx, c.in.Tensors(x))
		if err != nil {
			return d, err
		}
		got, want := model.Data[float32](out[0]), c.want[i]
		if len(got) != len(want) {
			return d, fail.New(fail.Invalid, "%d numbers, the original gives %d", len(got), len(want))
		}
		d.Classes = len(want) > 1 && len(out[0].Shape) == 2
		for k, v := range want {
			e := float64(v) - float64(got[k])
			signal, noise = signal+float64(v)*float64(v), noise+e*e
		}
		kl, same := compare(want, got)
		d.KL += kl / float64(len(c.held))
		if same {
			d.Same += 1 / float64(len(c.held))
		}
	}
	d.Noise = noise / math.Max(signal, 1e-30)
	if math.IsNaN(d.Noise) || math.IsNaN(d.KL) {
		d.Noise, d.KL = math.Inf(1), math.Inf(1)
	}
	return d, nil
}

// compare gives KL(softmax(a) || softmax(b)) and whether the largest stands at the same place.
func compare(a, b []float32) (float64, bool) {
	p, q := logs(a), logs(b)
	sum, ta, tb := 0.0, 0, 0
	for i := range p {
		sum += math.Exp(p[i]) * (p[i] - q[i])
		if a[i] > a[ta] {
			ta = i
		}
		if b[i] > b[tb] {
			tb = i
		}
	}
	return sum, ta == tb
}

func logs(v []float32) []float64 {
	out := make([]float64, len(v))
	top, sum := math.Inf(-1), 0.0
	for _, x := range v {
		top = math.Max(top, float64(x))
	}
	for _, x := range v {
		sum += math.Exp(float64(x) - top)
	}
	for i, x := range v {
		out[i] = float64(x) - top - math.Log(sum)
	}
	return out
}
