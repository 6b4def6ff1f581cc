package native

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"fettle/engine"
	"fettle/internal/fail"
	"fettle/kernels/cpu"
	"fettle/runtimes"
)

// scoreBudget bounds the measurement of a processor, once for each program that lands on it.
const scoreBudget = 200 * time.Millisecond

const maxScoreBytes = 1 << 16

// scoreFile is what is kept beside prepared plans, so that one processor chooses the same kernels for every model and launch.
type scoreFile struct {
	Processor string         `json:"processor"`
	Scores    []engine.Score `json:"scores"`
}

// scorePath names the file by the processor, the program (its kernels) and the precision.
func (n native) scorePath(eo engine.Options, dir string) string {
	type fields cpu.Features // without String, which does not say which core it is
	h := sha256.Sum256(fmt.Appendf(nil, "%+v %s %t %t", fields(eo.Features), buildID(), eo.Fast, eo.Half))
	return filepath.Join(dir, "scores-"+hex.EncodeToString(h[:8])+".json")
}

// kept gives the scores of an earlier measurement. fail.NotFound: this processor is chosen for by scores and has not been measured.
func (n native) kept(eo engine.Options, dir string) ([]engine.Score, error) {
	if !n.measured(eo.Features) {
		return nil, nil
	}
	b, err := os.ReadFile(n.scorePath(eo, dir))
	var f scoreFile
	if err != nil || len(b) > maxScoreBytes || json.Unmarshal(b, &f) != nil {
		return nil, fail.New(fail.NotFound, "the kernels were not measured yet")
	}
	return f.Scores, nil
}

// scores measures the processor where it was not measured yet. Without a folder to keep the result the rules choose: a measurement that changes from
// launch to launch would change the plan with it.
func (n native) scores(ctx context.Context, eo engine.Options, opt runtimes.Options) ([]engine.Score, error) {
	if !n.measured(eo.Features) || opt.Cache == "" || opt.ModelID == "" || os.MkdirAll(opt.Cache, 0o700) != nil {
		return nil, nil
	}
	if l, err := n.kept(eo, opt.Cache); err == nil {
		return l, nil
	}
	l, err := engine.MeasureScores(ctx, eo, cpu.MachineClusters(), scoreBudget, time.Now)
	if err != nil {
		return nil, err
	}
	if len(l) == 0 {
		return nil, nil // no time for one probe: the next launch tries again
	}
	if keepScores(n.scorePath(eo, opt.Cache), scoreFile{eo.Features.String(), l}) != nil {
		return nil, nil
	}
	return l, nil
}

// keepScores writes the file whole or not at all.
func keepScores(path string, f scoreFile) error {
	b, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		return err
	}
	t, err := os.CreateTemp(filepath.Dir(path), ".fplan-*") // tidy removes what a dead writer left
	if err != nil {
		return err
	}
	_, err = t.Write(b)
	if err = errors.Join(err, t.Close()); err == nil {
		err = os.Rename(t.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(t.Name()))
	}
	return nil
}

// Scores says by which measurements plans in the folder dir were chosen: the processor of each, and what its kernels took.
func Scores(dir string) map[string][]engine.Score {
	out := map[string][]engine.Score{}
	list, err := filepath.Glob(filepath.Join(dir, "scores-*.json"))
	if err != nil {
		return out
	}
	for _, p := range list {
		b, err := os.ReadFile(p)
		var f scoreFile
		if err != nil || json.Unmarshal(b, &f) != nil {
			continue
		}
		out[f.Processor] = f.Scores
	}
	return out
}
