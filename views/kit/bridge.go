package kit

import (
	"sync"

	"fyne.io/fyne/v2"

	"fettle/app"
)

// Bridge brings states and callbacks from other goroutines to the toolkit's. It is the only place that calls fyne.Do.
// States are coalesced: while one waits to be shown, a newer one takes its place, so a burst of progress costs one
// redraw.
type Bridge struct {
	post func(func())

	mu      sync.Mutex
	show    func(*app.State)
	latest  *app.State
	waiting bool
	closed  bool
}

// NewBridge makes a bridge to the running toolkit.
func NewBridge() *Bridge { return &Bridge{post: fyne.Do} }

// NewBridgeOn makes a bridge over another queue of the toolkit's goroutine: for tests that take its place.
func NewBridgeOn(post func(func())) *Bridge { return &Bridge{post: post} }

// NewDirectBridge runs everything at once on the caller's goroutine: for tests without a running toolkit.
func NewDirectBridge() *Bridge { return &Bridge{post: func(f func()) { f() }} }

// OnState sets who shows states. Call it before Publish.
func (b *Bridge) OnState(show func(*app.State)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.show = show
}

// Publish hands a state over from any goroutine and returns at once; it is what Studio.Subscribe takes.
func (b *Bridge) Publish(s *app.State) {
	b.mu.Lock()
	b.latest = s
	queue := !b.waiting && !b.closed
	b.waiting = b.waiting || queue
	b.mu.Unlock()
	if queue {
		b.post(b.deliver)
	}
}

func (b *Bridge) deliver() {
	b.mu.Lock()
	s, show := b.latest, b.show
	b.waiting = false
	if b.closed {
		show = nil
	}
	b.mu.Unlock()
	if show != nil {
		show(s)
	}
}

// Do runs f on the toolkit's goroutine, soon. After Close it does nothing.
func (b *Bridge) Do(f func()) {
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	if !closed {
		b.post(f)
	}
}

// Close ends the bridge: what is still published is dropped. The toolkit must not be called after its window is gone.
func (b *Bridge) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
}
