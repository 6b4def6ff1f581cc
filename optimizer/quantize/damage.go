package quantize

import (
	"context"
	"maps"
	"math"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// Fidelity is how close the outputs of a model are to those of another one, on the same items.
type Fidelity struct {
	N    int      `json:"n"`
	SQNR float64  `json:"sqnr_db"`        // of all float outputs together; 200 where nothing differs
	KL   *float64 `json:"kl,omitempty"`   // mean, in nats, of the first output taken as one number a class; nil where it is none
	Same *float64 `json:"same,omitempty"` // share of items with the same class first; nil likewise

	Moved float64 `json:"moved,omitempty"` // of an output that is one probability: how far it moved in the mean
}

func (f fidelity) public() Fidelity {
	out := Fidelity{N: f.N, SQNR: f.SQNR, Moved: f.Moved}
	if !math.IsNaN(f.KL) {
		out.KL, out.Same = &f.KL, &f.Same
	}
	return out
}

func (f Fidelity) private() fidelity {
	out := fidelity{N: f.N, SQNR: f.SQNR, KL: math.NaN(), Same: math.NaN(), Moved: f.Moved}
	if f.KL != nil {
		out.KL, out.Same = *f.KL, *f.Same
	}
	return out
}

// Damage is one number for what is lost, 0 for nothing: the divergence where there are classes, else the share of noise in the outputs.
func (f Fidelity) Damage() float64 {
	if f.KL != nil {
		return *f.KL
	}
	return math.Pow(10, -f.SQNR/10)
}

// Drop is the share of items with another answer, in percent; where there are no classes, the error of the outputs.
func (f Fidelity) Drop() float64 { return f.private().drop() }

// String is how the ledger says it.
func (f Fidelity) String() string { return f.private().String() }

// Judge compares models with a float model on items that it holds in memory.
type Judge struct{ job *job }

// NewJudge reads at most limit items of data, as many as memory allows, and runs float on them.
func NewJudge(ctx context.Context, env *optimizer.Env, float *model.Model, data optimizer.Data, limit int) (*Judge, error) {
	one, err := loadItems(ctx, data, 1, 1)
	if err != nil {
		return nil, err
	}
	w, err := newWalk(env, float, one.all)
	if err != nil {
		return nil, err
	}
	b, err := loadItems(ctx, data, limit, int(max(memory/w.each([]int{0}), 2)))
	if err != nil {
		return nil, err
	}
	b.held = 0 // all of them judge
	if len(b.all) > limit {
		b.all = b.all[:limit]
	}
	j := &job{env: env, float: float, batch: b}
	j.want, err = outputs(ctx, env, float, b.all)
	return &Judge{j}, err
}

// Items is how many items judge.
func (j *Judge) Items() int { return len(j.job.batch.all) }

// Of compares m with the float model.
func (j *Judge) Of(ctx context.Context, m *model.Model) (Fidelity, error) {
	f, err := j.job.judge(ctx, m)
	return f.public(), err
}

// LayerDamage is a layer with what each type of its weights costs, all other layers left as they are.
type LayerDamage struct {
	ID      model.NodeID   `json:"id"`
	Origin  []model.NodeID `json:"origin"`
	Name    string         `json:"name"`
	Op      string         `json:"op"`
	Bytes   int64          `json:"bytes"` // of its weights in floats
	Refused string         `json:"refused,omitempty"`
	At      []TypeDamage   `json:"at,omitempty"`
}

// TypeDamage is one type for a layer.
type TypeDamage struct {
	As     string   `json:"as"` // "int8": weights and values; others: weights only
	Bytes  int64    `json:"bytes"`
	Damage Fidelity `json:"damage"`
}

// Damages measures every layer alone in each of the types, on calibration items that were held out. Types are "int8", with integers between the
// layers, and what weights alone may have. fail.Usage without data.
func Damages(ctx context.Context, env *optimizer.Env, m *model.Model, types []string, samples int) ([]LayerDamage, error) {
	if env.Data == nil || env.Data.Len() == 0 {
		return nil, fail.New(fail.Usage, "the damage of layers is measured on data").Doing("measure layers").Try("give a folder of typical inputs with --data")
	}
	var out []LayerDamage
	var like *job
	for k, as := range types {
		o := *New().Options().(*Options)
		o.Weights, o.Samples, o.CorrectBias, o.MaxDrop = as, samples, false, 100
		if as != "int8" {
			o.Activations = "none"
		}
		p := &pass{o: o}
		if err := p.supported(); err != nil {
			return nil, err
		}
		j, err := newJob(ctx, env, o, m)
		if err != nil {
			return nil, err
		}
		if j == nil {
			return layersOf(env, m, o)
		}
		if like == nil {
			if err := j.load(ctx); err != nil {
				return nil, err
			}
			like = j
			if out, err = layersOf(env, j.float, o); err != nil {
				return nil, err
			}
		}
		j.batch, j.want = like.batch, like.want
		rest := plan{as: map[model.NodeID]string{}, float: map[model.NodeID]string{}}
		for id := range j.sel.layers {
			rest.float[id] = "tried"
		}
		for i := range out {
			env.Progress.Report(int64(k*len(out)+i), int64(len(types)*len(out)), "measure layers")
			l := j.sel.layers[out[i].ID]
			if l == nil {
				continue
			}
			one := plan{as: map[model.NodeID]string{out[i].ID: as}, float: maps.Clone(rest.float)}
			delete(one.float, out[i].ID)
			w, err := j.write(one)
			if err != nil {
				return nil, err
			}
			if w.sel.layers[out[i].ID] == nil { // it cannot have the type
				continue
			}
			f, err := j.judge(ctx, w.model)
			if err != nil {
				return nil, err
			}
			out[i].At = append(out[i].At, TypeDamage{as, out[i].Bytes - w.saved[out[i].ID], f.public()})
		}
	}
	return out, nil
}

// layersOf lists the layers in the order of the graph, with those that are refused.
func layersOf(env *optimizer.Env, m *model.Model, o Options) ([]LayerDamage, error) {
	s, err := selectNodes(env, m, o, plan{})
	if err != nil {
		return nil, err
	}
	why := map[model.NodeID]string{}
	for _, f := range s.found {
		if f.Outcome == optimizer.Refused && len(f.Nodes) > 0 {
			why[f.Nodes[0]] = f.Reason
		}
	}
	var out []LayerDamage
	for _, n := range m.Graph.Nodes {
		l := s.layers[n.ID]
		reason, refused := why[n.ID]
		if l == nil && !refused {
			continue
		}
		d := LayerDamage{ID: n.ID, Origin: n.Origin, Name: n.Label(), Op: n.Op, Refused: reason}
		if l != nil {
			d.Bytes = int64(len(s.view.Const(l.weight).Raw))
		}
		out = append(out, d)
	}
	return out, nil
}
