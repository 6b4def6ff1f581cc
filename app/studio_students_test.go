package app

import "testing"

// TestStudentsAnotherDay: small networks learn from the opened model, one becomes a step that undo takes back, and all of them are there when the model is
// opened again: nobody learns twice. One that would be too slow need not learn.
func TestStudentsAnotherDay(t *testing.T) {
	if testing.Short() {
		t.Skip("-short was asked for: nothing is trained")
	}
	home := t.TempDir()
	_, s, leave := desk(t, home)
	s.OpenSample("")
	idle(t, s)
	f := NewStudentForm()
	f.Minutes = 0
	s.FindStudents(f)
	if st := idle(t, s); st.Doc.Class != nil || len(st.Notices) != 1 {
		t.Fatalf("no time to learn: %+v", st.Doc.Class)
	}
	f.Minutes, f.Passes = 30, 2 // by passes, not by the clock: a busy computer learns as much
	s.FindStudents(f)
	until(t, s, "the end", func(st *State) bool { return st.Doc.Class != nil && !st.Doc.Class.Running && len(st.Active()) == 0 })
	c := s.State().Doc.Class
	if c.Err != nil || !c.Ended || !c.Report.Labelled || len(c.Report.Rows) != 8 || len(c.Report.Front) == 0 {
		t.Fatalf("%+v, %+v", c, c.Report)
	}
	taught := ""
	for _, x := range c.Report.Rows {
		if x.Model != "" && x.Kind == "ready" {
			taught = x.Name
		}
	}
	if taught == "" {
		t.Fatalf("nobody learned: %+v", c.Report.Rows)
	}
	s.TryStudent(taught)
	d := idle(t, s).Doc
	if l := d.Ledger(); len(l) != 2 || l[0].Pass != "student" || l[1].Pass != "distill" || d.Info.MACs >= d.BaseInfo.MACs {
		t.Errorf("%s: the ledger is %v, %d of %d multiply-adds", taught, l, d.Info.MACs, d.BaseInfo.MACs)
	}
	s.Undo()
	if d = idle(t, s).Doc; d.Model.Hash() != d.Base.Hash() {
		t.Error("undo does not lead back to the opened model")
	}
	leave()

	_, s, _ = desk(t, home)
	s.OpenSample("")
	idle(t, s)
	again := s.State().Doc.Class
	if again == nil || again.Running || !again.Ended || again.Form.Minutes != f.Minutes || len(again.Report.Rows) != 8 || !again.Report.Labelled {
		t.Fatalf("the next day: %+v", again)
	}
	s.FindStudents(f)
	until(t, s, "the end", func(st *State) bool { return !st.Doc.Class.Running && len(st.Active()) == 0 })
	for _, x := range s.State().Doc.Class.Report.Rows {
		if !x.Kept && x.Problem == "" {
			t.Errorf("%s learned twice", x.Name)
		}
	}
	f.Ms, f.Minutes = 1e-6, 5
	s.FindStudents(f)
	until(t, s, "the end", func(st *State) bool { return !st.Doc.Class.Running && len(st.Active()) == 0 })
	for _, x := range s.State().Doc.Class.Report.Rows {
		if x.Kind != "original" && (x.Problem == "" || x.Model != "") {
			t.Errorf("%s is too slow and learned: %+v", x.Name, x)
		}
	}
}
