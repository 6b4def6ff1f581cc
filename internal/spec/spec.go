// Package spec reads the options of a pass, runtime or command from the tags of its struct, so that one
// description makes the form in the studio, the flags, the recipe keys, the docs and the translations.
//
// Defaults are the values of the struct that the constructor returned, never a tag. Start reading at Of.
//
//	type Quantize struct {
//		Weights    string  `opt:"weights" enum:"int8 int4" help:"type of the weights"`
//		Percentile float64 `opt:"percentile" min:"90" max:"100" step:"0.01" unit:"%" when:"calibration=percentile"`
//	}
package spec

import (
	"fmt"
	"math"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"fettle/internal/fail"
)

// Kind is the type of an option's value.
type Kind string

// The kinds of values.
const (
	Bool   Kind = "bool"
	Int    Kind = "int"
	Float  Kind = "float"
	String Kind = "string"
	Enum   Kind = "enum"
	List   Kind = "list"  // of strings
	Table  Kind = "table" // name to number
	Group  Kind = "group" // nested options
)

// Option describes one option.
type Option struct {
	Key      string
	Kind     Kind
	Default  any
	Min, Max *float64
	Step     float64
	Unit     string
	Help     string
	Paper    string   // source of the method
	Enum     []string // allowed values of an Enum
	When     string   // "key=value": shown only then
	Options  []Option // of a Group
}

// Of lists the options of v, a pointer to a struct with opt tags, in field order.
func Of(v any) []Option {
	rv := reflect.ValueOf(v)
	for rv.Kind() == reflect.Pointer {
		rv = rv.Elem()
	}
	return options(rv)
}

func options(rv reflect.Value) []Option {
	var out []Option
	t := rv.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		key, ok := f.Tag.Lookup("opt")
		if !ok {
			continue
		}
		o := Option{Key: key, Default: rv.Field(i).Interface(), Unit: f.Tag.Get("unit"), Help: f.Tag.Get("help"),
			Paper: f.Tag.Get("paper"), When: f.Tag.Get("when"), Min: number(f.Tag.Get("min")), Max: number(f.Tag.Get("max"))}
		if s := number(f.Tag.Get("step")); s != nil {
			o.Step = *s
		}
		if e := f.Tag.Get("enum"); e != "" {
			o.Enum = strings.Fields(e)
		}
		switch f.Type.Kind() {
		case reflect.Bool:
			o.Kind = Bool
		case reflect.Int, reflect.Int64, reflect.Int32:
			o.Kind = Int
		case reflect.Float64, reflect.Float32:
			o.Kind = Float
		case reflect.String:
			o.Kind = String
			if o.Enum != nil {
				o.Kind = Enum
			}
		case reflect.Slice:
			o.Kind = List
		case reflect.Map:
			o.Kind = Table
		case reflect.Struct:
			o.Kind, o.Options = Group, options(rv.Field(i))
		default:
			panic("spec: option " + key + " has a type without a form: " + f.Type.String())
		}
		out = append(out, o)
	}
	return out
}

func number(s string) *float64 {
	if s == "" {
		return nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic("spec: bad number in a tag: " + s)
	}
	return &f
}

// Decode sets the options of v from m. An unknown key names the nearest one; a wrong type, a value
// out of limits or outside the enum is fail.Invalid naming the option.
func Decode(v any, m map[string]any) error {
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.Elem().Kind() != reflect.Struct {
		panic("spec: Decode wants a pointer to a struct")
	}
	return decode(rv.Elem(), m, "")
}

func decode(rv reflect.Value, m map[string]any, prefix string) error {
	known := options(rv)
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		i := -1
		for j := range known {
			if known[j].Key == k {
				i = j
			}
		}
		if i < 0 {
			names := make([]string, len(known))
			for j := range known {
				names[j] = known[j].Key
			}
			e := fail.New(fail.Invalid, "unknown option %q", prefix+k).At(fail.Where{Option: prefix + k})
			if n := Nearest(k, names); n != "" {
				e = e.Try("did you mean %q?", prefix+n)
			} else {
				e = e.Try("known options: %s", strings.Join(names, ", "))
			}
			return e
		}
		if err := set(field(rv, k), known[i], m[k], prefix); err != nil {
			return err
		}
	}
	return nil
}

func field(rv reflect.Value, key string) reflect.Value {
	t := rv.Type()
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("opt") == key {
			return rv.Field(i)
		}
	}
	panic("spec: no field for " + key)
}

