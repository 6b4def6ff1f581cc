package quantize

import (
	"slices"
	"strings"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// cutLayer splits an entry of the option layers. Names of layers may hold "=", types do not.
func cutLayer(entry string) (name, as string, ok bool) {
	i := strings.LastIndexByte(entry, '=')
	if i < 1 {
		return "", "", false
	}
	return strings.TrimSpace(entry[:i]), strings.TrimSpace(entry[i+1:]), true
}

// layerTypes are what single layers may have.
func (o Options) layerTypes() []string {
	switch {
	case o.Weights == "nested":
		return []string{"float", "nested"}
	case o.Activations != "none":
		return []string{"float", "int8"}
	case o.Weights == "mixed":
		return append([]string{"float"}, o.mixable()...)
	}
	return []string{"float", "fp16", "bf16", "fp8", "e5m2", "int8", "int4", "int3", "int2"}
}

// layers checks the entries of the option layers.
func (o Options) layers() error {
	for _, e := range o.Layers {
		_, as, ok := cutLayer(e)
		if !ok {
			return fail.New(fail.Invalid, "%q names no layer and type", e).At(fail.Where{Option: "layers"}).Try("write name=type")
		}
		if types := o.layerTypes(); !slices.Contains(types, as) {
			return fail.New(fail.Unsupported, "type %q of layer %q does not go with weights = %q and activations = %q", as, e, o.Weights, o.Activations).
				At(fail.Where{Option: "layers"}).Try("use %s", strings.Join(types, " or "))
		}
	}
	return nil
}

// choose puts the types that a user chose for single layers into the plan. A name that no layer has is fail.NotFound: a silent
// slip would change another model than the one meant.
func (j *job) choose(p *plan) error {
	for _, e := range j.o.Layers {
		name, as, _ := cutLayer(e)
		m, err := optimizer.Scope{Include: []string{name}}.Compile()
		if err != nil {
			return err
		}
		any := false
		for _, n := range j.float.Graph.Nodes {
			if _, in := m.Allows(n); !in || j.sel.layers[n.ID] == nil {
				continue
			}
			any = true
			if as == "float" {
				p.float[n.ID] = "float as the option layers says"
			} else {
				p.as[n.ID] = as
			}
		}
		if !any {
			return fail.New(fail.NotFound, "no layer that can be quantized is called %q", name).At(fail.Where{Option: "layers"}).
				Try("see the names with fettle quantize --list")
		}
	}
	return nil
}

// versionsOf raises opset and IR version to what the types of single layers need.
func (o Options) versionsOf(opset int, ir int64) (int, int64) {
	for _, e := range o.Layers {
		if _, as, _ := cutLayer(e); precisions[as].dtype != model.Undefined {
			opset, ir = max(opset, precisions[as].opset), max(ir, precisions[as].ir)
		}
	}
	return opset, ir
}
