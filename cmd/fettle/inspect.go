package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strings"

	"fettle/app"
)

type inspectCmd struct {
	Model string `arg:"" help:"ONNX file."`
	Board string `help:"Show each layer's floor on this target, or on a built-in board: pi4."`
	JSON  bool   `name:"json" help:"Print JSON."`
	login
}

func (c inspectCmd) inspect(e *env) (*app.Inspection, error) {
	if c.Board == "" {
		return e.app.Inspect(e.ctx, c.Model)
	}
	return e.app.InspectOn(e.ctx, c.Model, c.Board, c.asks(e, ""))
}

// Help gives an example that works.
func (inspectCmd) Help() string {
	return "Example:\n  fettle sample -o sample.onnx && fettle inspect sample.onnx"
}

// Run prints what is in the model.
func (c inspectCmd) Run(e *env) error {
	in, err := c.inspect(e)
	if err != nil {
		return err
	}
	return e.print(c.JSON, in, func(w io.Writer) {
		fmt.Fprintf(w, "%s  %s, IR %d, %d nodes, %s parameters, %s MACs, %s of weights\n", in.Name, in.Format, in.IRVersion, in.Nodes,
			count(in.Parameters), count(in.MACs), size(in.WeightBytes))
		for _, v := range in.Inputs {
			fmt.Fprintf(w, "  in   %s %v\n", v.Name, v)
		}
		for _, v := range in.Outputs {
			fmt.Fprintf(w, "  out  %s %v\n", v.Name, v)
		}
		names := make([]string, 0, len(in.Ops))
		for op := range in.Ops {
			names = append(names, op)
		}
		sort.Slice(names, func(i, j int) bool {
			if in.Ops[names[i]] != in.Ops[names[j]] {
				return in.Ops[names[i]] > in.Ops[names[j]]
			}
			return names[i] < names[j]
		})
		var parts []string
		for _, op := range names {
			parts = append(parts, fmt.Sprintf("%s %d", op, in.Ops[op]))
		}
		fmt.Fprintln(w, "  ops ", strings.Join(parts, ", "))
		if len(in.Unsupported) > 0 {
			fmt.Fprintln(w, "  not supported by the engine:", strings.Join(in.Unsupported, ", "))
		}
		if c.Board != "" {
			printFloors(w, in)
			printInt8(w, in)
		}
	})
}

// printInt8 says what 8-bit integers can gain, layers with the same answer together, the most products first.
func printInt8(w io.Writer, in *app.Inspection) {
	type group struct {
		layers int
		macs   int64
		one    app.LayerInfo
	}
	groups, all := map[string]*group{}, int64(0)
	for _, l := range in.Layers {
		if l.MACs <= 0 {
			continue
		}
		all += l.MACs
		key := l.Int8Why
		if l.Int8Against != nil {
			key += fmt.Sprint(*l.Int8Most, *l.Int8Against)
		}
		if groups[key] == nil {
			groups[key] = &group{one: l}
		}
		groups[key].layers++
		groups[key].macs += l.MACs
	}
	keys := slices.Collect(maps.Keys(groups))
	sort.Slice(keys, func(i, j int) bool { return groups[keys[i]].macs > groups[keys[j]].macs })
	for _, k := range keys {
		g := groups[k]
		fmt.Fprintf(w, "  int8: %d layers, %.0f %% of the products: ", g.layers, 100*float64(g.macs)/float64(all))
		if g.one.Int8Most == nil {
			fmt.Fprintln(w, "not known:", g.one.Int8Why)
			continue
		}
		fmt.Fprintf(w, "at most %.3g times faster", *g.one.Int8Most)
		if *g.one.Int8Against != *g.one.Int8Most {
			fmt.Fprintf(w, ", %.2g times against the best float algorithm", *g.one.Int8Against)
		}
		fmt.Fprintf(w, "; %s\n", g.one.Int8Why)
	}
}

// printFloors lists the layers with a floor, the longest first, and why others have none.
func printFloors(w io.Writer, in *app.Inspection) {
	layers := append([]app.LayerInfo(nil), in.Layers...)
	ns := func(l app.LayerInfo) int64 {
		if l.FloorNs == nil {
			return -1
		}
		return *l.FloorNs
	}
	sort.SliceStable(layers, func(i, j int) bool { return ns(layers[i]) > ns(layers[j]) })
	sum, none := int64(0), ""
	for i, l := range layers {
		switch {
		case l.FloorNs == nil && none == "" && l.MACs > 0:
			none = l.FloorWhy
		case l.FloorNs != nil:
			sum += *l.FloorNs
			if i < 20 {
				fmt.Fprintf(w, "  %-32.32s %-10s floor %10s  %s\n", l.Name, l.Op, ms(float64(*l.FloorNs)), l.FloorWhy)
			}
		}
	}
	if none != "" {
		fmt.Fprintln(w, "  no floor:", none)
		return
	}
	fmt.Fprintf(w, "  floor of all layers together %s: no engine can be faster with these layers on this board\n", ms(float64(sum)))
}

// count prints 4.09 G, 25.6 M, 1.2 k.
func count(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f G", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f M", float64(n)/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.1f k", float64(n)/1e3)
	}
	return fmt.Sprint(n)
}

// size prints bytes in MB (10^6) as file managers do.
func size(n int64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

// ms prints nanoseconds as milliseconds with three digits that count.
func ms(ns float64) string {
	v := ns / 1e6
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f ms", v)
	case v >= 10:
		return fmt.Sprintf("%.1f ms", v)
	case v >= 1:
		return fmt.Sprintf("%.2f ms", v)
	}
	return fmt.Sprintf("%.4f ms", v)
}
