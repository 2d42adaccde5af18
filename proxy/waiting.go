package proxy

import "sync/atomic"

// waiting is one half of a looped session while a goroutine of its own acts for
// it.
type waiting struct {
	state atomic.Uint32 // idle, working or done
	err   error         // valid when done
}

const (
	idle uint32 = iota
	working
	done
)

// parked is a half that waits for the access log alone: nobody works for it.
type parked struct {
	on     bool        // the loop's own, as cancel is
	due    atomic.Bool // the wait is over
	cancel func() bool // of the wait
}

// holds tells whether somebody is about to say that the wait is over. If not, it
// ends by that.
func (p *parked) holds() bool {
	if !p.on || p.due.Load() {
		return false
	}
	p.on = !p.cancel()
	return p.on
}

// begin has act called by a goroutine, and the session served when it returns.
func (w *waiting) begin(t *looped, act func() error) {
	w.state.Store(working)
	go func() {
		w.err = t.s.guarded(act)
		t.loop.mu.Lock()
		defer t.loop.mu.Unlock() // not before it is posted: then the loop may be gone
		w.state.Store(done)
		t.loop.enqueue(t)
	}()
}

func (w *waiting) busy() bool { return w.state.Load() == working }

// over tells whether the half is still worked for. When it was and is no more,
// err is how that ended.
func (w *waiting) over() (busy bool, err error) {
	if w.state.Load() != done {
		return w.busy(), nil
	}
	w.state.Store(idle)
	return false, w.err
}
