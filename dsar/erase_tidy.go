package dsar

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Tidied is what was done about what an erasure leaves behind, and what was not.
type Tidied struct {
	Vacuumed  []string `json:"vacuumed,omitempty"`  // tables whose dead rows and statistics went
	Refreshed []string `json:"refreshed,omitempty"` // materialized views that read them
	Left      []string `json:"left,omitempty"`      // where values may still be found
}

// Tidy takes what is left of erased rows out of tables, given as schema.table:
// the dead rows themselves, the samples among the server's statistics, and the
// copies in materialized views. It keeps nobody from reading or writing them.
func Tidy(ctx context.Context, conn *pgx.Conn, g *Graph, relations []string) (done Tidied, err error) {
	for _, name := range relations {
		left, err := vacuum(ctx, conn, name)
		switch {
		case err != nil:
			return done, fmt.Errorf("tidying %s: %w", name, withoutValues(err))
		case left != "":
			done.Left = append(done.Left, left)
		default:
			done.Vacuumed = append(done.Vacuumed, name)
		}
	}
	if err := refresh(ctx, conn, relations, &done); err != nil {
		return done, fmt.Errorf("refreshing materialized views: %w", withoutValues(err))
	}
	left, err := residues(ctx, conn)
	if err != nil {
		return done, fmt.Errorf("looking for what is left: %w", withoutValues(err))
	}
	done.Left = append(done.Left, left...)
	return done, nil
}

// mayVacuum tells whether the server would do what it is told: of a table that
// is somebody else's it only says that it skips it.
const mayVacuum = `
	SELECT pg_catalog.pg_has_role(c.relowner, 'USAGE') OR pg_catalog.pg_has_role(d.datdba, 'USAGE')
	  FROM pg_catalog.pg_class AS c, pg_catalog.pg_database AS d
	 WHERE c.oid = $1::text::regclass AND d.datname = pg_catalog.current_database()`

func vacuum(ctx context.Context, conn *pgx.Conn, name string) (left string, err error) {
	table := identifier(name)
	var may bool
	if err := conn.QueryRow(ctx, mayVacuum, table).Scan(&may); err != nil {
		return "", err
	}
	if !may {
		return fmt.Sprintf("dead rows and statistics of %s: the login may not VACUUM it; its owner may", name), nil
	}
	_, err = conn.Exec(ctx, "VACUUM (ANALYZE, TRUNCATE FALSE) "+table)
	return "", err
}

// identifier gives a name as a policy spells it as SQL.
func identifier(name string) string {
	schema, table, _ := strings.Cut(name, ".")
	return pgx.Identifier{schema, table}.Sanitize()
}

// readersSQL gives the materialized views that read relations, also through
// views, those first that others of them read; whether each can be refreshed
// while it is read, and whether we may.
const readersSQL = `
	WITH RECURSIVE readers AS (
	       SELECT r.ev_class AS oid, 1 AS depth
	         FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_rewrite AS r ON r.oid = d.objid
	        WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
	          AND d.refobjid = ANY ($1::text[]::regclass[]) AND r.ev_class <> d.refobjid
	        UNION
	       SELECT r.ev_class, m.depth + 1
	         FROM readers AS m
	         JOIN pg_catalog.pg_depend AS d ON d.refobjid = m.oid AND d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
	         JOIN pg_catalog.pg_rewrite AS r ON r.oid = d.objid AND r.ev_class <> m.oid
	        WHERE m.depth < 64)
	SELECT n.nspname || '.' || c.relname,
	       EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL),
	       pg_catalog.pg_has_role(c.relowner, 'USAGE')
	  FROM (SELECT oid, max(depth) AS depth FROM readers GROUP BY oid) AS m
	  JOIN pg_catalog.pg_class AS c ON c.oid = m.oid AND c.relkind = 'm' AND c.relispopulated
	  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
	 ORDER BY m.depth, 1`

func refresh(ctx context.Context, conn *pgx.Conn, relations []string, done *Tidied) error {
	names := make([]string, len(relations))
	for i, name := range relations {
		names[i] = identifier(name)
	}
	type view struct {
		Name            string
		Concurrent, May bool
	}
	rows, err := conn.Query(ctx, readersSQL, names)
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
		way := ""
		if v.Concurrent {
			way = "CONCURRENTLY "
		}
		if _, err := conn.Exec(ctx, "REFRESH MATERIALIZED VIEW "+way+identifier(v.Name)); err != nil {
			return err
		}
		done.Refreshed = append(done.Refreshed, v.Name)
		if _, err := conn.Exec(ctx, "VACUUM (ANALYZE) "+identifier(v.Name)); err != nil {
			return err
		}
	}
	return nil
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
