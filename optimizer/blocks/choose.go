package blocks

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer/search"
)

// choice is one stand-in of each block.
type choice struct {
	picks map[*block]int
	sum   float64 // of single damages
	said  string
}

// bounds of a choice: the two budgets in the units of cost and size; Inf: none.
func (w *work) bounds() (cost, size float64) {
	cost, size = math.Inf(1), math.Inf(1)
	if w.o.Ms > 0 {
		cost = w.o.Ms*1e6 - w.whole.ns
	} else if w.o.MACs > 0 {
		cost = (w.o.MACs - 1) * w.whole.macs
	}
	if w.o.KB > 0 {
		size = w.o.KB*1e3 - w.whole.bytes
	} else if w.o.Ms > 0 && w.o.MACs > 0 {
		size = (w.o.MACs - 1) * w.whole.macs
	}
	return cost, size
}

// option is what a stand-in costs beside the block itself.
func (w *work) option(b *block, s *stand) search.Option {
	own := b.stands[0]
	o := search.Option{Cost: s.macs - own.macs, Damage: s.damage}
	if w.o.Ms > 0 {
		o.Cost = s.ns - own.ns
	}
	if w.o.KB > 0 {
		o.Size = s.bytes - own.bytes
	} else if w.o.Ms > 0 && w.o.MACs > 0 {
		o.Size = s.macs - own.macs
	}
	return o
}

// saved says in words what a stand-in costs.
func (w *work) saved(b *block, s *stand) string {
	o := w.option(b, s)
	if w.o.Ms > 0 {
		return fmt.Sprintf("%+.3g ms", o.Cost/1e6)
	}
	if w.o.MACs > 0 {
		return fmt.Sprintf("%+.3g M multiply-adds", o.Cost/1e6)
	}
	return fmt.Sprintf("%+.3g kB", o.Size/1e3)
}

// ranked lists distinct choices within the budgets, the least sum of damages first. The first is exact; the others are the exact ones of those that
// avoid one pick of a choice before.
func ranked(groups [][]search.Option, cost, size float64, n int) [][]int {
	type found struct {
		picks []int
		sum   float64
	}
	barred := map[[2]int]bool{}
	solve := func() (found, bool) {
		g := make([][]search.Option, len(groups))
		index := make([][]int, len(groups))
		for k := range groups {
			for j, o := range groups[k] {
				if !barred[[2]int{k, j}] {
					g[k], index[k] = append(g[k], o), append(index[k], j)
				}
			}
			if len(g[k]) == 0 {
				return found{}, false
			}
		}
		picks, ok := search.Knapsack(g, cost, size)
		if !ok {
			return found{}, false
		}
		f := found{picks: make([]int, len(groups))}
		for k, j := range picks {
			f.picks[k] = index[k][j]
			f.sum += groups[k][f.picks[k]].Damage
		}
		return f, true
	}
	best, ok := solve()
	if !ok {
		return nil
	}
	list := []found{best}
	known := map[string]bool{fmt.Sprint(best.picks): true}
	for at := 0; at < len(list) && at < 3 && len(list) < 4*n; at++ {
		for k := range groups {
			pick := [2]int{k, list[at].picks[k]}
			barred[pick] = true
			if f, ok := solve(); ok && !known[fmt.Sprint(f.picks)] {
				known[fmt.Sprint(f.picks)] = true
				list = append(list, f)
			}
			delete(barred, pick)
		}
		sort.SliceStable(list, func(a, b int) bool { return list[a].sum < list[b].sum })
	}
	var out [][]int
	for _, f := range list[:min(n, len(list))] {
		out = append(out, f.picks)
	}
	return out
}

