package kit

import (
	"fmt"
	"math"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"fettle/internal/spec"
)

// FormText is a value of an option as a user types it.
func FormText(o spec.Option, v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case bool:
		return strconv.FormatBool(x)
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	case float32:
		return strconv.FormatFloat(float64(x), 'g', -1, 32)
	case []string:
		return strings.Join(x, ", ")
	case []any:
		parts := make([]string, len(x))
		for i, e := range x {
			parts[i] = fmt.Sprint(e)
		}
		return strings.Join(parts, ", ")
	case map[string]float64:
		var parts []string
		for k, f := range x {
			parts = append(parts, k+"="+strconv.FormatFloat(f, 'g', -1, 64))
		}
		sort.Strings(parts)
		return strings.Join(parts, ", ")
	case map[string]any:
		var parts []string
		for k, f := range x {
			parts = append(parts, fmt.Sprintf("%s=%v", k, f))
		}
		sort.Strings(parts)
		return strings.Join(parts, ", ")
	}
	return fmt.Sprint(v)
}

// FormValue reads what a user typed; the problem is a format with its arguments, a key of the translations, and "" where
// there is none.
func FormValue(o spec.Option, text string) (v any, problem string, args []any) {
	text = strings.TrimSpace(text)
	switch o.Kind {
	case spec.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, "write true or false", nil
		}
		return b, "", nil
	case spec.Int, spec.Float:
		f, err := strconv.ParseFloat(strings.Replace(text, minus, "-", 1), 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, "write a number", nil
		}
		if o.Kind == spec.Int && f != math.Trunc(f) {
			return nil, "write a whole number", nil
		}
		if o.Min != nil && f < *o.Min {
			return nil, "at least %v", []any{*o.Min}
		}
		if o.Max != nil && f > *o.Max {
			return nil, "at most %v", []any{*o.Max}
		}
		if o.Kind == spec.Int {
			return int64(f), "", nil
		}
		return f, "", nil
	case spec.List:
		return splitList(text), "", nil
	case spec.Table:
		out := map[string]any{}
		for _, part := range splitList(text) {
			k, num, ok := strings.Cut(part, "=")
			f, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
			if !ok || err != nil {
				return nil, "write name=number, separated by commas", nil
			}
			out[strings.TrimSpace(k)] = f
		}
		return out, "", nil
	case spec.Enum:
		for _, e := range o.Enum {
			if e == text {
				return text, "", nil
			}
		}
		return nil, "choose one of %s", []any{strings.Join(o.Enum, ", ")}
	}
	return text, "", nil
}

func splitList(text string) []string {
	out := []string{}
	for _, p := range strings.Split(text, ",") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// Shown reports whether an option applies: its When, "key=value", holds for the values that differ from the defaults.
func Shown(o spec.Option, all []spec.Option, values map[string]any) bool {
	key, want, ok := strings.Cut(o.When, "=")
	if !ok {
		return true
	}
	for _, other := range all {
		if other.Key != key {
			continue
		}
		v, set := values[key]
		if !set {
			v = other.Default
		}
		for _, w := range strings.Split(want, "|") {
			if FormText(other, v) == w {
				return true
			}
		}
		return false
	}
	return true
}

// SetValue puts v into values, or takes the key out where v is the default: a recipe holds only what differs.
func SetValue(o spec.Option, v any, values map[string]any) {
	if same(o, v) {
		delete(values, o.Key)
		return
	}
	values[o.Key] = v
}

func same(o spec.Option, v any) bool {
	if o.Kind == spec.List || o.Kind == spec.Table {
		return FormText(o, v) == FormText(o, o.Default)
	}
	a, aok := toNumber(v)
	b, bok := toNumber(o.Default)
	if aok && bok {
		return a == b
	}
	return reflect.DeepEqual(v, o.Default)
}

func toNumber(v any) (float64, bool) {
	rv := reflect.ValueOf(v)
	switch {
	case !rv.IsValid():
		return 0, false
	case rv.CanInt():
		return float64(rv.Int()), true
	case rv.CanFloat():
		return rv.Float(), true
	}
	return 0, false
}

// OptionTitle is the name of an option for people: "input_weights" is "Input weights".
func OptionTitle(key string) string {
	return capital(strings.NewReplacer("_", " ", "-", " ").Replace(key))
}
