package retention

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
)

// clocksApart is how far the server's clock may be from this machine's. It is the
// server's that counts, but one that is years ahead would remove everything.
const clocksApart = 24 * time.Hour

// serverTime gives the server's time, and makes sure that foreign keys and triggers
// do what the schema says.
func serverTime(ctx context.Context, tx pgx.Tx) (now time.Time, err error) {
	var role string
	err = tx.QueryRow(ctx, "SELECT clock_timestamp(), current_setting('session_replication_role')").Scan(&now, &role)
	switch {
	case err != nil:
		return now, err
	case role != "origin":
		return now, fmt.Errorf("session_replication_role is %s for this login: foreign keys would not hold; set it to origin", role)
	case time.Until(now).Abs() > clocksApart:
		return now, fmt.Errorf("the server's clock and this machine's are more than %s apart: one of them is wrong", clocksApart)
	}
	return now, nil
}

// obstacles says why a rule cannot be carried out, whatever rows there are; each
// with what to do.
func (r *rule) obstacles(ctx context.Context, tx pgx.Tx) (all []string, err error) {
	for _, name := range r.tangled() {
		all = append(all, "more ways lead from "+name+" to data subjects than can be searched for holds: it has to be cleared by hand")
	}
	for _, t := range r.With {
		idle := true
		r.each(func(h *hang, _ []*hang) { idle = idle && (h.fate != goes || whole(r.cat, h.child) != t) })
		if idle {
			all = append(all, fmt.Sprintf("\"with\" names %s, and nothing of it goes with rows of %s: take it out, or declare the reference", t.QualifiedName(), r.Relation.QualifiedName()))
		}
	}
	if r.unreached() {
		all = append(all, fmt.Sprintf("no reference leads from %s to a kind of subject whose consents are recorded: declare one under \"references\"", r.Relation.QualifiedName()))
	}
	for _, f := range []func(context.Context, pgx.Tx) ([]string, error){r.lacking, r.odd, r.changed} {
		more, err := f(ctx, tx)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// unreached tells whether a rule about consent is for rows of nobody who gives one.
func (r *rule) unreached() bool {
	if r.Purpose == "" {
		return false
	}
	for _, s := range r.set.Subjects() {
		if condition, _ := r.set.Whose(r.Relation, row, s.Name, func(string) string { return "true" }); condition != "" && (s.Consent != nil || s.Ledger != nil) {
			return false
		}
	}
	return true
}

// oids gives those of some tables.
func oids(tables []*catalog.Relation) []uint32 {
	all := make([]uint32, len(tables))
	for i, t := range tables {
		all[i] = t.OID
	}
	return all
}

// lacking lists the privileges that this login lacks. Locking a row takes UPDATE.
func (r *rule) lacking(ctx context.Context, tx pgx.Tx) ([]string, error) {
	const sql = `SELECT c.oid::regclass::text, string_agg(p, ', ' ORDER BY p), bool_or(row_security_active(c.oid)), current_user::text
		FROM pg_class AS c, unnest($2::text[]) AS p
		WHERE c.oid = ANY ($1::oid[]) AND (NOT has_table_privilege(c.oid, p) OR row_security_active(c.oid)) GROUP BY c.oid`
	needed := []string{"SELECT", "UPDATE", "DELETE"}
	if r.Then != "delete" {
		needed = needed[:2]
	}
	rows, err := tx.Query(ctx, sql, oids(r.tables), needed)
	if err != nil {
		return nil, err
	}
	var all []string
	var table, missing, login string
	var hidden bool
	_, err = pgx.ForEachRow(rows, []any{&table, &missing, &hidden, &login}, func() error {
		if hidden {
			all = append(all, fmt.Sprintf("row security hides rows of %s from %s: ALTER ROLE %s BYPASSRLS", table, login, ident(login)))
		} else {
			all = append(all, fmt.Sprintf("GRANT %s ON %s TO %s", missing, table, ident(login)))
		}
		return nil
	})
	return all, err
}

// odd lists what makes a table another thing than one whose rows can be deleted.
func (r *rule) odd(ctx context.Context, tx pgx.Tx) ([]string, error) {
	const sql = `
		SELECT w.ev_class::regclass::text || ' has the rule ' || quote_ident(w.rulename) || ', which changes what a DELETE or UPDATE does: drop it, or clear the table by hand'
		  FROM pg_rewrite AS w WHERE w.ev_class = ANY ($1::oid[]) AND w.ev_type IN ('2', '4') AND w.ev_enabled <> 'D'
		UNION ALL
		SELECT c.oid::regclass::text || ' is on another server: clear it there' FROM pg_class AS c, unnest($1::oid[]) AS t, pg_partition_tree(t) AS p
		 WHERE c.oid = p.relid AND c.relkind = 'f'`
	rows, err := tx.Query(ctx, sql, oids(r.tables))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// changed tells whether foreign keys lead to the rule's tables that the catalog
// does not know: what they say of rows that refer would happen unseen.
func (r *rule) changed(ctx context.Context, tx pgx.Tx) ([]string, error) {
	var parts []*catalog.Relation
	for _, p := range r.cat.Relations() {
		if slices.Contains(r.tables, whole(r.cat, p)) || slices.Contains(r.tables, p) {
			parts = append(parts, p)
		}
	}
	rows, err := tx.Query(ctx, `SELECT conrelid, conname, confdeltype::text FROM pg_constraint
		WHERE contype = 'f' AND confrelid = ANY ($1::oid[]) AND conparentid = 0`, oids(parts))
	if err != nil {
		return nil, err
	}
	var all []string
	var child uint32
	var name, onDelete string
	_, err = pgx.ForEachRow(rows, []any{&child, &name, &onDelete}, func() error {
		from, ok := r.cat.RelationByOID(child)
		known := ok && slices.ContainsFunc(from.ForeignKeys, func(k catalog.ForeignKey) bool { return k.Name == name && string(k.OnDelete) == onDelete })
		if !known {
			all = append(all, "the schema has changed since it was read: try again shortly")
		}
		return nil
	})
	return slices.Compact(all), err
}

// warnings says what will make a rule slow, or what it does not see.
func (r *rule) warnings(ctx context.Context, tx pgx.Tx) (all []string, err error) {
	indexed := func(rel *catalog.Relation, columns []string) error {
		const sql = `SELECT EXISTS (SELECT FROM pg_index AS i, pg_attribute AS a WHERE i.indrelid = $1 AND i.indisvalid AND i.indpred IS NULL
			AND a.attrelid = $1 AND a.attnum = i.indkey[0] AND a.attname = ANY ($2))`
		var has bool
		if err := tx.QueryRow(ctx, sql, rel.OID, columns).Scan(&has); err != nil || has {
			return err
		}
		line := fmt.Sprintf("%s (%s) has no index: every batch reads the whole table; CREATE INDEX CONCURRENTLY ON %s (%s)",
			rel.QualifiedName(), strings.Join(columns, ", "), ident(rel.Schema, rel.Name), ident(columns[0]))
		if !slices.Contains(all, line) {
			all = append(all, line)
		}
		return nil
	}
	if r.After != "" {
		err = indexed(r.Relation, []string{r.After})
	}
	r.each(func(h *hang, _ []*hang) {
		if err == nil {
			err = indexed(h.child, h.columns)
		}
	})
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `SELECT tgrelid::regclass::text || ' has the trigger ' || quote_ident(tgname) || ': what it does is not foreseen'
		FROM pg_trigger WHERE tgrelid = ANY ($1::oid[]) AND NOT tgisinternal AND tgenabled NOT IN ('D', 'R') AND tgtype & $2 <> 0 ORDER BY 1`,
		oids(r.tables), map[bool]int{true: 8, false: 16}[r.Then == "delete"]) // TRIGGER_TYPE_DELETE, TRIGGER_TYPE_UPDATE
	if err != nil {
		return nil, err
	}
	triggers, err := pgx.CollectRows(rows, pgx.RowTo[string])
	all = append(all, triggers...)
	if err != nil {
		return nil, err
	}
	rows, err = tx.Query(ctx, `SELECT c.oid::regclass::text || ' does not belong to ' || quote_ident(current_user) || ', which cannot vacuum it: for a while, values stay in statistics and in dead rows'
		FROM pg_class AS c WHERE c.oid = ANY ($1::oid[]) AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1`, oids(r.tables))
	if err != nil {
		return nil, err
	}
	foreign, err := pgx.CollectRows(rows, pgx.RowTo[string])
	all = append(all, foreign...)
	for _, heir := range r.cat.Relations() {
		if !heir.Partition && slices.Contains(heir.Parents, r.Relation.OID) {
			all = append(all, heir.QualifiedName()+" inherits from "+r.Relation.QualifiedName()+": its rows need a rule of their own")
		}
	}
	return all, err
}
