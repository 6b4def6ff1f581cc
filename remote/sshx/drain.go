package sshx

import (
	"reflect"
	"unsafe"

	"golang.org/x/crypto/ssh"
)

// drain lets the library's reader end after its connection was closed.
//
// In x/crypto/ssh v0.58 the reader of a connection hands packets to whoever processes them through a queue of 16 (handshake.go:251). Where processing
// ends first, by an error in the protocol or in an answer to a flood, nobody takes them any more: the reader waits for ever in its send, the loop of key exchanges
// for the reader (handshake.go:395), and Close of the transport for that one (handshake.go:643). No exported call reaches the queue, and closing
// the connection does not wake who waits in a send. So the queue is emptied here. A version that keeps it elsewhere is left as it is;
// TestQueueIsWhereItWas says so on the day that the package is updated, and TestHostileServers finds the goroutines.
func drain(conn ssh.Conn) {
	queue, ok := queueOf(conn)
	if !ok {
		return
	}
	for range queue { // the reader closes it when it ends
	}
}

// queueOf finds the queue by name and type, and gives nothing where either is not what is expected.
func queueOf(conn ssh.Conn) (<-chan []byte, bool) {
	v := reflect.ValueOf(conn)
	for _, field := range []string{"transport", "incoming"} {
		for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return nil, false
		}
		if v = v.FieldByName(field); !v.IsValid() {
			return nil, false
		}
	}
	if v.Type() != reflect.TypeFor[chan []byte]() || !v.CanAddr() {
		return nil, false
	}
	return *(*chan []byte)(unsafe.Pointer(v.UnsafeAddr())), true
}
