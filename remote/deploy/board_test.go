//go:build linux

package deploy

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/remote/agentbin"
	"fettle/remote/board"
	"fettle/remote/bundle"
	"fettle/remote/sshx"
)

const quickBoard = "../../scripts/board-quick.sh"

// boardDir is where boards of these tests live, apart from those that somebody started by hand.
func boardDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../.cache/board")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func script(t *testing.T, words ...string) (string, error) { return scriptFor(t, "arm64", words...) }

// scriptFor is script for boards of a processor, in Debian's words.
func scriptFor(t *testing.T, arch string, words ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, quickBoard, words...)
	cmd.Env = append(os.Environ(), "BOARD_DIR="+boardDir(t), "BOARD_ARCH="+arch)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// up starts a board and gives how to reach it; the test is skipped where boards cannot run.
func up(t *testing.T, name string, faults ...string) (Spec, Options) {
	t.Helper()
	return upOn(t, "arm64", name, faults...)
}

func upOn(t *testing.T, arch, name string, faults ...string) (Spec, Options) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short was asked for: no board is started")
	}
	if _, err := agentbin.For(strings.Replace(arch, "armhf", "armv7", 1)); err != nil {
		t.Skipf("no agent for %s is built in: run make agents", arch)
	}
	if out, err := scriptFor(t, arch, "able"); err != nil {
		t.Skip(out)
	}
	name = fmt.Sprintf("%s-%d", name, os.Getpid())
	port, err := scriptFor(t, arch, append([]string{"up", name}, faults...)...)
	if err != nil {
		if strings.Contains(port, "no Debian root") {
			t.Skip(port)
		}
		t.Fatal(port)
	}
	t.Cleanup(func() { _, _ = script(t, "down", name) })
	return Spec{Name: name, Address: "ssh://pi@127.0.0.1:" + port, Identity: []string{filepath.Join(boardDir(t), "keys", "id_ed25519")}},
		Options{Home: t.TempDir(), SSHDir: t.TempDir(), AgentSock: "none",
			Ask: func(context.Context, Question) (bool, error) { return true, nil }}
}

func in(t *testing.T, spec Spec, line string) string {
	t.Helper()
	out, err := script(t, "in", spec.Name, "sh", "-c", line)
	if err != nil {
		t.Fatalf("%s: %v, %s", line, err, out)
	}
	return out
}

// TestBoard is the main job on a hot arm64 board.
func TestBoard(t *testing.T) {
	spec, o := up(t, "hot", "hot", "noisy")
	wrong := o
	wrong.Accept = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	if _, err := Dial(t.Context(), spec, wrong); !fail.Is(err, fail.Denied) || fail.From(err).Fix == "" {
		t.Fatalf("a wrong host key gives %v", err)
	}
	before := in(t, spec, "find /home /var/tmp /tmp /dev/shm | sort")
	c, err := Dial(t.Context(), spec, o)
	if err != nil {
		t.Fatal(err)
	}
	f, err := c.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f.Arch != "arm64" || len(f.Cores) != 4 || f.Cores[0].Part != "Cortex-A72" || f.Cores[0].MaxHz != 1_500_000_000 || !strings.Contains(f.SoC, "Raspberry Pi 4") ||
		f.Governor != "ondemand" || !slices.Contains(f.ISA, "asimd") {
		t.Errorf("facts: %+v", f)
	}
	if f.TemperatureC == nil || *f.TemperatureC != 84.5 || f.Throttled == nil || !*f.Throttled || f.Undervoltage == nil || !*f.Undervoltage {
		t.Errorf("a hot board says temperature %v, throttled %v", f.TemperatureC, f.Throttled)
	}
	for _, row := range board.Doctor(*f) {
		if bad := slices.Contains([]string{"clock", "speed", "throttling", "power", "temperature"}, row.Name); bad && (row.OK || row.Fix == "") {
			t.Errorf("the doctor says of a hot board: %+v", row)
		}
	}

	one, two := net(t, "net", 0), net(t, "net", 1)
	if _, err := c.Push(t.Context(), one, nil); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Push(t.Context(), two, nil); err != nil || r.Version != 2 || r.Sent > two.Size/2 {
		t.Errorf("second version: %+v, %v", r, err)
	}
	po := NewProfileOptions()
	po.Launches, po.Runs, po.Warmup = 2, 3, 2
	tr, err := c.Profile(t.Context(), Deployed("net"), po, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := tr.Launches[1]
	if !tr.Complete() || tr.Samples() != 6 || tr.Target.Arch != "arm64" || tr.Target.CPU != "Cortex-A72" || l.Before.Throttled == nil || !*l.Before.Throttled ||
		!*l.After.Throttled || l.After.TemperatureC[0] != 84.5 || l.After.ThrottleWhy == "" || l.Before.Governor != "ondemand" || l.After.Hz[0] != 600_000_000 || l.Before.Load == nil || len(l.Before.CoreIDs) == 0 {
		t.Errorf("trace: %+v of %+v", l, tr.Target)
	}
	silent(t, spec, c.Agent().PID)
	if d, err := c.Rollback(t.Context(), "net"); err != nil || d.SHA256 != string(one.SHA256) {
		t.Errorf("rollback: %+v, %v", d, err)
	}
	if err := c.RemoveAgent(t.Context()); err != nil {
		t.Error(err)
	}
	if after := in(t, spec, "find /home /var/tmp /tmp /dev/shm | sort"); after != before {
		t.Errorf("removal leaves files:\n%s\nbefore:\n%s", after, before)
	}
	if _, err := script(t, "rekey", spec.Name); err != nil {
		t.Fatal(err)
	}
	err = fail.New(fail.Unreachable, "not asked yet")
	for end := time.Now().Add(20 * time.Second); fail.Is(err, fail.Unreachable) && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		_, err = Dial(t.Context(), spec, o) // the server is on its way back
	}
	if !fail.Is(err, fail.Denied) || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("a changed host key gives %v", err)
	}
}

