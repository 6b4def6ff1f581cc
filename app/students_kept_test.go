package app

import (
	"os"
	"path/filepath"
	"testing"

	"fettle/model"
)

// TestDoneStudents: a student that is done is found again by the same request, unless its file is another one by now.
func TestDoneStudents(t *testing.T) {
	b := model.NewBuilder("net", 17)
	b.Output(b.Node("Relu", "relu", []string{b.Input("x", model.Float32, model.FixedShape(1, 2))}), model.Float32, model.FixedShape(1, 2))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	q := StudentsRequest{Data: "d", Score: "s", Minutes: 1, Out: t.TempDir()}
	file := filepath.Join(q.Out, "plain-16.onnx")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a network")
	if err := q.doneIn(m).add(StudentRow{Name: "plain-16", Model: "plain-16.onnx", Score: 0.5}); err != nil {
		t.Fatal(err)
	}
	if r, ok := q.doneIn(m).row("plain-16"); !ok || !r.Kept || r.Score != 0.5 {
		t.Errorf("the same request: %+v, %v", r, ok)
	}
	if _, ok := q.doneIn(m).row("plain-32"); ok {
		t.Error("one that was never done is found")
	}
	other := q
	other.Minutes = 2
	if _, ok := other.doneIn(m).row("plain-16"); ok {
		t.Error("a request with other minutes finds it")
	}
	write("another network")
	if _, ok := q.doneIn(m).row("plain-16"); ok {
		t.Error("it is found though its file changed")
	}
	if err := os.WriteFile(filepath.Join(q.Out, "students.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := q.doneIn(m).row("plain-16"); ok {
		t.Error("a broken list is read")
	}
}
