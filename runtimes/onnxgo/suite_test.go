package onnxgo

import (
	"fmt"
	"strings"
	"testing"

	"github.com/owulveryck/onnx-go/backend/testbackend"
	_ "github.com/owulveryck/onnx-go/backend/testbackend/onnx"

	"fettle/runtimes/native"
)

// bar is how many of the library's 348 cases must pass; a skip is no pass.
const bar = 340

// TestSuite runs onnx-go's own suite on the engine. Each case is a subtest of a helper that only counts, so that a case
// that does not pass is named without ending the run.
func TestSuite(t *testing.T) {
	rt, err := native.New("")
	if err != nil {
		t.Fatal(err)
	}
	cases := testbackend.GetAllRegisteredTests()
	passed, bad := 0, []string{}
	for _, make := range cases {
		tc := make()
		if why := runCase(tc, New(rt)); why != "" {
			bad = append(bad, tc.Title+": "+why)
		} else {
			passed++
		}
	}
	t.Logf("%d of %d passed", passed, len(cases))
	if len(cases) < 348 || passed < bar {
		t.Errorf("%d of %d passed, want %d of 348:\n%s", passed, len(cases), bar, strings.Join(bad, "\n"))
	}
}

// runCase does what the library's RunTest does, by its public interface, and says what went wrong.
func runCase(tc *testbackend.TestCase, b *Backend) (why string) {
	defer func() {
		if p := recover(); p != nil {
			why = fmt.Sprint("panic: ", p)
		}
	}()
	m := newModel(b)
	if err := m.UnmarshalBinary(tc.ModelB); err != nil {
		return "decode: " + err.Error()
	}
	for i, in := range tc.Input {
		if err := m.SetInput(i, in); err != nil {
			return "input: " + err.Error()
		}
	}
	if err := b.Run(); err != nil {
		return err.Error()
	}
	out, err := m.GetOutputTensors()
	if err != nil {
		return "outputs: " + err.Error()
	}
	if len(out) != len(tc.ExpectedOutput) {
		return fmt.Sprintf("%d outputs, want %d", len(out), len(tc.ExpectedOutput))
	}
	for i := range out {
		if why := differs(out[i], tc.ExpectedOutput[i]); why != "" {
			return why
		}
	}
	return ""
}
