//go:build cgo

// Command fettle-studio is the desktop studio: it opens models, rewrites them, puts them on boards and measures them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	fyneapp "fyne.io/fyne/v2/app"

	"fettle/app"
	"fettle/views"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "agent" { // "this computer" is reached through the same agent as any board
		os.Exit(app.AgentMain(self(), os.Args[2:], os.Getenv("FETTLE_CPU"), os.Stdin, os.Stdout, os.Stderr))
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "fettle-studio: "+err.Error())
		os.Exit(1)
	}
}

// options are the flags; those for pictures and tests are not in the help of the window.
type options struct {
	sample bool
	model  string
	lang   string
	light  bool
	screen string
}

func flags() options {
	var o options
	flag.BoolVar(&o.sample, "sample", false, "open the trained sample")
	flag.StringVar(&o.model, "model", "", "open this model")
	flag.StringVar(&o.lang, "lang", "", "language of the window: en or zh (default: as last time)")
	flag.BoolVar(&o.light, "light", false, "light appearance")
	flag.StringVar(&o.screen, "screen", "", "show this screen first")
	flag.Parse()
	if o.model == "" && flag.NArg() > 0 {
		o.model = flag.Arg(0)
	}
	return o
}

func run() (err error) {
	o := flags()
	a, err := app.Open(app.Options{ISA: os.Getenv("FETTLE_CPU"), Self: self()})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := a.Close(); err == nil {
			err = cerr
		}
	}()
	keepCrash(a.Home())
	s := a.NewStudio(context.Background())
	defer func() {
		if cerr := s.Close(); err == nil {
			err = cerr
		}
	}()
	if o.lang != "" {
		s.SetLanguage(o.lang)
	}
	if o.light {
		s.SetDark(false)
	}
	if o.screen != "" {
		s.ShowFirst(o.screen)
	}
	toolkit := fyneapp.NewWithID("dev.fettle.studio")
	w := views.New(toolkit, s)
	switch {
	case o.model != "":
		s.Open(o.model)
	case o.sample:
		s.OpenSample("")
	}
	defer describe(w)()
	w.Run()
	return nil
}

// self is how this program starts itself as an agent, nil where the system does not say where it lies.
func self() []string {
	exe, err := os.Executable()
	if err != nil {
		return nil
	}
	return []string{exe, "agent"}
}

// keepCrash writes the trace of a crash that no job could catch into a file that a report can carry.
func keepCrash(home string) {
	if os.MkdirAll(home, 0o700) != nil {
		return // the window works without it
	}
	f, err := os.OpenFile(filepath.Join(home, "crash.txt"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	_ = debug.SetCrashOutput(f, debug.CrashOptions{})
}
