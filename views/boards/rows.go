package boards

import (
	"slices"
	"strings"

	"fettle/app"
)

// cores groups equal cores in the order of their first: "Cortex-A76 × 4 + Cortex-A55 × 4".
type cores struct {
	part  string
	n     int
	maxHz int64
}

func groupCores(f *app.TargetFacts) []cores {
	var out []cores
	for _, c := range f.Cores {
		i := slices.IndexFunc(out, func(g cores) bool { return g.part == c.Part && g.maxHz == c.MaxHz })
		if i < 0 {
			out = append(out, cores{part: c.Part, maxHz: c.MaxHz})
			i = len(out) - 1
		}
		out[i].n++
	}
	return out
}

// worthSaying are the instruction sets that decide how fast networks run; boards list many more.
var worthSaying = []string{"neon", "asimd", "fp16", "fphp", "asimdhp", "dotprod", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme",
	"avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx512vnni", "avxvnni", "avx_vnni", "amx_int8", "amx-int8", "amx_tile", "vfp", "vfpv4"}

// nicer names for what Linux abbreviates.
var isaNames = map[string]string{"asimd": "neon", "asimddp": "dotprod", "asimdhp": "fp16", "fphp": "fp16", "avx512_vnni": "avx512vnni",
	"avx_vnni": "avxvnni", "amx_int8": "amx-int8"}

// pills are the architecture and at most six instruction sets, the strongest last.
func pills(f *app.TargetFacts) []string {
	out := []string{f.Arch}
	for _, want := range worthSaying {
		if !slices.ContainsFunc(f.ISA, func(s string) bool { return strings.EqualFold(s, want) }) {
			continue
		}
		name := want
		if n, ok := isaNames[want]; ok {
			name = n
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	if len(out) > 7 {
		out = append(out[:1:1], out[len(out)-6:]...)
	}
	return out
}

// engines are the names of the runtimes that are there.
func engines(f *app.TargetFacts) []string {
	var out []string
	for _, r := range f.Runtimes {
		if r.Present {
			out = append(out, r.Name)
		}
	}
	return out
}

// seal is what a run on the board now could get: green needs a fixed clock, no throttling and a quiet board, and a board
// that does not say cannot be green.
func seal(b *app.Board) string {
	f := b.Facts
	switch {
	case f == nil:
		return ""
	case f.Throttled != nil && *f.Throttled, f.Undervoltage != nil && *f.Undervoltage:
		return "red"
	case f.Throttled == nil, f.Governor != "performance" && f.Governor != "userspace":
		return "amber"
	case f.Load == nil, len(f.Cores) > 0 && *f.Load/float64(len(f.Cores)) >= 0.1:
		return "amber"
	}
	return "green"
}

// problems are the findings that are not right, those with a fix first.
func problems(list []app.TargetFinding) (bad, good []app.TargetFinding) {
	for _, f := range list {
		if f.OK {
			good = append(good, f)
		} else {
			bad = append(bad, f)
		}
	}
	slices.SortStableFunc(bad, func(a, b app.TargetFinding) int {
		switch {
		case (a.Fix == "") == (b.Fix == ""):
			return 0
		case a.Fix != "":
			return -1
		}
		return 1
	})
	return bad, good
}

// checkForm says what is missing in the form, by field; empty: it can be sent.
func checkForm(f app.AddBoardForm, known []*app.Board) map[string]string {
	out := map[string]string{}
	switch {
	case f.Name == "":
		out["name"] = "a name is needed"
	case strings.ContainsFunc(f.Name, func(r rune) bool {
		return !(r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	}) || len(f.Name) > 64:
		out["name"] = "letters, digits, dots, dashes and underscores only"
	case slices.ContainsFunc(known, func(b *app.Board) bool { return b.Name == f.Name }):
		out["name"] = "there is a board of this name"
	}
	a := strings.TrimPrefix(f.Address, "ssh://")
	if a == "" {
		out["address"] = "user@host or user@host:port is needed"
	} else if strings.ContainsAny(a, " /") {
		out["address"] = "write user@host or user@host:port"
	}
	return out
}

// nameFor proposes a name from an address: "pi@raspberrypi.local:22" gives "raspberrypi".
func nameFor(address string) string {
	a := strings.TrimPrefix(address, "ssh://")
	if _, host, ok := strings.Cut(a, "@"); ok {
		a = host
	}
	a, _, _ = strings.Cut(a, ":")
	if strings.ContainsFunc(a, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }) {
		a, _, _ = strings.Cut(a, ".") // a name; of a number all parts stay
	}
	return a
}
