package rewrite

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"fettle/internal/spec"
	"fettle/model"
	"fettle/model/text"
	"fettle/optimizer"
)

var update = flag.Bool("update", false, "rewrite the wanted results in testdata")

var passes = optimizer.Table{{New: NewEliminateDead}, {New: NewFoldConstants}, {New: NewFoldBatchNorm}, {New: NewFuseResidual},
	{New: NewFuseBias}, {New: NewFuseGelu}, {New: NewFoldScale}, {New: NewFuseLayerNorm}, {New: NewFuseActivation}}

// TestRules runs testdata/<pass>.txtar: triples of sections "case: NAME", "after" and "findings". A case whose
// after is "unchanged" is a near miss. What fires is also proved: the outputs before and after are compared on
// random inputs at the exactness that the pass promises.
func TestRules(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no test data")
	}
	for _, f := range files {
		name := strings.ReplaceAll(strings.TrimSuffix(filepath.Base(f), ".txtar"), "_", "-")
		t.Run(name, func(t *testing.T) {
			a, err := txtar.ParseFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for i := range a.Files {
				if c, ok := strings.CutPrefix(a.Files[i].Name, "case: "); ok {
					after, findings := &a.Files[i+1], &a.Files[i+2]
					t.Run(c, func(t *testing.T) { rule(t, name, string(a.Files[i].Data), after, findings) })
				}
			}
			if *update {
				if err := os.WriteFile(f, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func rule(t *testing.T, name, before string, after, findings *txtar.File) {
	p := passes.Find(name)
	env := &optimizer.Env{}
	for _, l := range strings.Split(before, "\n") {
		if o, ok := strings.CutPrefix(l, "# option "); ok {
			k, v, _ := strings.Cut(o, " = ")
			if err := spec.Decode(p.Options(), map[string]any{k: v}); err != nil {
				t.Fatal(err)
			}
		}
		if e, ok := strings.CutPrefix(l, "# exclude "); ok {
			var err error
			if env.Scope, err = (optimizer.Scope{Exclude: []string{e}}).Compile(); err != nil {
				t.Fatal(err)
			}
		}
	}
	m, err := text.Parse(before)
	if err != nil {
		t.Fatal(err)
	}
	hash := m.Hash()
	out, found, err := p.Apply(context.Background(), env, m)
	if err != nil {
		t.Fatal(err)
	}
	got := "unchanged\n"
	if out != m {
		got = text.Print(out, text.Options{MaxElements: 8, NoFunctions: true}) // expansions are tested in ops
	}
	lines := ""
	for _, f := range found {
		lines += fmt.Sprintf("%s %s", f.Outcome, f.Label)
		if f.Reason != "" {
			lines += ": " + f.Reason
		}
		lines += "\n"
	}
	if *update {
		after.Data, findings.Data = []byte(got), []byte(lines)
	}
	if got != string(after.Data) {
		t.Errorf("got\n%s\nwant\n%s", got, after.Data)
	}
	if lines != string(findings.Data) {
		t.Errorf("findings\n%s\nwant\n%s", lines, findings.Data)
	}
	if out == m {
		return
	}
	inputs, err := optimizer.RandomInputs(m, 4, 7)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := optimizer.Prove(context.Background(), optimizer.Reference{}, m, out, inputs, p.Info().Exactness)
	if err != nil {
		t.Fatal(err)
	}
	if !proof.Within || proof.N != 4 {
		t.Errorf("the outputs differ: %+v", proof)
	}
	if twice, _, err := p.Apply(context.Background(), env, out); err != nil || twice != out {
		t.Errorf("not idempotent: %v", err)
	}
	third, _, _ := p.Apply(context.Background(), env, m)
	if third.Hash() != out.Hash() {
		t.Error("the same pass on the same model gave another result")
	}
	checkOrigins(t, m, out)
	fresh, _ := text.Parse(before)
	if m.Hash() != hash || fresh.Hash() != hash {
		t.Error("the model before was written")
	}
}

// checkOrigins: each node of the result stands for nodes of the model before.
func checkOrigins(t *testing.T, m, out *model.Model) {
	t.Helper()
	for _, n := range out.Graph.Nodes {
		if len(n.Origin) == 0 {
			t.Errorf("node %s has no origin", n.Label())
		}
		for _, o := range n.Origin {
			if m.Graph.Node(o) == nil {
				t.Errorf("node %s stands for %q, which is not there", n.Label(), o)
			}
		}
	}
}
