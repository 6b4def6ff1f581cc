package app

import (
	"fmt"
	"sort"
	"strings"

	"fettle/internal/fail"
	"fettle/internal/spec"
	"fettle/ops"
)

// Docs are the documents that are made from the tables, by file name.
func (a *App) Docs() map[string]string {
	return map[string]string{"passes.md": a.passesDoc(), "ops.md": opsDoc(), "errors.md": errorsDoc()}
}

const generated = "<!-- Made by `make docs` from the tables in the code. Do not edit. -->\n\n"

func (a *App) passesDoc() string {
	var b strings.Builder
	b.WriteString(generated + "# Passes\n\nIn the order in which a recipe should run them. `exact`: the same values; `bounded`: the same formula in another order of rounding;\n" +
		"`scored`: another function, judged on data. The recipe `standard` is:\n\n")
	r := a.StandardRecipe()
	b.WriteString("```toml\n" + string(r.Format()) + "```\n")
	for _, p := range a.Passes() {
		fmt.Fprintf(&b, "\n## %s\n\n%s (%s)\n", p.Name, p.Promise, p.Exactness)
		if p.Paper != "" {
			fmt.Fprintf(&b, "\nSource: %s.\n", p.Paper)
		}
		if p.Undo != "" {
			fmt.Fprintf(&b, "\nWhat the exported file no longer holds: %s.\n", p.Undo)
		}
		for _, o := range p.After {
			fmt.Fprintf(&b, "\nAfter `%s`: %s.\n", o.Pass, o.Why)
		}
		optionsDoc(&b, p.Options)
	}
	return b.String()
}

func optionsDoc(b *strings.Builder, opts []spec.Option) {
	if len(opts) == 0 {
		return
	}
	b.WriteString("\n| option | default | values | |\n|---|---|---|---|\n")
	for _, o := range opts {
		values := string(o.Kind)
		switch {
		case len(o.Enum) > 0:
			values = strings.Join(o.Enum, ", ")
		case o.Min != nil && o.Max != nil:
			values = fmt.Sprintf("%v to %v %s", *o.Min, *o.Max, o.Unit)
		}
		fmt.Fprintf(b, "| `%s` | %v | %s | %s |\n", o.Key, o.Default, strings.TrimSpace(values), o.Help)
	}
}

func opsDoc() string {
	var b strings.Builder
	b.WriteString(generated + "# Operators\n\nEvery operator with a reference kernel. A model with another one answers `unsupported` with the operator's name.\n\n| operator | since opset |\n|---|---|\n")
	for _, d := range ops.All() {
		name := d.Name
		if d.Domain != "" {
			name = d.Domain + ":" + name
		}
		var since []string
		for _, s := range d.Since {
			since = append(since, fmt.Sprint(s))
		}
		last := strings.Join(since, ", ")
		if d.Until > 0 {
			last += fmt.Sprintf(" (ends with %d)", d.Until-1)
		}
		fmt.Fprintf(&b, "| %s | %s |\n", name, last)
	}
	return b.String()
}

func errorsDoc() string {
	var b strings.Builder
	b.WriteString(generated + "# Errors\n\nEvery error says what failed, why, and what to do. The command line ends with the code of its kind.\n\n| kind | meaning | exit code |\n|---|---|---|\n")
	kinds := fail.Kinds()
	sort.SliceStable(kinds, func(i, j int) bool { return kinds[i].Exit < kinds[j].Exit })
	for _, k := range kinds {
		fmt.Fprintf(&b, "| `%s` | %s | %d |\n", k.Kind, k.Meaning, k.Exit)
	}
	return b.String()
}
