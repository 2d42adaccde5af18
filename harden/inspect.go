package harden

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// check is a question to the server. Each row of its answer is a finding: what it
// is about, what to say, statements, and what to do by hand.
type check struct {
	id       string
	severity Severity
	from, to int    // versions of the server, as 15; 0: all
	sql      string // behind prefix
}

// prefix is what every question can refer to: names of roles, and all relations
// that a policy governs. site.keep may connect; site.ours are pgveil's.
const prefix = `WITH site AS (SELECT $1::text[] AS keep, $2::text[] AS ours, $3::text AS own, $4::text[] AS assumed, session_user::text AS me),
	logins AS (SELECT r.* FROM pg_catalog.pg_roles r WHERE r.rolcanlogin AND r.rolname !~ '^pg_'),
	outsiders AS (SELECT l.* FROM logins l, site WHERE NOT l.rolsuper AND l.rolname <> ALL (site.keep) AND l.rolname <> ALL (site.assumed) AND l.rolname <> site.me),
	governed AS (SELECT c.oid, c.relname, c.relnamespace, c.relowner, c.relacl, c.relkind, c.oid::regclass::text AS name,
			pg_catalog.format('%I.%I', n.nspname, c.relname) AS quoted
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgveil') AND n.nspname !~ '^pg_(toast|temp)')
`

// Inspect asks everything, and gives what was found, the widest open first.
func Inspect(ctx context.Context, conn *pgx.Conn, site Site) ([]Finding, error) {
	var version int
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int / 10000").Scan(&version); err != nil {
		return nil, fmt.Errorf("asking for the server's version: %w", err)
	}
	var all []Finding
	for _, c := range slices.Concat(roleChecks, grantChecks, settingChecks, objectChecks) {
		if c.from > 0 && version < c.from || c.to > 0 && version > c.to {
			continue
		}
		found, err := c.ask(ctx, conn, site)
		switch {
		case denied(err):
			all = append(all, unseen(c.id))
		case err != nil:
			return nil, fmt.Errorf("inspecting %s: %w", c.id, err)
		}
		all = append(all, found...)
	}
	lines, err := inspectHBA(ctx, conn, site, version)
	if err != nil {
		return nil, fmt.Errorf("inspecting pg_hba.conf: %w", err)
	}
	all = append(all, lines...)
	slices.SortStableFunc(all, func(a, b Finding) int { return int(b.Severity) - int(a.Severity) })
	return all, nil
}

// denied tells whether the login may not see what was asked for.
func denied(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == "42501"
}

// unseen is the finding that nobody has looked.
func unseen(id string) Finding {
	return Finding{ID: id, Severity: Weak, Object: "not seen", Says: "this login may not see it: nobody has looked", Hand: []string{"run harden as a superuser, by --admin-url"}}
}

func (c *check) ask(ctx context.Context, conn *pgx.Conn, site Site) ([]Finding, error) {
	rows, err := conn.Query(ctx, prefix+c.sql, list(site.keep()), list(site.ours()), site.Own, list(site.Assumed))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Finding, error) {
		f := Finding{ID: c.id, Severity: c.severity}
		err := row.Scan(&f.Object, &f.Says, &f.Fix, &f.Hand)
		return f, err
	})
}

// list gives names as an array that is never NULL.
func list(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}
