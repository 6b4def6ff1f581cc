package app

import (
	"context"
	"image"
	"math"
	"sort"
	"strconv"

	"fettle/dataset"
	"fettle/internal/task"
	"fettle/model"
)

// Answer is what a classifier says of one item.
type Answer struct {
	Class string
	Share float64 // probability, 0 to 1
}

// AnswerPair is one item before and after quantization.
type AnswerPair struct {
	File          string
	Picture       image.Image // nil: the item is no picture
	Before, After Answer
	Moved         float64 // by how much the probability of the first answer changed, 0 to 1
}

// Same reports whether both models give the same answer.
func (a AnswerPair) Same() bool { return a.Before.Class == a.After.Class }

// shownPictures is how many items keep their picture.
const shownPictures = 24

// compareAnswers runs both models on items of a set; those whose answer changed come first, then those that moved most. Outputs that are
// no row of numbers a class have no answers: the list is empty then.
func (a *App) compareAnswers(ctx context.Context, float, quant *model.Model, set *dataset.Set, limit int, p task.Progress) ([]AnswerPair, error) {
	before, done, err := a.scoreRun(ctx, float)
	if err != nil {
		return nil, err
	}
	defer done()
	after, doneToo, err := a.scoreRun(ctx, quant)
	if err != nil {
		return nil, err
	}
	defer doneToo()
	var out []AnswerPair
	var at []int
	n, total := int64(0), int64(min(limit, set.Len()))
	err = set.EachSample(ctx, limit, func(s dataset.Sample) error {
		x, err := before(ctx, s.Inputs)
		if err != nil {
			return err
		}
		shares := probabilities(x)
		y, err := after(ctx, s.Inputs)
		if err != nil {
			return err
		}
		n++
		p.Report(n, total, "compare answers")
		now := probabilities(y)
		if shares == nil || len(now) != len(shares) {
			return nil
		}
		i, k := largest(shares), largest(now)
		out = append(out, AnswerPair{File: s.File, Before: Answer{className(set, i), shares[i]}, After: Answer{className(set, k), now[k]}, Moved: math.Abs(now[i] - shares[i])})
		at = append(at, s.Index)
		return nil
	})
	if err != nil {
		return nil, err
	}
	order := make([]int, len(out))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, k int) bool {
		x, y := out[order[i]], out[order[k]]
		if x.Same() != y.Same() {
			return !x.Same()
		}
		return x.Moved > y.Moved
	})
	sorted := make([]AnswerPair, 0, len(out))
	for i, o := range order {
		pair := out[o]
		if i < shownPictures {
			if pair.Picture, err = set.Picture(at[o]); err != nil {
				return nil, err
			}
		}
		sorted = append(sorted, pair)
	}
	return sorted, nil
}

func className(set *dataset.Set, i int) string {
	if c := set.Classes(); i < len(c) {
		return c[i]
	}
	return "#" + strconv.Itoa(i)
}

// probabilities are the first output as shares; nil where it is no row of numbers.
func probabilities(out []*model.Tensor) []float64 {
	if len(out) == 0 || out[0] == nil || out[0].DType != model.Float32 || out[0].Len() < 2 {
		return nil
	}
	for _, d := range out[0].Shape {
		if d != 1 && d != out[0].Len() {
			return nil
		}
	}
	x := model.Data[float32](out[0])
	top, low, sum := math.Inf(-1), math.Inf(1), 0.0
	for _, v := range x {
		top, low, sum = max(top, float64(v)), min(low, float64(v)), sum+float64(v)
	}
	p := make([]float64, len(x))
	if low >= 0 && math.Abs(sum-1) < 1e-3 {
		for i, v := range x {
			p[i] = float64(v)
		}
		return p
	}
	sum = 0
	for i, v := range x {
		p[i] = math.Exp(float64(v) - top)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

func largest(p []float64) int {
	best := 0
	for i, v := range p {
		if v > p[best] {
			best = i
		}
	}
	return best
}
