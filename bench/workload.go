package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// kind says which of a sample's figures a workload gives, and so how it is
// reported.
type kind string

const (
	throughput kind = "throughput" // Rate and CPU
	latency    kind = "latency"    // P50 and P99
	footprint  kind = "footprint"  // KiB

	sealedColumns kind = "sealed"  // Rate and CPU, beside the same in the clear
	audited       kind = "audited" // Rate, CPU, P50 and P99: of statements that the access log must hold
)

// sample is what one run of a workload through one contender gave.
type sample struct {
	Rate float64 `json:"rate,omitempty"`   // transactions, connections or rows a second
	CPU  float64 `json:"cpu_us,omitempty"` // of the contender's own process, for each of them, in µs
	P50  float64 `json:"p50_us,omitempty"` // latency
	P99  float64 `json:"p99_us,omitempty"` //
	KiB  float64 `json:"kib,omitempty"`    // memory of a session

	Fetches int `json:"fetches,omitempty"` // how often the store was asked for data keys
}

// workload is one thing to measure.
type workload struct {
	name  string
	kind  kind
	unit  string                                          // what Rate counts a second of
	tls   bool                                            // on both sides of every contender
	lacks string                                          // a contender that takes no part
	among []string                                        // those that take part; nil: all whose columns are not sealed
	once  bool                                            // further rounds would measure what the first one left
	ready func(ctx context.Context, all []*running) error // before the first round; may be nil
	run   func(ctx context.Context, r *running) (sample, error)
}

// takes tells whether a contender takes part in a workload.
func (w *workload) takes(c *contender) bool {
	if w.among == nil {
		return sealedTwins[c.name] == "" && c.name != w.lacks
	}
	return slices.Contains(w.among, c.name)
}

// smallSQL reads two columns that the restricted caller sees masked.
const smallSQL = "SELECT abalance, filler FROM pgbench_accounts WHERE aid = "

// literalsSQL is as object-relational mappers write, with the values in it.
const literalsSQL = `SELECT t0."aid" AS "t0_aid", t0."abalance" AS "t0_abalance", t0."filler" AS "t0_filler", t1."bid" AS "t1_bid" ` +
	`FROM "pgbench_accounts" AS t0 LEFT JOIN "pgbench_branches" AS t1 ON (t0."bid" = t1."bid") ` +
	`WHERE (t0."aid" = :aid AND t1."bbalance" <> :than) ORDER BY t0."aid" ASC LIMIT 21`

// pageSQL reads customers from one of them on, as a list is paged through.
const pageSQL = "SELECT id, last_name, email, since, about FROM customers WHERE id > :id ORDER BY id LIMIT "

// newSQL names its columns anew each time, so that no plan fits it.
const newSQL = "SELECT a.aid AS a:n, a.abalance AS b:n, a.filler, b.bbalance FROM pgbench_accounts a JOIN pgbench_branches b USING (bid) WHERE a.aid = "

// writeScripts writes pgbench's scripts. The texts of small, and of masked,
// which is what pgveil makes of small, come again and again: there are 200.
// Hardly any of literals comes twice, but all have one form; each of new has a
// form of its own.
func (b *bench) writeScripts(context.Context) error {
	const mark = "987654321"
	masked, err := b.rewritten(smallSQL + mark)
	if err != nil {
		return err
	}
	const few = "\\set aid random(1, 200)\n"
	if err := writeFiles(b.dir, 0o644, vaultScripts(b.o.rows)); err != nil {
		return err
	}
	return writeFiles(b.dir, 0o644, map[string]string{
		"small.sql":     few + smallSQL + ":aid;\n",
		"writes.sql":    "\\set n random(1, 1000000000)\nINSERT INTO incoming (id, branch, region, about) VALUES (:n, 1, 'EU', 'prefers letters to calls');\n",
		"masked.sql":    few + strings.ReplaceAll(masked, mark, ":aid") + ";\n",
		"new.sql":       few + "\\set n random(1, 1000000000)\n" + newSQL + ":aid;\n",
		"page50.sql":    fmt.Sprintf("\\set id random(0, %d)\n%s50;\n", max(0, b.o.rows-50), pageSQL),
		"page10000.sql": fmt.Sprintf("\\set id random(0, %d)\n%s10000;\n", max(0, b.o.rows-10_000), pageSQL),
		"literals.sql":  fmt.Sprintf("\\set aid random(1, %d)\n\\set than random(1, 1000000000)\n%s;\n", 100_000*b.o.scale, literalsSQL),
	})
}

// workloads gives everything that there is to measure.
func (b *bench) workloads() []workload {
	var all []workload
	for _, mode := range []string{"simple", "extended", "prepared"} {
		for _, clients := range []int{1, 8, 32} {
			all = append(all, b.timedWorkload(fmt.Sprintf("small/%s/%d", mode, clients), load{script: "small.sql", mode: mode, clients: clients}))
		}
	}
	for _, mode := range []string{"simple", "prepared"} {
		all = append(all, b.maskedWorkload("masked/"+mode+"/8", load{script: "small.sql", mode: mode, clients: 8}))
	}
	for _, clients := range []int{8, 32} {
		all = append(all, b.timedWorkload(fmt.Sprintf("literals/simple/%d", clients), load{script: "literals.sql", mode: "simple", clients: clients}))
	}
	all = append(all,
		b.timedWorkload("pages/50/8", load{script: "page50.sql", mode: "prepared", clients: 8}),
		b.timedWorkload("pages/10000/1", load{script: "page10000.sql", mode: "prepared", clients: 1}),
		b.timedWorkload("new/simple/8", load{script: "new.sql", mode: "simple", clients: 8}),
		b.timedWorkload("connections/scram/8", load{script: "small.sql", mode: "simple", clients: 8, reconnect: true}),
		b.outWorkload("rows/select/clear", "SELECT id, branch, region, since, about FROM customers"),
		b.outWorkload("rows/select/masked", "SELECT * FROM customers"),
		b.outWorkload("rows/copy-out/clear", "COPY customers (id, branch, region, since, about) TO STDOUT"),
		b.outWorkload("rows/copy-out/masked", "COPY customers TO STDOUT"),
		b.inWorkload("rows/copy-in"),
		b.latencyWorkload("latency/prepared/8", "intent"),
		b.latencyWorkload("latency/intent/8", ""),
		b.auditedWorkload("audited/reads/64", load{script: "small.sql", mode: "prepared", clients: 64}),
		b.auditedWorkload("audited/writes/64", load{script: "writes.sql", mode: "prepared", clients: 64}),
		workload{name: "idle/sessions", kind: footprint, once: true, run: b.idle},
	)
	all = append(all, b.sealedWorkloads()...)
	return append(all, b.underTLS(all)...)
}

