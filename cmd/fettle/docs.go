package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/alecthomas/kong"

	"fettle/internal/fail"
)

type docsCmd struct {
	Out string `short:"o" default:"docs" help:"Folder."`
}

// Run writes the documents that are made from tables.
func (c docsCmd) Run(e *env) error {
	files, err := documents(e)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return fail.New(fail.Denied, "%v", err)
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(c.Out, name), []byte(files[name]), 0o644); err != nil {
			return fail.New(fail.Denied, "%v", err)
		}
		fmt.Fprintln(e.out, "wrote", filepath.Join(c.Out, name))
	}
	return nil
}

func documents(e *env) (map[string]string, error) {
	files := e.app.Docs()
	cli, err := cliDoc()
	if err != nil {
		return nil, err
	}
	files["cli.md"] = cli
	return files, nil
}

// cliDoc describes the commands from the same structs that parse them.
func cliDoc() (string, error) {
	var c cli
	p, err := kong.New(&c, kong.Name("fettle"), kong.Writers(io.Discard, io.Discard))
	if err != nil {
		return "", fail.New(fail.Internal, "command table: %v", err)
	}
	var b strings.Builder
	b.WriteString("<!-- Made by `make docs` from the tables in the code. Do not edit. -->\n\n# The command line\n\n" +
		"Exit codes: 0 done; 1 the answer is no; 2 wrong usage; 3 bad input file; 4 a target or network problem; 5 not supported; 130 cancelled.\n" +
		"Errors are one line on standard error: `fettle: WHAT failed: WHY; WHAT TO DO`, with `--json` also one object `{\"error\":{\"code\",\"what\",\"why\",\"fix\"}}` on standard output.\n" +
		"Targets, history and cache lie under `$FETTLE_HOME`, by default the XDG data folder.\n")
	for _, n := range p.Model.Leaves(true) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", n.FullPath(), n.Help)
		if n.Detail != "" {
			fmt.Fprintf(&b, "\n```\n%s\n```\n", strings.TrimSpace(n.Detail))
		}
		if len(n.Positional) > 0 || len(n.Flags) > 0 {
			b.WriteString("\n| | |\n|---|---|\n")
		}
		for _, a := range n.Positional {
			fmt.Fprintf(&b, "| `%s` | %s |\n", a.Summary(), a.Help)
		}
		for _, f := range n.Flags {
			if f.Hidden || f.Name == "help" {
				continue
			}
			name := "--" + f.Name
			if f.Short != 0 {
				name = fmt.Sprintf("-%c, %s", f.Short, name)
			}
			fmt.Fprintf(&b, "| `%s` | %s%s |\n", name, f.Help, defaultOf(f))
		}
	}
	return b.String(), nil
}

func defaultOf(f *kong.Flag) string {
	if f.HasDefault && f.Default != "" {
		return " Default: " + f.Default + "."
	}
	return ""
}
