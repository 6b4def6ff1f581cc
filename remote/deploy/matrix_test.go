package deploy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	stdnet "net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"fettle/internal/cas"
	"fettle/internal/chaos"
	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/remote/agent"
	"fettle/remote/bundle"
	"fettle/runtimes"
	"fettle/runtimes/native"
)

// served is an agent in this process on a store: a cut of its pipe is the end of its connection.
func served(t *testing.T, home string, set func(*chaos.Link)) (*Conn, *chaos.Link, func(), error) {
	t.Helper()
	rt, err := native.New("")
	if err != nil {
		t.Fatal(err)
	}
	a, err := agent.New(agent.Config{Version: "test", Runtimes: []runtimes.Runtime{rt}, Self: []string{os.Args[0]}, SHA256: "test"}, filepath.Join(home, "store"))
	if err != nil {
		return nil, nil, nil, err
	}
	desk, board := stdnet.Pipe()
	g := task.NewGroup(context.Background())
	g.Go("serve", func(ctx context.Context) error { return a.Serve(ctx, board) })
	link := chaos.NewLink(desk)
	if set != nil {
		set(link)
	}
	end := func() {
		link.Close()
		board.Close()
		_ = g.Wait() // how a cut connection ends does not matter here
	}
	s, err := attach(t.Context(), link, "")
	if err != nil {
		end()
		return nil, link, func() {}, err
	}
	return &Conn{name: "bar", session: s}, link, end, nil
}

// memory is a folder without a disk under it, where there is one: hundreds of stores flush as often as they must.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "fettle-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // it is in memory
	return dir
}

// noise is a deployable of n bytes in pieces, of which version v changes two.
func noise(t *testing.T, v byte, n int) *bundle.Bundle {
	t.Helper()
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{9}).Read(data) // it never fails
	data[10], data[n-10] = v, v
	var spans []bundle.Span
	for at := int64(0); at < int64(n); at += 1500 {
		spans = append(spans, bundle.Span{Offset: at, Len: min(1500, int64(n)-at)})
	}
	b, err := bundle.FromSpans("net", data, spans)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// cutPush deploys b over a link with faults and says what the store holds afterwards.
func cutPush(t *testing.T, home string, b *bundle.Bundle, key *bundle.Key, set func(*chaos.Link)) (*chaos.Link, error) {
	t.Helper()
	c, link, end, err := served(t, home, set)
	defer func() {
		if end != nil {
			end()
		}
	}()
	if err != nil {
		return link, err
	}
	c.key = key
	_, err = c.Push(t.Context(), b, nil)
	return link, err
}

