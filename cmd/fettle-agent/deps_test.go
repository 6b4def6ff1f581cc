package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestAgentIsSmall holds what the board's agent may not carry: windows, databases, other engines, sockets of its own.
func TestAgentIsSmall(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Skipf("go list: %v", err)
	}
	for _, dep := range strings.Fields(string(out)) {
		for _, no := range []string{"fyne.io/", "gorgonia.org/", "github.com/owulveryck/", "modernc.org/", "gonum.org/", "golang.org/x/crypto/ssh", "net/http", "fettle/app", "fettle/optimizer", "fettle/history"} {
			if strings.HasPrefix(dep, no) {
				t.Errorf("the agent links %s", dep)
			}
		}
	}
}