// silent checks that no socket of a process of the board belongs to the network.
func silent(t *testing.T, spec Spec, pid int) {
	t.Helper()
	fds := in(t, spec, fmt.Sprintf("ls -l /proc/%d/fd", pid))
	checked := 0
	for _, f := range []string{"tcp", "tcp6", "udp", "udp6", "raw"} {
		b, err := os.ReadFile("/proc/net/" + f) // boards share this computer's network
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(b), "\n")[1:] {
			if w := strings.Fields(line); len(w) > 9 {
				checked++
				if strings.Contains(fds, "socket:["+w[9]+"]") {
					t.Errorf("the agent has a network socket: %s", line)
				}
			}
		}
	}
	if checked == 0 || !strings.Contains(fds, "-> ") {
		t.Errorf("nothing was looked at: %d sockets, %q", checked, fds)
	}
}

// TestBoardsOfEachProcessor does the main job on boards of the three processors that Fettle is made for: found out what they are, deployed and
// run there with the outputs of this computer, measured, rolled back, and left without a trace.
func TestBoardsOfEachProcessor(t *testing.T) {
	for _, k := range []struct{ arch, goarch, part, isa string }{
		{"arm64", "arm64", "Cortex-A72", "asimd"}, {"armhf", "arm", "Cortex-A7", "neon"}, {"amd64", "amd64", "", ""},
	} {
		t.Run(k.arch, func(t *testing.T) {
			spec, o := upOn(t, k.arch, "each-"+k.arch)
			before := in(t, spec, "find /home /var/tmp /tmp /dev/shm | sort")
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			c, err := Dial(ctx, spec, o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			f, err := c.Facts(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if f.Arch != k.goarch || k.part != "" && (f.Cores[0].Part != k.part || !slices.Contains(f.ISA, k.isa)) {
				t.Errorf("facts: %+v", f)
			}
			if r, err := c.Push(ctx, healthy(t, 0, bundle.Health{Tolerance: 1e-3}, samples(t, 2, nil)), nil); err != nil || r.Health == nil || r.Health.Samples != 2 {
				t.Errorf("deployed with a look at its outputs: %+v, %v", r, err)
			}
			po := NewProfileOptions()
			po.Launches, po.Runs, po.Warmup = 1, 3, 1
			if tr, err := c.Profile(ctx, FromBundle(net(t, "other", 0)), po, nil); err != nil || !tr.Complete() || tr.Samples() != 3 || tr.Target.Arch != k.goarch {
				t.Errorf("profile: %v", err)
			}
			if err := c.RemoveAgent(ctx); err != nil {
				t.Error(err)
			}
			if after := in(t, spec, "find /home /var/tmp /tmp /dev/shm | sort"); after != before {
				t.Errorf("removal leaves files:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// TestPoorBoards deploys to boards that lack something, all on arm64.
func TestPoorBoards(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults []string
		store  string // where the models lie
		bin    string // and the program
	}{
		{"noexec", []string{"tmp-noexec", "no-sftp"}, "/home/pi/", "/home/pi/"},
		{"home", []string{"home-noexec"}, "/home/pi/", "/var/tmp/"},
		{"readonly", []string{"home-ro", "tmp-noexec"}, "/var/tmp/", "/dev/shm/"},
		{"busybox", []string{"busybox", "no-sftp"}, "/home/pi/", "/home/pi/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec, o := up(t, c.name, c.faults...)
			conn, err := Dial(t.Context(), spec, o)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if !strings.HasPrefix(conn.place.store, c.store) || !strings.HasPrefix(conn.place.bin, c.bin) {
				t.Errorf("it lies at %+v", conn.place)
			}
			if _, err := conn.Push(t.Context(), net(t, "net", 0), nil); err != nil {
				t.Error(err)
			}
			if inf, err := conn.Run(t.Context(), Deployed("net"), How{}, nil); err != nil || inf.TotalNS <= 0 {
				t.Errorf("run: %v", err)
			}
			if err := conn.RemoveAgent(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNowhere is a board on which no program of ours may run: the error names every folder that was tried.
func TestNowhere(t *testing.T) {
	spec, o := up(t, "nowhere", "home-ro", "tmp-noexec", "no-shm")
	_, err := Dial(t.Context(), spec, o)
	if !fail.Is(err, fail.Denied) || fail.From(err).Fix == "" {
		t.Fatalf("got %v", err)
	}
	for _, s := range []string{"/home/pi/.fettle: ", "Read-only", "/tmp/fettle-1000: programs may not run there"} {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%v does not say %q", err, s)
		}
	}
}

// TestFullBoard deploys more than fits: refused before anything is sent, and the deployment before stays.
func TestFullBoard(t *testing.T) {
	spec, o := up(t, "full", "disk-full=9000")
	c, err := Dial(t.Context(), spec, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	one := net(t, "net", 0)
	if _, err := c.Push(t.Context(), one, nil); err != nil {
		t.Fatal(err)
	}
	_, err = c.Push(t.Context(), random(t, "net", 16<<20), nil)
	if !fail.Is(err, fail.NoSpace) || fail.From(err).Fix == "" {
		t.Errorf("more than fits gives %v", err)
	}
	if list, err := c.List(t.Context()); err != nil || len(list) != 1 || list[0].SHA256 != string(one.SHA256) {
		t.Errorf("list: %+v, %v", list, err)
	}
	in(t, spec, "head -c 5000000 /dev/zero >>/var/filler2 || true")
	in(t, spec, "cat /dev/zero >>/var/filler2 || true")
	two := net(t, "net", 1)
	if _, err := c.Push(t.Context(), two, nil); !fail.Is(err, fail.NoSpace) {
		t.Errorf("a disk without a byte left gives %v", err)
	}
	if inf, err := c.Run(t.Context(), Deployed("net"), How{}, nil); err != nil || inf == nil {
		t.Errorf("the deployment before does not run: %v", err)
	}
	in(t, spec, "rm /var/filler2")
	if r, err := c.Push(t.Context(), two, nil); err != nil || r.Version != 2 {
		t.Errorf("with room again: %+v, %v", r, err)
	}
}

// TestCutBoard ends the session on the board in an upload and in a measurement.
func TestCutBoard(t *testing.T) {
	spec, o := up(t, "cut")
	o.SSH = sshx.Options{Keepalive: time.Second}
	c, err := Dial(t.Context(), spec, o)
	if err != nil {
		t.Fatal(err)
	}
	big := random(t, "net", 24<<20)
	cut := false
	_, err = c.Push(t.Context(), big, func(done, total int64, _ string) {
		if done > total*2/3 && !cut {
			cut = true
			_, _ = script(t, "cut", spec.Name)
		}
	})
	c.Close()
	if !fail.Is(err, fail.Unreachable) || !cut {
		t.Fatalf("a cut upload gives %v", err)
	}
	if c, err = Dial(t.Context(), spec, o); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Push(t.Context(), big, nil)
	if err != nil || r.Version != 1 || r.Sent > big.Size*2/3 {
		t.Errorf("the second push: %+v, %v", r, err)
	}
	po := NewProfileOptions()
	po.Launches, po.Runs, po.Warmup = 1, 10_000, 1
	cut = false
	tr, err := c.Profile(t.Context(), FromBundle(net(t, "net2", 0)), po, func(s Sample) {
		if s.Done > 20 && !cut {
			cut = true
			_, _ = script(t, "cut", spec.Name)
		}
	})
	// this cut takes everything that the session started with it, the measurement too
	if !fail.Is(err, fail.Failed) && !fail.Is(err, fail.Unreachable) || tr == nil || tr.Complete() || tr.Samples() == 0 || !strings.Contains(err.Error(), "interrupted after") {
		t.Errorf("a cut measurement gives %v", err)
	}
}

// TestEmulatedAgents starts the agents of all architectures under qemu: hello, facts and a deployment.
func TestEmulatedAgents(t *testing.T) {
	for arch, qemu := range map[string]string{"arm64": "qemu-aarch64-static", "armv7": "qemu-arm-static", "riscv64": "qemu-riscv64-static", runtime.GOARCH: ""} {
		t.Run(arch, func(t *testing.T) {
			a, err := agentbin.For(arch)
			if err != nil {
				t.Skip(err)
			}
			self := []string{}
			if qemu != "" {
				path, err := exec.LookPath(qemu)
				if err != nil {
					t.Skipf("%s is not installed", qemu)
				}
				self = append(self, path)
			}
			home := t.TempDir()
			file := filepath.Join(home, "agent")
			out, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o700)
			if err != nil {
				t.Fatal(err)
			}
			r, err := a.Open()
			if err == nil {
				_, err = out.ReadFrom(r)
			}
			if err == nil {
				err = out.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			c, err := Local(t.Context(), arch, LocalOptions{Home: home, Self: append(self, file)})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if f, err := c.Facts(t.Context()); err != nil || f.Agent.SHA256 != a.SHA256 || f.Arch != strings.Replace(arch, "armv7", "arm", 1) {
				t.Errorf("facts %+v, %v", f, err)
			}
			if r, err := c.Push(t.Context(), net(t, "net", 0), nil); err != nil || r.Version != 1 {
				t.Errorf("push %+v, %v", r, err)
			}
		})
	}
}
