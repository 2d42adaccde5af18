package harden

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// LostError says that closing doors would take something away from a login that
// pgveil comes by, or from who closes them. Nothing was changed.
type LostError struct{ Rights []string }

func (e *LostError) Error() string {
	const most = 10
	shown, more := e.Rights, ""
	if len(shown) > most {
		shown, more = shown[:most], fmt.Sprintf(" and %d more", len(e.Rights)-most)
	}
	return "nothing was changed: it would take away: " + strings.Join(shown, "; ") + more
}

// Apply runs the statements of findings in one transaction. It takes them back
// where a login that must be able to connect could not any more, or where one
// that pgveil comes by could do less with a relation than before.
func Apply(ctx context.Context, conn *pgx.Conn, site Site, findings []Finding) (statements int, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		before, err := rights(ctx, tx, site)
		if err != nil {
			return err
		}
		for _, f := range findings {
			for _, sql := range f.Fix {
				if _, err := tx.Exec(ctx, sql); err != nil {
					return fmt.Errorf("%s: %s: %w", f.ID, sql, err)
				}
				statements++
			}
		}
		after, err := rights(ctx, tx, site)
		if err != nil {
			return err
		}
		var lost []string
		for _, r := range before {
			if _, kept := slices.BinarySearch(after, r); !kept {
				lost = append(lost, r)
			}
		}
		if lost != nil {
			return &LostError{lost}
		}
		return nil
	})
	return statements, err
}

// rights gives what may not be lost, sorted: that logins log in and connect, and
// what they may do with relations, pgveil's own and pg_authid among them. Roles
// that sessions are put into keep their privileges, and lose their login.
func rights(ctx context.Context, tx pgx.Tx, site Site) ([]string, error) {
	rows, err := tx.Query(ctx, `WITH kept AS (SELECT oid, rolname, rolcanlogin FROM pg_catalog.pg_roles WHERE rolname = ANY ($1) OR rolname = session_user),
		ours AS (SELECT oid, rolname FROM pg_catalog.pg_roles WHERE rolname = ANY ($2) OR rolname = session_user),
		relations AS (SELECT c.oid, c.relnamespace FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND (n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_' OR c.oid = 'pg_catalog.pg_authid'::regclass))
		SELECT rolname || ' logs in' FROM kept WHERE rolcanlogin
		UNION ALL SELECT rolname || ' connects' FROM kept WHERE pg_catalog.has_database_privilege(oid, pg_catalog.current_database(), 'CONNECT')
		UNION ALL SELECT o.rolname || ' uses schema ' || n.nspname FROM ours o, pg_catalog.pg_namespace n WHERE pg_catalog.has_schema_privilege(o.oid, n.oid, 'USAGE') AND n.nspname !~ '^pg_(toast|temp)'
		UNION ALL SELECT o.rolname || ' may ' || p || ' on ' || r.oid::regclass FROM ours o, relations r, pg_catalog.unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
			WHERE pg_catalog.has_table_privilege(o.oid, r.oid, p)`, site.keep(), append(site.ours(), site.Assumed...))
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	slices.Sort(all)
	return all, err
}
