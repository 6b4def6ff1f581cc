package main

import (
	"fmt"
	"io"

	"fettle/app"
)

type auditCmd struct {
	Model      string  `arg:"" help:"ONNX file."`
	Target     string  `required:"" help:"Board to follow it through."`
	Data       string  `help:"Folder or file of data; without it random inputs."`
	Preprocess string  `help:"File with the block that says how a picture becomes a tensor."`
	Inputs     int     `default:"3" help:"How many inputs to run."`
	Threads    int     `default:"1" help:"Workers that share each layer."`
	Precision  string  `default:"exact" enum:"exact,fast,half" help:"exact, fast or half, as in profile."`
	Pack       string  `default:"auto" enum:"auto,small,fast" help:"auto, small or fast, as in profile."`
	ISA        string  `name:"isa" help:"Poorer instruction set for the target to use: generic, avx2, neon." placeholder:"NAME"`
	Tolerance  float64 `help:"Largest difference allowed of a layer's floats, as a share of its largest value; 0: calibrated by layer, from how far the kernels of this computer are from each other."`
	All        bool    `help:"List every layer, also those that are the same."`
	JSON       bool    `name:"json" help:"Print JSON."`
	turn
	login
}

// Help gives an example that works.
func (auditCmd) Help() string {
	return "Example:\n  fettle sample -o a.onnx && fettle audit a.onnx --target local"
}

// Run compares; exit 1 where a layer computes something else.
func (c auditCmd) Run(e *env) error {
	manner, err := c.manner()
	if err != nil {
		return err
	}
	m, err := e.app.Load(e.ctx, c.Model)
	if err != nil {
		return err
	}
	r, err := e.app.Audit(e.ctx, app.AuditRequest{Model: m, Name: app.BaseName(c.Model), Target: c.Target, Data: c.Data, Preprocess: c.Preprocess, Inputs: c.Inputs,
		Threads: c.Threads, Precision: c.Precision, Pack: c.Pack, ISA: c.ISA, Tolerance: c.Tolerance, Progress: e.progress, Manner: manner, Asks: c.asks(e, "")})
	if err != nil {
		return err
	}
	err = e.print(c.JSON, r, func(w io.Writer) { c.list(w, r) })
	if err == nil && r.First != nil {
		return errNo
	}
	return err
}

func (c auditCmd) list(w io.Writer, r *app.Audit) {
	n := map[string]int{}
	for _, l := range r.Layers {
		if n[l.Verdict]++; l.Verdict == app.AuditSame && !c.All {
			continue
		}
		fmt.Fprintf(w, "%-9s  own %.2e  whole %.2e  allowed %.1e  %-8s %-24.24s %s %s\n", l.Verdict, l.Own, l.Whole, l.Tolerance, l.DType, l.Name, l.Op, l.Kernel)
	}
	fmt.Fprintf(w, "%d values of %d inputs on %s: %d the same, %d rounded otherwise, %d differ because their inputs do, %d by themselves\n", len(r.Layers), r.Inputs, r.Target,
		n[app.AuditSame], n[app.AuditRounding], n[app.AuditInherited], n[app.AuditDiffers])
	if f := r.First; f != nil {
		fmt.Fprintf(w, "first layer that differs: %s %s (%s), value %s: %.3g where %.3g is allowed%s, on input %d\n", f.Op, f.Name, f.Kernel, f.Value, f.Own, f.Tolerance, off(f), f.Input)
	}
}

// off says how many whole numbers differ.
func off(l *app.AuditLayer) string {
	if l.Off == 0 {
		return ""
	}
	return fmt.Sprintf(" and %.2g %% of the numbers are others", 100*l.Off)
}
