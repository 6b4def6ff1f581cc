package app

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"

	"fettle/engine"
	"fettle/kernels/cpu"
	"fettle/remote/agentbin"
	"fettle/runtimes/native"
)

// Doctor says what this computer lacks for Fettle's work, and how to get it.
func (a *App) Doctor(context.Context) []TargetFinding {
	var out []TargetFinding
	add := func(name string, ok bool, why, fix string) {
		if ok {
			fix = ""
		}
		out = append(out, TargetFinding{Name: name, OK: ok, Why: why, Fix: fix})
	}
	add("processor", true, runtime.GOARCH+", "+cpu.Detect().String(), "")
	if why := cpu.Detect().NoTiles; why != "" {
		add("tiles", false, "the processor has AMX: "+why, "update Linux to 5.16 or newer; a sandbox must permit arch_prctl")
	}
	if cpu.Detect().Has(cpu.AMXBF16) {
		add("precision", true, "--precision fast takes three products of bf16 on tiles (AMX) where they gain", "")
	} else {
		add("precision", true, "--precision fast runs exact: there are no tiles of bf16 (AMX)", "")
	}
	if cpu.Detect().Has(cpu.NEONFP16) {
		add("half precision", true, "--precision half takes products in half precision where they gain", "")
	}
	for processor, scores := range native.Scores(a.plans()) {
		if len(scores) == 0 {
			add("kernels", true, "on "+processor+" the rules choose kernels: the time for measuring them ran out", "")
			continue
		}
		add("kernels", true, fmt.Sprintf("on %s kernels were chosen by %d measurements: %s", processor, len(scores), fastest(scores)), "")
	}
	err := a.ensureHome()
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(a.home, ".probe-*"); err == nil {
			f.Close()
			err = os.Remove(f.Name())
		}
	}
	why := a.home + " can be written"
	if err != nil {
		why = err.Error()
	}
	add("home", err == nil, why, "set FETTLE_HOME to a folder that can be written")
	if _, err := a.history(); err != nil {
		add("history", false, err.Error(), "move the file away: a new one is made")
	} else {
		add("history", true, "runs are kept in "+filepath.Join(a.home, "history.db"), "")
	}
	for _, arch := range agentbin.Arches() {
		_, err := agentbin.For(arch)
		why := "the board agent for " + arch + " is built in"
		if err != nil {
			why = err.Error()
		}
		add("agent "+arch, err == nil, why, "make agents, then build again")
	}
	keys := sshKeys()
	switch {
	case os.Getenv("SSH_AUTH_SOCK") != "":
		add("ssh", true, "an ssh agent is running", "")
	case len(keys) > 0:
		add("ssh", true, "key "+strings.Join(keys, ", "), "")
	default:
		add("ssh", false, "no ssh agent and no key in ~/.ssh: boards will ask for a password", "ssh-keygen -t ed25519")
	}
	if runtime.GOOS == "linux" {
		display := os.Getenv("DISPLAY") + os.Getenv("WAYLAND_DISPLAY")
		add("display", display != "", map[bool]string{true: "there is a display", false: "no display: the studio cannot open here"}[display != ""],
			"use the command line, or set DISPLAY")
	}
	return out
}

func sshKeys() []string {
	u, err := user.Current()
	if err != nil {
		return nil
	}
	var out []string
	for _, n := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		if _, err := os.Stat(filepath.Join(u.HomeDir, ".ssh", n)); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// fastest names the best kernel of each probe.
func fastest(scores []engine.Score) string {
	var text []string
	for i, s := range scores {
		if i == 0 || scores[i-1].Probe != s.Probe {
			best := s
			for _, o := range scores[i:] {
				if o.Probe == s.Probe && o.Core == s.Core && o.Ns < best.Ns {
					best = o
				}
			}
			if s.Core != "" && (i == 0 || scores[i-1].Core != s.Core) {
				text = append(text, "on "+s.Core)
			}
			text = append(text, s.Probe+" "+best.Kernel)
		}
	}
	return strings.Join(text, ", ")
}
