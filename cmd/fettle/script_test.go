package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"fettle": main})
}

// TestScripts runs the scripts of testdata/script, each in its own folder with its own home. Besides testscript's own
// commands: `exits N fettle …` wants the exit code N, `json FILE KEY…` wants a document with these keys, `same A B`
// compares bytes.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("FETTLE_HOME", e.WorkDir+"/home")
			e.Setenv("FETTLE_CPU", os.Getenv("FETTLE_CPU"))
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "json": jsonKeys},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var e *exec.ExitError
	if errors.As(err, &e) {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s exits with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

func jsonKeys(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: json FILE KEY…")
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(ts.ReadFile(args[0])), &doc); err != nil {
		ts.Fatalf("%s is not one JSON object: %v", args[0], err)
	}
	for _, key := range args[1:] {
		at := doc
		parts := strings.Split(key, ".")
		for i, p := range parts {
			v, ok := at[p]
			if !ok {
				ts.Fatalf("%s has no %s", args[0], key)
			}
			if i < len(parts)-1 {
				if at, ok = v.(map[string]any); !ok {
					ts.Fatalf("%s: %s is no object", args[0], p)
				}
			}
		}
	}
}
