//go:build cgo

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestStudioDoesTheMainJob drives the real window with pointer and keys through the whole job: open, rewrite, undo,
// quantize, add a board, deploy, measure both versions on it, compare, roll back. Where no emulated board can run, this
// computer is the board. With FETTLE_SCREENSHOTS=DIR it keeps the pictures of the documents.
func TestStudioDoesTheMainJob(t *testing.T) {
	d := newDriver(t)
	d.open([]string{"FETTLE_HOME=" + filepath.Join(d.dir, "home")})
	d.wait("Make the network fit the board.", where{}, patience)
	d.shot("start")

	d.press("Shapes", where{x0: 90}, d.shows("Kinds of layers", where{}))
	d.wait("BatchNormalization", where{}, patience)

	t.Log("rewrite, undo, redo")
	d.screen("Rewrites", d.shows("Apply the standard rewrites", where{y1: 110}))
	d.press("Apply the standard rewrites", where{y1: 110}, d.shows("Fuse activation functions", where{y1: 760}))
	d.wait("12", where{y1: 170}, patience) // nodes
	d.chord("ctrl+z", d.shows("31", where{y1: 170}))
	d.chord("ctrl+shift+z", d.shows("12", where{y1: 170}))

	t.Log("quantize with the sample's own pictures")
	d.press("Add a rewrite", where{}, d.overlay)
	d.press("Quantize", where{part: true, last: true}, d.shows("11 applied", where{part: true}))
	d.press("Measure the accuracy", where{}, d.shows("±", where{part: true, x0: 700, x1: 900, y1: 50}))
	d.shot("rewrites")

	board := d.board()
	t.Log("deploy")
	d.screen("Deploy", d.shows("Bundle", where{}))
	d.choose("This computer", where{y0: 110, y1: 160}, board)
	d.press("Deploy", where{y0: 380, x0: 400, x1: 600}, d.shows("v1", where{}))
	// the float model becomes the second version, and is taken back
	d.chord("ctrl+z", d.shows("12 nodes", where{part: true, y0: 860}))
	d.press("Deploy", where{y0: 380, x0: 400, x1: 600}, d.shows("v2", where{}))
	d.shot("deploy")
	d.press("Back to v1", where{}, d.overlay)
	d.press("Roll back", where{last: true}, d.shows("v1", where{x0: 600, y0: 100}))
	d.chord("ctrl+shift+z", d.shows("56 nodes", where{part: true, y0: 860}))

	t.Log("measure both versions here, and compare")
	d.measure("This computer", board, "Original")
	d.measure("This computer", board, "Rewritten")
	d.shot("profile")
	d.screen("Compare", d.shows("Aligned layers", where{}))
	d.wait("rows, matched by the imported nodes", where{part: true}, patience)
	d.shot("compare")
	d.screen("Model", d.shows("Layers", where{}))
	d.press("ms", where{y1: 110}, d.shows("unattributed", where{}))
	d.shot("model")

	if board != "This computer" {
		t.Log("measure both versions on the board, and compare")
		d.measure(board, "This computer", "Original")
		d.press("Set as A", where{}, func() bool { return true })
		d.measure(board, "This computer", "Rewritten")
		d.press("Set as B", where{}, func() bool { return true })
		d.screen("Compare", d.shows("Aligned layers", where{}))
		d.wait("run B has a red seal", where{part: true}, patience) // this board is hot
		d.wait("run A has a red seal", where{part: true}, patience)
		d.screen("Model", d.shows("Layers", where{}))
	}

	t.Log("the other language and appearance")
	d.chord("ctrl+l", d.shows("模型", where{}))
	d.shot("model-zh")
	if s := d.output.String(); strings.Contains(s, "panic") || strings.Contains(s, "DATA RACE") {
		t.Errorf("the studio printed:\n%s", s)
	}
}

// measure profiles one version of the model on a target; the list of boards shows it or the other one.
func (d *driver) measure(target, other, version string) {
	d.t.Helper()
	const bar = 110 // the toolbar ends here
	d.screen("Profile", d.shows("Threads", where{y1: bar}))
	d.choose(other, where{x1: 330, y1: bar}, target)
	d.press(version, where{y1: bar}, func() bool { return true })
	d.press("Profile", where{x0: 1200, y0: 60, y1: bar}, d.shows("Stop", where{}))
	d.gone("Stop", where{}, 3*patience)
	d.wait("looking inside cost", where{part: true}, patience)
}

// until waits for an effect.
func (d *driver) until(effect func() bool, what string) {
	d.t.Helper()
	for end := time.Now().Add(2 * patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if effect() {
			return
		}
	}
	d.fail("%s does not come", what)
}

// choose opens the list that shows now and takes another entry of it.
func (d *driver) choose(now string, w where, entry string) {
	d.t.Helper()
	d.until(func() bool { return d.find(now, w) != nil || d.find(entry, w) != nil }, "the list of "+now)
	if d.find(entry, w) != nil {
		return
	}
	d.press(now, w, d.overlay)
	d.press(entry, where{last: true}, d.closed)
	d.wait(entry, w, patience)
}

// board adds an emulated arm64 board by the form, or names this computer where none can run.
func (d *driver) board() string {
	d.t.Helper()
	const script, name = "scripts/board-quick.sh", "bar"
	if out, err := exec.Command(script, "able").CombinedOutput(); err != nil {
		d.t.Logf("no emulated board here, this computer is the board: %s", strings.TrimSpace(string(out)))
		return "This computer"
	}
	dir := filepath.Join(d.dir, "boards")
	run := func(args ...string) string {
		c := exec.Command(script, args...)
		c.Env = append(os.Environ(), "BOARD_DIR="+dir)
		out, err := c.Output()
		if err != nil {
			d.t.Fatalf("%s %v: %v", script, args, err)
		}
		return strings.TrimSpace(string(out))
	}
	port := run("up", name, "hot")
	d.t.Cleanup(func() { run("clean") })
	d.t.Log("add a board")
	d.screen("Boards", d.shows("Check-up", where{}))
	d.press("Add board", where{}, d.shows("Test and add", where{}))
	d.enter("pi@192.168.1.20:22", "pi@127.0.0.1:"+port)
	d.enter("the SSH agent's keys and the usual files", filepath.Join(dir, "keys", "id_ed25519"))
	d.press("Test and add", where{}, d.shows("Is this the right board?", where{}))
	d.shot("hostkey")
	d.press("Accept and keep this key", where{}, func() bool { return d.find("Is this the right board?", where{}) == nil })
	d.wait("2 in the list, 2 reached", where{}, 2*patience)
	d.wait("Cortex-A72", where{part: true}, patience)
	d.shot("boards")
	return "127.0.0.1"
}
