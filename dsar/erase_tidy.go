package dsar

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Tidied is what was done about what an erasure leaves behind, and what was not.
type Tidied struct {
	Vacuumed  []string `json:"vacuumed,omitempty"`  // tables whose dead rows and statistics went
	Refreshed []string `json:"refreshed,omitempty"` // materialized views that read them
	Left      []string `json:"left,omitempty"`      // where values may still be found
}

// Tidy takes what is left of erased rows out of tables, given as schema.table:
// the dead rows themselves, the samples among the server's statistics, and the
// copies in materialized views. It keeps nobody from reading or writing them
// for long.
func Tidy(ctx context.Context, conn *pgx.Conn, g *Graph, relations []string) (done Tidied, err error) {
	family, err := relatives(ctx, conn, relations)
	if err != nil {
		return done, fmt.Errorf("looking for what to tidy: %w", withoutValues(err))
	}
	err = unhurried(ctx, conn, func() error {
		for _, r := range family {
			if err := r.tidy(ctx, conn, &done); err != nil {
				return fmt.Errorf("tidying %s: %w", r.Name, withoutValues(err))
			}
		}
		if err := refresh(ctx, conn, family, &done); err != nil {
			return fmt.Errorf("refreshing materialized views: %w", withoutValues(err))
		}
		return nil
	})
	if err != nil {
		return done, err
	}
	left, err := residues(ctx, conn)
	if err != nil {
		return done, fmt.Errorf("looking for what is left: %w", withoutValues(err))
	}
	done.Left = append(done.Left, left...)
	return done, nil
}

// unhurried calls f while what the login's statements are given has no end: an
// erasure is over by then, and what it leaves must not depend on that.
func unhurried(ctx context.Context, conn *pgx.Conn, f func() error) (err error) {
	if _, err := conn.Exec(ctx, "SET statement_timeout = 0; SET lock_timeout = 0"); err != nil {
		return err
	}
	defer func() {
		if ctx.Err() == nil && !conn.IsClosed() {
			_, failed := conn.Exec(ctx, "RESET statement_timeout; RESET lock_timeout")
			err = errors.Join(err, failed)
		}
	}()
	return f()
}

// relative is a table that was written, a partition of it, or what such tables
// are parts of or inherit to: its statistics are of their rows, too.
type relative struct {
	OID       uint32
	Name, SQL string
	Written   bool // named as such: to vacuum it is to vacuum its partitions
	Above     bool // it has parts that were written
	May       bool // else the server only says that it skips it
	Reads     bool
}

// relativesSQL lists them, in the order of $1. Names are compared as a journal
// spells them: where a dot in a name makes two of one, both are meant.
const relativesSQL = `
	WITH RECURSIVE named AS (
	       SELECT c.oid, pg_catalog.array_position($1::text[], n.nspname || '.' || c.relname) AS at
	         FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
	        WHERE n.nspname || '.' || c.relname = ANY ($1::text[]) AND c.relkind IN ('r', 'p')),
	     parts AS (SELECT oid FROM named UNION
	               SELECT i.inhrelid FROM parts AS p JOIN pg_catalog.pg_inherits AS i ON i.inhparent = p.oid
	                 JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid AND c.relispartition),
	     above AS (SELECT i.inhparent AS oid FROM named AS n JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = n.oid UNION
	               SELECT i.inhparent FROM above AS a JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = a.oid)
	SELECT c.oid, n.nspname || '.' || c.relname, pg_catalog.format('%I.%I', n.nspname, c.relname), w.oid IS NOT NULL, a.oid IS NOT NULL,
	       pg_catalog.pg_has_role(c.relowner, 'USAGE') OR pg_catalog.pg_has_role(d.datdba, 'USAGE'),
	       pg_catalog.has_table_privilege(c.oid, 'SELECT')
	  FROM (SELECT oid FROM parts UNION SELECT oid FROM above) AS r
	  JOIN pg_catalog.pg_class AS c ON c.oid = r.oid
	  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
	  JOIN pg_catalog.pg_database AS d ON d.datname = pg_catalog.current_database()
	  LEFT JOIN named AS w ON w.oid = r.oid
	  LEFT JOIN above AS a ON a.oid = r.oid
	 ORDER BY w.at NULLS LAST, 2`

func relatives(ctx context.Context, conn *pgx.Conn, names []string) ([]relative, error) {
	rows, err := conn.Query(ctx, relativesSQL, names)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[relative])
}

// tidy vacuums what was written, its indexes too however few rows are dead: they
// hold values as the rows do. Of what lies above the statistics alone are made anew.
func (r relative) tidy(ctx context.Context, conn *pgx.Conn, done *Tidied) (err error) {
	switch {
	case !r.May:
		done.Left = append(done.Left, fmt.Sprintf("dead rows and statistics of %s: the login may not VACUUM it; its owner may", r.Name))
	case r.Written:
		done.Vacuumed = append(done.Vacuumed, r.Name)
		_, err = conn.Exec(ctx, "VACUUM (ANALYZE, INDEX_CLEANUP ON, TRUNCATE FALSE) "+r.SQL)
	case r.Above:
		_, err = conn.Exec(ctx, "ANALYZE "+r.SQL)
	}
	if err == nil && r.May && r.Reads {
		err = emptied(ctx, conn, r.Name, r.SQL, done)
	}
	return err
}

