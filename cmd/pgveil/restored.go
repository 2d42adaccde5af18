package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/erasures"
)

// A restore takes the server away, or the connections to the database: that is
// seen within a second. What goes on beneath an open connection is, within a
// minute.
const (
	restoredEvery  = time.Second
	restoredFull   = time.Minute
	restoredWithin = 20 * time.Second
)

// openErasures opens the ledger of erasures.
func openErasures(cfg *config.Config, key []byte, notice func(string)) (*erasures.Ledger, error) {
	o := erasures.Options{Notice: notice}
	if cfg.DSAR.KeyBefore != "" {
		before, err := readKey(cfg.DSAR.KeyBefore)
		if err != nil {
			return nil, fmt.Errorf("dsar.key_before: %w", err)
		}
		o.Before = []erasures.Key{erasuresKey(before)}
	}
	return erasures.Open(cfg.ErasuresLedger(), erasuresKey(key), o)
}

func erasuresKey(key []byte) erasures.Key { return erasures.NewKey(derive(key, "erasures")) }

// restoreWatch compares the database with the ledger of erasures while pgveil
// serves, by a connection of its own, whose end is a sign as well.
type restoreWatch struct {
	process *process
	ledger  *erasures.Ledger
	conn    *connection
	hold    bool

	opened bool      // conn was, since the last comparison
	last   time.Time // that it was compared

	missing, unknown atomic.Int64           // erasures that the database, or the ledger, does not know of
	why              atomic.Pointer[string] // statements are held; nil: they are not
	failing          bool
}

// newRestoreWatch opens the ledger and looks for the first time: whatever the
// answer, it is in force before anybody is served.
func newRestoreWatch(ctx context.Context, p *process, key []byte) (*restoreWatch, error) {
	w := &restoreWatch{process: p, hold: p.cfg.DSAR.HoldAfterRestore}
	var err error
	if w.ledger, err = openErasures(p.cfg, key, func(s string) { p.log.Warn(s) }); err != nil {
		return nil, err
	}
	w.conn = newConnection(func(ctx context.Context) (*pgx.Conn, error) {
		w.opened = true
		return p.own.openBrief(ctx)
	})
	p.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pgveil_erasures_undone", Help: "Erasures that the ledger has as done and that the database does not know of: it was restored."},
			func() float64 { return float64(w.missing.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pgveil_erasures_unknown", Help: "Erasures that the database has carried out and that the ledger does not hold: its file was lost."},
			func() float64 { return float64(w.unknown.Load()) }))
	w.look(ctx)
	return w, nil
}

// run looks again and again, until the context ends.
func (w *restoreWatch) run(ctx context.Context) {
	tick := time.NewTicker(restoredEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.look(ctx)
		}
	}
}

// look compares where there is a reason to. While there is no connection, and until
// a new one was compared, statements are held, if ever: the database may be about to
// come back as it was. What fails on one that was compared changes nothing.
func (w *restoreWatch) look(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, restoredWithin)
	defer cancel()
	err := w.conn.use(limited, func(c *pgx.Conn) error {
		if !w.opened && w.why.Load() == nil && !w.failing && time.Since(w.last) < restoredFull {
			return nil
		}
		return w.compare(limited, c)
	})
	if err == nil || ctx.Err() != nil {
		w.failing = w.failing && err != nil
		return
	}
	if w.opened && !errors.Is(err, erasures.ErrStandby) {
		w.keepBack("pgveil does not know whether the database was restored: it cannot be compared with the ledger of erasures")
	}
	if !w.failing {
		w.process.log.Error("the database is not compared with the ledger of erasures", "err", err)
	}
	w.failing = true
}

