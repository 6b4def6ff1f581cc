package sshx

import (
	"testing"

	"golang.org/x/crypto/ssh"

	"fettle/internal/sshtest"
)

// TestQueueIsWhereItWas: drain reaches into x/crypto/ssh by the names of two fields. Where this fails the package was changed: look whether it still leaves its
// reader behind (TestUpstreamKeepsItsReader), and take drain away or name the fields anew.
func TestQueueIsWhereItWas(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	o := quick(newKeys(t))
	o.Ask = accept
	c, err := Dial(t.Context(), target(s), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	queue, ok := queueOf(c.conn)
	if !ok || cap(queue) != 16 {
		t.Errorf("found %t, room for %d packets, 16 were expected", ok, cap(queue))
	}
	type transport struct{ incoming chan int }
	type conn struct { // another type of queue
		ssh.Conn
		transport *transport
	}
	for name, other := range map[string]ssh.Conn{"nothing": nil, "another type": &conn{transport: &transport{}}, "no transport": &struct{ ssh.Conn }{}} {
		if _, ok := queueOf(other); ok {
			t.Errorf("%s: a queue was found", name)
		}
	}
}
