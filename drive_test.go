//go:build cgo

package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// item is what views/kit/describe writes of one text.
type item struct {
	Text, Kind string
	X, Y, W, H float64
}

// driver uses the real window as a person does: it looks where a text is and puts the pointer there.
type driver struct {
	t       *testing.T
	dir     string
	display string
	file    string // description of the window
	shots   string // folder of screenshots, "" for none
	window  *exec.Cmd
	output  *bytes.Buffer
}

// newDriver builds the studio and opens a display of its own for it. The test is skipped where there can be none.
func newDriver(t *testing.T) *driver {
	t.Helper()
	if testing.Short() {
		t.Skip("the window is not driven with -short")
	}
	for _, p := range []string{"Xvfb", "xdotool", "xwd"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed: the window cannot be driven", p)
		}
	}
	d := &driver{t: t, dir: t.TempDir(), output: &bytes.Buffer{}, shots: os.Getenv("FETTLE_SCREENSHOTS")}
	d.file = filepath.Join(d.dir, "window.json")
	build := exec.Command("go", "build", "-tags", "migrated_fynedo,drive", "-o", filepath.Join(d.dir, "studio"), ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the studio: %v\n%s", err, out)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	x := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "1440x900x24", "-noreset", "-nolisten", "tcp")
	x.ExtraFiles = []*os.File{w}
	if err := x.Start(); err != nil {
		t.Skipf("Xvfb does not start: %v", err)
	}
	w.Close()
	t.Cleanup(func() { _ = x.Process.Kill(); _ = x.Wait() })
	number := make([]byte, 16)
	n, err := r.Read(number)
	if err != nil {
		t.Skipf("Xvfb gives no display: %v", err)
	}
	d.display = ":" + strings.TrimSpace(string(number[:n]))
	return d
}

// open starts the studio; env is added to its environment.
func (d *driver) open(env []string, args ...string) {
	d.t.Helper()
	d.window = exec.Command(filepath.Join(d.dir, "studio"), args...)
	d.window.Env = append(append(os.Environ(), "DISPLAY="+d.display, "WAYLAND_DISPLAY=", "LIBGL_ALWAYS_SOFTWARE=1", "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "FETTLE_DESCRIBE="+d.file,
		"HOME="+d.dir, "XDG_RUNTIME_DIR="+d.dir, "SSH_AUTH_SOCK="), env...)
	d.window.Stdout, d.window.Stderr = d.output, d.output
	if err := d.window.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(d.close)
}

func (d *driver) close() {
	if d.window != nil {
		_ = d.window.Process.Kill()
		_ = d.window.Wait()
		d.window = nil
	}
}

func (d *driver) items() []item {
	b, err := os.ReadFile(d.file)
	if err != nil {
		return nil
	}
	var list []item
	if json.Unmarshal(b, &list) != nil {
		return nil
	}
	return list
}

// where narrows a search: the zero value is the whole window.
type where struct {
	x0, y0, x1, y1 float64
	part           bool // the text is a part of what is looked for
	last           bool // the last one of several
}

func (d *driver) find(text string, w where) *item {
	if w.x1 == 0 {
		w.x1 = 1e9
	}
	if w.y1 == 0 {
		w.y1 = 1e9
	}
	var hit *item
	for _, i := range d.items() {
		clean := strings.ReplaceAll(i.Text, "\u00a0", " ")
		if i.Kind == "label" {
			continue // the text inside it is what can be seen
		}
		if (clean == text || w.part && strings.Contains(clean, text)) && i.X >= w.x0 && i.X <= w.x1 && i.Y >= w.y0 && i.Y <= w.y1 {
			c := i
			hit = &c
			if !w.last {
				break
			}
		}
	}
	return hit
}

// wait looks for a text until it is there.
func (d *driver) wait(text string, w where, limit time.Duration) item {
	d.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if i := d.find(text, w); i != nil {
			return *i
		}
	}
	d.fail("the window does not show %q within %v", text, limit)
	return item{}
}

// gone waits until a text is not there any more.
func (d *driver) gone(text string, w where, limit time.Duration) {
	d.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if d.find(text, w) == nil {
			return
		}
	}
	d.fail("the window still shows %q after %v", text, limit)
}

func (d *driver) fail(format string, args ...any) {
	d.t.Helper()
	var seen []string
	for _, i := range d.items() {
		seen = append(seen, i.Text)
	}
	if dir := os.Getenv("FETTLE_FAILSHOT"); dir != "" {
		d.shots = dir
		d.shot("failed")
	}
	d.t.Fatalf("%s\nit shows: %s\nit printed: %s", fmt.Sprintf(format, args...), strings.Join(seen, " | "), d.output)
}

// patience is for steps that compute: shared machines are slow.
const patience = 90 * time.Second

