package assets

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// spoken are the folders whose sentences reach the window and exported pages: every one has a translation. Those of other folders are shown as errors in
// English words. Files of what the command line alone says are left out.
var spoken = map[string][]string{
	"profiler": nil, "profiler/predict": nil, "remote/board": {"doctor.go"}, "optimizer": nil, "optimizer/search": nil, "optimizer/prune": nil, "optimizer/blocks": nil, "optimizer/distill": nil,
	"app": {"bench.go", "benchtrain.go", "convert.go", "debug.go", "demo.go", "diff.go", "doctor.go", "run.go"},
}

var (
	anyVerb = regexp.MustCompile(`%(?:\[\d+\])?[-+# 0]*[\d.]*[a-zA-Z]`)
	plain   = regexp.MustCompile(`^[A-Za-z][a-z']+[,.;:]?$`)
)

// ends are formats that end in one of a few words, each of which makes a sentence with a translation of its own: a pattern of the whole would take the
// sentences behind it as well.
var ends = map[string][]string{"distance to the original on %d held-out items: %s before, %s after %s": {"step 24", "the blocks"}}

// printed is what a format may print.
func printed(format string) string {
	s := strings.ReplaceAll(format, "%%", "\x00")
	s = anyVerb.ReplaceAllStringFunc(s, func(v string) string {
		switch v[len(v)-1] {
		case 'd':
			return "3"
		case 'e', 'f', 'g', 'G', 'E':
			return "1.5"
		case 'q':
			return `"X1"`
		}
		return "X1"
	})
	return strings.ReplaceAll(s, "\x00", "%")
}

// english reports three words of English in a row that are no names.
func english(text string) bool {
	row := 0
	for _, f := range strings.Fields(text) {
		if row++; !plain.MatchString(f) {
			row = 0
		}
		if row == 3 {
			return true
		}
	}
	return false
}

// TestSentencesHaveTranslations reads the sources: a text with three English words in a row is a sentence, and it or the pattern that it is has to be in the
// table. So nothing has to happen first for a missing one to be found: not a disturbed measurement, not a board that is hot.
func TestSentencesHaveTranslations(t *testing.T) {
	p := NewPhrases(Words("zh"))
	found := 0
	for folder, leave := range spoken {
		files, err := filepath.Glob(filepath.Join("..", folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no sources, %v", folder, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") || slices.Contains(leave, filepath.Base(file)) {
				continue
			}
			for _, text := range literals(t, file) {
				if text = whole(text); !english(printed(text)) || strings.Contains(text, "arXiv:") { // names of authors
					continue
				}
				found++
				for _, end := range ends[text] {
					whole := strings.TrimSuffix(printed(text), "X1") + end
					if left := p.Say(whole + "; stopped"); english(left) || strings.Contains(left, end) {
						t.Errorf("%s: %q has no translation in assets/i18n/zh.json (%q)", file, whole, left)
					}
				}
				if ends[text] != nil {
					continue
				}
				if left := p.Say(printed(text)); english(left) {
					t.Errorf("%s: %q has no translation in assets/i18n/zh.json (%q)", file, text, left)
				}
			}
		}
	}
	if found < 300 { // else the sources are not where they are looked for
		t.Errorf("only %d sentences were found", found)
	}
}

// whole makes a pattern of a piece that something is added to.
func whole(text string) string {
	if strings.HasSuffix(text, " ") || strings.HasSuffix(text, "(") {
		text += "%s"
	}
	if strings.HasPrefix(text, " ") || strings.HasPrefix(text, ": ") || strings.HasPrefix(text, "; ") || strings.HasPrefix(text, ", ") {
		text = "%s" + text
	}
	return text
}

// literals are the texts of a file, without tags of fields, paths of imports, and texts of several lines.
func literals(t *testing.T, file string) (out []string) {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), file, src, 0)
	if err != nil {
		t.Fatal(err)
	}
	tags := map[*ast.BasicLit]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.Field:
			if x.Tag != nil {
				tags[x.Tag] = true
			}
		case *ast.ImportSpec:
			tags[x.Path] = true
		case *ast.BasicLit:
			if text, err := strconv.Unquote(x.Value); x.Kind == token.STRING && !tags[x] && err == nil && !strings.Contains(text, "\n") {
				out = append(out, text)
			}
		}
		return true
	})
	sort.Strings(out)
	return slices.Compact(out)
}
