package prune

import (
	"context"
	"math"

	"gonum.org/v1/gonum/mat"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// pooled is what a layer reads and gives, averaged over the positions of an item: a row an item.
type pooled struct {
	reader
	x, y *mat.Dense
}

// pool runs the original on items and averages what layers read and give; targets are the answers: of classes, which one, else the numbers.
func (s *space) pool(ctx context.Context, env *optimizer.Env, items []map[string]*model.Tensor) ([]*pooled, *mat.Dense, error) {
	var list []*pooled
	var values []string
	for _, r := range s.reads {
		if s.v.G.Producer(r.node.Inputs[0]) != nil {
			list, values = append(list, &pooled{reader: r}), append(values, r.node.Inputs[0], r.node.Outputs[0])
		}
	}
	values = append(values, s.v.G.Outputs[0].Name)
	part, err := s.showing(s.v.M, values)
	if err != nil {
		return nil, nil, err
	}
	rows := make([][][]float64, len(items))
	env.Progress.Report(0, 0, "what layers say about the answers")
	err = each(ctx, env, part, items, func(i int, out []*model.Tensor) error {
		for _, t := range out {
			if t == nil || t.DType != model.Float32 || t.Rank() < 2 || t.Shape[0] != 1 {
				return fail.New(fail.Unsupported, "layers are compared by items of float32 numbers, one a batch")
			}
			rows[i] = append(rows[i], means(t))
		}
		if last := out[len(out)-1]; last.Rank() == 2 && last.Shape[1] > 1 { // classes
			best, v := 0, rows[i][len(out)-1]
			for k, x := range v {
				if x > v[best] {
					best = k
				}
			}
			clear(v)
			v[best] = 1
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	matrixOf := func(k int) *mat.Dense {
		m := mat.NewDense(len(items), len(rows[0][k]), nil)
		for i := range items {
			m.SetRow(i, rows[i][k])
		}
		return centre(m)
	}
	for k, p := range list {
		p.x, p.y = matrixOf(2*k), matrixOf(2*k+1)
	}
	return list, matrixOf(len(values) - 1), nil
}

// means averages each channel of an item [1, C, …].
func means(t *model.Tensor) []float64 {
	c := t.Shape[1]
	out, each := make([]float64, c), t.Len()/c
	for i, v := range model.Data[float32](t) {
		out[i/each] += float64(v) / float64(each)
	}
	return out
}

// centre takes the mean of each column off.
func centre(m *mat.Dense) *mat.Dense {
	r, c := m.Dims()
	for j := range c {
		mean := 0.0
		for i := range r {
			mean += m.At(i, j) / float64(r)
		}
		for i := range r {
			m.Set(i, j, m.At(i, j)-mean)
		}
	}
	return m
}

// discriminate gives what each class of channels adds to the answers of a linear classifier on what the layer behind gives, averaged over
// positions: the classifier is solved in closed form, with a pull, so no training is needed.
//
// Source: Zhuang et al. 2018, arXiv:1810.11809 (losses behind inner layers that ask for the right class).
func (s *space) discriminate(list []*pooled, targets *mat.Dense) (map[int]float64, error) {
	out := map[int]float64{}
	n, classes := targets.Dims()
	for _, p := range list {
		_, channels := p.x.Dims()
		_, outs := p.y.Dims()
		w := s.v.Const(p.weight)
		width := w.Len() / w.Shape[outAxis(p.node)]
		if channels != len(p.atoms) || outs != w.Len()/width {
			continue
		}
		var cov, cross mat.Dense
		cov.Mul(p.y.T(), p.y)
		diag := 0.0
		for i := range outs {
			diag += cov.At(i, i) / float64(outs)
		}
		for i := range outs { // as many items as outputs say little: a strong pull
			cov.Set(i, i, cov.At(i, i)+0.1*math.Max(diag, 1e-12))
		}
		cross.Mul(p.y.T(), targets)
		var a mat.Dense // outputs x classes
		if err := a.Solve(&cov, &cross); err != nil && a.IsEmpty() {
			return nil, fail.New(fail.Failed, "what %s gives cannot be read by a classifier", p.node.Label())
		}
		rows, each := mat.NewDense(outs, width, matrix(p.node, w)), width/channels
		share, total := make([]float64, channels), 0.0
		for c := range channels {
			variance := 0.0
			for i := range n {
				variance += p.x.At(i, c) * p.x.At(i, c) / float64(n)
			}
			for k := range classes {
				sum := 0.0
				for o := range outs {
					for u := range each {
						sum += a.At(o, k) * rows.At(o, c*each+u)
					}
				}
				share[c] += sum * sum * variance
			}
			total += share[c] / float64(channels)
		}
		for c, v := range share {
			out[find(s.same, p.atoms[c])] += v / math.Max(total, 1e-30)
		}
	}
	return out, nil
}

// byBoth rates a group by what its channels add behind, and by what that says about the answers, half and half.
func (s *space) byBoth(ctx context.Context, g *Group, list []*evidence, says map[int]float64) (map[int]float64, error) {
	out, err := s.rates(ctx, g, list, "activation")
	if err != nil {
		return nil, err
	}
	var mean [2]float64
	for _, c := range g.classes {
		mean[0], mean[1] = mean[0]+out[c.root]/float64(len(g.classes)), mean[1]+says[c.root]/float64(len(g.classes))
	}
	for _, c := range g.classes {
		out[c.root] = out[c.root]/math.Max(mean[0], 1e-30) + says[c.root]/math.Max(mean[1], 1e-30)
	}
	return out, nil
}
