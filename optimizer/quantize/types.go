package quantize

import "fettle/internal/spec"

// LayerTypes are the types that single layers may have beside options that differ from the defaults; nil where these are none of the pass.
func LayerTypes(options map[string]any) []string {
	p := &pass{}
	*p = *New().(*pass)
	if spec.Decode(&p.o, options) != nil {
		return nil
	}
	return p.o.layerTypes()
}
