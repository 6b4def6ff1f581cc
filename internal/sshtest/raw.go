//go:build unix

package sshtest

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"net"

	"golang.org/x/crypto/ssh"
)

// Message numbers that scripts of bad servers need (RFC 4250, section 4.1).
const (
	MsgDisconnect      = 1
	MsgIgnore          = 2
	MsgDebug           = 4
	MsgServiceAccept   = 6
	MsgKexInit         = 20
	MsgNewKeys         = 21
	MsgKexReply        = 31
	MsgAuthFailure     = 51
	MsgAuthSuccess     = 52
	MsgAuthBanner      = 53
	MsgAuthKeyOK       = 60
	MsgGlobalRequest   = 80
	MsgChannelOpen     = 90
	MsgChannelConfirm  = 91
	MsgChannelFailure  = 92
	MsgChannelWindow   = 93
	MsgChannelData     = 94
	MsgChannelExtended = 95
	MsgChannelEOF      = 96
	MsgChannelClose    = 97
	MsgChannelRequest  = 98
	MsgRequestSuccess  = 99
	MsgRequestFailure  = 100
	MsgPing            = 192
)

// Raw is the server's end of one connection, packet by packet: it can do what no server that means well does. It knows one set of
// algorithms (RFC 8731 curve25519-sha256, ssh-ed25519, RFC 5647 aes128-gcm), enough for every client.
type Raw struct {
	net.Conn
	r          *bufio.Reader
	banner     [2]string // client's, server's
	init       [2][]byte // kexinit of both
	session    []byte
	send, recv *sealer
	next       [2]*sealer // from the server, from the client; used from the next NEWKEYS on
}

// NewRaw speaks on a connection that was accepted.
func NewRaw(c net.Conn) *Raw { return &Raw{Conn: c, r: bufio.NewReader(c)} }

// Msg builds a packet: strings and byte slices become strings of SSH, uint32 and bool themselves, byte one byte.
func Msg(kind byte, parts ...any) []byte {
	b := []byte{kind}
	for _, p := range parts {
		switch v := p.(type) {
		case string:
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
		case []byte:
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
		case uint32:
			b = binary.BigEndian.AppendUint32(b, v)
		case bool:
			if v {
				b = append(b, 1)
			} else {
				b = append(b, 0)
			}
		case byte:
			b = append(b, v)
		default:
			panic("sshtest: a packet has no such part")
		}
	}
	return b
}

// Versions sends the server's line and reads the client's.
func (c *Raw) Versions() error {
	c.banner[1] = "SSH-2.0-raw"
	if _, err := io.WriteString(c, c.banner[1]+"\r\n"); err != nil {
		return err
	}
	line, err := c.r.ReadString('\n')
	c.banner[0] = string(bytes.TrimRight([]byte(line), "\r\n"))
	return err
}

// KexInit is the packet that offers these algorithms, each list as the protocol writes it.
func KexInit(kex, hostKey, ciphers string) []byte {
	var cookie [16]byte
	_, _ = rand.Read(cookie[:]) // it never fails
	b := append([]byte{MsgKexInit}, cookie[:]...)
	return append(b, Msg(0, kex, hostKey, ciphers, ciphers, "hmac-sha2-256", "hmac-sha2-256", "none", "none", "", "", false, uint32(0))[1:]...)
}

// Usual is KexInit with what Raw can do.
func Usual() []byte {
	return KexInit("curve25519-sha256", "ssh-ed25519", "aes128-gcm@openssh.com")
}

// Init exchanges KEXINIT packets.
func (c *Raw) Init() error {
	c.init[1] = Usual()
	if err := c.Put(c.init[1]); err != nil {
		return err
	}
	return c.await(MsgKexInit, &c.init[0])
}

// Reply reads the client's half of the key exchange and gives the packet that answers it rightly.
func (c *Raw) Reply(host ssh.Signer) ([]byte, error) {
	var p []byte
	if err := c.await(30, &p); err != nil {
		return nil, err
	}
	if len(p) < 5+32 {
		return nil, errors.New("sshtest: the client's key is cut")
	}
	theirs, err := ecdh.X25519().NewPublicKey(p[5:])
	if err != nil {
		return nil, err
	}
	ours, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	secret, err := ours.ECDH(theirs)
	if err != nil {
		return nil, err
	}
	k := mpint(secret)
	blob := host.PublicKey().Marshal()
	all := append(Msg(0, c.banner[0], c.banner[1], c.init[0], c.init[1], blob, p[5:], ours.PublicKey().Bytes())[1:], k...)
	sum := sha256.Sum256(all)
	if c.session == nil {
		c.session = sum[:]
	}
	sig, err := host.Sign(rand.Reader, sum[:])
	if err != nil {
		return nil, err
	}
	derive := func(letter byte, n int) []byte {
		d := sha256.Sum256(append(append(append(bytes.Clone(k), sum[:]...), letter), c.session...))
		return d[:n]
	}
	c.next = [2]*sealer{newSealer(derive('D', 16), derive('B', 12)), newSealer(derive('C', 16), derive('A', 12))}
	return Msg(MsgKexReply, blob, ours.PublicKey().Bytes(), Msg(0, sig.Format, sig.Blob)[1:]), nil
}