// activeFile is the version that is active, read back whole and checked: 0 for none.
func activeFile(home string, versions ...*bundle.Bundle) (int, error) {
	s, err := agent.OpenStore(filepath.Join(home, "store"), cas.OS{})
	if err != nil {
		return 0, err
	}
	m, err := s.Active("net")
	if fail.Is(err, fail.NotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	got, err := s.File(m)
	if err != nil {
		return 0, err
	}
	for i, v := range versions {
		var want []byte
		for k := range v.Chunks {
			want = append(want, v.Bytes(k)...)
		}
		if bytes.Equal(got, want) {
			return i + 1, nil
		}
	}
	return 0, fmt.Errorf("what is active is no version")
}

// TestKillMatrix cuts the connection at every few bytes of a second deployment, in both ways, 400 places at least: the version
// before or the new one is active, whole; deploying again gives the new one and sends no chunk twice that was kept.
func TestKillMatrix(t *testing.T) {
	start := memory(t)
	key := newKey(t)
	one, two := noise(t, 1, 9000), noise(t, 2, 9000)
	if _, err := cutPush(t, start, one, key, nil); err != nil {
		t.Fatal(err)
	}
	again := func() string {
		dir := memory(t)
		if err := os.CopyFS(dir, os.DirFS(start)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, "store"), 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	link, err := cutPush(t, again(), two, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	wrote, read := link.Counts()
	points := 420
	if os.Getenv("FETTLE_LONG") != "" {
		points = int(wrote + read)
	} else if testing.Short() {
		points = 60
	}
	type cut struct {
		way string
		at  int64
	}
	var cuts []cut
	for i := range int64(points) {
		if at := (wrote + read) * i / int64(points); at < wrote {
			cuts = append(cuts, cut{"to the agent", at})
		} else {
			cuts = append(cuts, cut{"to the desk", at - wrote})
		}
	}
	var mu sync.Mutex
	seen, half, resumed := map[int]int{}, 0, 0
	for i, k := range cuts {
		home := again()
		_, err := cutPush(t, home, two, key, func(l *chaos.Link) {
			if k.way == "to the agent" {
				l.CutWrite = k.at
			} else {
				l.CutRead = k.at
			}
		})
		if kind := fail.KindOf(err); err != nil && kind != fail.Unreachable && kind != fail.Corrupt {
			t.Errorf("cut %d %s at %d: %v", i, k.way, k.at, err)
		}
		active, aerr := activeFile(home, one, two)
		mu.Lock()
		seen[active]++
		if aerr != nil || active == 0 || err == nil && active != 2 {
			half++
			t.Errorf("cut %d %s at %d: version %d is active, %v", i, k.way, k.at, active, aerr)
		}
		mu.Unlock()
		if _, err := cutPush(t, home, two, key, nil); err != nil {
			t.Errorf("cut %d %s at %d: again: %v", i, k.way, k.at, err)
		} else if v, err := activeFile(home, one, two); err != nil || v != 2 {
			t.Errorf("cut %d %s at %d: again gives version %d, %v", i, k.way, k.at, v, err)
		} else {
			resumed++
		}
		_ = os.RemoveAll(home) // the disk is not for hundreds of stores
	}
	if seen[1] == 0 || seen[2] == 0 {
		t.Errorf("versions seen after the cuts: %v; both should be", seen)
	}
	t.Logf("%d cuts over %d bytes: %d half installed, %d resumed, versions %v", len(cuts), wrote+read, half, resumed, seen)
}

// TestCutAtEveryRequest ends the connection before and after every message of a deployment.
func TestCutAtEveryRequest(t *testing.T) {
	one, two := noise(t, 1, 9000), noise(t, 2, 9000)
	key := newKey(t)
	start := memory(t)
	if _, err := cutPush(t, start, one, key, nil); err != nil {
		t.Fatal(err)
	}
	var ends []int64 // where each message of the desk ends
	home := memory(t)
	if err := os.CopyFS(home, os.DirFS(start)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(home, "store"), 0o700); err != nil {
		t.Fatal(err)
	}
	tap := &tap{}
	if _, err := cutPush(t, home, two, key, func(l *chaos.Link) { tap.ReadWriteCloser = l.Inner; l.Inner = tap }); err != nil {
		t.Fatal(err)
	}
	for _, n := range tap.writes {
		last := int64(0)
		if len(ends) > 0 {
			last = ends[len(ends)-1]
		}
		ends = append(ends, last+int64(n))
	}
	if len(ends) < 8 {
		t.Fatalf("a deployment has %d messages; the test sees too little", len(ends))
	}
	for i, at := range ends {
		for _, d := range []int64{-1, 0} {
			home := memory(t)
			if err := os.CopyFS(home, os.DirFS(start)); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(home, "store"), 0o700); err != nil {
				t.Fatal(err)
			}
			_, err := cutPush(t, home, two, key, func(l *chaos.Link) { l.CutWrite = at + d })
			if v, aerr := activeFile(home, one, two); aerr != nil || v == 0 || err == nil && v != 2 {
				t.Errorf("message %d of %d, %+d: version %d, %v, deployed: %v", i, len(ends), d, v, aerr, err)
			}
			if _, err := cutPush(t, home, two, key, nil); err != nil {
				t.Errorf("message %d of %d, %+d: again: %v", i, len(ends), d, err)
			}
		}
	}
	t.Logf("%d cuts at %d messages", 2*len(ends), len(ends))
}

// tap notes how long each written message is.
type tap struct {
	io.ReadWriteCloser
	mu     sync.Mutex
	writes []int
}

func (c *tap) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.writes = append(c.writes, len(p))
	c.mu.Unlock()
	return c.ReadWriteCloser.Write(p)
}
