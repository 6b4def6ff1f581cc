package discover

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"fettle/internal/fail"
)

// Types of DNS records that are used. Source: RFC 1035, RFC 2782, RFC 3596.
const (
	typeA    = 1
	typePTR  = 12
	typeTXT  = 16
	typeAAAA = 28
	typeSRV  = 33
)

// Bounds of a message, which comes from anybody in the network.
const (
	maxRecords = 256
	maxHops    = 16  // pointers in one name
	maxName    = 255 // bytes
)

// record is one resource record of a message.
type record struct {
	name string
	kind uint16
	to   string     // PTR and SRV
	port uint16     // SRV
	addr netip.Addr // A and AAAA
}

// parse reads a DNS response. Records of other kinds are left out. It never reads beyond b, and its work is bounded by the
// length of b: a pointer may only go back.
func parse(b []byte) ([]record, error) {
	bad := func(why string) ([]record, error) { return nil, fail.New(fail.Corrupt, "a DNS message %s", why) }
	if len(b) < 12 {
		return bad("is cut")
	}
	if b[2]&0x80 == 0 {
		return nil, nil // a question of somebody else
	}
	questions := int(binary.BigEndian.Uint16(b[4:]))
	records := int(binary.BigEndian.Uint16(b[6:])) + int(binary.BigEndian.Uint16(b[8:])) + int(binary.BigEndian.Uint16(b[10:]))
	if questions > maxRecords || records > maxRecords {
		return bad("has too many records")
	}
	at := 12
	for range questions {
		_, next, err := readName(b, at)
		if err != nil || next+4 > len(b) {
			return bad("has a cut question")
		}
		at = next + 4
	}
	var out []record
	for range records {
		name, next, err := readName(b, at)
		if err != nil || next+10 > len(b) {
			return bad("has a cut record")
		}
		r := record{name: name, kind: binary.BigEndian.Uint16(b[next:])}
		size := int(binary.BigEndian.Uint16(b[next+8:]))
		at = next + 10
		if at+size > len(b) {
			return bad("has a cut record")
		}
		data := b[at : at+size]
		ok := true
		switch r.kind {
		case typePTR:
			r.to, _, err = readName(b, at)
		case typeSRV:
			if ok = size >= 7; ok {
				r.port = binary.BigEndian.Uint16(data[4:])
				r.to, _, err = readName(b, at+6)
			}
		case typeA, typeAAAA:
			r.addr, ok = netip.AddrFromSlice(data)
			ok = ok && (r.kind == typeA) == r.addr.Is4()
		default:
			ok = false
		}
		if err != nil {
			return bad("has a broken name")
		}
		if ok {
			out = append(out, r)
		}
		at += size
	}
	return out, nil
}

// readName reads a name that may point back into the message, and gives where it ends. Dots inside of a label become dashes: a
// label is one word here.
func readName(b []byte, at int) (name string, end int, err error) {
	var out strings.Builder
	bad := fail.New(fail.Corrupt, "a name is broken")
	end = -1
	for hops := 0; ; {
		if at >= len(b) {
			return "", 0, bad
		}
		n := int(b[at])
		switch {
		case n == 0:
			if end < 0 {
				end = at + 1
			}
			return out.String(), end, nil
		case n&0xc0 == 0xc0:
			if at+2 > len(b) {
				return "", 0, bad
			}
			to := int(binary.BigEndian.Uint16(b[at:]) & 0x3fff)
			if end < 0 {
				end = at + 2
			}
			if hops++; to >= at || hops > maxHops {
				return "", 0, bad
			}
			at = to
		case n&0xc0 != 0 || at+1+n > len(b) || out.Len()+n+1 > maxName:
			return "", 0, bad
		default:
			if out.Len() > 0 {
				out.WriteByte('.')
			}
			out.WriteString(strings.ReplaceAll(string(b[at+1:at+1+n]), ".", "-"))
			at += 1 + n
		}
	}
}

// question asks for services; the highest bit of the class asks to be answered directly. Source: RFC 6762, 5.4.
func question(names ...string) []byte {
	b := []byte{0, 0, 0, 0, 0, byte(len(names)), 0, 0, 0, 0, 0, 0}
	for _, n := range names {
		for _, label := range strings.Split(n, ".") {
			b = append(append(b, byte(len(label))), label...)
		}
		b = append(b, 0, 0, typePTR, 0x80, 1)
	}
	return b
}