func set(f reflect.Value, o Option, val any, prefix string) error {
	bad := func(want string) error {
		return fail.New(fail.Invalid, "%v (%T) is not %s", val, val, want).At(fail.Where{Option: prefix + o.Key}).Try("give %s", describe(o))
	}
	switch o.Kind {
	case Bool:
		b, ok := val.(bool)
		if s, isText := val.(string); isText {
			p, err := strconv.ParseBool(s)
			b, ok = p, err == nil
		}
		if !ok {
			return bad("true or false")
		}
		f.SetBool(b)
	case Int, Float:
		x, ok := toFloat(val)
		if !ok || math.IsNaN(x) || (o.Kind == Int && x != math.Trunc(x)) {
			return bad("a number of the kind wanted")
		}
		if (o.Min != nil && x < *o.Min) || (o.Max != nil && x > *o.Max) {
			return bad("within its limits")
		}
		if o.Kind == Int {
			f.SetInt(int64(x))
		} else {
			f.SetFloat(x)
		}
	case String, Enum:
		s, ok := val.(string)
		if b, was := val.(bool); was && contains(o.Enum, "on") && contains(o.Enum, "off") { // an option that was true or false in older files
			s, ok = "off", true
			if b {
				s = "on"
			}
		}
		if !ok {
			return bad("a text")
		}
		if o.Kind == Enum && !contains(o.Enum, s) {
			return bad("one of " + strings.Join(o.Enum, " "))
		}
		f.SetString(s)
	case List:
		var items []string
		switch l := val.(type) {
		case []string:
			items = l
		case []any:
			for _, e := range l {
				s, ok := e.(string)
				if !ok {
					return bad("a list of texts")
				}
				items = append(items, s)
			}
		case string:
			items = strings.Split(l, ",")
		default:
			return bad("a list of texts")
		}
		f.Set(reflect.ValueOf(items))
	case Table:
		out := map[string]float64{}
		switch l := val.(type) {
		case map[string]float64:
			out = l
		case map[string]any:
			for k, e := range l {
				x, ok := toFloat(e)
				if !ok {
					return bad("a table of names and numbers")
				}
				out[k] = x
			}
		default:
			return bad("a table of names and numbers")
		}
		f.Set(reflect.ValueOf(out))
	case Group:
		l, ok := val.(map[string]any)
		if !ok {
			return bad("a table")
		}
		return decode(f, l, prefix+o.Key+".")
	}
	return nil
}

func describe(o Option) string {
	switch {
	case o.Kind == Enum:
		return "one of " + strings.Join(o.Enum, ", ")
	case o.Min != nil && o.Max != nil:
		return fmt.Sprintf("%s from %g to %g", article(o.Kind), *o.Min, *o.Max)
	}
	return article(o.Kind)
}

func article(k Kind) string {
	if k == Int {
		return "a whole number"
	}
	return "a " + string(k)
}

func toFloat(v any) (float64, bool) {
	switch x := v.(type) {
	case int:
		return float64(x), true
	case int64:
		return float64(x), true
	case float64:
		return x, true
	case float32:
		return float64(x), true
	case string:
		f, err := strconv.ParseFloat(x, 64)
		return f, err == nil
	}
	return 0, false
}

func contains(l []string, s string) bool {
	for _, e := range l {
		if e == s {
			return true
		}
	}
	return false
}

// Changed gives the options of v that differ from those of def (both pointers to the same struct type),
// ready for a recipe.
func Changed(v, def any) map[string]any {
	a, b := reflect.ValueOf(v).Elem(), reflect.ValueOf(def).Elem()
	return changed(a, b)
}

func changed(a, b reflect.Value) map[string]any {
	out := map[string]any{}
	t := a.Type()
	for i := range t.NumField() {
		key, ok := t.Field(i).Tag.Lookup("opt")
		if !ok {
			continue
		}
		if a.Field(i).Kind() == reflect.Struct {
			if sub := changed(a.Field(i), b.Field(i)); len(sub) > 0 {
				out[key] = sub
			}
			continue
		}
		if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			out[key] = a.Field(i).Interface()
		}
	}
	return out
}

// Nearest gives the name of names closest to s by edit distance, or "" where none is near.
func Nearest(s string, names []string) string {
	best, at := "", len(s)/2+2
	for _, n := range names {
		if d := distance(s, n); d < at {
			best, at = n, d
		}
	}
	return best
}

func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(row[j+1]+1, row[j]+1, cost)
		}
	}
	return row[len(b)]
}
