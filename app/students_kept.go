package app

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"fettle/model"
)

// doneStudents are the students of a folder that are done, so that a search that was stopped goes on behind them. The one that was learning goes on
// by itself: its training is kept in the cache.
type doneStudents struct {
	file string
	Key  string                 `json:"key"` // of the request: anything else begins anew
	Rows map[string]studentDone `json:"rows"`

	Labelled bool `json:"labelled"` // scores are accuracies
}

type studentDone struct {
	Row  StudentRow `json:"row"`
	Hash string     `json:"hash"` // of the model's file, where there is one
}

// doneIn reads what the folder of a request has; what cannot be read, or belongs to another request, is as if it were not there.
func (q StudentsRequest) doneIn(base *model.Model) *doneStudents {
	d := &doneStudents{file: filepath.Join(q.Out, "students.json")}
	key := fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "students 2 %s %q %q %q %q %d %g %d %g %d", base.Hash(), q.Data, q.Score, q.Preprocess, q.Target, q.Threads, q.Minutes, q.Passes, q.Ms, q.Seed)))
	if b, err := os.ReadFile(d.file); err == nil {
		_ = json.Unmarshal(b, d) // checked by the key
	}
	if d.Key != key || d.Rows == nil {
		d.Key, d.Rows, d.Labelled = key, map[string]studentDone{}, false
	}
	return d
}

// row gives a student that is done and whose file is the one that was written.
func (d *doneStudents) row(name string) (StudentRow, bool) {
	r, ok := d.Rows[name]
	if !ok || r.Hash != d.hash(r.Row) {
		return StudentRow{}, false
	}
	r.Row.Kept = true
	return r.Row, true
}

func (d *doneStudents) hash(r StudentRow) string {
	if r.Model == "" {
		return ""
	}
	b, err := os.ReadFile(filepath.Join(filepath.Dir(d.file), r.Model))
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

// add keeps a student.
func (d *doneStudents) add(r StudentRow) error {
	d.Rows[r.Name] = studentDone{r, d.hash(r)}
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	return atomicWrite(d.file, b)
}
