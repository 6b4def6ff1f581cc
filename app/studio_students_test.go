package app

import "testing"

// TestStudentsAnotherDay: the ranking of students is there when the model is opened again, nobody has a second turn, and one that would be too slow need
// not learn. TestDistillInTheWindow lets them learn and applies one.
func TestStudentsAnotherDay(t *testing.T) {
	if testing.Short() {
		t.Skip("-short was asked for: no network is cut and measured")
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
	f.Minutes, f.Ms = 30, 1e-6
	s.FindStudents(f)
	c := idle(t, s).Doc.Class
	if c == nil || c.Err != nil || c.Running || !c.Ended || !c.Report.Labelled || len(c.Report.Rows) != 8 || len(c.Report.Front) != 1 {
		t.Fatalf("%+v", c)
	}
	for _, x := range c.Report.Rows {
		if x.Kind != "original" && (x.Problem == "" || x.Ms <= f.Ms || x.Model != "") {
			t.Errorf("%s is too slow and learned: %+v", x.Name, x)
		}
	}
	s.TryStudent("plain-16")
	s.TryStudent("../plain-16")
	if st := idle(t, s); len(st.Doc.Ledger()) != 0 || len(st.Notices) != 3 {
		t.Errorf("a student without a recipe is applied: %v, %d notices", st.Doc.Ledger(), len(st.Notices))
	}
	leave()

	_, s, _ = desk(t, home)
	s.OpenSample("")
	c = idle(t, s).Doc.Class
	if c == nil || c.Running || !c.Ended || c.Form.Ms != f.Ms || c.Form.Minutes != f.Minutes || len(c.Report.Rows) != 8 || !c.Report.Labelled {
		t.Fatalf("the next day: %+v", c)
	}
	s.FindStudents(f)
	for _, x := range idle(t, s).Doc.Class.Report.Rows {
		if !x.Kept {
			t.Errorf("%s had a second turn", x.Name)
		}
	}
}
