package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/seal"
	"github.com/pgveil/pgveil/shred"
)

// awayFor is how long a process waits at its start for what wraps keys.
const awayFor = time.Minute

// openKeys reads the keys of sealed columns, and opens the store of those of single
// values, where the configuration has any.
func (p *process) openKeys(ctx context.Context) (err error) {
	if p.cfg.Sealing == nil {
		return nil
	}
	for late := time.Now().Add(awayFor); ; {
		_, err := p.loadRing(ctx)
		var away *seal.AwayError
		if err == nil {
			break
		}
		if !errors.As(err, &away) || time.Now().After(late) {
			return err
		}
		p.logger().Warn("waiting for what wraps the keys of sealed columns", "err", err)
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.dataKeys, err = p.openDataKeys(ctx)
	return err
}

// logger gives the log; of commands, which say what went wrong themselves, one that nobody
// reads.
func (p *process) logger() *slog.Logger {
	if p.log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return p.log
}

// shredder gives what destroys the keys of single values; nil where there is no store of
// them.
func (p *process) shredder() dsar.Shredder {
	if p.dataKeys == nil {
		return nil
	}
	return p.dataKeys
}

// values gives what opens and seals the values of sealed columns, with the keys that are
// in use whenever it does.
func (p *process) values() dsar.Values {
	v := dsar.Values{Ring: p.ring.Load}
	if p.dataKeys != nil {
		v.Keys = p.dataKeys
	}
	return v
}

// openDataKeys gives the keys of single values, whose store must be there and not be in
// the cluster of the governed database; nil where the configuration names no store.
func (p *process) openDataKeys(ctx context.Context) (*shred.Keys, error) {
	c := p.cfg.Sealing
	if c == nil || c.DataKeys == nil {
		return nil, nil
	}
	password, err := secretFile(c.DataKeys.Password)
	if err != nil {
		return nil, fmt.Errorf("sealing.data_keys: %w", err)
	}
	store, err := shred.Open(ctx, c.DataKeys.DSN, password)
	if err != nil {
		return nil, fmt.Errorf("sealing.data_keys: %w", err)
	}
	if err := p.mayKeep(ctx, store); err != nil {
		store.Close()
		return nil, fmt.Errorf("sealing.data_keys: %w", err)
	}
	return &shred.Keys{Store: store, Ring: p.ring.Load, Log: p.logger()}, nil
}

// mayKeep tells whether a store is fit to keep data keys.
func (p *process) mayKeep(ctx context.Context, store *shred.Store) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := store.Prepare(ctx); err != nil {
		return err
	}
	theirs, err := store.System(ctx)
	if err != nil {
		return fmt.Errorf("asking the store which cluster it is: %w", err)
	}
	return p.catalog.use(ctx, func(conn *pgx.Conn) error {
		var ours int64
		if err := conn.QueryRow(ctx, shred.SystemSQL).Scan(&ours); err != nil {
			return fmt.Errorf("asking the governed database which cluster it is: %w", err)
		}
		if ours == theirs {
			return errors.New("the store is in the cluster of the governed database: a backup of that would hold the values and their keys. Use a cluster with backups of its own")
		}
		return nil
	})
}

// shredded gives the columns whose values have keys of their own, or may have had.
func shredded(set *policy.Set, relations []*catalog.Relation) (all []*policy.Sealed) {
	seen := map[string]bool{}
	for _, rel := range relations {
		for _, c := range rel.Columns {
			if of := set.Sealed(rel, c.Name); of != nil && of.Mode == policy.SealRandomized && !seen[of.Column] {
				seen[of.Column] = true
				all = append(all, of)
			}
		}
	}
	return all
}

const (
	reapingLooks = time.Minute      // is looked whether it is time to reap
	reapingAgain = 30 * time.Minute // from a try that failed to the next
)

// keepReaping destroys the keys of values that are no more as often as the configuration
// says, until the context ends. Of several processes one does.
func (p *process) keepReaping(ctx context.Context) {
	if p.dataKeys == nil || p.cfg.Sealing.DataKeys.Reap == 0 {
		return
	}
	for next := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
		next = reapingLooks
		err := p.reapWhenDue(ctx)
		if err == nil || errors.Is(err, shred.ErrReaping) || ctx.Err() != nil {
			continue
		}
		next = reapingAgain
		p.log.Error("data keys without a value were not destroyed", "err", err)
		p.alerts.Raise(alert.Event{
			Name: "reaping_failed", Severity: alert.Warning, Message: "keys of values that are no more could not be destroyed: pgveil keys reap --dry-run says why",
			Details: []slog.Attr{slog.String("why", err.Error())},
		})
	}
}

