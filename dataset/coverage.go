package dataset

import (
	"context"
	"fmt"
	"math"
	"slices"

	"fettle/model"
)

// coverItems bounds the items of a set that are looked at.
const coverItems = 256

// strange is the level of the test: one pair of alike sets in a thousand is called different.
const strange = 0.001

// Coverage says in which way score data look unlike calibration data, one sentence each; none where they look alike. It compares the
// distributions of what single items are like, by the test of Kolmogorov and Smirnov: the mean and the deviation of each float input.
// Sets with fewer than 8 items are not judged.
//
// Source: Smirnov 1948, "Table for estimating the goodness of fit of empirical distributions".
func Coverage(ctx context.Context, calibration, score *Set) ([]string, error) {
	a, err := describe(ctx, calibration)
	if err != nil {
		return nil, err
	}
	b, err := describe(ctx, score)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, v := range calibration.opts.Inputs {
		for k, what := range []string{"mean", "deviation"} {
			x, y := a[v.Name][k], b[v.Name][k]
			if len(x) < 8 || len(y) < 8 {
				continue
			}
			slices.Sort(x)
			slices.Sort(y)
			d := apart(x, y)
			n := float64(len(x)*len(y)) / float64(len(x)+len(y))
			if d > math.Sqrt(-math.Log(strange/2)/2/n) {
				out = append(out, fmt.Sprintf("score items look unlike calibration items: the %s of input %s lies around %.3g, at calibration around %.3g", what, v.Name, y[len(y)/2], x[len(x)/2]))
			}
		}
	}
	return out, nil
}

// describe gives mean and deviation of every item, for each float input.
func describe(ctx context.Context, s *Set) (map[string][2][]float64, error) {
	out := map[string][2][]float64{}
	err := s.EachSample(ctx, coverItems, func(x Sample) error {
		for name, t := range x.Inputs {
			if t.DType != model.Float32 || t.Len() < 2 {
				continue
			}
			n, sum, square := float64(t.Len()), 0.0, 0.0
			for _, v := range model.Data[float32](t) {
				sum, square = sum+float64(v), square+float64(v)*float64(v)
			}
			mean := sum / n
			f := out[name]
			f[0], f[1] = append(f[0], mean), append(f[1], math.Sqrt(math.Max(square/n-mean*mean, 0)))
			out[name] = f
		}
		return nil
	})
	return out, err
}

// apart is the largest distance of the distribution functions of two sorted lists.
func apart(x, y []float64) float64 {
	most, i, j := 0.0, 0, 0
	for i < len(x) && j < len(y) {
		at := math.Min(x[i], y[j])
		for i < len(x) && x[i] == at {
			i++
		}
		for j < len(y) && y[j] == at {
			j++
		}
		most = math.Max(most, math.Abs(float64(i)/float64(len(x))-float64(j)/float64(len(y))))
	}
	return most
}