func (w *restoreWatch) compare(ctx context.Context, c *pgx.Conn) error {
	s, err := w.ledger.Compare(ctx, c)
	if err != nil {
		return err
	}
	w.opened, w.last = false, time.Now()
	before := w.missing.Swap(int64(len(s.Missing)))
	unknown := w.unknown.Swap(int64(len(s.Unknown)))
	if s.Restored() {
		w.keepBack(fmt.Sprintf("the database was restored, and %d erasures since its backup are undone", len(s.Missing)))
	} else {
		w.why.Store(nil)
	}
	if before != int64(len(s.Missing)) || unknown != int64(len(s.Unknown)) {
		w.tell(s)
	}
	return w.observe(s)
}

// keepBack has statements refused, where the configuration says so.
func (w *restoreWatch) keepBack(why string) {
	if w.hold {
		w.why.Store(&why)
	}
}

// held says why statements on governed data are refused; "": they are not.
func (w *restoreWatch) held() string {
	if why := w.why.Load(); why != nil {
		return *why
	}
	return ""
}

// tell says how the database stands to the ledger, when that has changed.
func (w *restoreWatch) tell(s erasures.Standing) {
	log := w.process.log
	attrs := []any{"undone", len(s.Missing), "unknown", len(s.Unknown), "system", s.Database.System, "timeline", s.Database.Timeline, "held", w.held() != ""}
	switch {
	case s.Restored():
		log.Error("the database does not have erasures that the ledger has: it was restored from a backup, or is another one; run pgveil dsar replay", attrs...)
	case len(s.Unknown) > 0:
		log.Error("the database has erasures that the ledger does not have: its file was lost or replaced; put a copy in its place", attrs...)
	default:
		log.Info("the database has all erasures that the ledger has", attrs...)
	}
	w.record(fmt.Sprintf("erasures: %d of the ledger's are undone in the database, %d of the database's are not in the ledger; held: %v", len(s.Missing), len(s.Unknown), w.held() != ""))
}

// observe writes down that the database is another copy than before.
func (w *restoreWatch) observe(s erasures.Standing) error {
	if s.Before != (erasures.Database{}) && !s.Moved() {
		return nil
	}
	first, err := w.ledger.Observe(s.Database)
	if err != nil || !first {
		return err
	}
	w.process.alerts.Raise(alert.Event{
		Name: "database_moved", Severity: alert.Warning, Message: "the database is another copy than before: it was restored, or a standby of it was promoted",
		Details: []slog.Attr{
			slog.String("system", s.Database.System), slog.String("system_before", s.Before.System),
			slog.Uint64("timeline", uint64(s.Database.Timeline)), slog.Uint64("timeline_before", uint64(s.Before.Timeline)), slog.Int("undone", len(s.Missing)),
		},
	})
	w.record(fmt.Sprintf("erasures: the database is another copy than before: system %s, timeline %d; it was system %s, timeline %d",
		s.Database.System, s.Database.Timeline, s.Before.System, s.Before.Timeline))
	return nil
}

func (w *restoreWatch) record(message string) {
	if _, err := w.process.audit.Append(&audit.Record{Kind: audit.KindSystem, Database: w.process.cfg.Database, Message: message}); err != nil {
		w.process.log.Error("recording how the database stands to the ledger of erasures", "err", err)
	}
}

// troubles are what people must know of for as long as it lasts.
func (w *restoreWatch) troubles() []*trouble {
	if w == nil {
		return nil
	}
	return []*trouble{
		{
			Event: alert.Event{Name: "database_restored", Severity: alert.Critical, Message: "persons who were erased are in the database again: it was restored"},
			wrong: func() bool { return w.missing.Load() > 0 },
		},
		{
			Event: alert.Event{Name: "erasures_unknown", Severity: alert.Critical, Message: "the ledger of erasures has lost entries: the database knows of more"},
			wrong: func() bool { return w.unknown.Load() > 0 },
		},
	}
}

// close closes the connection and the ledger.
func (w *restoreWatch) close() error {
	if w == nil {
		return nil
	}
	return errors.Join(w.conn.close(), w.ledger.Close())
}
