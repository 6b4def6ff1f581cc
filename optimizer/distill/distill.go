// Package distill owns the pass distill: it trains the weights of the model as it is now to give what the model at the start of
// the recipe gives, on data without labels, and keeps the best weights by held-out items.
//
// The gradients are those of train; the teacher runs with the runner of the environment. Start reading at Options, then at
// course.run; fold.go trains a convolution and its normalisation as one.
package distill

import (
	"context"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
	"fettle/train"
)

// distill
//
//	Before:     weights W after steps that changed the function
//	After:      weights W' that minimise the distance to the outputs of the first model of the recipe
//	Conditions: every operator between the input and the output has a gradient; one output; data.
//	Formula:    T² KL(softmax(t/T) || softmax(s/T)) + f * sum over stages of |s_k - t_k|² / |t_k|², AdamW or SGD with momentum, the rate
//	            along a cosine; normalisations keep their statistics. Stored integers are rounded on the way, their steps learned.
//	Exactness:  scored: only data says how good it is.
//	Paper:      Hinton et al. 2015, arXiv:1503.02531; Romero et al. 2015, arXiv:1412.6550 (inner values);
//	            Esser et al. 2020, arXiv:1902.08153 (steps of quantization).

// Options are the options of distill.
type Options struct {
	Samples     int     `opt:"samples" min:"16" max:"1000000" help:"data items to learn from; a tenth of them judges"`
	Minutes     float64 `opt:"minutes" min:"0.01" max:"10000" step:"0.5" unit:"min" help:"time after which it stops at the latest"`
	Epochs      int     `opt:"epochs" min:"1" max:"10000" help:"passes over the data, where the time allows"`
	Temperature float64 `opt:"temperature" min:"0.5" max:"50" help:"softens the answers of both models, so that small ones count too" paper:"Hinton et al. 2015, arXiv:1503.02531"`
	Labels      float64 `opt:"labels" min:"0" max:"1" help:"share of the right classes in the loss, where data lie in folders, one a class; 0: none are needed"`
	Features    float64 `opt:"features" min:"0" max:"100" help:"weight of the values between stages beside the answers; 0: the answers alone" paper:"Romero et al. 2015, arXiv:1412.6550"`
	Blocks      int     `opt:"blocks" min:"0" max:"10000" help:"passes before these in which every block between values that both models have learns by itself from what the original has at its ends, side by side; 0: none" paper:"Li et al. 2020, arXiv:1911.13053"`
	Inputs      string  `opt:"inputs" enum:"data synthesised" help:"the data given, or, where there are none, inputs synthesised from the statistics that the original's normalisations have stored: data-free, and called that" paper:"Cai et al. 2020, arXiv:2001.00281"`
	Control     bool    `opt:"control" help:"for a check only: every item is taught the answer to another one, so that nothing can be gained"`
	Optimizer   string  `opt:"optimizer" enum:"adamw sgd" help:"how steps follow from gradients"`
	Rate        float64 `opt:"rate" min:"0.0000001" max:"10" help:"learning rate at the start; it falls to zero along a cosine. That of AdamW is a share of the size of each row of weights"`
	Decay       float64 `opt:"decay" min:"0" max:"1" help:"pull of weights towards zero"`
	Sparsity    float64 `opt:"sparsity" min:"0" max:"0.99" step:"0.05" help:"share of the weights of each layer that is zero in the end; it rises along a cube over the first seven tenths. A smaller file once packed, the same speed" paper:"Zhu and Gupta 2017, arXiv:1710.01878"`
	Clip        float64 `opt:"clip" min:"0" max:"1000000" help:"largest norm of a gradient, longer ones are shortened; 0: no bound" paper:"Pascanu et al. 2013, arXiv:1211.5063"`
	Average     float64 `opt:"average" min:"0" max:"0.99999" help:"the weights that count are a running average, of which a step keeps this share; 0: the weights themselves"`
	Memory      float64 `opt:"memory" min:"0" max:"1000000" unit:"MiB" help:"most values of a step that are kept for the way back, of all threads together; the others are computed again, which takes longer and gives the same bits; 0: all are kept" paper:"Chen et al. 2016, arXiv:1604.06174"`
	Batch       int     `opt:"batch" min:"1" max:"4096" help:"items a step"`
	Augment     string  `opt:"augment" enum:"flip-shift shift none" help:"pictures are mirrored and moved by an eighth at random: the teacher answers for each anew"`
	Seed        int     `opt:"seed" min:"0" max:"1000000000" help:"order of the data, beside the seed of the recipe"`
}

