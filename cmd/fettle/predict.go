package main

import (
	"fmt"
	"io"
	"math"
	"slices"

	"fettle/app"
)

type predictCmd struct {
	Model    []string `arg:"" help:"ONNX or TensorFlow Lite files."`
	Optimize bool     `help:"Apply the recipe standard first."`
	Check    bool     `help:"Measure as well, and say how far the prediction is from it, layer by layer."`
	Rounds   int      `default:"3" help:"With --check: how often each model is measured, in turns."`
	timed
}

// timed are the flags of every command that asks for the time of a model on a target.
type timed struct {
	Target  string   `default:"local" help:"Whose time."`
	Threads int      `default:"1" help:"Workers that share each layer."`
	Shape   []string `help:"Shape of an input: NAME=1,3,224,224." placeholder:"NAME=DIMS" sep:"none"`
	JSON    bool     `name:"json" help:"Print JSON."`
	turn
	login
}

// request asks for the time of a model in a file.
func (c timed) request(e *env, file string) (q app.ProfileRequest, err error) {
	q = app.ProfileRequest{Name: app.BaseName(file), Target: c.Target, Threads: c.Threads, Progress: e.progress, Asks: c.asks(e, ""), Waiting: waiting(e)}
	if q.Shapes, err = parseShapes(c.Shape); err != nil {
		return q, err
	}
	if q.Manner, err = c.manner(); err != nil {
		return q, err
	}
	q.Model, err = e.app.Load(e.ctx, file)
	return q, err
}

// Help gives an example that works.
func (predictCmd) Help() string {
	return "Example:\n  fettle target learn local --for 90s\n  fettle sample mobilenetv2 -o m.onnx\n  fettle predict m.onnx --optimize\n\n" +
		"What the table of the target does not reach is refused, not guessed. With --check the exit code is 1 where the median error of the models is above 10 %."
}

// Run predicts.
func (c predictCmd) Run(e *env) error {
	var all []*app.Prediction
	var checks []app.ProfileRequest
	for _, file := range c.Model {
		q, err := c.request(e, file)
		if err != nil {
			return err
		}
		q.Runs, q.Launches, q.Fresh = 20, 1, true
		if c.Optimize {
			r := e.app.StandardRecipe()
			o, err := e.app.Optimize(e.ctx, q.Model, &r, app.OptimizeOptions{Unproven: true})
			if err != nil {
				return err
			}
			q.Model = o.Model
		}
		if c.Check {
			checks = append(checks, q)
			continue
		}
		p, err := e.app.Predict(e.ctx, q.Model, c.Target, c.Threads, q.Shapes)
		if err != nil {
			return err
		}
		all = append(all, p)
	}
	if c.Check {
		done, err := e.app.CheckPredictions(e.ctx, checks, c.Rounds)
		if err != nil {
			return err
		}
		return c.checked(e, done)
	}
	return e.print(c.JSON, all, func(w io.Writer) {
		for i, p := range all {
			fmt.Fprintf(w, "%s on %s, %d thread(s): %s (%s to %s, nine of ten)\n", app.BaseName(c.Model[i]), c.Target, max(c.Threads, 1), ms(p.Ns), ms(p.Low), ms(p.High))
			layers := slices.Clone(p.Layers)
			slices.SortStableFunc(layers, func(a, b app.PredictedLayer) int { return int(math.Copysign(1, b.Ns-a.Ns)) })
			for _, l := range layers[:min(len(layers), 20)] {
				if l.Ns == 0 {
					break
				}
				fmt.Fprintf(w, "  %-40.40s %10s  (%s to %s)  %s\n", l.Label, ms(l.Ns), ms(l.Low), ms(l.High), l.Kind)
			}
		}
	})
}

// checked prints predictions beside measurements.
func (c predictCmd) checked(e *env, checks []app.PredictionCheck) error {
	var errs, layers []float64
	within, inside, n := 0, 0.0, 0
	for _, k := range checks {
		errs = append(errs, k.Error)
		if k.Within {
			within++
		}
		for _, l := range k.Layers {
			layers = append(layers, l.Error)
			n++
			if l.Within {
				inside++
			}
		}
	}
	whole, layer := app.Median(errs), app.Median(layers)
	err := e.print(c.JSON, checks, func(w io.Writer) {
		for _, k := range checks {
			fmt.Fprintf(w, "%-20.20s measured %10s  predicted %10s  %5.1f %% off  layers %5.1f %%, in the interval %3.0f %%, steps foretold %3.0f %%\n",
				k.Model, ms(k.MeasuredNs), ms(k.PredictedNs), 100*k.Error, 100*k.LayerError, 100*k.LayerWithin, 100*k.Same)
		}
		fmt.Fprintf(w, "median error: whole models %.1f %% (%d of %d in the interval), layers %.1f %% (%.0f %% of %d in the interval)\n", 100*whole, within, len(checks), 100*layer, 100*inside/float64(max(n, 1)), n)
	})
	if err == nil && (whole > 0.10 || layer > 0.10) {
		err = errNo
	}
	return err
}