// point puts the pointer on a text and presses.
func (d *driver) point(text string, w where) {
	d.t.Helper()
	d.wait(text, w, patience)
	time.Sleep(400 * time.Millisecond) // what has just appeared may still move
	i := d.wait(text, w, patience)
	d.do("mousemove", fmt.Sprint(int(i.X+i.W/2)), fmt.Sprint(int(i.Y+i.H/2)))
	time.Sleep(250 * time.Millisecond)
	d.do("click", "1")
}

// press presses the button that shows text until the window shows that it was: a person, too, presses again where a busy
// machine swallowed the first.
func (d *driver) press(text string, w where, effect func() bool) {
	d.t.Helper()
	for range 6 {
		d.point(text, w)
		for end := time.Now().Add(6 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if effect() {
				return
			}
		}
	}
	d.fail("pressing %q has no effect", text)
}

// shows is the effect that a text is there.
func (d *driver) shows(text string, w where) func() bool {
	return func() bool { return d.find(text, w) != nil }
}

// overlay is the effect that a menu or dialog is open.
func (d *driver) overlay() bool {
	for _, i := range d.items() {
		if i.Kind == "overlay" {
			return true
		}
	}
	return false
}

// closed is the effect that none is.
func (d *driver) closed() bool { return !d.overlay() }

// enter types into the entry that shows a place holder.
func (d *driver) enter(holder, text string) {
	d.t.Helper()
	for range 4 {
		d.point(holder, where{})
		time.Sleep(700 * time.Millisecond)
		d.key("ctrl+a")
		d.typed(text)
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if d.find(text, where{}) != nil {
				return
			}
		}
	}
	d.fail("%q cannot be typed into %q", text, holder)
}

// screen changes the screen by the bar on the left.
func (d *driver) screen(name string, effect func() bool) {
	d.t.Helper()
	d.press(name, where{x1: 70}, effect)
}

func (d *driver) typed(text string) {
	d.t.Helper()
	d.do("type", "--delay", "25", text)
	time.Sleep(200 * time.Millisecond)
}

// chord presses keys until the window shows that it was told.
func (d *driver) chord(k string, effect func() bool) {
	d.t.Helper()
	for range 4 {
		d.key(k)
		for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if effect() {
				return
			}
		}
	}
	d.fail("the keys %s have no effect", k)
}

func (d *driver) key(k string) {
	d.t.Helper()
	d.do("key", k)
	time.Sleep(300 * time.Millisecond)
}

func (d *driver) do(args ...string) {
	d.t.Helper()
	c := exec.Command("xdotool", args...)
	c.Env = append(os.Environ(), "DISPLAY="+d.display)
	if out, err := c.CombinedOutput(); err != nil {
		d.t.Fatalf("xdotool %v: %v\n%s", args, err, out)
	}
}

// picture is what the display shows.
func (d *driver) picture() image.Image {
	d.t.Helper()
	c := exec.Command("xwd", "-root", "-silent", "-display", d.display)
	b, err := c.Output()
	if err != nil {
		d.t.Fatalf("xwd: %v", err)
	}
	img, err := decodeXWD(b)
	if err != nil {
		d.t.Fatal(err)
	}
	return img
}

// shot keeps a picture for the documents where they are made, and holds that the window shows something everywhere.
func (d *driver) shot(name string) {
	d.t.Helper()
	time.Sleep(600 * time.Millisecond) // let it come to rest
	img := d.picture()
	seen := map[color.Color]bool{}
	for y := 0; y < img.Bounds().Dy(); y += 3 {
		for x := 0; x < img.Bounds().Dx(); x += 3 {
			seen[img.At(x, y)] = true
		}
	}
	if len(seen) < 40 {
		d.t.Errorf("%s: the window shows only %d colours", name, len(seen))
	}
	if d.shots == "" {
		return
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.shots, name+".png"), b.Bytes(), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

// decodeXWD reads the X window dump format, version 7, of displays with 32 bits a pixel. Source: X11/XWDFile.h.
func decodeXWD(b []byte) (image.Image, error) {
	word := func(i int) int {
		if 4*i+4 > len(b) {
			return 0
		}
		return int(binary.BigEndian.Uint32(b[4*i:]))
	}
	header, w, h, order, bits, line, colours := word(0), word(4), word(5), word(7), word(11), word(12), word(19)
	from := header + 12*colours
	if word(1) != 7 || bits != 32 || w <= 0 || h <= 0 || len(b) < from+h*line || line < 4*w {
		return nil, fmt.Errorf("a window dump of version %d with %d bits a pixel", word(1), bits)
	}
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			p := b[from+y*line+4*x:]
			r, g, bl := p[2], p[1], p[0]
			if order == 1 {
				r, g, bl = p[1], p[2], p[3]
			}
			img.SetNRGBA(x, y, color.NRGBA{r, g, bl, 255})
		}
	}
	return img, nil
}
