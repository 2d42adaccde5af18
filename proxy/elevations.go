package proxy

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/state"
)

// elevations are those in force, as they were last read from the database, which
// all proxies share.
type elevations struct {
	now atomic.Pointer[elevated]

	mu   sync.Mutex // one reading at a time; guards read
	read time.Time  // when they were read last
}

type elevated struct {
	version uint64
	byID    map[int64]time.Time
	byUser  map[string][]policy.Elevation
}

// staleAfter is how long elevations count that could not be read again: one may
// have been revoked.
const staleAfter = 10 * time.Second

// readWithin is how long one reading may take: who waits for a server that says
// nothing does not notice that they are stale.
const readWithin = 2 * time.Second

// version changes whenever the elevations in force do.
func (e *elevations) version() uint64 {
	if now := e.now.Load(); now != nil {
		return now.version
	}
	return 0
}

// of gives those of a user that are not over at a moment.
func (e *elevations) of(user string, at time.Time) []policy.Elevation {
	now := e.now.Load()
	if now == nil || len(now.byUser[user]) == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(now.byUser[user]), func(e policy.Elevation) bool { return !at.Before(e.Until) })
}

// put puts elevations in force, read at a moment of our clock: theirs is the
// database's.
func (e *elevations) put(granted []state.Elevation, at time.Time) {
	before := e.now.Load()
	next := &elevated{version: e.version() + 1, byID: map[int64]time.Time{}, byUser: map[string][]policy.Elevation{}}
	same := before != nil && len(before.byID) == len(granted)
	for _, g := range granted {
		until := at.Add(g.Left)
		if before != nil {
			known, ok := before.byID[g.ID]
			if ok && until.Sub(known).Abs() < time.Second {
				until = known // the same end, as two clocks see it
			} else {
				same = false
			}
		}
		next.byID[g.ID] = until
		next.byUser[g.User] = append(next.byUser[g.User], policy.Elevation{Role: g.Role, Purpose: g.Purpose, Until: until})
	}
	if !same {
		e.now.Store(next)
	}
}

// ReadElevations reads which elevations are in force. It is called every second
// or so, so that what is approved or revoked elsewhere counts here soon. What
// cannot be read for long is over.
func (srv *Server) ReadElevations(ctx context.Context) error {
	e := &srv.elevations
	e.mu.Lock()
	defer e.mu.Unlock()
	at := srv.now()
	if srv.state == nil || !srv.enforcer.Engine().Policy.Elevates() {
		e.put(nil, at)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	granted, err := srv.state.Granted(ctx)
	if err == nil {
		e.put(granted, at)
		e.read = at
		return nil
	}
	if now := srv.now(); now.Sub(e.read) > staleAfter {
		e.put(nil, now)
	}
	return fmt.Errorf("elevations: %w", err)
}
