package optimizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"fettle/internal/fail"
	"fettle/internal/spec"
)

// Recipe is the document of the optimizer: an ordered list of passes with their options. It is a plain value.
type Recipe struct {
	Schema int
	Model  string // "sha256:…" of the model it was made for, or ""
	Seed   int64
	Steps  []RecipeStep
}

// RecipeStep is one pass of a recipe with the options that differ from the defaults.
type RecipeStep struct {
	Pass    string
	Options map[string]any
	Scope   Scope
}

// recipeSchema is the version of the format that this program reads and writes.
const recipeSchema = 1

// maxRecipe bounds the bytes of a recipe file.
const maxRecipe = 1 << 20

// ParseRecipe reads a recipe. Unknown keys, passes and options, wrong types and values out of limits are
// fail.Invalid and give line and column.
func ParseRecipe(text []byte, passes Table) (*Recipe, error) {
	if len(text) > maxRecipe {
		return nil, fail.New(fail.TooBig, "the recipe has %d bytes, at most %d are read", len(text), maxRecipe)
	}
	var raw struct {
		Schema *int             `toml:"schema"`
		Model  string           `toml:"model"`
		Seed   int64            `toml:"seed"`
		Step   []map[string]any `toml:"step"`
	}
	d := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := d.Decode(&raw); err != nil {
		return nil, tomlError(err)
	}
	at := positions(text)
	bad := func(key string, format string, args ...any) *fail.Error {
		return fail.New(fail.Invalid, "%s%s", at.of(key), fmt.Sprintf(format, args...)).Doing("read recipe")
	}
	if raw.Schema == nil {
		return nil, fail.New(fail.Invalid, "the key schema is absent").Doing("read recipe").Try("write schema = %d in the first line", recipeSchema)
	}
	if *raw.Schema != recipeSchema {
		return nil, bad("schema", "schema %d is not known, this program reads %d", *raw.Schema, recipeSchema)
	}
	if raw.Model != "" && !strings.HasPrefix(raw.Model, "sha256:") {
		return nil, bad("model", "model is %q, it has to start with sha256:", raw.Model)
	}
	r := &Recipe{Schema: recipeSchema, Model: raw.Model, Seed: raw.Seed}
	for i, m := range raw.Step {
		key := fmt.Sprintf("step[%d]", i)
		name, ok := m["pass"].(string)
		if !ok {
			return nil, bad(key, "step %d has no pass", i+1).Try("write pass = \"…\"; known passes: %s", strings.Join(passes.Names(), ", "))
		}
		p := passes.Find(name)
		if p == nil {
			e := bad(key+".pass", "unknown pass %q", name)
			if n := spec.Nearest(name, passes.Names()); n != "" {
				return nil, e.Try("did you mean %q?", n)
			}
			return nil, e.Try("known passes: %s", strings.Join(passes.Names(), ", "))
		}
		s := RecipeStep{Pass: name, Options: map[string]any{}}
		for k, v := range m {
			if k == "pass" {
				continue
			}
			if k == "scope" {
				sc, err := readScope(v)
				if err != nil {
					return nil, place(err, at.of(key+".scope"))
				}
				s.Scope = sc
				continue
			}
			s.Options[k] = v
		}
		if err := configure(p, s); err != nil {
			return nil, place(err, at.of(key+"."+fail.From(err).Where.Option))
		}
		r.Steps = append(r.Steps, s)
	}
	return r, nil
}

func place(err error, at string) error {
	e := *fail.From(err)
	e.Why = at + e.Why
	e.What = "read recipe"
	return &e
}

func readScope(v any) (Scope, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return Scope{}, fail.New(fail.Invalid, "scope is no table").Try("write scope = { exclude = [\"…\"] }")
	}
	var s Scope
	for k, e := range m {
		var to *[]string
		switch k {
		case "exclude":
			to = &s.Exclude
		case "include":
			to = &s.Include
		default:
			return s, fail.New(fail.Invalid, "unknown key %q in scope", k).Try("known keys: exclude, include")
		}
		l, ok := e.([]any)
		if !ok {
			return s, fail.New(fail.Invalid, "scope.%s is no list of texts", k)
		}
		for _, x := range l {
			t, ok := x.(string)
			if !ok {
				return s, fail.New(fail.Invalid, "scope.%s holds %v, which is no text", k, x)
			}
			*to = append(*to, t)
		}
	}
	_, err := s.Compile()
	return s, err
}

// configure sets the options of a fresh pass.
func configure(p Pass, s RecipeStep) error {
	o := p.Options()
	if o == nil {
		for k := range s.Options {
			return fail.New(fail.Invalid, "unknown option %q: the pass %s has no options", k, s.Pass).At(fail.Where{Option: k})
		}
		return nil
	}
	return spec.Decode(o, s.Options)
}

