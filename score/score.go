// Package score owns judging a model on data: top-1 with its interval, and agreement with a reference model.
//
// It runs nothing itself: a function from inputs to outputs comes from the caller, so that the same score can be
// taken of our engine, of ONNX Runtime and of a board. Start reading at Classify.
package score

import (
	"context"
	"math"

	"fettle/dataset"
	"fettle/internal/fail"
	"fettle/model"
)

// Run computes the outputs of one item.
type Run func(ctx context.Context, inputs map[string]*model.Tensor) ([]*model.Tensor, error)

// Result is a score. A nil field was not measured.
type Result struct {
	N         int        `json:"n"`
	Score     *float64   `json:"score,omitempty"` // share of right answers; nil without labels
	Metric    string     `json:"metric"`
	Interval  [2]float64 `json:"interval"`            // Wilson, 95 %, of Score, or of Agreement without labels
	Agreement *Agreement `json:"agreement,omitempty"` // nil without reference
	PerClass  []Class    `json:"per_class,omitempty"`
	Twice     *int       `json:"twice,omitempty"` // items that both levels of nested weights computed; nil where one level ran
}

// Agreement compares with a reference model, item by item.
type Agreement struct {
	Top1     float64    `json:"top1"` // share of items with the same answer
	Interval [2]float64 `json:"interval"`
	KL       float64    `json:"kl"`    // mean KL(reference || model) of the outputs, in nats
	Gains    int        `json:"gains"` // wrong with the reference, right now
	Losses   int        `json:"losses"`
}

// Class is the score of one class; flips count items whose answer differs from the reference.
type Class struct {
	Name  string   `json:"name"`
	N     int      `json:"n"`
	Right *float64 `json:"right,omitempty"`
	Flips *int     `json:"flips,omitempty"`
}

// Classify scores a classifier on at most limit items (0: all) of set, spread evenly. The first output holds one
// number for each class, logits or probabilities. reference may be nil. fail.Invalid where there is neither a
// label for every item nor a reference, or the outputs are no vector of at least as many numbers as classes.
func Classify(ctx context.Context, set *dataset.Set, limit int, run, reference Run) (*Result, error) {
	labelled := set.Labelled()
	if !labelled && reference == nil {
		return nil, fail.New(fail.Invalid, "the data has no labels and there is no reference model").Doing("score").
			Try("sort the files into class folders, write a labels.csv, or give a reference")
	}
	r := &Result{Metric: "top-1"}
	names := set.Classes()
	classes := map[int]*tally{}
	right, same, sumKL := 0, 0, 0.0
	agree := &Agreement{}
	err := set.EachSample(ctx, limit, func(s dataset.Sample) error {
		p, err := answer(ctx, run, s, len(names), labelled)
		if err != nil {
			return err
		}
		top := argmax(p)
		class := s.Label
		var refTop int
		if reference != nil {
			q, err := answer(ctx, reference, s, len(names), labelled)
			if err != nil {
				return fail.In(err, "run the reference", fail.Where{})
			}
			if len(q) != len(p) {
				return fail.New(fail.Invalid, "%d numbers, the reference gives %d", len(p), len(q))
			}
			refTop = argmax(q)
			sumKL += divergence(q, p)
			if !labelled {
				class = refTop
			}
		}
		t := classes[class]
		if t == nil {
			t = &tally{}
			classes[class] = t
		}
		t.n++
		r.N++
		if labelled && top == s.Label {
			right++
			t.right++
		}
		if reference != nil {
			if top == refTop {
				same++
			} else {
				t.flips++
			}
			if labelled && top == s.Label && refTop != s.Label {
				agree.Gains++
			}
			if labelled && top != s.Label && refTop == s.Label {
				agree.Losses++
			}
		}
		return nil
	})
	if err != nil {
		return nil, fail.In(err, "score", fail.Where{})
	}
	if labelled {
		share := float64(right) / float64(r.N)
		r.Score = &share
		r.Interval = Wilson(right, r.N)
	}
	if reference != nil {
		agree.Top1, agree.Interval, agree.KL = float64(same)/float64(r.N), Wilson(same, r.N), sumKL/float64(r.N)
		r.Agreement = agree
		if !labelled {
			r.Metric, r.Interval = "agreement", agree.Interval
		}
	}
	r.PerClass = perClass(classes, names, labelled, reference != nil)
	return r, nil
}

