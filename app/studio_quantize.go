package app

import (
	"context"
	"maps"
	"slices"
	"strings"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/optimizer"
	"fettle/optimizer/quantize"
)

// Quant is what was found out about quantizing the open model. A part belongs to the model that its hash names: views show it for
// no other.
type Quant struct {
	Target string // whose times are shown

	Of     string // hash of the float model that Layers belong to
	Layers []QuantLayer
	Advice *Int8Advice
	NoTime string // why there are no times

	Plan *QuantPlan // of the last search, nil: none

	Checked string // hash of the quantized model that Quality and Answers belong to
	Quality *QuantQuality
	Answers []AnswerPair
}

// quantEntry is the place of the entry that quantizes in the ledger, -1: there is none that is on.
func quantEntry(l []Entry) int {
	return slices.IndexFunc(l, func(e Entry) bool { return e.On && e.Pass == "quantize" })
}

// QuantBase is the model that the ledger's quantization begins with: the result of the entry before it, else the model as it is.
func (d *Doc) QuantBase() *model.Model {
	i := quantEntry(d.Ledger())
	if i < 0 || i >= len(d.Steps) {
		return d.Model
	}
	for k := i - 1; k >= 0; k-- {
		if d.Steps[k].Model != nil {
			return d.Steps[k].Model
		}
	}
	return d.Base
}

// Quantized is the entry that quantizes with its result, nil: the ledger has none that ran.
func (d *Doc) Quantized() *StepResult {
	if i := quantEntry(d.Ledger()); i >= 0 && i < len(d.Steps) && d.Steps[i].Model != nil {
		return &d.Steps[i]
	}
	return nil
}

// MeasureLayers finds out what fewer bits cost each layer, and how long layers take on a board in floats and on integers.
func (s *Studio) MeasureLayers(board string) {
	d, ok := s.ready("measure the layers")
	if !ok {
		return
	}
	if board == "" {
		board = LocalTarget
	}
	base := d.QuantBase()
	s.boardJob("Measure layers", board, "", func(ctx context.Context, p task.Progress, a Asks) error {
		got, err := s.app.QuantizeLayers(ctx, QuantRequest{Model: base, Data: d.Data, Target: board, Threads: s.State().Settings.Threads, Asks: a, Progress: p})
		if err != nil {
			return err
		}
		s.editQuant(d.ID, func(q *Quant) {
			q.Target, q.Of, q.Layers, q.Advice, q.NoTime = board, base.Hash(), got.Layers, got.Advice, got.TimesE
		})
		return nil
	})
}

// dropInPlan is how many percent of held-out answers a recommended plan may change before layers stay float.
const dropInPlan = 1

// Recommend tries every method of quantization and puts the plan that came out into the ledger; undo brings the old one back.
func (s *Studio) Recommend() {
	d, ok := s.ready("quantize")
	if !ok {
		return
	}
	if d.Data == "" {
		s.fail(fail.New(fail.Usage, "no calibration data was chosen").Doing("quantize").Try("choose a folder of typical inputs"))
		return
	}
	s.job("Try all methods of quantization", d.Name, func(ctx context.Context, p task.Progress) error {
		plan, err := s.app.AutoQuantize(ctx, AutoRequest{Model: d.Base, Steps: d.Recipe().Steps, Data: d.Data, MaxDrop: dropInPlan, Progress: p})
		if err != nil {
			return err
		}
		s.editQuant(d.ID, func(q *Quant) { q.Plan = plan })
		s.ledger("Apply the recommended plan", "", func(_ *Doc, l []Entry) ([]Entry, error) { return entries(plan.Recipe.Steps), nil })
		return nil
	})
}

// SetLayerType chooses the type of a layer; "" is that of the other layers. Without a quantization in the ledger one is added.
func (s *Studio) SetLayerType(id model.NodeID, as string) {
	s.ledger("Choose the type of a layer", as, func(d *Doc, l []Entry) ([]Entry, error) {
		name := layerName(d.QuantBase(), id)
		i := quantEntry(l)
		if i < 0 {
			l = append(l, Entry{optimizer.RecipeStep{Pass: "quantize"}, true})
			i = len(l) - 1
		}
		l[i].Options = maps.Clone(l[i].Options)
		if l[i].Options == nil {
			l[i].Options = map[string]any{}
		}
		var keep []string
		for _, e := range typesOfLayers(l[i].Options) {
			if n, _, _ := cutType(e); n != name {
				keep = append(keep, e)
			}
		}
		if as != "" {
			keep = append(keep, name+"="+as)
		}
		delete(l[i].Options, "layers")
		if len(keep) > 0 {
			l[i].Options["layers"] = keep
		}
		return l, nil
	})
}