// how is for so many workers that learn side by side.
func (o Options) how(workers int) train.How {
	return train.How{Optimizer: o.Optimizer, Decay: o.Decay, Clip: o.Clip, Average: o.Average, Relative: true,
		Recompute: train.Recompute{Bytes: int64(o.Memory * (1 << 20) / float64(workers))}}
}

// New makes the pass with its defaults.
func New() optimizer.Pass {
	return &pass{o: Options{Samples: 2000, Minutes: 3, Epochs: 20, Temperature: 4, Features: 1, Inputs: "data", Optimizer: "adamw", Rate: 0.0125, Batch: 32, Augment: "flip-shift"}}
}

type pass struct{ o Options }

const name = "distill"

// Info describes the pass.
func (p *pass) Info() optimizer.Info {
	return optimizer.Info{Name: name, Title: "Distill", Exactness: optimizer.Scored, NeedsData: true,
		Promise: "Trains what earlier steps left to answer as the original model does, on data without labels.",
		Paper:   "Hinton et al. 2015, arXiv:1503.02531", Undo: "the weights before the training"}
}

// Options is the struct of options.
func (p *pass) Options() any { return &p.o }

// Check says whether the model can be trained; it needs no data.
func (p *pass) Check(_ *optimizer.Env, m *model.Model) ([]optimizer.Finding, error) {
	twin, err := (&course{m: m}).twin()
	if err != nil {
		return nil, err
	}
	f := finding(m)
	f.Outcome = optimizer.Applied
	if _, err := train.NewPupil(twin, 1, p.o.how(1)); err != nil {
		f.Outcome, f.Reason = optimizer.Refused, fail.From(err).Error()
	}
	return []optimizer.Finding{f}, nil
}

// Apply trains. fail.Usage without data, fail.Unsupported naming the operator that has no gradient.
func (p *pass) Apply(ctx context.Context, env *optimizer.Env, m *model.Model) (*model.Model, []optimizer.Finding, error) {
	f := finding(m)
	if env.Base == nil || env.Base.Hash() == m.Hash() && p.o.Sparsity == 0 {
		f.Outcome, f.Reason = optimizer.Refused, "the model is the one to learn from: no step before this one changed it"
		return m, []optimizer.Finding{f}, nil
	}
	if p.o.Inputs == "data" && (env.Data == nil || env.Data.Len() == 0) {
		return nil, nil, fail.New(fail.Usage, "distillation needs data").Doing("distill").Try("give a folder of typical inputs with --data, labels are not needed; without any, inputs = \"synthesised\" makes some up")
	}
	c, err := newCourse(ctx, env, p.o, m)
	if err != nil {
		return nil, nil, fail.In(err, "distill", fail.Where{})
	}
	defer c.close()
	out, reason, err := c.run(ctx)
	if err != nil {
		return nil, nil, fail.In(err, "distill", fail.Where{})
	}
	f.Outcome, f.Reason = optimizer.Applied, reason
	if out == m {
		f.Outcome = optimizer.Refused
	}
	return out, []optimizer.Finding{f}, nil
}

// finding starts the line of the ledger: it names every layer with weights.
func finding(m *model.Model) optimizer.Finding {
	var layers []*model.Node
	for _, n := range m.Graph.Nodes {
		for _, in := range n.Inputs {
			if t := m.Graph.Init(in); t != nil && t.DType == model.Float32 && t.Rank() > 1 {
				layers = append(layers, n)
				break
			}
		}
	}
	f := optimizer.Describe(name, layers...)
	f.Label = "distillation"
	return f
}