func (p *process) reapWhenDue(ctx context.Context) (err error) {
	ago, _, err := p.dataKeys.Store.LastReaping(ctx)
	if err != nil || ago < p.cfg.Sealing.DataKeys.Reap {
		return err
	}
	engine := p.enforcer.Engine()
	conn, err := p.catalog.open(ctx)
	if err != nil {
		return err
	}
	defer func() {
		wait, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer done()
		err = errors.Join(err, conn.Close(wait))
	}()
	r, err := p.dataKeys.Reap(ctx, conn, shredded(engine.Policy, engine.Catalog.Relations()), false, false)
	if err != nil {
		return err
	}
	p.log.Info("keys of values that are no more were destroyed", "values", r.Live, "keys", r.Keys, "destroyed", r.Gone)
	_, err = p.audit.Append(&audit.Record{Kind: audit.KindSystem, Message: reaped(r)})
	return err
}

// reaped says in words what was done.
func reaped(r shred.Reaping) string {
	return fmt.Sprintf("%d values have keys of their own. Of %d keys made before %s, %d have no value; %d were destroyed.",
		r.Live, r.Keys, r.Before.UTC().Format(time.RFC3339), r.Unused, r.Gone)
}

func runKeysReap(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	k := newKeysCall("reap", "", "Destroys the keys of values that are no more: overwritten ones, and those of deleted\nrows. Reads every column whose values may have keys of their own. Keys that were made\nless than an hour before the oldest transaction that runs stay until the next time.\nWhere sealing.data_keys says reap: 24h, the running pgveil does so by itself.",
		"pgveil keys reap --dry-run", "pgveil keys reap")
	var admin string
	var dry bool
	k.flags.BoolVar(&dry, "dry-run", false, "count, and destroy nothing")
	k.flags.BoolVar(&k.yes, "yes", false, "go on where more than half of the keys would be destroyed")
	k.flags.StringVar(&admin, "admin-url", "", "`connection string` of a login that sees all rows and pg_stat_activity; absent: pgveil's own")
	if done, code := k.parse(args, stdout, stderr); done {
		return code
	}
	r, err := k.reap(ctx, admin, dry)
	if errors.Is(err, shred.ErrMany) {
		err = fmt.Errorf("%w (%d of %d): is this the right database? Say --yes if that is meant", err, r.Unused, r.Keys)
	}
	if err != nil {
		fmt.Fprintf(stderr, "pgveil %s: %v\n", k.name, err)
		return 1
	}
	fmt.Fprintln(stdout, reaped(r))
	return 0
}

func (k *keysCall) reap(ctx context.Context, admin string, dry bool) (r shred.Reaping, err error) {
	reg, err := openGoverned(k.config, admin)
	if err != nil {
		return r, err
	}
	p := reg.process
	defer func() { err = errors.Join(err, reg.process.close()) }()
	keys, err := k.dataKeys(ctx, p)
	if err != nil {
		return r, err
	}
	engine, err := p.loadEngine(ctx)
	if err != nil {
		return r, err
	}
	columns := shredded(engine.Policy, engine.Catalog.Relations())
	conn, err := p.catalog.open(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.Background())) }()
	if r, err = keys.Reap(ctx, conn, columns, k.yes, dry); err != nil || dry {
		return r, err
	}
	return r, recordPrivacy(ctx, p.cfg.Audit, &audit.Record{
		Kind: audit.KindPrivacy, Login: conn.Config().User, User: operator(), App: "pgveil keys reap", Database: p.cfg.Database,
		Command: "PRIVACY", Generation: engine.Policy.Generation(), Shape: "keys reap", Rows: r.Gone, Message: reaped(r),
	})
}

// dataKeys gives the keys of single values, for a command.
func (k *keysCall) dataKeys(ctx context.Context, p *process) (*shred.Keys, error) {
	if p.cfg.Sealing == nil || p.cfg.Sealing.DataKeys == nil {
		return nil, fmt.Errorf("%s names no store of data keys (sealing.data_keys)", k.config)
	}
	err := p.openKeys(ctx)
	return p.dataKeys, err
}

func runKeysRewrap(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	k := newKeysCall("rewrap", "CLASS ...", "Wraps the keys of single values that stand under another key of a class than the\nprimary one under that. Once the other key is destroyed, old copies of the store open\nnothing any more.",
		"pgveil keys rotate health", "pgveil keys rewrap health")
	if done, code := k.parse(args, stdout, stderr); done {
		return code
	}
	if err := k.rewrap(ctx, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "pgveil %s: %v\n", k.name, err)
		return 1
	}
	return 0
}

func (k *keysCall) rewrap(ctx context.Context, stdout, stderr io.Writer) (err error) {
	if len(k.args) == 0 {
		return errors.New("name one class at least")
	}
	reg, err := openRegistry(k.config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reg.process.close()) }()
	keys, err := k.dataKeys(ctx, reg.process)
	if err != nil {
		return err
	}
	for _, class := range k.args {
		told := time.Now()
		n, err := keys.Store.Rewrap(ctx, keys.Ring(), class, func(n int64) {
			if time.Since(told) > time.Second {
				told = time.Now()
				fmt.Fprintf(stderr, "%s: %d\n", class, n)
			}
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%s: %d keys are wrapped anew\n", class, n)
	}
	return nil
}
