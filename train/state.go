package train

import (
	"bytes"
	"encoding/gob"

	"fettle/internal/fail"
	"fettle/model"
)

// state is everything of a pupil that its next step depends on.
type state struct {
	Names         []string
	Weights       [][]float32
	Steps         int
	First, Second [][]float64
	Average       [][]float64
	Thinned       bool
}

// State is what a pupil has learned, and its optimizer, as bytes: Restore goes on from there to the same bits.
func (p *Pupil) State() ([]byte, error) {
	s := state{Steps: p.step.n, First: p.step.first, Second: p.step.second, Average: p.step.average, Thinned: p.masks != nil}
	for _, q := range p.tapes[0].params {
		s.Names, s.Weights = append(s.Names, q.name), append(s.Weights, q.v.v)
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(s); err != nil {
		return nil, fail.New(fail.Internal, "%v", err).Doing("keep a state of training")
	}
	return b.Bytes(), nil
}

// Restore takes a state of a pupil of the same model and the same How. fail.Invalid for any other.
func (p *Pupil) Restore(b []byte) error {
	var s state
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&s); err != nil {
		return fail.New(fail.Invalid, "%v", err).Doing("read a state of training")
	}
	bad := fail.New(fail.Invalid, "it belongs to another model").Doing("read a state of training")
	params := p.tapes[0].params
	fits := func(l [][]float64, of [][]float64) bool {
		if len(l) != len(of) {
			return false
		}
		for i := range l {
			if len(l[i]) != len(of[i]) {
				return false
			}
		}
		return true
	}
	if len(s.Names) != len(params) || len(s.Weights) != len(params) || !fits(s.First, p.step.first) || !fits(s.Second, p.step.second) || !fits(s.Average, p.step.average) {
		return bad
	}
	for i, q := range params {
		if s.Names[i] != q.name || len(s.Weights[i]) != len(q.v.v) {
			return bad
		}
	}
	for i, q := range params {
		copy(q.v.v, s.Weights[i])
	}
	p.step.n, p.step.first, p.step.second, p.step.average = s.Steps, s.First, s.Second, s.Average
	if p.masks = nil; s.Thinned {
		p.remask()
	}
	for _, t := range p.tapes {
		t.fast.changed()
	}
	return nil
}

// Model is the model with the weights as they are now: the averaged ones, where the pupil keeps an average.
func (p *Pupil) Model() (*model.Model, error) {
	t := p.tapes[0]
	if p.step.average == nil {
		return t.model(p.base)
	}
	var kept [][]float32
	for i, q := range t.params {
		kept = append(kept, append([]float32(nil), q.v.v...))
		for k := range p.step.average[i] {
			q.v.v[k] = float32(p.step.average[i][k])
		}
	}
	m, err := t.model(p.base)
	for i, q := range t.params {
		copy(q.v.v, kept[i])
	}
	return m, err
}
