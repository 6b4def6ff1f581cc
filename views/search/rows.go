package search

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"fettle/app"
	"fettle/views/kit"
)

// axis is what the front is drawn over.
type axis struct {
	key, title string // key of the translations
	of         func(x app.Experiment) float64
	text       func(x app.Experiment) string
	limit      func(f app.HuntForm) float64
	floor      func(r *app.SearchResult) float64
}

func axes() []axis {
	return []axis{
		{"p50", "median time, ms", func(x app.Experiment) float64 { return x.Ms }, func(x app.Experiment) string { return kit.Ms(x.Ms * 1e6) },
			func(f app.HuntForm) float64 { return f.P50Ms }, func(r *app.SearchResult) float64 { return r.Floor.Ms }},
		{"p99", "time of 99 of 100 runs, ms", func(x app.Experiment) float64 { return x.P99 }, func(x app.Experiment) string { return kit.Ms(x.P99 * 1e6) },
			func(f app.HuntForm) float64 { return f.P99Ms }, func(r *app.SearchResult) float64 { return r.Floor.P99 }},
		{"size", "file, MB", func(x app.Experiment) float64 { return float64(x.Bytes) / 1e6 }, func(x app.Experiment) string { return kit.Bytes(x.Bytes) },
			func(f app.HuntForm) float64 { return f.MB }, func(r *app.SearchResult) float64 { return float64(r.Floor.Bytes) / 1e6 }},
		{"macs", "multiply-adds, millions", func(x app.Experiment) float64 { return float64(x.MACs) / 1e6 }, func(x app.Experiment) string { return kit.MACs(x.MACs) },
			nil, func(r *app.SearchResult) float64 { return float64(r.Floor.MACs) / 1e6 }},
	}
}

// point is one experiment in the picture.
type point struct {
	app.Experiment
	front bool
}

// points are all experiments that worked, those of the front first.
func points(h *app.Hunt) []point {
	if h == nil || h.Result == nil {
		return nil
	}
	var out []point
	for _, x := range h.Result.Front {
		out = append(out, point{x, true})
	}
	for _, x := range h.Result.Beaten {
		out = append(out, point{x, false})
	}
	return out
}

// stairs are the places of the points that no other one beats in one cost and the score alone, from cheap to dear.
func stairs(l []point, cost func(app.Experiment) float64) []int {
	var order []int
	for i := range l {
		order = append(order, i)
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := cost(l[a].Experiment), cost(l[b].Experiment)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		case l[a].Score > l[b].Score:
			return -1
		}
		return 0
	})
	var out []int
	best := math.Inf(-1)
	for _, i := range order {
		if l[i].Score > best {
			best = l[i].Score
			out = append(out, i)
		}
	}
	return out
}

// branch is a line of the tree of experiments.
type branch struct {
	*app.KeptRecipe // nil: the opened model
	depth           int
	at              bool // the ledger came from it
	last            bool // of its parent's children
	ns              *float64
	score           *float64
	seal            string
	target          string
}

func (b branch) id() int {
	if b.KeptRecipe == nil {
		return 0
	}
	return b.ID
}

// tree lists the kept recipes below what each was made from, with what was measured of their models.
func tree(st *app.State) []branch {
	d := st.Doc
	if d == nil {
		return nil
	}
	known := func(b branch, hash, sha string) branch {
		if r := st.LastRun(hash); r == nil {
			if r = st.LastRun(sha); r != nil {
				b.ns, b.seal, b.target = r.Profile.Clean.P50Ns, r.Profile.Conditions.Seal, r.Target
			}
		} else {
			b.ns, b.seal, b.target = r.Profile.Clean.P50Ns, r.Profile.Conditions.Seal, r.Target
		}
		if s := d.Scores[hash]; s != nil {
			b.score = s.Score
		}
		return b
	}
	out := []branch{known(branch{at: d.At == 0}, d.Base.Hash(), d.Revisions[0].SHA())}
	ids := map[int]bool{0: true}
	for _, k := range d.Kept {
		ids[k.ID] = true
	}
	var add func(parent, depth int)
	add = func(parent, depth int) {
		from := len(out)
		for _, k := range d.Kept {
			p := k.Parent
			if !ids[p] || p >= k.ID { // a file that somebody edited must not loop
				p = 0
			}
			if p == parent {
				out = append(out, known(branch{KeptRecipe: k, depth: depth, at: d.At == k.ID}, k.Hash, k.SHA256))
				add(k.ID, depth+1)
			}
		}
		if len(out) > from {
			for i := len(out) - 1; i >= from; i-- {
				if out[i].depth == depth {
					out[i].last = true
					break
				}
			}
		}
	}
	add(0, 1)
	return out
}

// goalForm begins with the limits of the goal bar.
func goalForm(g app.Goals) app.HuntForm {
	f := app.NewHuntForm()
	if g.P99Ns != nil {
		f.P99Ms = *g.P99Ns / 1e6
	}
	if g.Bytes != nil {
		f.MB = float64(*g.Bytes) / 1e6
	}
	return f
}

// number reads an entry of the form; an empty one is absent.
func number(text string, absent float64) (float64, bool) {
	text = strings.TrimSpace(strings.ReplaceAll(text, ",", "."))
	if text == "" {
		return absent, true
	}
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil && v >= 0 && !math.IsInf(v, 0)
}

// working is the search that runs, nil: none.
func working(st *app.State) *app.Job {
	for _, j := range st.Active() {
		if j.Title == "Search for recipes" {
			return j
		}
	}
	return nil
}
