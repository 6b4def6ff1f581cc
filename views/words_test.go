package views

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"fettle/app"
	"fettle/assets"
	"fettle/internal/spec"
	"fettle/views/kit"
)

// calls are the functions whose first text is shown in the language of the window.
var calls = map[string]bool{"T": true, "F": true, "job": true, "boardJob": true, "begin": true, "say": true, "ledger": true}

// shownTexts collects the texts of a folder's sources that go through the translations.
func shownTexts(t *testing.T, root string, into map[string]string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			c, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if s, ok := c.Fun.(*ast.SelectorExpr); !ok || !calls[s.Sel.Name] {
				return true
			}
			for _, a := range c.Args {
				if l, ok := a.(*ast.BasicLit); ok && l.Kind == token.STRING {
					text, err := strconv.Unquote(l.Value)
					if err == nil {
						into[text] = path
					}
					return true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// tableTexts collects the texts of tables: screens, commands, revisions, passes with their options.
func tableTexts(w *testWindow, into map[string]string) {
	for _, r := range routes() {
		into[r.title] = "views/router.go"
	}
	for _, a := range w.actions() {
		into[a.Title], into[a.Where] = "views/actions.go", "views/actions.go"
	}
	for _, p := range w.studio.Passes() {
		into[p.Title], into[p.Promise] = "pass "+p.Name, "pass "+p.Name
		optionTexts(p.Options, "pass "+p.Name, into)
	}
	for _, c := range goalCells(&app.State{}) {
		into[c.Caption] = "views/goal_rows.go"
	}
}

func optionTexts(options []spec.Option, where string, into map[string]string) {
	for _, o := range options {
		into[kit.OptionTitle(o.Key)] = where
		if o.Help != "" {
			into[o.Help] = where
		}
		optionTexts(o.Options, where, into)
	}
}

var (
	letter = regexp.MustCompile(`[A-Za-z]{2}`)
	verb   = regexp.MustCompile(`%(\[\d+\])?[.\d]*[a-zA-Z%]`)
)

// TestChinese: every text of the window has a translation, and each translation takes the same arguments.
func TestChinese(t *testing.T) {
	w, _ := newTestWindow(t)
	want := map[string]string{}
	shownTexts(t, ".", want)
	shownTexts(t, "../app", want)
	tableTexts(w, want)
	words := assets.Words("zh")
	var missing []string
	for text, where := range want {
		if _, ok := words[text]; !ok && letter.MatchString(verb.ReplaceAllString(text, "")) {
			missing = append(missing, strconv.Quote(text)+"  ("+where+")")
		}
	}
	sort.Strings(missing)
	if len(missing) > 0 {
		t.Errorf("%d texts have no entry in assets/i18n/zh.json:\n%s", len(missing), strings.Join(missing, "\n"))
	}
	for text, zh := range words {
		if a, b := verbs(text), verbs(zh); !slices.Equal(a, b) {
			t.Errorf("%q takes %v, its translation %q takes %v", text, a, zh, b)
		}
	}
}

// verbs are the verbs of a format in the order of their arguments.
func verbs(format string) []string {
	var out []string
	for _, v := range verb.FindAllString(format, -1) {
		if !strings.HasSuffix(v, "%") {
			out = append(out, v[len(v)-1:])
		}
	}
	slices.Sort(out)
	return out
}