// choose takes one stand-in of each block: the exact choices are run as a whole, and the one whose answers move least is taken.
func (w *work) choose(ctx context.Context, list []*block) (*model.Model, *choice, error) {
	var open []*block
	var groups [][]search.Option
	for _, b := range list {
		if b.why != "" {
			continue
		}
		open = append(open, b)
		var g []search.Option
		for _, s := range b.stands {
			g = append(g, w.option(b, s))
		}
		groups = append(groups, g)
	}
	cost, size := w.bounds()
	choices := ranked(groups, cost, size, w.o.Joint)
	if len(choices) == 0 {
		return nil, nil, fail.New(fail.Invalid, "impossible: %s", w.floor(groups)).Try("raise the budget, or let more kinds of stand-ins be tried")
	}
	var best *model.Model
	var taken *choice
	least := math.Inf(1)
	first := 0.0
	for i, picks := range choices {
		w.env.Progress.Report(int64(i), int64(len(choices)), "choices run as a whole")
		c := &choice{picks: map[*block]int{}}
		m, past := w.m, map[string]string{}
		for k, b := range open {
			c.picks[b] = picks[k]
			c.sum += b.stands[picks[k]].damage
			var err error
			if m, err = splice(m, b, b.stands[picks[k]], past); err != nil {
				return nil, nil, err
			}
		}
		d, err := w.damage(ctx, m)
		if err != nil {
			return nil, nil, err
		}
		if i == 0 {
			first = d
		}
		if best == nil || d < least {
			best, taken, least = m, c, d
		}
	}
	now, err := w.weigh(ctx, best, w.judge[0])
	if err != nil {
		return nil, nil, err
	}
	unit := "share of the squared outputs"
	if w.kl {
		unit = "KL of the answers"
	}
	taken.said = fmt.Sprintf("%s; %s %.3g on %d items that nothing was fitted to, sum of single damages %.3g; of %d choices run as a whole the exact one of single damages has %.3g; %s",
		w.totals(now, taken), unit, least, len(w.judge), taken.sum, len(choices), first, counted(open, taken))
	return best, taken, nil
}

// totals holds what was expected of a choice against what it weighs.
func (w *work) totals(now costs, c *choice) string {
	s := fmt.Sprintf("%.4g of %.4g M multiply-adds, %.4g of %.4g kB of weights", now.macs/1e6, w.whole.macs/1e6, now.bytes/1e3, w.whole.bytes/1e3)
	if w.o.Ms > 0 {
		expected := w.whole.ns
		for b, k := range c.picks {
			expected += b.stands[k].ns - b.stands[0].ns
		}
		how := "measured"
		if w.env.Cost != nil {
			how = "predicted for the board"
		}
		s += fmt.Sprintf(", %.3g of %.3g ms %s (%.3g ms by the sum of its parts)", now.ns/1e6, w.whole.ns/1e6, how, expected/1e6)
	}
	return s
}

// counted says in how many blocks each kind stands in.
func counted(open []*block, c *choice) string {
	n := map[string]int{}
	for _, b := range open {
		n[b.stands[c.picks[b]].name]++
	}
	var l []string
	for _, k := range append([]string{theBlock}, kinds()...) {
		if n[k] > 0 {
			l = append(l, fmt.Sprintf("%s in %d of %d blocks", k, n[k], len(open)))
		}
	}
	return strings.Join(l, ", ")
}

// floor is the least that any choice has of each budget.
func (w *work) floor(groups [][]search.Option) string {
	cost, size := 0.0, 0.0
	for _, g := range groups {
		cost += slices.MinFunc(g, func(a, b search.Option) int { return compare(a.Cost, b.Cost) }).Cost
		size += slices.MinFunc(g, func(a, b search.Option) int { return compare(a.Size, b.Size) }).Size
	}
	var l []string
	switch {
	case w.o.Ms > 0:
		l = append(l, fmt.Sprintf("%.3g ms are left with the fastest stand-in of every block, %.3g were asked for", (w.whole.ns+cost)/1e6, w.o.Ms))
	case w.o.MACs > 0:
		l = append(l, fmt.Sprintf("%.3g of the multiply-adds are left with the least stand-in of every block, %.3g were asked for", 1+cost/w.whole.macs, w.o.MACs))
	}
	if w.o.KB > 0 {
		l = append(l, fmt.Sprintf("%.4g kB of weights with the smallest, %.4g were asked for", (w.whole.bytes+size)/1e3, w.o.KB))
	} else if w.o.Ms > 0 && w.o.MACs > 0 {
		l = append(l, fmt.Sprintf("%.3g of the multiply-adds with the least, %.3g were asked for", 1+size/w.whole.macs, w.o.MACs))
	}
	return strings.Join(l, "; ")
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
