package deploy

import (
	"strings"
	"testing"
	"time"

	"fettle/app"
	"fettle/internal/fail"
	"fettle/views/kit/fake"
)

func TestVersions(t *testing.T) {
	st := fake.State()
	st.Doc = &app.Doc{SHA256: "9f3c71aa04be55d2c4e1"}
	v := versions(st, "lab-pi4")
	if len(v) != 2 || v[0].Name != "labels-demo" || v[1].Name != "resnet50" || v[0].open || !v[1].open {
		t.Errorf("%+v", v)
	}
	if got := versions(st, "rk3588-a"); got != nil {
		t.Errorf("a board without deployments has %v", got)
	}
	st.Doc = nil
	if versions(st, "lab-pi4")[1].open {
		t.Error("without a document a version is said to be the open model")
	}
}

func TestShort(t *testing.T) {
	for in, want := range map[string]string{"9f3c71aa04be55d2c4e1": "9f3c71aa…e1", "sha256:9f3c71aa04be55d2c4e1": "9f3c71aa…e1", "short": "short", "": ""} {
		if got := short(in); got != want {
			t.Errorf("short(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestContentsAddUp(t *testing.T) {
	d := &app.Doc{Info: &app.Inspection{WeightBytes: 900, FileBytes: 1000}}
	var sum int64
	for _, p := range contents(d) {
		sum += p.bytes
	}
	if sum != total(d) {
		t.Errorf("parts sum to %d of %d", sum, total(d))
	}
	if contents(nil) != nil || total(nil) != -1 {
		t.Error("no document has contents")
	}
}

func TestProgress(t *testing.T) {
	job := func(detail, what string, n, of int64, ended bool, err *fail.Error) *app.Job {
		j := &app.Job{ID: 1, Title: "Deploy", Detail: detail, What: what, Done: n, Total: of, Err: err}
		if ended {
			j.Ended = time.Now()
		}
		return j
	}
	for _, c := range []struct {
		name  string
		job   *app.Job
		stage int
		none  bool
	}{
		{"another board", job("x → pi5", "send x", 1, 2, false, nil), 0, true},
		{"packs", job("x → pi4", "", 0, 0, false, nil), pack, false},
		{"copies the agent", job("x → pi4", "copy the agent", 5, 9, false, nil), pack, false},
		{"sends", job("x → pi4", "send x", 1, 2, false, nil), send, false},
		{"all sent", job("x → pi4", "send x", 2, 2, false, nil), swap, false},
		{"nothing was missing", job("x → pi4", "send x", 0, 0, false, nil), swap, false},
		{"the board tries it", job("x → pi4", "try: health", 1, 2, false, nil), swap, false},
		{"the board does not take it", job("x → pi4", "try: health", 2, 2, true, fail.New(fail.Failed, "other outputs")), swap, false},
		{"done, tried last", job("x → pi4", "try: verify", 0, 0, true, nil), done, false},
		{"done", job("x → pi4", "send x", 2, 2, true, nil), done, false},
		{"failed while sending", job("x → pi4", "send x", 1, 2, true, fail.New(fail.Unreachable, "cut")), send, false},
	} {
		r := progress([]*app.Job{c.job}, "pi4")
		if (r == nil) != c.none || r != nil && r.stage != c.stage {
			t.Errorf("%s: %+v", c.name, r)
		}
		if r != nil && r.sending() && r.trying() {
			t.Errorf("%s counts two things", c.name)
		}
	}
}

func TestNames(t *testing.T) {
	for in, want := range map[string]string{"resnet50.onnx": "resnet50", "my net (2)": "my-net--2", "人脸.onnx": ""} {
		got := nameFor(&app.Doc{Name: in})
		if got != want {
			t.Errorf("name for %q is %q, want %q", in, got, want)
		}
		if (checkName(got) == "") != (want != "") {
			t.Errorf("%q: %q", got, checkName(got))
		}
	}
	if checkName(strings.Repeat("a", 65)) == "" || checkName("../x/") == "" {
		t.Error("a bad name passes")
	}
}
