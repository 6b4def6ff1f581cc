package onnx

import (
	"encoding/json"

	pw "google.golang.org/protobuf/encoding/protowire"

	"fettle/model"
)

// originKey is the entry of a node's metadata_props (NodeProto field 9) that holds the ids of the imported nodes that it
// stands for, as a JSON array. So a saved model still knows where its layers came from.
const originKey = "fettle.origin"

// Bounds of a foreign list of origins; a longer one is ignored.
const (
	maxOriginBytes = 1 << 20
	maxOrigins     = 1 << 14
)

// restoreOrigins sets the origins of nodes that carry them, after AssignIDs made every node its own origin.
func restoreOrigins(g *model.Graph) {
	for _, n := range g.Nodes {
		if o := storedOrigin(n.Unknown); len(o) > 0 {
			n.Origin = o
		}
		for i := range n.Attrs {
			if sub := n.Attrs[i].G; sub != nil {
				restoreOrigins(sub)
			}
			for _, sub := range n.Attrs[i].Graphs {
				restoreOrigins(sub)
			}
		}
	}
}

// storedOrigin reads the entry from fields that the reader kept as bytes; nil where there is none or it is no such list.
func storedOrigin(fields [][]byte) []model.NodeID {
	for _, f := range fields {
		if key, value := metadataEntry(f); key == originKey {
			var out []model.NodeID
			if len(value) > maxOriginBytes || json.Unmarshal(value, &out) != nil || len(out) > maxOrigins {
				return nil
			}
			for _, id := range out {
				if id == "" {
					return nil
				}
			}
			return out
		}
	}
	return nil
}

// metadataEntry is key and value of a field that is an entry of metadata_props, else empty.
func metadataEntry(f []byte) (key string, value []byte) {
	num, typ, n := pw.ConsumeTag(f)
	if n < 0 || num != 9 || typ != pw.BytesType {
		return "", nil
	}
	b, m := pw.ConsumeBytes(f[n:])
	if m < 0 {
		return "", nil
	}
	for len(b) > 0 {
		num, typ, n := pw.ConsumeTag(b)
		if n < 0 || typ != pw.BytesType {
			return "", nil
		}
		v, m := pw.ConsumeBytes(b[n:])
		if m < 0 {
			return "", nil
		}
		switch num {
		case 1:
			key = string(v)
		case 2:
			value = v
		}
		b = b[n+m:]
	}
	return key, value
}

// origin writes the entry unless a reader would find the same origin without it. shared says that another node of the
// graph has the same name, so that a reader does not name the node by it.
func (e *encoder) origin(n *model.Node, shared bool) {
	switch {
	case len(n.Origin) == 0, n.Raw != nil && storedOrigin(n.Unknown) != nil:
		return
	case len(n.Origin) == 1 && string(n.Origin[0]) == n.Name && !shared:
		return
	case len(n.Origin) == 1 && n.Name == "" && len(n.Outputs) > 0 && string(n.Origin[0]) == n.Outputs[0]:
		return
	}
	list, err := json.Marshal(n.Origin)
	if err != nil || len(list) > maxOriginBytes {
		return // strings always marshal; a list that no reader would take is left out
	}
	e.message(9, func(e *encoder) {
		e.str(1, originKey)
		e.bytes(2, list)
	})
}
