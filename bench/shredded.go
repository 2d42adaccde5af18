package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
)

// keyedSchema makes the table of values that have data keys, and one to write them to.
const keyedSchema = `
CREATE TABLE vault_keyed (id bigint PRIMARY KEY, note text);
CREATE UNLOGGED TABLE intake_keyed (LIKE vault_keyed);`

// keyedClass is the class of those values.
const keyedClass = "  secret: {columns: [public.vault_keyed.note, public.intake_keyed.note], seal: randomized, shred: true}\n"

// keyedRows is how many values have data keys: more than pgveil keeps at hand, where
// there are as many rows.
func keyedRows(rows int) int { return min(rows, 200_000) }

// shreds tells whether a contender has a store of data keys.
func (r *running) shreds() bool { return strings.HasSuffix(r.name, "shredding") }

// startStore starts the store of data keys, unless it runs. It logs its statements, that
// fetches can be counted.
func (b *bench) startStore() (err error) {
	if b.store != nil {
		return nil
	}
	b.say("starting the store of data keys")
	b.store, err = pgserver.Start(context.Background(), pgserver.Options{Unlike: true, Settings: map[string]string{
		"fsync":                      "on",
		"synchronous_commit":         "on",
		"max_wal_size":               "4GB",
		"checkpoint_timeout":         "1h",
		"autovacuum":                 "off",
		"jit":                        "off",
		"log_statement":              "all",
		"log_parameter_max_length":   "0",
		"log_min_duration_statement": "-1",
	}})
	return err
}

// fillKeyed fills the table of values that have data keys.
func (b *bench) fillKeyed(ctx context.Context, all []*running) (err error) {
	if err := b.fillVaults(ctx, all); err != nil || b.shredded {
		return err
	}
	through, err := b.start(ctx, &contender{name: "shredding", login: plainLogin, prepare: prepareSealed(b.o.pgveil)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, through.stop()) }()
	rows := keyedRows(b.o.rows)
	b.say("sealing %d values under data keys", rows)
	if err := b.copyThrough(ctx, through, fmt.Sprintf("COPY (SELECT id, note FROM vault WHERE id <= %d ORDER BY id) TO STDOUT", rows), "COPY vault_keyed FROM STDIN"); err != nil {
		return err
	}
	if err := errors.Join(b.exec(ctx, "VACUUM ANALYZE"), b.storeDoes(ctx, "VACUUM ANALYZE")); err != nil {
		return err
	}
	b.shredded = true
	return b.allSealed(ctx, rows, "SELECT count(*) FROM vault_keyed WHERE note ~ '^pgv1[.]AQ[M-P]'") // version 1, algorithm 3
}

// storeDoes runs a statement in the store.
func (b *bench) storeDoes(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, b.store.DSN("postgres", pgserver.Superuser))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

// fetches tells how often data keys were fetched from the store so far.
func (b *bench) fetches() (int, error) {
	log, err := os.ReadFile(b.store.LogFile())
	return bytes.Count(log, []byte("SELECT id, key, wrapped FROM pgveil.data_keys WHERE id = ANY")), err
}

// fetching has a contender read values whose keys it has forgotten, and notes how often
// it asked for them.
func (b *bench) fetching(ctx context.Context, r *running, run func() (sample, error)) (sample, error) {
	if !r.shreds() {
		return run()
	}
	// What a process hears when more was destroyed than it can be told.
	if err := b.storeDoes(ctx, "NOTIFY pgveil_data_keys"); err != nil {
		return sample{}, err
	}
	if err := pause(ctx, 100*time.Millisecond); err != nil {
		return sample{}, err
	}
	before, err := b.fetches()
	if err != nil {
		return sample{}, err
	}
	s, err := run()
	if err != nil {
		return s, err
	}
	after, err := b.fetches()
	s.Fetches = after - before
	return s, err
}

// leastFetched is how many data keys are fetched at once, on average, where rows are
// streamed: as many as arrive together, a block of the server's at least.
const leastFetched = 20

// tooManyFetches tells whether keys were fetched, and many at once.
func tooManyFetches(values, fetches int) error {
	if fetches == 0 || values < leastFetched*fetches {
		return fmt.Errorf("%d data keys were fetched in %d times: at least one and at most every %dth value is to be one", values, fetches, leastFetched)
	}
	return nil
}

// keyedWorkloads compare values that have data keys with others in the clear, both
// through pgveil. Of those with keys there are fewer; figures are for each of them.
func (b *bench) keyedWorkloads() (all []workload) {
	add := func(w workload) {
		w.ready = b.fillKeyed
		all = append(all, w)
	}
	out := func(name string, do func(*stream, *running) error) {
		add(workload{name: "sealed/shred/" + name, unit: "values", run: func(ctx context.Context, r *running) (sample, error) {
			rows := b.rowsOf(r)
			s, err := b.fetching(ctx, r, func() (sample, error) {
				return b.stream(ctx, r, rows, func(s *stream) error { return do(s, r) })
			})
			if err == nil && r.shreds() {
				b.say("%d values, whose keys were fetched in %d times", rows, s.Fetches)
				err = tooManyFetches(rows, s.Fetches)
			}
			return s, err
		}})
	}
	const sql = "SELECT note FROM vault"
	out("simple", func(s *stream, r *running) error { return s.out(r.vault(sql)) })
	out("text", func(s *stream, r *running) error { return s.extended(r.vault(sql), 0) })
	out("binary", func(s *stream, r *running) error { return s.extended(r.vault(sql), 1) })
	out("copy-out", func(s *stream, r *running) error { return s.out(r.vault("COPY vault (note) TO STDOUT")) })
	for _, name := range []string{"read-shred", "fetch-shred", "write-shred"} {
		for _, mode := range []string{"simple", "prepared"} {
			w := b.vaultTimed("sealed/"+name+"/"+mode, load{script: name + "-" + mode, mode: mode, clients: 8})
			if timed := w.run; name == "fetch-shred" {
				w.run = func(ctx context.Context, r *running) (sample, error) {
					return b.fetching(ctx, r, func() (sample, error) { return timed(ctx, r) })
				}
			}
			add(w)
		}
	}
	add(b.vaultIn("sealed/copy-in/shred", "COPY intake (id, note) FROM STDIN", "4711\tprefers letters to calls\n"))
	return all
}

// rowsOf gives how many rows a contender streams.
func (b *bench) rowsOf(r *running) int {
	if r.shreds() {
		return keyedRows(b.o.rows)
	}
	return b.o.rows
}