type tally struct{ n, right, flips int }

func perClass(classes map[int]*tally, names []string, labelled, reference bool) []Class {
	most := -1
	for c := range classes {
		most = max(most, c)
	}
	var out []Class
	for c := 0; c <= most; c++ {
		t := classes[c]
		if t == nil {
			continue
		}
		k := Class{N: t.n, Name: number(c)}
		if labelled && c < len(names) {
			k.Name = names[c]
		}
		if labelled {
			share := float64(t.right) / float64(t.n)
			k.Right = &share
		}
		if reference {
			k.Flips = &t.flips
		}
		out = append(out, k)
	}
	return out
}

func number(c int) string {
	if c < 10 {
		return string(rune('0' + c))
	}
	return number(c/10) + number(c%10)
}

// answer is the first output as numbers, one a class.
func answer(ctx context.Context, run Run, s dataset.Sample, classes int, labelled bool) ([]float64, error) {
	out, err := run(ctx, s.Inputs)
	if err != nil {
		return nil, fail.In(err, "", fail.Where{File: s.File})
	}
	if len(out) == 0 || out[0] == nil || out[0].DType == model.String || out[0].DType.Composite() || out[0].Len() == 0 {
		return nil, fail.New(fail.Invalid, "the model gives no numbers to classify by").At(fail.Where{File: s.File})
	}
	t := out[0]
	last := t.Shape
	if len(last) == 0 || t.Len() != longest(last) {
		return nil, fail.New(fail.Invalid, "the first output has shape %v, not one number a class", t.Shape)
	}
	if labelled && t.Len() < classes {
		return nil, fail.New(fail.Invalid, "the model knows %d classes, the data has %d", t.Len(), classes)
	}
	p := make([]float64, t.Len())
	for i := range p {
		p[i] = t.Float64At(i)
	}
	return p, nil
}

func longest(dims []int) int {
	m := 0
	for _, d := range dims {
		m = max(m, d)
	}
	return m
}

func argmax(p []float64) int {
	best := 0
	for i, v := range p {
		if v > p[best] || math.IsNaN(p[best]) {
			best = i
		}
	}
	return best
}

// divergence is KL(softmax(q) || softmax(p)) in nats; outputs that are probabilities already are taken as they are.
func divergence(q, p []float64) float64 {
	a, b := logProbabilities(q), logProbabilities(p)
	sum := 0.0
	for i := range a {
		if w := math.Exp(a[i]); w > 0 {
			sum += w * (a[i] - b[i])
		}
	}
	return math.Max(sum, 0)
}

// logProbabilities floors at -100: a probability of 0 would make the divergence infinite for one item.
func logProbabilities(x []float64) []float64 {
	out := make([]float64, len(x))
	sum, low := 0.0, math.Inf(1)
	for _, v := range x {
		sum += v
		low = math.Min(low, v)
	}
	if low >= 0 && math.Abs(sum-1) < 1e-3 {
		for i, v := range x {
			out[i] = math.Max(math.Log(v), -100)
		}
		return out
	}
	top := x[argmax(x)]
	sum = 0
	for _, v := range x {
		sum += math.Exp(v - top)
	}
	for i, v := range x {
		out[i] = math.Max(v-top-math.Log(sum), -100)
	}
	return out
}

// Wilson is the 95 % interval of a share of k in n.
//
// Source: E. B. Wilson 1927, JASA 22, 209-212.
func Wilson(k, n int) [2]float64 {
	if n == 0 {
		return [2]float64{0, 1}
	}
	const z = 1.959963984540054
	p, m := float64(k)/float64(n), float64(n)
	mid := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return [2]float64{math.Max(mid-half, 0), math.Min(mid+half, 1)}
}
