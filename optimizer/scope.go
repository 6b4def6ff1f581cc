package optimizer

import (
	"regexp"
	"strings"

	"fettle/internal/fail"
	"fettle/model"
)

// Scope names the nodes that a step may touch: names, ids or ids of imported nodes, or "re:" and a regular
// expression over them. With Include only those; Exclude always wins.
type Scope struct {
	Exclude []string `json:"exclude,omitempty" toml:"exclude,omitempty"`
	Include []string `json:"include,omitempty" toml:"include,omitempty"`
}

// Empty reports whether s allows everything.
func (s Scope) Empty() bool { return len(s.Exclude) == 0 && len(s.Include) == 0 }

// Matcher is a compiled Scope. A nil Matcher allows everything.
type Matcher struct{ exclude, include []pattern }

type pattern struct {
	text string
	re   *regexp.Regexp
}

// Compile prepares s; a bad regular expression is fail.Invalid.
func (s Scope) Compile() (*Matcher, error) {
	m := &Matcher{}
	for _, l := range []struct {
		from []string
		to   *[]pattern
		key  string
	}{{s.Exclude, &m.exclude, "scope.exclude"}, {s.Include, &m.include, "scope.include"}} {
		for _, t := range l.from {
			p := pattern{text: t}
			if expr, ok := strings.CutPrefix(t, "re:"); ok {
				re, err := regexp.Compile(expr)
				if err != nil {
					return nil, fail.New(fail.Invalid, "%q is no regular expression: %v", expr, err).At(fail.Where{Option: l.key})
				}
				p.re = re
			}
			*l.to = append(*l.to, p)
		}
	}
	return m, nil
}

// Allows reports whether all nodes may be touched, and if not which entry says so.
func (m *Matcher) Allows(nodes ...*model.Node) (string, bool) {
	if m == nil {
		return "", true
	}
	for _, n := range nodes {
		for _, p := range m.exclude {
			if p.matches(n) {
				return "excluded by " + p.text, false
			}
		}
	}
	if len(m.include) == 0 {
		return "", true
	}
	for _, n := range nodes {
		in := false
		for _, p := range m.include {
			in = in || p.matches(n)
		}
		if !in {
			return n.Label() + " is outside the scope", false
		}
	}
	return "", true
}

// Named reports whether an entry of Include, other than a regular expression, means n: then a user pointed at it.
func (m *Matcher) Named(n *model.Node) bool {
	if m == nil {
		return false
	}
	for _, p := range m.include {
		if p.re == nil && p.matches(n) {
			return true
		}
	}
	return false
}

func (p pattern) matches(n *model.Node) bool {
	if p.is(n.Name) || p.is(string(n.ID)) {
		return true
	}
	for _, o := range n.Origin {
		if p.is(string(o)) {
			return true
		}
	}
	return false
}

func (p pattern) is(s string) bool {
	if s == "" {
		return false
	}
	if p.re != nil {
		return p.re.MatchString(s)
	}
	return s == p.text
}