// tomlError gives line and column of what go-toml refuses.
func tomlError(err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		e := strict.Errors[0]
		line, col := e.Position()
		return fail.New(fail.Invalid, "line %d, column %d: unknown key %q", line, col, strings.Join(e.Key(), ".")).
			Doing("read recipe").Try("known keys: schema, model, seed, step")
	}
	var de *toml.DecodeError
	if errors.As(err, &de) {
		line, col := de.Position()
		return fail.New(fail.Invalid, "line %d, column %d: %s", line, col, strings.TrimPrefix(de.Error(), "toml: ")).Doing("read recipe")
	}
	return fail.New(fail.Invalid, "%v", err).Doing("read recipe")
}

// places maps key paths such as step[1].ratio to a position.
type places map[string][2]int

func (p places) of(key string) string {
	for {
		if at, ok := p[key]; ok {
			return fmt.Sprintf("line %d, column %d: ", at[0], at[1])
		}
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			return ""
		}
		key = key[:i]
	}
}

// positions finds where each key of the text stands; the text was decoded before, so it is well formed.
func positions(text []byte) places {
	out := places{}
	p := unstable.Parser{}
	p.Reset(text)
	prefix, steps := "", -1
	for p.NextExpression() {
		e := p.Expression()
		var keys []string
		var first [2]int
		for it := e.Key(); it.Next(); {
			if len(keys) == 0 {
				s := p.Shape(it.Node().Raw)
				first = [2]int{s.Start.Line, s.Start.Column}
			}
			keys = append(keys, string(it.Node().Data))
		}
		key := strings.Join(keys, ".")
		switch e.Kind {
		case unstable.ArrayTable:
			if key == "step" {
				steps++
				key = fmt.Sprintf("step[%d]", steps)
			}
			prefix = key + "."
			out[key] = first
		case unstable.Table:
			if rest, ok := strings.CutPrefix(key, "step."); ok {
				key = fmt.Sprintf("step[%d].%s", steps, rest)
			}
			prefix = key + "."
			out[key] = first
		default:
			out[prefix+key] = first
		}
	}
	return out
}

// Format writes r as a recipe file, keys in a fixed order, so that equal recipes are equal bytes.
func (r *Recipe) Format() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "schema = %d\n", recipeSchema)
	if r.Model != "" {
		fmt.Fprintf(&b, "model = %s\n", quote(r.Model))
	}
	fmt.Fprintf(&b, "seed = %d\n", r.Seed)
	for _, s := range r.Steps {
		fmt.Fprintf(&b, "\n[[step]]\npass = %s\n", quote(s.Pass))
		for _, k := range slices.Sorted(maps.Keys(s.Options)) {
			fmt.Fprintf(&b, "%s = %s\n", bare(k), value(s.Options[k]))
		}
		if !s.Scope.Empty() {
			var parts []string
			if len(s.Scope.Exclude) > 0 {
				parts = append(parts, "exclude = "+value(s.Scope.Exclude))
			}
			if len(s.Scope.Include) > 0 {
				parts = append(parts, "include = "+value(s.Scope.Include))
			}
			fmt.Fprintf(&b, "scope = { %s }\n", strings.Join(parts, ", "))
		}
	}
	return b.Bytes()
}

func value(v any) string {
	switch x := v.(type) {
	case string:
		return quote(x)
	case []string:
		q := make([]string, len(x))
		for i, s := range x {
			q[i] = quote(s)
		}
		return "[" + strings.Join(q, ", ") + "]"
	case []any:
		q := make([]string, len(x))
		for i, s := range x {
			q[i] = value(s)
		}
		return "[" + strings.Join(q, ", ") + "]"
	case map[string]any:
		var q []string
		for _, k := range slices.Sorted(maps.Keys(x)) {
			q = append(q, bare(k)+" = "+value(x[k]))
		}
		return "{ " + strings.Join(q, ", ") + " }"
	case map[string]float64:
		var q []string
		for _, k := range slices.Sorted(maps.Keys(x)) {
			q = append(q, bare(k)+" = "+value(x[k]))
		}
		return "{ " + strings.Join(q, ", ") + " }"
	case float64:
		s := fmt.Sprint(x)
		if !strings.ContainsAny(s, ".eIN") {
			s += ".0"
		}
		return s
	}
	return fmt.Sprint(v)
}

// quote writes a TOML basic string; JSON's escapes are a subset of TOML's.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string cannot fail
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), "\x7f", `\u007f`)
}

func bare(k string) string {
	for i := range len(k) {
		c := k[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return quote(k)
		}
	}
	if k == "" {
		return `""`
	}
	return k
}

// key is what decides the result of the first n steps, in a canonical form.
func (r *Recipe) key(n int) string {
	c := Recipe{Seed: r.Seed, Steps: r.Steps[:n]}
	return string(c.Format())
}
