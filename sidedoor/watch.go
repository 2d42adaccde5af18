package sidedoor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/state"
)

// Host is one of the server's hosts.
type Host struct {
	Name string
	Use  func(ctx context.Context, f func(*pgx.Conn) error) error // with a connection to it
}

// Watcher looks for connections around pgveil. Look must not be called twice at
// once.
type Watcher struct {
	ID, Name string // of this process
	Database string
	Every    time.Duration // how often Look is called
	Store    *state.Store
	Hosts    []Host
	Ours     func() (all []state.Backend, logins int64) // of this process
	Allow    []Allow
	Alerts   alert.Raiser

	waiting map[door]time.Time // connections that nobody has claimed yet, since when
	blind   map[string]bool    // hosts of which it was told that others' connections are not seen
	tally   tally

	mu    sync.Mutex
	stats Stats
}

// Stats are what a watcher found.
type Stats struct {
	Open      int   // connections around pgveil at the last look
	Found     int   // since the process started, by this process first
	Unseen    int   // connections at the last look of which it cannot be said
	Unwatched int64 // sessions that the server counted, and that nobody saw or made
}

// Stats gives what was found so far.
func (w *Watcher) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

// door tells connections apart.
type door struct {
	host  string
	pid   uint32
	began time.Time
	is    state.Door
}

// grace is how long a connection may be in the server's list before the process
// that made it has heard its number.
const grace = time.Second

// Look looks once: it writes down what is ours, and judges what is not.
func (w *Watcher) Look(ctx context.Context) error {
	var errs []error
	listed := map[door]bool{}
	var sessions Activity
	unseen := 0
	for _, h := range w.Hosts {
		a, err := w.read(ctx, h)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, d := range a.Doors {
			listed[door{h.Name, d.PID, d.Began, d}] = true
		}
		unseen += a.Unseen
		w.tellBlind(h.Name, a.Unseen)
		sessions = a
	}
	ours, logins := w.Ours() // after the lists: what is in them is among these by now
	if err := w.Store.ReportProxy(ctx, state.Proxy{ID: w.ID, Name: w.Name, Every: w.Every, Logins: logins, Backends: ours}); err != nil {
		return errors.Join(append(errs, err)...)
	}
	proxies, err := w.Store.Proxies(ctx)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	open, others, err := w.judge(ctx, listed, proxies)
	if len(w.Hosts) == 1 && len(errs) == 0 {
		w.tally.count(sessions, proxies, others)
		w.tellUnwatched()
	}
	w.mu.Lock()
	w.stats.Open, w.stats.Unseen, w.stats.Unwatched = open, unseen, w.tally.missed
	w.mu.Unlock()
	return errors.Join(append(errs, err)...)
}

func (w *Watcher) read(ctx context.Context, h Host) (a Activity, err error) {
	err = h.Use(ctx, func(c *pgx.Conn) error {
		a, err = Read(ctx, c, h.Name, w.Database)
		return err
	})
	return a, err
}

// judge decides on what is listed, and on what was and is not decided yet. It
// gives how many connections go around pgveil now, and all that were found to be
// somebody else's, allowed ones and those that are over among them.
func (w *Watcher) judge(ctx context.Context, listed map[door]bool, proxies []state.Proxy) (open int, others map[door]bool, err error) {
	others = map[door]bool{}
	if w.waiting == nil {
		w.waiting = map[door]time.Time{}
	}
	now := time.Now()
	for d := range listed {
		if _, known := w.waiting[d]; known || claimed(proxies, d.is) {
			continue
		}
		if allowed(w.Allow, d.is) {
			others[d] = true
		} else {
			w.waiting[d] = now
		}
	}
	var errs []error
	for d, since := range w.waiting {
		switch {
		case claimed(proxies, d.is):
			delete(w.waiting, d)
			continue
		case !heard(proxies, w.ID, since, now):
			continue
		}
		if err := w.found(ctx, d, listed[d]); err != nil {
			errs = append(errs, err)
			continue
		}
		others[d] = true
		if listed[d] {
			open++
		} else {
			delete(w.waiting, d)
		}
	}
	return open, others, errors.Join(errs...)
}

// heard tells whether every process that is there has reported since somebody saw
// a connection, so that it would have said that it is its own.
func heard(proxies []state.Proxy, self string, since, now time.Time) bool {
	for _, p := range proxies {
		reported := now.Add(-p.Age)
		if p.ID == self {
			reported = now
		}
		if p.Alive() && reported.Before(since.Add(grace)) {
			return false
		}
	}
	return true
}

// found notes a way around, and tells of it where nobody has before.
func (w *Watcher) found(ctx context.Context, d door, there bool) error {
	first, err := w.Store.SawDoor(ctx, d.is)
	if err != nil || !first {
		return err
	}
	w.mu.Lock()
	w.stats.Found++
	w.mu.Unlock()
	message := "a connection to the database goes around pgveil"
	if !there {
		message = "a connection to the database went around pgveil, and is over"
	}
	w.Alerts.Raise(alert.Event{
		Name: "side_door", Severity: alert.Warning, Message: message, Login: d.is.Login, Addr: d.is.Addr, App: d.is.App,
		Details: []slog.Attr{
			slog.String("host", d.host), slog.Uint64("pid", uint64(d.pid)), slog.String("kind", d.is.Kind),
			slog.String("database", d.is.Database), slog.Time("began", d.began),
		},
	})
	return nil
}

// tellBlind says, once, that pgveil's login does not see all that it should.
func (w *Watcher) tellBlind(host string, unseen int) {
	if w.blind == nil {
		w.blind = map[string]bool{}
	}
	if unseen > 0 && !w.blind[host] {
		w.Alerts.Raise(alert.Event{
			Name: "side_doors_unseen", Severity: alert.Warning,
			Message: "pgveil's login does not see whose connections go around pgveil: GRANT pg_read_all_stats to it",
			Details: []slog.Attr{slog.String("host", host), slog.Int("connections", unseen)},
		})
	}
	w.blind[host] = unseen > 0
}

// tellUnwatched says, at most once an hour, that sessions came and went between
// two looks.
func (w *Watcher) tellUnwatched() {
	t := &w.tally
	if t.missed <= t.told || time.Since(t.toldAt) < time.Hour {
		return
	}
	more := t.missed - t.told
	t.told, t.toldAt = t.missed, time.Now()
	w.Alerts.Raise(alert.Event{
		Name: "side_door_unwatched", Severity: alert.Notice,
		Message: fmt.Sprintf("the server counted more sessions than pgveil made or saw: about %d came and went between two looks", more),
		Details: []slog.Attr{slog.Int64("sessions", more)},
	})
}
