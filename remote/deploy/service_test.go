//go:build unix

package deploy

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/internal/sshtest"
	"fettle/model/onnx"
	"fettle/remote/bundle"
	"fettle/remote/wire"
	"fettle/sample"
)

// eventually waits for a state of the only service.
func eventually(t *testing.T, c *Conn, what string, ok func(wire.ServiceState) bool) wire.ServiceState {
	t.Helper()
	var st wire.ServiceState
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		all, err := c.Services(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 1 && ok(all[0]) {
			return all[0]
		}
		if len(all) == 1 {
			st = all[0]
		}
	}
	t.Fatalf("never: %s; it is %+v", what, st)
	return st
}

// TestService keeps a deployment running without systemd: its answers are those of a run, it comes back after a kill, follows
// the active version, goes back by itself when the new one answers otherwise, and leaves nothing.
func TestService(t *testing.T) {
	home, err := os.MkdirTemp("", "fs") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(home)
	c := local(t, home)
	ctx := t.Context()
	if _, _, err := c.StartService(ctx, "net"); !fail.Is(err, fail.NotFound) {
		t.Errorf("a service of nothing: %v", err)
	}
	m, err := onnx.Read(sample.Shapes(), "", onnx.DefaultBudget())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Push(ctx, healthy(t, 0, bundle.Health{Tolerance: 1e-3}, samples(t, 1, nil)), nil); err != nil {
		t.Fatal(err)
	}
	st, notes, err := c.StartService(ctx, "net")
	if err != nil || st.State != "serving" || st.Version != 1 || len(notes) != 1 {
		t.Fatalf("start: %+v %q, %v", st, notes, err)
	}
	if f, err := os.Stat(st.Socket); err != nil || f.Mode().Perm() != 0o600 || f.Mode()&os.ModeSocket == 0 {
		t.Errorf("socket: %v, %v", f, err)
	}
	if d, err := os.Stat(filepath.Dir(st.Socket)); err != nil || d.Mode().Perm() != 0o700 {
		t.Errorf("its folder: %v, %v", d.Mode(), err)
	}
	in := picture(t, m)
	call := func() error {
		got, err := c.Run(ctx, Deployed("net"), How{Service: true}, in)
		if err == nil && len(got.Outputs) == 0 {
			t.Error("no outputs")
		}
		return err
	}
	direct, err := c.Run(ctx, Deployed("net"), How{}, in)
	if err != nil {
		t.Fatal(err)
	}
	served, err := c.Run(ctx, Deployed("net"), How{Service: true}, in)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range direct.Outputs {
		if y := served.Outputs[name]; y == nil || string(x.Raw) != string(y.Raw) {
			t.Errorf("output %s is another one", name)
		}
	}
	// a power cut for the service alone
	if err := syscall.Kill(st.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	back := eventually(t, c, "it comes back", func(s wire.ServiceState) bool { return s.State == "serving" && s.PID != st.PID })
	if err := call(); err != nil || back.Version != 1 {
		t.Errorf("after a kill: %+v, %v", back, err)
	}
	// a version that answers otherwise passes its own samples; the service sees it
	other, file := otherNet(t)
	if err := other.SetHealth(bundle.Health{Tolerance: 1e-3, MinAgree: 1}, samplesOf(t, file, 1, nil)); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Push(ctx, other, nil); err != nil || r.Version != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	eventually(t, c, "version 2 serves", func(s wire.ServiceState) bool { return s.Version == 2 })
	for i := 0; i < 2000; i++ {
		if err := call(); err != nil {
			t.Fatal(err)
		}
		if list, err := c.List(ctx); i%100 == 99 && (err != nil || list[0].Version == 1) {
			break
		}
	}
	got := eventually(t, c, "version 1 serves again", func(s wire.ServiceState) bool { return s.Version == 1 && s.Note != "" })
	if !strings.Contains(got.Note, "version 2 was taken back: it agreed with the version before in 0.0 %") {
		t.Errorf("note %q", got.Note)
	}
	if err := c.StopService(ctx, "net"); err != nil {
		t.Fatal(err)
	}
	if err := call(); !fail.Is(err, fail.NotFound) || fail.From(err).Fix == "" {
		t.Errorf("after it was stopped: %v", err)
	}
	if _, _, err := c.StartService(ctx, "net"); err != nil {
		t.Errorf("started again: %v", err)
	}
	if err := c.RemoveAgent(ctx); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(home, "store")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

// TestSystemd is a board with systemd for its user, which the test plays: the unit starts the newest agent and is taken away
// with the agent.
func TestSystemd(t *testing.T) {
	tools, home := t.TempDir(), ""
	h, err := os.MkdirTemp("", "fs")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(h)
	home = h
	log := filepath.Join(tools, "log")
	fake := `#!/bin/sh
echo "$*" >>` + log + `
d=$HOME/.config/systemd/user
case "$2" in
restart) l=$(sed -n 's/^ExecStart=//p' "$d/$3" | sed 's/[$][$]/$/g'); eval "setsid nohup $l >/dev/null 2>&1 </dev/null &"
  # As with systemd, the service belongs to no one here: what is left of this process group is ended with it.
  while [ -e /proc/$! ] && [ "$(cut -d' ' -f6 /proc/$!/stat)" != $! ]; do sleep 0.02; done ;;
esac
exit 0
`
	for name, text := range map[string]string{"systemctl": fake, "loginctl": "#!/bin/sh\nexit 1\n"} {
		if err := os.WriteFile(filepath.Join(tools, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := sshtest.Start(t, sshtest.Options{Home: home, Env: []string{"PATH=" + tools + ":" + os.Getenv("PATH")}})
	spec, o := desk(t, s)
	c, err := Dial(t.Context(), spec, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if _, err := c.Push(ctx, net(t, "net", 0), nil); err != nil {
		t.Fatal(err)
	}
	st, notes, err := c.StartService(ctx, "net")
	if err != nil || st.State != "serving" || len(notes) != 1 || !strings.Contains(notes[0], "enable-linger") {
		said, _ := os.ReadFile(log)
		t.Fatalf("start: %+v %q, %v\n%s", st, notes, err, said)
	}
	if _, err := c.Run(ctx, Deployed("net"), How{Service: true}, nil); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(filepath.Join(home, ".config", "systemd", "user", "fettle-net.service"))
	if err != nil || !strings.Contains(string(text), "NoNewPrivileges=yes") || !strings.Contains(string(text), "Restart=always") {
		t.Errorf("unit: %v\n%s", err, text)
	}
	if err := c.RemoveAgent(ctx); err != nil {
		t.Error(err)
	}
	said, _ := os.ReadFile(log)
	if !strings.Contains(string(said), "--user disable --now fettle-net.service") {
		t.Errorf("systemctl heard:\n%s", said)
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if syscall.Kill(st.PID, 0) != nil {
			break
		}
		if time.Now().After(end) {
			t.Errorf("process %s still runs", strconv.Itoa(st.PID))
			break
		}
	}
	if left := files(t, home); len(left) != 0 && !(len(left) == 1 && left[0] == ".config") {
		t.Errorf("%v is left", left)
	}
}
