package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/audit"
)

const (
	troublesEvery = 5 * time.Second // is looked for troubles
	troubleAgain  = time.Hour       // is told of one that is not over
)

// trouble is something of the process's own that people must look at when it
// lasts.
type trouble struct {
	alert.Event
	after time.Duration // that it lasts until they are told
	wrong func() bool   // asked every troublesEvery

	since, told time.Time // zero: it is not wrong; nobody was told
}

// look gives whether people are to be told now.
func (t *trouble) look(now time.Time) bool {
	switch {
	case !t.wrong():
		t.since, t.told = time.Time{}, time.Time{}
		return false
	case t.since.IsZero():
		t.since = now
	}
	if now.Sub(t.since) < t.after || !t.told.IsZero() && now.Sub(t.told) < troubleAgain {
		return false
	}
	t.told = now
	return true
}

// failing is what other parts of the process have last seen fail.
type failing struct {
	reload, look, ring, elevations, roles, contain atomic.Bool
	retention                                      atomic.Int64 // when, in nanoseconds since 1970
}

// reloaded notes whether policy and catalog were put in force.
func (p *process) reloaded(ok bool) {
	p.failing.reload.Store(!ok)
	p.looked(false, ok || !p.failing.look.Load())
}

// looked notes whether it could be seen that the catalog is as it was, or a new
// one was put in force, with the policy. Otherwise a reload that failed before has
// still failed.
func (p *process) looked(fresh, ok bool) {
	p.failing.look.Store(!ok)
	if ok && fresh {
		p.failing.reload.Store(false)
	}
	p.reloadOK.Set(0)
	if !p.failing.reload.Load() && ok {
		p.reloadOK.Set(1)
	}
}

// ringTrouble is that the keys of sealed columns are not as their file says.
func (p *process) ringTrouble() *trouble {
	return &trouble{Event: alert.Event{Name: "reload_failed", Severity: alert.Warning, Message: "keys of sealed columns could not be reloaded: those in use stay in use"}, wrong: p.failing.ring.Load}
}

// retained notes that what is too old could not be removed. It is tried again
// within sealedEvery.
func (p *process) retained(err error, what string) {
	p.failing.retention.Store(time.Now().UnixNano())
	p.log.Error(what+" stay; it is tried again", "err", err)
}

// watchTroubles tells of troubles until the context is done.
func (p *process) watchTroubles(ctx context.Context, list []*trouble) {
	tick := time.NewTicker(troublesEvery)
	defer tick.Stop()
	for {
		now := time.Now()
		for _, t := range list {
			if t.look(now) {
				e := t.Event
				e.Details = append(e.Details, slog.Duration("lasts", now.Sub(t.since).Round(time.Second)))
				p.alerts.Raise(e)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// The waits: what repairs itself in a moment is not worth a person's.
const (
	brief = time.Minute
	long  = 15 * time.Minute
)

func (p *process) troubles() []*trouble {
	list := append(p.auditTroubles(), p.restored.troubles()...)
	list = append(list, p.ringTrouble(),
		&trouble{Event: alert.Event{Name: "reload_failed", Severity: alert.Warning, Message: "policy or catalog could not be reloaded: what was in force stays in force"}, wrong: p.failing.reload.Load},
		&trouble{Event: alert.Event{Name: "catalog_unseen", Severity: alert.Warning, Message: "it cannot be seen whether the schema has changed"}, after: p.cfg.Limits.Refresh + brief, wrong: p.failing.look.Load},
		&trouble{
			Event: alert.Event{Name: "crl_out_of_date", Severity: alert.Warning, Message: "a list of revoked certificates is out of date: certificates of its authority are refused"},
			wrong: func() bool { r := p.revocations.Load(); return r != nil && time.Now().After(r.Until()) },
		},
		&trouble{
			Event: alert.Event{Name: "retention_failing", Severity: alert.Warning, Message: "what is too old in the access log, or its keys, cannot be removed"},
			// One failure counts for as long as two more would take to come.
			after: 2*sealedEvery + brief, wrong: func() bool { return time.Now().UnixNano()-p.failing.retention.Load() < int64(2*sealedEvery) },
		},
		&trouble{
			Event: alert.Event{Name: "state_away", Severity: alert.Critical, Message: "what pgveil remembers in the database cannot be read"},
			after: brief, wrong: func() bool { return p.failing.elevations.Load() || p.failing.roles.Load() || p.failing.contain.Load() },
		})
	for _, a := range p.anchors.list {
		list = append(list, &trouble{
			Event: alert.Event{Name: "anchor_behind", Severity: alert.Warning, Message: "checkpoints of the access log do not reach an anchor", Key: a.name, Details: []slog.Attr{slog.String("anchor", a.name)}},
			after: long, wrong: stuck(func() (uint64, uint64) { a.mu.Lock(); defer a.mu.Unlock(); return a.told, a.taken }),
		})
	}
	for _, s := range p.cfg.Audit.Ship {
		list = append(list, &trouble{
			Event: alert.Event{Name: "ship_behind", Severity: alert.Warning, Message: "a sink of the access log does not take records", Key: s.Name, Details: []slog.Attr{slog.String("sink", s.Name)}},
			after: long, wrong: func() bool { return slices.Contains(p.ship.Failing(), s.Name) },
		})
	}
	if p.table != nil {
		list = append(list, &trouble{
			Event: alert.Event{Name: "audit_table_behind", Severity: alert.Warning, Message: "records do not reach the table of the access log"},
			after: long, wrong: stuck(func() (uint64, uint64) { loaded, _ := p.table.own.Loaded(); return p.audit.Stats().Appended, loaded }),
		})
	}
	return list
}

func (p *process) auditTroubles() []*trouble {
	room := func(is audit.Room) func() bool { return func() bool { return p.audit.Stats().Room == is } }
	return []*trouble{
		{
			Event: alert.Event{Name: "audit_failed", Severity: alert.Critical, Message: "the access log cannot be written: statements and logins are refused until a restart"},
			wrong: func() bool { return errors.Is(p.audit.Stats().Err, audit.ErrFailed) },
		},
		{Event: alert.Event{Name: "audit_disk_full", Severity: alert.Critical, Message: "the disk of the access log is full: statements and logins are refused, or will be soon"}, wrong: room(audit.RoomNone)},
		{Event: alert.Event{Name: "audit_disk_low", Severity: alert.Warning, Message: "the disk of the access log has little room left"}, wrong: room(audit.RoomLittle)},
		{
			Event: alert.Event{Name: "audit_unsigned", Severity: alert.Warning, Message: "checkpoints of the access log cannot be signed"},
			after: brief, wrong: func() bool { return p.audit.Stats().SignErr != nil },
		},
	}
}

// stuck tells, of what should come to a number, whether it has not and is no
// further than when it was last asked.
func stuck(at func() (end, now uint64)) func() bool {
	var last uint64
	return func() bool {
		end, now := at()
		same := now == last
		last = now
		return now < end && same
	}
}
