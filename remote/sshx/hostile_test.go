package sshx

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"fettle/internal/fail"
	"fettle/internal/sshtest"
)

// script is what a hostile server does on one connection. It ends when the client hangs up.
type script struct {
	name string
	do   func(c *sshtest.Raw, host ssh.Signer)
}

// hold keeps the connection open and reads what comes.
func hold(c *sshtest.Raw) { _, _ = io.Copy(io.Discard, c) }

// flood sends the same bytes for ever.
func flood(c io.Writer, b []byte) {
	for {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// again puts the same packets for ever, reading what is answered, so that the client is never held back by us.
func again(c *sshtest.Raw, packets ...[]byte) {
	go hold(c)
	for {
		for _, p := range packets {
			if c.Put(p) != nil {
				return
			}
		}
	}
}

// drips sends byte by byte.
func drips(c io.Writer, b string) {
	for i := 0; ; i++ {
		if _, err := c.Write([]byte{b[i%len(b)]}); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

const rude = "\x1b[2J\u202eevil\x07\x1b]52;c;x\x07"

// bye is a DISCONNECT with words that are not fit for a terminal.
func bye() []byte { return sshtest.Msg(sshtest.MsgDisconnect, uint32(2), rude, "en") }

// scripts are hostile and broken servers, by how far they let a client come.
func scripts() []script {
	text := func(s string) func(*sshtest.Raw, ssh.Signer) {
		return func(c *sshtest.Raw, _ ssh.Signer) { _, _ = io.WriteString(c, s) }
	}
	all := []script{
		{"line: mute", func(c *sshtest.Raw, _ ssh.Signer) { hold(c) }},
		{"line: closes", func(*sshtest.Raw, ssh.Signer) {}},
		{"line: drips", func(c *sshtest.Raw, _ ssh.Signer) { drips(c, "x") }},
		{"line: drips lines", func(c *sshtest.Raw, _ ssh.Signer) { drips(c, "hello\n") }},
		{"line: endless", func(c *sshtest.Raw, _ ssh.Signer) { flood(c, make([]byte, 4096)) }},
		{"line: endless lines before it", func(c *sshtest.Raw, _ ssh.Signer) { flood(c, []byte("hello\r\n")) }},
		{"line: HTTP", text("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")},
		{"line: SSH 1", text("SSH-1.5-old\r\n")},
		{"line: cut", text("SSH-2.0-")},
		{"line: escapes", text("SSH-2.0-" + rude + "\r\n")},
		{"line: TLS alert", text("\x15\x03\x01\x00\x02\x02\x46")},
	}
	add := func(name string, do func(c *sshtest.Raw, host ssh.Signer)) { all = append(all, script{name, do}) }
	// after its line
	lined := func(name string, do func(c *sshtest.Raw)) {
		add("offer: "+name, func(c *sshtest.Raw, _ ssh.Signer) {
			if c.Versions() == nil {
				do(c)
			}
		})
	}
	raw := func(b string) func(*sshtest.Raw) {
		return func(c *sshtest.Raw) {
			if _, err := io.WriteString(c, b); err == nil {
				hold(c)
			}
		}
	}
	put := func(p []byte) func(*sshtest.Raw) {
		return func(c *sshtest.Raw) {
			if c.Put(p) == nil {
				hold(c)
			}
		}
	}
	lined("mute", hold)
	lined("closes", func(*sshtest.Raw) {})
	lined("drips", func(c *sshtest.Raw) { drips(c, "\x00") })
	lined("packet of 4 GB", raw("\xff\xff\xff\xff\x04"))
	lined("packet of 256 KB that never ends", raw("\x00\x03\xff\xfc\x04"))
	lined("packet of no bytes", raw("\x00\x00\x00\x00\x00\x00\x00\x00"))
	lined("padding longer than the packet", raw("\x00\x00\x00\x0c\xff"+strings.Repeat("x", 11)))
	lined("zeros", func(c *sshtest.Raw) { flood(c, make([]byte, 4096)) })
	lined("another message", put(sshtest.Msg(sshtest.MsgAuthSuccess)))
	lined("cut", put(sshtest.Usual()[:40]))
	lined("a list of 200 KB", put(sshtest.KexInit(strings.Repeat("a,", 100_000), "ssh-ed25519", "aes128-gcm@openssh.com")))
	lined("a list that is longer than the packet", put(append(sshtest.Usual()[:17], 0x7f, 0xff, 0xff, 0xff)))
	lined("no common key exchange", put(sshtest.KexInit("diffie-hellman-group1-sha1", "ssh-ed25519", "aes128-gcm@openssh.com")))
	lined("no common host key", put(sshtest.KexInit("curve25519-sha256", "ssh-dss", "aes128-gcm@openssh.com")))
	lined("no common cipher", put(sshtest.KexInit("curve25519-sha256", "ssh-ed25519", "none")))
	lined("nothing in its lists", put(sshtest.KexInit("", "", "")))
	lined("endless IGNORE", func(c *sshtest.Raw) { again(c, sshtest.Msg(sshtest.MsgIgnore, strings.Repeat("x", 30_000))) })
	lined("endless DEBUG", func(c *sshtest.Raw) { again(c, sshtest.Msg(sshtest.MsgDebug, true, rude, "")) })
	lined("goodbye", put(bye()))
	lined("twice", func(c *sshtest.Raw) {
		_ = c.Put(sshtest.Usual()) // the next one fails too then
		put(sshtest.Usual())(c)
	})
	// instead of the answer to the key exchange
	replied := func(name string, change func(p []byte) []byte) {
		add("keys: "+name, func(c *sshtest.Raw, host ssh.Signer) {
			if c.Versions() != nil || c.Init() != nil {
				return
			}
			p, err := c.Reply(host)
			if err != nil {
				return
			}
			if p = change(p); p == nil {
				return
			}
			if c.Put(p) == nil && c.NewKeys() == nil {
				hold(c)
			}
		})
	}
	part := func(p []byte, skip int) (at, n int) { // of the string number skip
		at = 1
		for {
			n = int(p[at])<<24 | int(p[at+1])<<16 | int(p[at+2])<<8 | int(p[at+3])
			if skip == 0 {
				return at + 4, n
			}
			at += 4 + n
			skip--
		}
	}
	replied("closes", func([]byte) []byte { return nil })
	replied("cut", func(p []byte) []byte { return p[:len(p)/2] })
	replied("goodbye", func([]byte) []byte { return bye() })
	replied("a wrong signature", func(p []byte) []byte { p[len(p)-1] ^= 1; return p })
	replied("a public key of zeros", func(p []byte) []byte { at, n := part(p, 1); clear(p[at : at+n]); return p })
	replied("a host key that is none", func(p []byte) []byte { at, n := part(p, 0); copy(p[at:at+n], make([]byte, n)); return p })
	replied("another host key", func(p []byte) []byte { at, n := part(p, 0); p[at+n-1] ^= 1; return p })
	replied("a host key of 200 KB", func([]byte) []byte {
		return sshtest.Msg(sshtest.MsgKexReply, make([]byte, 200_000), make([]byte, 32), "x")
	})
	replied("no signature", func(p []byte) []byte { at, _ := part(p, 2); return append(p[:at-4], 0, 0, 0, 0) })
	replied("a short public key", func(p []byte) []byte {
		at, n := part(p, 0)
		return sshtest.Msg(sshtest.MsgKexReply, p[at:at+n], "short", "x")
	})
	add("keys: mute", func(c *sshtest.Raw, _ ssh.Signer) {
		if c.Versions() == nil && c.Init() == nil {
			hold(c)
		}
	})
	add("keys: garbage behind them", func(c *sshtest.Raw, host ssh.Signer) {
		if c.Versions() != nil || c.Init() != nil {
			return
		}
		if p, err := c.Reply(host); err == nil && c.Put(p) == nil && c.NewKeys() == nil {
			flood(c, []byte(rude))
		}
	})
	// at the login
	asked := func(name string, do func(c *sshtest.Raw)) {
		add("login: "+name, func(c *sshtest.Raw, host ssh.Signer) {
			if c.Handshake(host) == nil {
				do(c)
			}
		})
	}
	asked("mute", hold)
	asked("closes", func(*sshtest.Raw) {})
	asked("goodbye", put(bye()))
	asked("no way is left", put(sshtest.Msg(sshtest.MsgAuthFailure, "", false)))
	asked("never enough", func(c *sshtest.Raw) {
		again(c, sshtest.Msg(sshtest.MsgAuthFailure, "publickey,password,keyboard-interactive", true))
	})
	asked("never", func(c *sshtest.Raw) { again(c, sshtest.Msg(sshtest.MsgAuthFailure, "publickey,password", false)) })
	asked("ways of 200 KB", put(sshtest.Msg(sshtest.MsgAuthFailure, strings.Repeat("publickey,", 20_000), false)))
	asked("endless banner", func(c *sshtest.Raw) { again(c, sshtest.Msg(sshtest.MsgAuthBanner, strings.Repeat(rude, 1000), "")) })
	asked("endless questions", func(c *sshtest.Raw) {
		again(c, sshtest.Msg(sshtest.MsgAuthFailure, "keyboard-interactive", false), sshtest.Msg(60, "", "", "", uint32(0)))
	})
	asked("a million questions", func(c *sshtest.Raw) {
		_ = c.Put(sshtest.Msg(sshtest.MsgAuthFailure, "keyboard-interactive", false))
		put(sshtest.Msg(60, "", "", "", uint32(1_000_000)))(c)
	})
	asked("another key is right", func(c *sshtest.Raw) { again(c, sshtest.Msg(sshtest.MsgAuthKeyOK, "ssh-ed25519", make([]byte, 51))) })
	asked("a message that is none", put([]byte{250}))
	asked("an empty packet", put(nil))
	asked("keys again for ever", func(c *sshtest.Raw) { again(c, sshtest.Usual()) })
	// behind the login, while a command runs or an upload is under way
	inside := func(name string, do func(c *sshtest.Raw)) {
		add("session: "+name, func(c *sshtest.Raw, host ssh.Signer) {
			if c.Login(host) == nil {
				do(c)
			}
		})
	}
	running := func(name string, window, packet uint32, do func(c *sshtest.Raw, channel uint32)) {
		inside(name, func(c *sshtest.Raw) {
			if ch, err := c.Command(window, packet); err == nil {
				do(c, ch)
			}
		})
	}
	ask := sshtest.Msg(sshtest.MsgGlobalRequest, "x@y", true)
	inside("mute", hold)
	inside("closes", func(*sshtest.Raw) {})
	inside("goodbye", put(bye()))
	inside("keys again, then mute", put(sshtest.Usual()))
	inside("keys again for ever", func(c *sshtest.Raw) { again(c, sshtest.Usual()) })
	inside("endless channels of its own", func(c *sshtest.Raw) {
		again(c, sshtest.Msg(sshtest.MsgChannelOpen, "forwarded-tcpip", uint32(1), uint32(1<<20), uint32(1<<15)))
	})
	inside("a channel of its own at each packet size", func(c *sshtest.Raw) {
		again(c, sshtest.Msg(sshtest.MsgChannelOpen, rude, uint32(1), uint32(0), uint32(0xffffffff)))
	})
	inside("endless questions", func(c *sshtest.Raw) { again(c, ask) })
	inside("endless pings", func(c *sshtest.Raw) { again(c, sshtest.Msg(sshtest.MsgPing, strings.Repeat("x", 30_000))) })
	inside("endless IGNORE", func(c *sshtest.Raw) { again(c, sshtest.Msg(sshtest.MsgIgnore, strings.Repeat("x", 30_000))) })
	inside("answers that nobody asked for", func(c *sshtest.Raw) { again(c, []byte{81}) })
	inside("data for no channel", func(c *sshtest.Raw) { again(c, sshtest.Msg(sshtest.MsgChannelData, uint32(99), "x")) })
	inside("no channel for you", func(c *sshtest.Raw) {
		if _, err := c.Get(); err == nil {
			put(sshtest.Msg(sshtest.MsgChannelFailure, uint32(0), uint32(1), rude, ""))(c)
		}
	})
	inside("a channel that is another", func(c *sshtest.Raw) {
		again(c, sshtest.Msg(sshtest.MsgChannelConfirm, uint32(5), uint32(7), uint32(1<<20), uint32(1<<15)))
	})
	running("window 0 for ever", 0, 1<<15, func(c *sshtest.Raw, _ uint32) { hold(c) })
	running("window 0 and endless questions", 0, 1<<15, func(c *sshtest.Raw, _ uint32) { again(c, ask) })
	running("window 0 and endless pings", 0, 1<<15, func(c *sshtest.Raw, _ uint32) { again(c, sshtest.Msg(sshtest.MsgPing, strings.Repeat("x", 30_000))) })
	running("packets of no bytes", 1<<20, 0, func(c *sshtest.Raw, _ uint32) { hold(c) })
	running("packets of 4 GB", 1<<31, 0xffffffff, func(c *sshtest.Raw, _ uint32) { hold(c) })
	running("a window byte by byte", 1, 1<<15, func(c *sshtest.Raw, ch uint32) {
		go hold(c)
		for c.Put(sshtest.Msg(sshtest.MsgChannelWindow, ch, uint32(1))) == nil {
			time.Sleep(5 * time.Millisecond)
		}
	})
	running("a window that runs over", 1<<20, 1<<15, func(c *sshtest.Raw, ch uint32) {
		again(c, sshtest.Msg(sshtest.MsgChannelWindow, ch, uint32(0xffffffff)))
	})
	running("endless output", 1<<20, 1<<15, func(c *sshtest.Raw, ch uint32) {
		again(c, sshtest.Msg(sshtest.MsgChannelData, ch, strings.Repeat(rude, 1000)))
	})
	running("endless errors", 1<<20, 1<<15, func(c *sshtest.Raw, ch uint32) {
		again(c, sshtest.Msg(sshtest.MsgChannelExtended, ch, uint32(1), strings.Repeat(rude, 1000)))
	})
	running("output of another kind", 1<<20, 1<<15, func(c *sshtest.Raw, ch uint32) {
		again(c, sshtest.Msg(sshtest.MsgChannelExtended, ch, uint32(77), "x"))
	})
	running("output longer than it says", 1<<20, 1<<15, func(c *sshtest.Raw, ch uint32) {
		put(append(sshtest.Msg(sshtest.MsgChannelData, ch), 0x7f, 0xff, 0xff, 0xff, 'x'))(c)
	})
	running("an end without a result", 1<<20, 1<<15, func(c *sshtest.Raw, ch uint32) {
		_ = c.Put(sshtest.Msg(sshtest.MsgChannelEOF, ch))
		put(sshtest.Msg(sshtest.MsgChannelClose, ch))(c)
	})
	running("no end", 1<<20, 1<<15, func(c *sshtest.Raw, ch uint32) { put(sshtest.Msg(sshtest.MsgChannelEOF, ch))(c) })
	running("endless requests on the channel", 1<<20, 1<<15, func(c *sshtest.Raw, ch uint32) {
		again(c, sshtest.Msg(sshtest.MsgChannelRequest, ch, "x@y", true))
	})
	running("closes", 1<<20, 1<<15, func(*sshtest.Raw, uint32) {})
	running("no such command", 1<<20, 1<<15, func(c *sshtest.Raw, ch uint32) { again(c, sshtest.Msg(sshtest.MsgRequestFailure, ch)) })
	running("keys again with wrong ones", 1<<20, 1<<15, func(c *sshtest.Raw, _ uint32) {
		put(sshtest.KexInit("curve25519-sha256", "ssh-ed25519", "none"))(c)
	})
	return all
}

// visit logs in and uploads to a command: what a desk does to every board.
func visit(ctx context.Context, tg Target, o Options) error {
	c, err := Dial(ctx, tg, o)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Run(ctx, io.LimitReader(zeros{}, 64<<20), "cat")
	return err
}

// host answers each connection with a script.
func (s script) host(t *testing.T, key ssh.Signer) (Target, func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer c.Close()
				s.do(sshtest.NewRaw(c), key)
			}()
		}
	}()
	return Target{User: "pi", Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port}, func() { l.Close(); wg.Wait() }
}

// TestHostileServers is a table of SSH servers that mean no good, each visited twice: with short limits, where it has to end in a typed
// error by itself, and with limits of an hour, where it has to end within a second of being cancelled. The second visit is also the
// control: without limits many of them would never end.
func TestHostileServers(t *testing.T) {
	key := sshtest.NewKey(t, "ed25519")
	dir := t.TempDir()
	home := filepath.Join(dir, "home")
	id := filepath.Join(dir, "id")
	sshtest.WriteKey(t, id, "")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(home)
	before := heap()
	routines, already := runtime.NumGoroutine(), len(stuck(t))
	var peak, hung atomic.Int64
	var slowest atomic.Int64
	watching, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		for watching.Err() == nil {
			peak.Store(max(peak.Load(), heap()))
			time.Sleep(20 * time.Millisecond)
		}
	}()
	kinds := map[fail.Kind]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	room := make(chan struct{}, 16)
	all := scripts()
	for i, s := range all {
		wg.Add(1)
		room <- struct{}{}
		go func() {
			defer func() { <-room; wg.Done() }()
			tg, end := s.host(t, key)
			tg.Identity = []string{id}
			o := Options{Keys: NewHostKeys(filepath.Join(dir, fmt.Sprint("known", i))), Ask: accept, Password: secret,
				Connect: 1500 * time.Millisecond, Step: 1500 * time.Millisecond, Keepalive: 400 * time.Millisecond}
			start := time.Now()
			err := visit(t.Context(), tg, o)
			took := time.Since(start)
			mu.Lock()
			kinds[fail.KindOf(err)]++
			mu.Unlock()
			slowest.Store(max(slowest.Load(), int64(took)))
			switch k := fail.KindOf(err); {
			case err == nil, k != fail.Unreachable && k != fail.Denied && k != fail.Unsupported && k != fail.TooBig && k != fail.Corrupt:
				t.Errorf("%s: %v (%s)", s.name, err, k)
			case took > 20*time.Second:
				t.Errorf("%s: it took %v", s.name, took)
			case strings.ContainsAny(err.Error(), "\x1b\x07\u202e\n"):
				t.Errorf("%s: %q is not fit for a terminal", s.name, err)
			}
			// without limits
			o.Connect, o.Step, o.Keepalive = time.Hour, time.Hour, time.Hour
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- visit(ctx, tg, o) }()
			select {
			case <-done:
			case <-time.After(1500 * time.Millisecond):
				hung.Add(1)
				cancel()
				start := time.Now()
				<-done
				if took := time.Since(start); took > time.Second {
					t.Errorf("%s: cancelled, it ended after %v", s.name, took)
				}
			}
			cancel()
			end()
		}()
	}
	wg.Wait()
	stop()
	most := 2*2*len(endless) + 2*2 // two of each of two visits; and two of each of two servers that end it at once, see stuck
	for end := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > routines+1+most && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	theirs := len(stuck(t)) - already
	if n := runtime.NumGoroutine(); n > routines+1+most || theirs > most {
		b := make([]byte, 1<<18)
		t.Errorf("%d goroutines are left of %d, %d of x/crypto/ssh where %d are known:\n%s", n, routines, theirs, most, b[:runtime.Stack(b, true)])
	}
	if grown := peak.Load() - before; grown > 64<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	if left, err := os.ReadDir(home); err != nil || len(left) > 0 {
		t.Errorf("something was written: %v, %v", left, err)
	}
	if len(all) < 60 || hung.Load() < 20 {
		t.Errorf("%d servers, %d of which hang without limits", len(all), hung.Load())
	}
	t.Logf("%d servers, %v; the slowest took %v; without limits %d hang; the heap grew by at most %d MiB; x/crypto/ssh keeps %d goroutines", len(all), kinds, time.Duration(slowest.Load()), hung.Load(), (peak.Load()-before)>>20, theirs)
}

// endless are the servers that leave goroutines of x/crypto/ssh v0.58 behind, its reader and its loop of key exchanges, by each visit: they flood while the login
// ends in an error, and before the login is over nothing of the package can be reached that would let the reader end (see drain, and
// TestUpstreamKeepsItsReader). Besides, a call that opens a channel in the very moment in which the connection ends is waited for without end (mux.go:360);
// it is counted with them.
var endless = []string{"login: never enough", "login: never", "login: endless questions", "login: another key is right"}

// stuck are such goroutines.
func stuck(t *testing.T) []string {
	b := make([]byte, 1<<22)
	var out []string
	for _, g := range strings.Split(string(b[:runtime.Stack(b, true)]), "\n\n") {
		if strings.Contains(g, "handshakeTransport).readLoop") || strings.Contains(g, "handshakeTransport).kexLoop") || strings.Contains(g, "ssh.(*mux).openChannel") {
			out = append(out, g)
		}
	}
	return out
}

// heap is what lies on the heap.
func heap() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