// QuantOptions are the options of the ledger's quantization that differ from the defaults, and whether there is one.
func (d *Doc) QuantOptions() (options map[string]any, there bool) {
	if i := quantEntry(d.Ledger()); i >= 0 {
		return d.Ledger()[i].Options, true
	}
	return nil, false
}

// LayerTypes are the types that a layer may be given beside the other options of the quantization.
func (d *Doc) LayerTypes() []string {
	o, _ := d.QuantOptions()
	return quantize.LayerTypes(o)
}

// SetPrecision chooses one option of the quantization for all layers: the type of weights or values, or how weights are rounded. Types of single layers
// that do not go with it are given up. Without a quantization in the ledger one is added.
func (s *Studio) SetPrecision(key, value string) {
	s.ledger("Choose the precision", value, func(d *Doc, l []Entry) ([]Entry, error) {
		i := quantEntry(l)
		if i < 0 {
			l = append(l, Entry{optimizer.RecipeStep{Pass: "quantize"}, true})
			i = len(l) - 1
		}
		o := maps.Clone(l[i].Options)
		if o == nil {
			o = map[string]any{}
		}
		o[key] = value
		types := quantize.LayerTypes(o)
		var keep []string
		for _, e := range typesOfLayers(o) {
			if _, as, ok := cutType(e); ok && slices.Contains(types, as) {
				keep = append(keep, e)
			}
		}
		delete(o, "layers")
		if len(keep) > 0 {
			o["layers"] = keep
		}
		l[i].Options = o
		return l, nil
	})
}

// LayerType is the type that was chosen for a layer, "" for that of the other layers.
func (d *Doc) LayerType(id model.NodeID) string {
	i := quantEntry(d.Ledger())
	if i < 0 {
		return ""
	}
	name := layerName(d.QuantBase(), id)
	for _, e := range typesOfLayers(d.Ledger()[i].Options) {
		if n, as, ok := cutType(e); ok && (n == name || n == string(id)) {
			return as
		}
	}
	return ""
}

// typesOfLayers reads the option layers, which a recipe file gives as a list of any.
func typesOfLayers(options map[string]any) []string {
	switch v := options["layers"].(type) {
	case []string:
		return v
	case []any:
		var out []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

func cutType(entry string) (name, as string, ok bool) {
	i := strings.LastIndexByte(entry, '=')
	if i < 1 {
		return "", "", false
	}
	return entry[:i], entry[i+1:], true
}

// checkedItems is how many items a check runs.
const checkedItems = 96

// CheckQuantized compares the quantized model with the float model: value by value on calibration items, and answers on held-out ones where
// the sample has such, else on the same.
func (s *Studio) CheckQuantized() {
	d, ok := s.ready("check the quantization")
	if !ok {
		return
	}
	step := d.Quantized()
	if step == nil || d.Data == "" {
		s.fail(fail.New(fail.NotFound, "nothing is quantized").Doing("check the quantization").Try("quantize the model first"))
		return
	}
	float, quant := d.QuantBase(), d.Model
	s.job("Check the quantization", d.Name, func(ctx context.Context, p task.Progress) error {
		pre, err := preprocessOf(d.Base, "", d.Data)
		if err != nil {
			return err
		}
		set, err := s.app.openData(d.Data, d.Base, pre)
		if err != nil {
			return err
		}
		quality, err := s.app.quality(ctx, float, quant, set, checkedItems/3, p)
		if err != nil {
			return err
		}
		if d.Sample && d.Trained {
			if set, err = s.app.openData(SampleScore, d.Base, pre); err != nil {
				return err
			}
		}
		answers, err := s.app.compareAnswers(ctx, d.Base, quant, set, checkedItems, p)
		if err != nil {
			return err
		}
		s.editQuant(d.ID, func(q *Quant) { q.Checked, q.Quality, q.Answers = quant.Hash(), quality, answers })
		return nil
	})
}

// editQuant changes a copy of what is known of quantizing the document.
func (s *Studio) editQuant(doc int64, f func(q *Quant)) {
	s.editDoc(doc, func(_ *State, d *Doc) {
		q := Quant{}
		if d.Quant != nil {
			q = *d.Quant
		}
		f(&q)
		d.Quant = &q
	})
}
