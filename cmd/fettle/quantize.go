package main

import (
	"fmt"
	"io"

	"fettle/app"
	"fettle/internal/fail"
)

type quantizeCmd struct {
	Model      string  `arg:"" help:"ONNX file, in floats."`
	Data       string  `required:"" help:"Calibration data: a folder or file; sample:calibrate for the sample's own."`
	Preprocess string  `help:"File with the block that says how a picture becomes a tensor."`
	Auto       bool    `help:"Try every method, keep what brings held-out outputs closer, and write the model and its recipe."`
	List       bool    `help:"Show what fewer bits cost each layer, and with --board how long it takes."`
	Out        string  `short:"o" help:"File to write, with --auto."`
	Recipe     string  `help:"Recipe to write, with --auto; without it the name of the model with .toml."`
	MaxDrop    float64 `default:"1" help:"Percent of held-out answers that may differ before --auto keeps layers in floats; 0: no bound."`
	Budget     float64 `help:"Keep as many layers in floats as these milliseconds on --board allow, and write the model and its recipe." placeholder:"MS"`
	Board      string  `help:"With --list and --budget: whose times; local for this computer. They come from its table of kernels (fettle target learn) where that reaches, else they are measured."`
	Threads    int     `default:"1" help:"With --budget: workers that share each layer."`
	Samples    int     `default:"64" help:"With --list: calibration items."`
	JSON       bool    `name:"json" help:"Print JSON."`
	login
}

// Help gives an example that works.
func (quantizeCmd) Help() string {
	return "Example:\n  fettle sample -o a.onnx && fettle quantize a.onnx --auto --data sample:calibrate -o b.onnx"
}

// Run tries or lists.
func (c quantizeCmd) Run(e *env) error {
	ways := 0
	for _, on := range []bool{c.Auto, c.List, c.Budget != 0} {
		if on {
			ways++
		}
	}
	if ways != 1 {
		return fail.New(fail.Usage, "one of --auto, --list and --budget is needed").Doing("quantize").Try("use fettle optimize with a recipe for single steps")
	}
	m, err := e.app.Load(e.ctx, c.Model)
	if err != nil {
		return err
	}
	if c.List {
		l, err := e.app.QuantizeLayers(e.ctx, app.QuantRequest{Model: m, Data: c.Data, Preprocess: c.Preprocess, Target: c.Board, Samples: c.Samples,
			Asks: c.asks(e, ""), Progress: e.progress})
		if err != nil {
			return err
		}
		return e.print(c.JSON, l, func(w io.Writer) { c.layers(w, l) })
	}
	if c.Out == "" {
		return fail.New(fail.Usage, "--auto and --budget write a model").Doing("quantize").Try("name a file with -o")
	}
	if c.Budget != 0 {
		return c.within(e, app.WithinRequest{Model: m, Data: c.Data, Preprocess: c.Preprocess, Target: c.Board, Threads: c.Threads, Ms: c.Budget,
			Asks: c.asks(e, ""), Progress: e.progress})
	}
	plan, err := e.app.AutoQuantize(e.ctx, app.AutoRequest{Model: m, Data: c.Data, Preprocess: c.Preprocess, MaxDrop: c.MaxDrop, Progress: e.progress})
	if err != nil {
		return err
	}
	o, err := e.app.Optimize(e.ctx, m, &plan.Recipe, app.OptimizeOptions{Data: c.Data, Preprocess: c.Preprocess, Progress: e.progress})
	if err != nil {
		return err
	}
	if err := e.app.Save(c.Out, o.Model); err != nil {
		return err
	}
	if c.Recipe == "" {
		c.Recipe = c.Out + ".toml"
	}
	if err := e.app.WriteRecipe(c.Recipe, plan.Recipe); err != nil {
		return err
	}
	return e.print(c.JSON, plan, func(w io.Writer) {
		for _, t := range plan.Trials {
			mark, what := "reverted", t.Reason
			if t.Kept {
				mark = "kept"
			}
			if t.After != nil {
				what = t.After.String()
				if t.Before != nil {
					what = t.Before.String() + " -> " + what
				}
			} else if !t.Kept && !t.Inside {
				mark = "-"
			}
			fmt.Fprintf(w, "%-9s %-32s %s\n", mark, t.Title, what)
		}
		fmt.Fprintf(w, "judged by %d items that no method saw: %s\nwrote %s, which the recipe %s makes of all items\n", plan.Items, plan.Best, c.Out, c.Recipe)
	})
}

// within writes the model that holds a time.
func (c quantizeCmd) within(e *env, q app.WithinRequest) error {
	r, err := e.app.QuantizeWithin(e.ctx, q)
	if err != nil {
		return err
	}
	if err := e.app.Save(c.Out, r.Model); err != nil {
		return err
	}
	if c.Recipe == "" {
		c.Recipe = c.Out + ".toml"
	}
	if err := e.app.WriteRecipe(c.Recipe, r.Recipe); err != nil {
		return err
	}
	err = e.print(c.JSON, r, func(w io.Writer) {
		fmt.Fprintf(w, "%.3g ms in floats, %.3g ms now, %.3g ms allowed; times %s\n%s\nwrote %s and %s\n", r.Float, r.Ms, r.Limit, r.Times, r.Why, c.Out, c.Recipe)
	})
	if err == nil && !r.Holds {
		err = errNo
	}
	return err
}

func (c quantizeCmd) layers(w io.Writer, l *app.QuantLayers) {
	fmt.Fprintf(w, "%-36s %10s", "layer", "weights")
	if len(l.Layers) > 0 {
		for _, t := range l.Layers[0].At {
			fmt.Fprintf(w, "  %22s", "as "+t.As)
		}
	}
	fmt.Fprintf(w, "  %9s %9s\n", "float", "int8")
	for _, x := range l.Layers {
		fmt.Fprintf(w, "%-36.36s %10s", x.Name, size(x.Bytes))
		for _, t := range x.At {
			d := fmt.Sprintf("%.1f dB", t.Damage.SQNR)
			if t.Damage.KL != nil {
				d = fmt.Sprintf("KL %.2g, %.1f dB", *t.Damage.KL, t.Damage.SQNR)
			}
			fmt.Fprintf(w, "  %22s", d)
		}
		time := func(ns *float64) string {
			if ns == nil {
				return "-"
			}
			return ms(*ns)
		}
		fmt.Fprintf(w, "  %9s %9s", time(x.FloatNs), time(x.Int8Ns))
		if x.Refused != "" {
			fmt.Fprintf(w, "  %s", x.Refused)
		}
		fmt.Fprintln(w)
	}
	if a := l.Advice; a != nil && a.Most > 0 {
		fmt.Fprintf(w, "%s: 8-bit integers compute these layers at most %.1f times faster than floats do directly, %.1f times against the best float algorithm; in %d of %d layers floats may stay faster (%s)\n",
			a.Target, a.Most, a.Against, a.Slower, a.Layers, a.Why)
	} else if a != nil {
		fmt.Fprintf(w, "%s: %s\n", a.Target, a.Why)
	}
	if l.Times != "" {
		fmt.Fprintf(w, "times %s\n", l.Times)
	}
	if l.TimesE != "" {
		fmt.Fprintf(w, "no times: %s\n", l.TimesE)
	}
}
