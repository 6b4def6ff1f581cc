package discover

import (
	"context"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fettle/internal/task"
)

func wireName(n string) []byte {
	var b []byte
	for _, l := range strings.Split(n, ".") {
		b = append(append(b, byte(len(l))), l...)
	}
	return append(b, 0)
}

func rr(name []byte, kind uint16, data []byte) []byte {
	b := append([]byte(nil), name...)
	b = binary.BigEndian.AppendUint16(b, kind)
	b = append(b, 0, 1, 0, 0, 0, 120)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

// answer is what a board says: an instance of the SSH service on a port, with its address; names point back.
func answer(host string, port uint16, ip [4]byte) []byte {
	b := []byte{0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 2}
	instance := append(append([]byte{byte(len(host))}, host...), 0xc0, 12) // of the service's name, which is at 12
	b = append(b, rr(wireName("_ssh._tcp.local"), typePTR, instance)...)
	srv := append([]byte{0, 0, 0, 0, byte(port >> 8), byte(port)}, wireName(host+".local")...)
	b = append(b, rr(wireName(host+"._ssh._tcp.local"), typeSRV, srv)...)
	return append(b, rr(wireName(host+".local"), typeA, ip[:])...)
}

// TestAsk is boards in a network that answer, among strangers that say nonsense without an end.
func TestAsk(t *testing.T) {
	board, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	g := task.NewGroup(context.Background())
	g.Go("board", func(context.Context) error {
		buf := make([]byte, 1500)
		n, from, err := board.ReadFromUDP(buf)
		if err != nil {
			return nil
		}
		if !strings.Contains(string(buf[:n]), "_ssh") || buf[2]&0x80 != 0 {
			t.Errorf("the question is % x", buf[:n])
		}
		for _, m := range [][]byte{{1, 2, 3}, answer("lab-pi", 22, [4]byte{10, 0, 0, 7}), make([]byte, 2000), answer("lab-pi", 22, [4]byte{10, 0, 0, 7}),
			answer("odd", 2222, [4]byte{10, 0, 0, 8}), answer("x;reboot", 22, [4]byte{10, 0, 0, 9}), answer("bad\x1b[31m", 22, [4]byte{10, 0, 0, 10})} {
			_, _ = board.WriteToUDP(m, from)
		}
		return nil
	})
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start := time.Now()
	found, err := ask(c, board.LocalAddr().(*net.UDPAddr), 300*time.Millisecond)
	if err != nil || time.Since(start) > 5*time.Second {
		t.Fatal(err, time.Since(start))
	}
	board.Close()
	_ = g.Wait() // it has no errors
	found = merge(found)
	if len(found) != 3 || found[0].Address != "lab-pi.local" || found[0].Name != "lab-pi" || found[0].Detail != "10.0.0.7" || found[1].Address != "odd.local:2222" || strings.Contains(found[2].Address, "\x1b") {
		t.Errorf("found %+v", found)
	}
}

// TestFiles finds hosts in the files of SSH: patterns, hashed names and revoked keys are no boards.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	key := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0v3vGuVTJ4Qm1c0V2bq0m0g0m0g0m0g0m0g0m0g0m0"
	for name, text := range map[string]string{
		"config":      "Host *\n  User me\nHost lab\n  HostName 10.0.0.7\nHost pi? !bad\nHost two three\n  HostName %h.example\n",
		"known_hosts": "10.0.0.7 " + key + "\n[odd.local]:2222,alias " + key + "\n|1|aaaa|bbbb " + key + "\n@revoked gone " + key + "\n*.wild " + key + "\nnonsense\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, notes := Look(t.Context(), Options{SSHDir: dir, Home: dir})
	if len(notes) > 0 {
		t.Error(notes)
	}
	got := map[string]string{}
	for _, f := range all {
		got[f.Address] = strings.Join(f.Sources, "+") + " " + f.Name
	}
	for address, want := range map[string]string{"lab": "ssh config+known hosts lab", "two": "ssh config two", "three": "ssh config three", "odd.local:2222": "known hosts odd", "alias": "known hosts alias"} {
		if got[address] != want {
			t.Errorf("%s: %q, want %q", address, got[address], want)
		}
	}
	if len(got) != 5 {
		t.Errorf("found %v", got)
	}
}

// FuzzParse feeds messages from anybody: no panic, no endless work, and nothing beyond the bounds.
func FuzzParse(f *testing.F) {
	f.Add(answer("lab-pi", 22, [4]byte{10, 0, 0, 7}))
	f.Add([]byte{0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0xc0, 12})
	f.Add([]byte{0, 0, 0x84, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	f.Add(append([]byte{0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0}, strings.Repeat("\x3f"+strings.Repeat("a", 63), 8)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parse(b)
		if len(got) > maxRecords || err != nil && len(got) > 0 {
			t.Fatalf("%d records, %v", len(got), err)
		}
		for _, r := range got {
			if len(r.name) > maxName || len(r.to) > maxName {
				t.Fatalf("a name of %d bytes", len(r.name)+len(r.to))
			}
		}
		for _, x := range merge(boards(got)) {
			if strings.ContainsAny(x.Address, "\x1b\n ;$'") || len(x.Address) > 512 {
				t.Fatalf("address %q", x.Address)
			}
		}
	})
}