// emptied notes a table that has statistics and no rows any more: ANALYZE leaves
// what it knew when there were some.
func emptied(ctx context.Context, conn *pgx.Conn, name, sql string, done *Tidied) error {
	var stale bool
	err := conn.QueryRow(ctx, fmt.Sprintf(`SELECT EXISTS (SELECT FROM pg_catalog.pg_stats AS s WHERE s.schemaname || '.' || s.tablename = $1
		AND CASE WHEN s.inherited THEN NOT EXISTS (SELECT FROM %[1]s) ELSE NOT EXISTS (SELECT FROM ONLY %[1]s) END)`, sql), name).Scan(&stale)
	if stale {
		done.Left = append(done.Left, fmt.Sprintf("statistics of %s: it is empty, and ANALYZE leaves them until it has rows again", name))
	}
	return err
}

// readersSQL gives the materialized views that read relations, also through
// views, those first that others of them read; whether each can be refreshed
// while it is read, and whether we may.
const readersSQL = `
	WITH RECURSIVE readers AS (
	       SELECT r.ev_class AS oid, 1 AS depth
	         FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_rewrite AS r ON r.oid = d.objid
	        WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
	          AND d.refobjid = ANY ($1::oid[]) AND r.ev_class <> d.refobjid
	        UNION
	       SELECT r.ev_class, m.depth + 1
	         FROM readers AS m
	         JOIN pg_catalog.pg_depend AS d ON d.refobjid = m.oid AND d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
	         JOIN pg_catalog.pg_rewrite AS r ON r.oid = d.objid AND r.ev_class <> m.oid
	        WHERE m.depth < 64)
	SELECT n.nspname || '.' || c.relname, pg_catalog.format('%I.%I', n.nspname, c.relname),
	       EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL),
	       pg_catalog.pg_has_role(c.relowner, 'USAGE')
	  FROM (SELECT oid, max(depth) AS depth FROM readers GROUP BY oid) AS m
	  JOIN pg_catalog.pg_class AS c ON c.oid = m.oid AND c.relkind = 'm' AND c.relispopulated
	  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
	 ORDER BY m.depth, 1`

// view is a materialized view that reads what was written.
type view struct {
	Name, SQL       string
	Concurrent, May bool
}

func refresh(ctx context.Context, conn *pgx.Conn, family []relative, done *Tidied) error {
	oids := make([]uint32, len(family))
	for i, r := range family {
		oids[i] = r.OID
	}
	rows, err := conn.Query(ctx, readersSQL, oids)
	if err != nil {
		return err
	}
	views, err := pgx.CollectRows(rows, pgx.RowToStructByPos[view])
	if err != nil {
		return err
	}
	for _, v := range views {
		if !v.May {
			done.Left = append(done.Left, fmt.Sprintf("rows of the materialized view %s: its owner may refresh it", v.Name))
			continue
		}
		err := v.refresh(ctx, conn)
		var said *pgconn.PgError
		switch {
		case errors.As(err, &said) && ctx.Err() == nil && !conn.IsClosed(): // what it computes may fail for reasons of its own
			done.Left = append(done.Left, fmt.Sprintf("rows of the materialized view %s: it could not be refreshed (SQLSTATE %s)", v.Name, said.Code))
		case err != nil:
			return err
		default:
			done.Refreshed = append(done.Refreshed, v.Name)
			if err := emptied(ctx, conn, v.Name, v.SQL, done); err != nil {
				return err
			}
		}
	}
	return nil
}

// refresh computes it anew. Who reads one that must be locked for that is not
// waited for, and keeps nobody else waiting, for longer than others' locks are.
func (v view) refresh(ctx context.Context, conn *pgx.Conn) error {
	way := ""
	if v.Concurrent {
		way = "CONCURRENTLY "
	}
	err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadWrite}, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d; REFRESH MATERIALIZED VIEW %s%s", defaultLockWait.Milliseconds(), way, v.SQL))
		return err
	})
	if err == nil {
		_, err = conn.Exec(ctx, "VACUUM (ANALYZE, INDEX_CLEANUP ON) "+v.SQL)
	}
	return err
}

// residuesSQL asks where else values may be: what this database's server keeps
// besides tables.
const residuesSQL = `
	SELECT 'texts of statements in pg_stat_statements, until they are reset or pushed out'
	  FROM pg_catalog.pg_extension WHERE extname = 'pg_stat_statements'
	 UNION ALL
	SELECT 'archived WAL, until the archive is expired' WHERE pg_catalog.current_setting('archive_mode') <> 'off'
	 UNION ALL
	SELECT 'WAL kept for the replication slot ' || slot_name FROM pg_catalog.pg_replication_slots
	 UNION ALL
	SELECT 'copies of subscribers to the publication ' || pubname FROM pg_catalog.pg_publication
	 UNION ALL
	SELECT 'dead rows that a transaction open since ' || pg_catalog.date_trunc('second', pg_catalog.min(xact_start)) || ' may still see: VACUUM once it is over'
	  FROM pg_catalog.pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_catalog.pg_backend_pid() AND datname = pg_catalog.current_database()
	HAVING pg_catalog.count(*) > 0
	 UNION ALL
	SELECT 'dead rows that a prepared transaction may still see' FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database()`

// residues says where values may still be found.
func residues(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, residuesSQL)
	if err != nil {
		return nil, err
	}
	left, err := pgx.CollectRows(rows, pgx.RowTo[string])
	slices.Sort(left)
	return append(slices.Compact(left),
		"WAL, until it is recycled",
		"bytes of freed space in data files, until it is used again",
		"backups, until they expire: the ledger of erasures is replayed after a restore"), err
}
