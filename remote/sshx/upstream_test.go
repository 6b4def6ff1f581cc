package sshx

import (
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"fettle/internal/sshtest"
)

// TestUpstreamKeepsItsReader is x/crypto/ssh without anything of ours: a server that refuses a login with 40 packets instead of one makes NewClientConn
// return its error, close the connection and leave its reader waiting in a send that nobody takes. Where it fails, the package was mended: endless in
// hostile_test.go is empty then.
func TestUpstreamKeepsItsReader(t *testing.T) {
	for _, packets := range []int{1, 40} { // one is the control: it leaves nothing
		before := len(stuck(t))
		key := sshtest.NewKey(t, "ed25519")
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			there, err := l.Accept()
			if err != nil {
				return
			}
			defer there.Close()
			c := sshtest.NewRaw(there)
			if c.Handshake(key) != nil {
				return
			}
			all := &gathered{Conn: there} // one write: the reader has all of them before the first is looked at
			c.Conn = all
			for range packets {
				_ = c.Put(sshtest.Msg(sshtest.MsgAuthFailure, "", false)) // it goes to memory
			}
			_, _ = there.Write(all.b)
			hold(sshtest.NewRaw(there))
		}()
		here, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _, _, err = ssh.NewClientConn(here, "board", &ssh.ClientConfig{User: "pi", HostKeyCallback: ssh.FixedHostKey(key.PublicKey())})
		if err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
			t.Fatalf("%d packets: %v", packets, err)
		}
		l.Close()
		want, left := 0, 0
		if packets > 16 {
			want = 2 // the reader, and the loop that waits for it
		}
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if left = len(stuck(t)) - before; left == want || time.Now().After(end) {
				break
			}
		}
		if left != want {
			t.Errorf("%d packets: %d goroutines of x/crypto/ssh are left, %d were expected", packets, left, want)
		}
		t.Logf("%d packets: %d goroutines are left", packets, left)
	}
}

// gathered keeps what is written.
type gathered struct {
	net.Conn
	b []byte
}

// Write keeps p.
func (g *gathered) Write(p []byte) (int, error) { g.b = append(g.b, p...); return len(p), nil }