// NewKeys switches both ways to the keys of the exchange.
func (c *Raw) NewKeys() error {
	if err := c.Put([]byte{MsgNewKeys}); err != nil {
		return err
	}
	c.send = c.next[0]
	if err := c.await(MsgNewKeys, nil); err != nil {
		return err
	}
	c.recv = c.next[1]
	return nil
}

// Handshake does all up to the client's request for the login service, which it accepts.
func (c *Raw) Handshake(host ssh.Signer) error {
	if err := errors.Join(c.Versions(), c.Init()); err != nil {
		return err
	}
	p, err := c.Reply(host)
	if err == nil {
		err = c.Put(p)
	}
	if err == nil {
		err = c.NewKeys()
	}
	if err == nil {
		err = c.await(5, nil)
	}
	if err == nil {
		err = c.Put(Msg(MsgServiceAccept, "ssh-userauth"))
	}
	return err
}

// Login takes whoever comes.
func (c *Raw) Login(host ssh.Signer) error {
	if err := c.Handshake(host); err != nil {
		return err
	}
	if err := c.await(50, nil); err != nil {
		return err
	}
	return c.Put([]byte{MsgAuthSuccess})
}

// Command waits for a channel and a command on it, which it takes with this window and packet size. The client's number of the
// channel is what messages to it carry.
func (c *Raw) Command(window, packet uint32) (channel uint32, err error) {
	var p []byte
	if err := c.await(MsgChannelOpen, &p); err != nil {
		return 0, err
	}
	kind := int(binary.BigEndian.Uint32(p[1:]))
	channel = binary.BigEndian.Uint32(p[5+kind:])
	if err := c.Put(Msg(MsgChannelConfirm, channel, uint32(7), window, packet)); err != nil {
		return 0, err
	}
	if err := c.await(MsgChannelRequest, nil); err != nil {
		return 0, err
	}
	return channel, c.Put(Msg(MsgRequestSuccess, channel))
}

// await reads packets until one of a kind comes.
func (c *Raw) await(kind byte, into *[]byte) error {
	for {
		p, err := c.Get()
		if err != nil {
			return err
		}
		if len(p) > 0 && p[0] == kind {
			if into != nil {
				*into = p
			}
			return nil
		}
	}
}

// Put sends a packet, sealed once there are keys.
func (c *Raw) Put(payload []byte) error {
	block := 16
	if c.send == nil {
		block = 8
	}
	head := 5
	if c.send != nil {
		head = 1 // the length is not part of what is sealed
	}
	pad := block - (head+len(payload))%block
	if pad < 4 {
		pad += block
	}
	body := append([]byte{byte(pad)}, payload...)
	body = append(body, make([]byte, pad)...)
	out := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	if c.send != nil {
		body = c.send.seal(out, body)
	}
	_, err := c.Write(append(out, body...))
	return err
}

// Get reads a packet.
func (c *Raw) Get() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > 1<<18 {
		return nil, errors.New("sshtest: a packet is too long")
	}
	if c.recv != nil {
		n += 16
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(c.r, body); err != nil {
		return nil, err
	}
	if c.recv != nil {
		var err error
		if body, err = c.recv.open(head[:], body); err != nil {
			return nil, err
		}
	}
	if len(body) < 1 || int(body[0])+1 > len(body) {
		return nil, errors.New("sshtest: a packet is cut")
	}
	return body[1 : len(body)-int(body[0])], nil
}

// sealer is AES-GCM with the counter of RFC 5647.
type sealer struct {
	aead cipher.AEAD
	iv   []byte
}

func newSealer(key, iv []byte) *sealer {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the length is right
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // as above
	}
	return &sealer{aead, iv}
}

func (s *sealer) seal(head, body []byte) []byte {
	defer s.step()
	return s.aead.Seal(nil, s.iv, body, head)
}

func (s *sealer) open(head, body []byte) ([]byte, error) {
	defer s.step()
	return s.aead.Open(nil, s.iv, body, head)
}

func (s *sealer) step() {
	for i := len(s.iv) - 1; i >= 4; i-- {
		if s.iv[i]++; s.iv[i] != 0 {
			return
		}
	}
}

// mpint writes a positive number as SSH does.
func mpint(b []byte) []byte {
	b = bytes.TrimLeft(b, "\x00")
	if len(b) > 0 && b[0] >= 0x80 {
		b = append([]byte{0}, b...)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}