// underTLS gives those of the workloads again, under TLS, in which it may matter.
func (b *bench) underTLS(all []workload) (again []workload) {
	for _, name := range []string{"small/simple/8", "small/prepared/8", "small/prepared/32", "connections/scram/8", "rows/select/clear", "rows/copy-in", "idle/sessions"} {
		w := all[slices.IndexFunc(all, func(w workload) bool { return w.name == name })]
		w.name, w.tls = "tls/"+name, true
		again = append(again, w)
	}
	return again
}

func (b *bench) timedWorkload(name string, l load) workload {
	l.seconds = b.o.seconds
	unit := "transactions"
	if l.reconnect {
		unit = "connections"
	}
	return workload{name: name, kind: throughput, unit: unit, run: func(ctx context.Context, r *running) (sample, error) {
		return b.timed(ctx, r, l)
	}}
}

// auditedWorkload is a timed one with its latencies, as many statements as can
// be: it shows what it costs to wait until each record is on the disk.
func (b *bench) auditedWorkload(name string, l load) workload {
	l.seconds = b.o.seconds
	return workload{name: name, kind: audited, unit: "statements", run: func(ctx context.Context, r *running) (sample, error) {
		l := l
		s, err := b.timed(ctx, r, l)
		if err != nil {
			return s, err
		}
		l.latencies = filepath.Join(b.dir, "latencies") // in a run of its own: to write them takes time, too
		if _, err := b.pgbench(ctx, r, l); err != nil {
			return s, err
		}
		all, err := readLatencies(l.latencies)
		s.P50, s.P99 = percentile(all, 0.50), percentile(all, 0.99)
		return s, err
	}}
}

// maskedWorkload is a timed one in which the server does the same work for
// everyone: who is not restricted sends what pgveil makes of the statement.
// What is left is what pgveil itself costs.
func (b *bench) maskedWorkload(name string, l load) workload {
	w := b.timedWorkload(name, l)
	l.seconds = b.o.seconds
	w.run = func(ctx context.Context, r *running) (sample, error) {
		own := l
		if r.login != restrictedLogin {
			own.script = "masked.sql"
		}
		return b.timed(ctx, r, own)
	}
	return w
}

// outWorkload streams rows out. Here too the server does the same work for
// everyone.
func (b *bench) outWorkload(name, sql string) workload {
	return workload{name: name, kind: throughput, unit: "rows", run: func(ctx context.Context, r *running) (sample, error) {
		text := sql
		if r.login != restrictedLogin {
			var err error
			if text, err = b.rewritten(sql); err != nil {
				return sample{}, err
			}
		}
		return b.stream(ctx, r, b.o.rows, func(s *stream) error { return s.out(text) })
	}}
}

// inWorkload streams rows in, to a table that keeps none of the last run's.
func (b *bench) inWorkload(name string) workload {
	const row = "4711\t42\tEU\tprefers letters to calls, and mornings to afternoons, but not on Mondays at all\n"
	return workload{name: name, kind: throughput, unit: "rows", run: func(ctx context.Context, r *running) (sample, error) {
		if err := b.exec(ctx, "TRUNCATE incoming"); err != nil {
			return sample{}, err
		}
		return b.stream(ctx, r, b.o.rows, func(s *stream) error {
			return s.in("COPY incoming (id, branch, region, about) FROM STDIN", row, b.o.rows)
		})
	}}
}

// latencyWorkload measures latencies at a rate that all contenders hold with
// ease: half of what the slowest of them reaches. Who waits for the disk would set
// it so low that it says little about the others.
func (b *bench) latencyWorkload(name, lacks string) workload {
	l := load{script: "small.sql", mode: "prepared", clients: 8, seconds: b.o.seconds, latencies: filepath.Join(b.dir, "latencies")}
	ready := func(ctx context.Context, all []*running) error {
		l.rate = 0
		for _, r := range all {
			o, err := b.pgbench(ctx, r, load{script: l.script, mode: l.mode, clients: l.clients, seconds: min(2, b.o.seconds)})
			if err != nil {
				return err
			}
			if half := o.tps / 2; l.rate == 0 || half < l.rate {
				l.rate = half
			}
		}
		b.say("%s: at %.0f transactions a second", name, l.rate)
		return nil
	}
	return workload{name: name, kind: latency, lacks: lacks, ready: ready, run: func(ctx context.Context, r *running) (sample, error) {
		if _, err := b.pgbench(ctx, r, l); err != nil {
			return sample{}, err
		}
		all, err := readLatencies(l.latencies)
		return sample{P50: percentile(all, 0.50), P99: percentile(all, 0.99)}, err
	}}
}
