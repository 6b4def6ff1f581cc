package compress

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"fettle/app"
	"fettle/views/kit"
)

// The columns that a table sorts by.
const (
	columnOrder  = "order"
	columnName   = "name"
	columnBytes  = "bytes"
	columnDamage = "damage"
	columnMs     = "ms"
	columnGain   = "gain"
)

// layer is one line of the list.
type layer struct {
	id      string
	keys    []string // imported nodes
	name    string
	op      string
	as      string // its type now: "int8", "int4", "float" ...
	chosen  string // what the user chose, "" for that of the other layers
	bytes   int64
	refused string
	damage  *app.Fidelity // with this layer alone on 8-bit integers
	int4    *app.Fidelity // with its weights alone in 4 bits
	floatNs *float64
	int8Ns  *float64
	why     string // of the advice
	against float64
	order   int
}

// gain is what the layer saves on integers, nil: not known.
func (l layer) gain() *float64 {
	if l.floatNs == nil || l.int8Ns == nil {
		return nil
	}
	g := *l.floatNs - *l.int8Ns
	return &g
}

// layers lists what was measured of the document's float model; empty where nothing was, or of another model.
func layers(d *app.Doc) []layer {
	q := d.Quant
	if q == nil || q.Of != d.QuantBase().Hash() {
		return nil
	}
	var out []layer
	step := d.Quantized()
	for i, l := range q.Layers {
		r := layer{id: string(l.ID), name: l.Name, op: l.Op, bytes: l.Bytes, refused: l.Refused, floatNs: l.FloatNs, int8Ns: l.Int8Ns, order: i, as: "float", chosen: d.LayerType(l.ID)}
		for _, o := range l.Origin {
			r.keys = append(r.keys, string(o))
		}
		for k := range l.At {
			switch l.At[k].As {
			case "int8":
				r.damage = &l.At[k].Damage
			case "int4":
				r.int4 = &l.At[k].Damage
			}
		}
		if l.Int8 != nil {
			r.why, r.against = l.Int8.Why, l.Int8.Against
		}
		if step != nil {
			r.as = typeNow(step, r)
		}
		out = append(out, r)
	}
	return out
}

// typeNow is the type of a layer in the quantized model, from what the pass said about it.
func typeNow(step *app.StepResult, l layer) string {
	for _, f := range step.Findings {
		if len(f.Nodes) == 0 || string(f.Nodes[0]) != l.id {
			continue
		}
		if f.Outcome != "applied" {
			return "float"
		}
		if l.chosen != "" {
			return l.chosen
		}
		if w, ok := step.Options["weights"].(string); ok {
			return w
		}
		return "int8"
	}
	return "float"
}

// order sorts the list; equal ones stay in the order of the graph.
func order(l []layer, by string, up bool) {
	value := func(x layer) float64 {
		switch by {
		case columnBytes:
			return float64(x.bytes)
		case columnDamage:
			if x.damage == nil {
				return -1
			}
			return x.damage.Damage()
		case columnMs:
			if x.floatNs == nil {
				return -1
			}
			return *x.floatNs
		case columnGain:
			if g := x.gain(); g != nil {
				return *g
			}
			return -1e300
		}
		return float64(x.order)
	}
	slices.SortStableFunc(l, func(a, b layer) int {
		c := cmp.Compare(value(a), value(b))
		if by == columnName {
			c = cmp.Compare(a.name, b.name)
		}
		if !up {
			c = -c
		}
		return c
	})
}

// total is one number of the model as it was and as it is.
type total struct {
	name, before, after, delta, token string
	share                             float64 // after over before, at most 1; negative: not known
}

// totals are the file, the predicted time and the distance of the outputs.
func totals(d *app.Doc, list []layer) []total {
	a, b := d.BaseInfo.FileBytes, d.Info.FileBytes
	out := []total{change("file", kit.Bytes(a), kit.Bytes(b), float64(a), float64(b))}
	before, now, known := 0.0, 0.0, false
	for _, l := range list {
		if l.floatNs == nil {
			continue
		}
		known = true
		before += *l.floatNs
		if l.as == "int8" && l.int8Ns != nil {
			now += *l.int8Ns
		} else {
			now += *l.floatNs
		}
	}
	if known {
		out = append(out, change("layers, predicted", kit.Ms(before), kit.Ms(now), before, now))
	}
	return out
}

func change(name, before, after string, a, b float64) total {
	t := total{name: name, before: before, after: after, share: -1, token: "text3"}
	if a > 0 {
		t.share = min(b/a, 1)
		if d := b/a - 1; d != 0 {
			t.delta, t.token = kit.DeltaPercent(d), "gain"
			if d > 0 {
				t.token = "loss"
			}
		}
	}
	return t
}

// trial is one line of what was tried.
type trial struct {
	title, mark, token, text string
}

// trials lists what a search tried; marks are keys of the translations.
func trials(p *app.QuantPlan) []trial {
	var out []trial
	for i, t := range p.Trials {
		r := trial{title: t.Title, mark: "nothing to do", token: "text3", text: t.Reason}
		switch {
		case i == 0:
			r.mark, r.token, r.text = "start", "text2", fidelity(*t.After)
		case t.Kept:
			r.mark, r.token = "kept", "success"
		case t.After != nil || t.Inside:
			r.mark, r.token = "reverted", "warning"
		}
		if m := distances.FindAllString(t.Reason, 3); len(m) == 2 { // of a pass that tried it itself
			r.text = short(m[0]) + " → " + short(m[1])
		}
		if t.After != nil && t.Before != nil {
			r.text = fidelity(*t.Before) + " → " + fidelity(*t.After)
		}
		out = append(out, r)
	}
	return out
}

// distances are those in the words of a pass.
var distances = regexp.MustCompile(`KL [0-9.e+-]+[0-9]`)

// short writes such a distance in two digits.
func short(s string) string {
	v, err := strconv.ParseFloat(strings.TrimPrefix(s, "KL "), 64)
	if err != nil {
		return s
	}
	return "KL " + sci(v)
}

// fidelity is a distance in few characters: by the divergence where there are classes.
func fidelity(f app.Fidelity) string {
	if f.KL != nil {
		return "KL " + sci(*f.KL)
	}
	return kit.Sig(f.SQNR) + "\u00a0dB"
}

// working is the job of this screen that runs, nil: none.
func working(st *app.State) *app.Job {
	for _, j := range st.Active() {
		if j.Title == "Measure layers" || j.Title == "Try all methods of quantization" || j.Title == "Check the quantization" {
			return j
		}
	}
	return nil
}
