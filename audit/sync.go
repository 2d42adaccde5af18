package audit

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// markEvery is how often the mark in the header is moved. It need not be
// exact, only true; moving it costs a page to write with the next sync.
const markEvery = time.Second

// gather is how often a sync lets others go first. Alone it costs nothing.
const gather = 3

// Durable tells whether every record up to seq is durable, without waiting for
// it.
func (l *Log) Durable(seq uint64) bool { return l.durable.Load() > seq }

// Sync returns when every record up to seq is durable. All who wait share one
// fdatasync, so it costs more of patience than of disk. An error of the disk
// is final: the system may have dropped the pages that it could not write, so
// a second try that succeeds would prove nothing.
func (l *Log) Sync(ctx context.Context, seq uint64) error {
	for l.durable.Load() <= seq {
		l.mu.Lock()
		err, round, next := l.stopped(), l.round, l.next
		l.mu.Unlock()
		switch {
		case err != nil:
			return fmt.Errorf("sync audit log: %w", err)
		case seq >= next:
			return fmt.Errorf("sync audit log: record %d has not been appended; the next is %d", seq, next)
		}
		l.askSync()
		select {
		case <-round:
		case <-ctx.Done():
			return fmt.Errorf("sync audit log: %w", ctx.Err())
		}
	}
	return nil
}

// notice is what Notice was asked for.
type notice struct{ f func() }

// Notice is Sync for who must not wait: it has f called once every record up to
// seq is durable, or it is known that they will not be. f may be called before
// Notice returns, or by another goroutine, and must not wait. cancel takes it
// back: it tells whether f has not been called, and will not be.
func (l *Log) Notice(seq uint64, f func()) (cancel func() bool) {
	n := &notice{f}
	l.mu.Lock()
	known := l.Durable(seq) || l.stopped() != nil
	if !known {
		l.notices = append(l.notices, n)
	}
	l.mu.Unlock()
	if known {
		l.give([]*notice{n})
	} else {
		l.askSync()
	}
	return func() bool { return l.takeBack(n) != nil }
}

// takeBack gives what is to be called, to nobody else any more.
func (l *Log) takeBack(n *notice) func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := n.f
	n.f = nil
	return f
}

func (l *Log) give(notices []*notice) {
	for _, n := range notices {
		if f := l.takeBack(n); f != nil {
			f()
		}
	}
}

// askSync wakes the syncer, or leaves word when it is at work.
func (l *Log) askSync() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// syncer is the one goroutine that makes records durable.
func (l *Log) syncer() {
	for {
		select {
		case <-l.wake:
			l.syncRound()
		case <-l.quit:
			return
		}
	}
}

// syncRound makes durable what is appended when it begins, and releases
// everybody who asked before.
func (l *Log) syncRound() {
	// Who is about to append comes first, and shares this sync: where processors
	// are what is short, and not the disk, there would be one for every few records.
	for range gather {
		runtime.Gosched()
	}
	l.mu.Lock()
	next, full, cur, round := l.next, l.full, l.cur, l.round
	notices := l.notices
	l.round, l.notices = make(chan struct{}), nil
	l.mu.Unlock()
	defer func() {
		close(round)
		l.give(notices)
	}()

	err := l.flush(full, cur)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		_ = l.fail(err) // it is for whoever appends or waits
		return
	}
	l.full = l.full[len(full):]
	l.durable.Store(next)
	l.syncs.Add(1)
	if now := l.opts.Now(); now.Sub(l.lastMark).Abs() >= markEvery {
		cur.setMark(next)
		l.lastMark = now
	}
}

// flush makes the current segment durable and seals the full ones before it.
// A seal says that the next segment is there, so it comes after the next
// segment's header and name are durable; and nobody is told that a record in
// the next segment is durable before the seal is.
func (l *Log) flush(full []*segment, cur *segment) error {
	for _, s := range append(full[:len(full):len(full)], cur) {
		if err := s.sync(); err != nil {
			return fmt.Errorf("sync segment %s: %w", segmentName(s.first), err)
		}
	}
	if len(full) == 0 {
		return nil
	}
	if err := l.lock.Sync(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	for _, s := range full {
		if err := s.seal(); err != nil {
			return fmt.Errorf("seal segment %s: %w", segmentName(s.first), err)
		}
		if err := s.close(); err != nil {
			return fmt.Errorf("close segment %s: %w", segmentName(s.first), err)
		}
	}
	return nil
}
