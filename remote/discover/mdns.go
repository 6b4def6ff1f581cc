package discover

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"fettle/internal/fail"
)

// services are what computers with an SSH server announce.
var services = []string{"_ssh._tcp.local", "_sftp-ssh._tcp.local", "_workstation._tcp.local"}

var group = &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}

// Ask asks the local network for computers that can be logged in to and listens for answers for a while. Nothing is opened to
// the outside: the question leaves from a port of its own, and only direct answers to it are read.
func Ask(ctx context.Context, limit time.Duration) ([]Found, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		return nil, fail.New(fail.Unreachable, "%v", err).Doing("ask the local network").Try("name the board's address")
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	return ask(c, group, limit)
}

// maxMessages bounds what is listened to: a stranger may send without an end.
const maxMessages = 512

func ask(c *net.UDPConn, to *net.UDPAddr, limit time.Duration) ([]Found, error) {
	q := question(services...)
	if _, err := c.WriteToUDP(q, to); err != nil {
		return nil, fail.New(fail.Unreachable, "%v", err).Doing("ask the local network").Try("name the board's address")
	}
	_ = c.SetReadDeadline(time.Now().Add(limit))
	var all []record
	buf := make([]byte, 9000)
	for range maxMessages {
		n, _, err := c.ReadFromUDP(buf)
		if err != nil {
			break // the time is over
		}
		got, err := parse(buf[:n])
		if err != nil {
			continue // somebody says nonsense; others may not
		}
		if all = append(all, got...); len(all) > 4*maxRecords {
			break
		}
	}
	return boards(all), nil
}

// boards joins the records: a service points to an instance, that to a host and port, that to addresses.
func boards(all []record) []Found {
	var out []Found
	for _, p := range all {
		if p.kind != typePTR || !slices.ContainsFunc(services, func(s string) bool { return strings.EqualFold(s, p.name) }) {
			continue
		}
		for _, s := range all {
			if s.kind != typeSRV || !strings.EqualFold(s.name, p.to) {
				continue
			}
			var addrs []netip.Addr
			for _, a := range all {
				if (a.kind == typeA || a.kind == typeAAAA) && strings.EqualFold(a.name, s.to) && !slices.Contains(addrs, a.addr) {
					addrs = append(addrs, a.addr)
				}
			}
			host := strings.TrimSuffix(s.to, ".")
			f := Found{Address: host, Name: short(host), Sources: []string{FromMDNS}}
			if s.port != 22 && s.port != 0 && strings.EqualFold(p.name, services[0]) {
				f.Address += ":" + strconv.Itoa(int(s.port))
			}
			var words []string
			for _, a := range addrs {
				words = append(words, a.String())
			}
			f.Detail = strings.Join(words, ", ")
			if !slices.ContainsFunc(out, func(g Found) bool { return g.Address == f.Address }) {
				out = append(out, f)
			}
		}
	}
	return out
}
