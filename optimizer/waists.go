package optimizer

import "fettle/model"

// Waists lists the values of m, in order, that alone are needed of all that was computed before them; the output is the last. consts are the
// values that follow from constants.
func Waists(m *model.Model, consts map[string]*model.Tensor) []string {
	moving, last := map[string]bool{}, map[string]int{}
	for _, v := range m.Graph.Free() {
		moving[v.Name] = true
	}
	for i, n := range m.Graph.Nodes {
		live := false
		for _, r := range model.Reads(n) {
			if moving[r] {
				live, last[r] = true, i
			}
		}
		for _, o := range n.Outputs {
			moving[o] = live && consts[o] == nil
		}
	}
	for _, o := range m.Graph.Outputs {
		last[o.Name] = len(m.Graph.Nodes)
	}
	var out []string
	open := map[string]bool{}
	for _, v := range m.Graph.Free() {
		open[v.Name] = true
	}
	for i, n := range m.Graph.Nodes {
		for _, o := range n.Outputs {
			if moving[o] && last[o] > i {
				open[o] = true
			}
		}
		for v := range open {
			if last[v] <= i {
				delete(open, v)
			}
		}
		if len(open) == 1 && open[n.Outputs[0]] {
			out = append(out, n.Outputs[0])
		}
	}
	return out
}
