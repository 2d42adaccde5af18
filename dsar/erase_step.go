package dsar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/privacy"
)

// byPlace makes the server go to the places that the list names, whatever it
// believes about the sizes of tables: one look for each row, never the whole
// of a table. Finding rows is planned as usual.
const (
	byPlace = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off"
	byCost  = "SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on; SET LOCAL enable_seqscan = on"
)

// listed is the condition under which the row t is a version that the list w
// names among the n of a job.
func listed(j job, from, to int64, t string) string {
	return fmt.Sprintf("w.a = %d AND w.t = %d AND w.o = %d::oid AND w.n > %d AND w.n <= %d AND %[6]s.ctid = w.c AND %[6]s.xmin = w.x", j.action, j.of, j.oid, from, to, t)
}

// part is the rows of a job that one statement treats: those numbered from
// from (without) to to.
type part struct {
	job
	from, to int64
}

// lock waits for whoever else writes the listed rows, and tells how many are
// still as they were listed.
func (w *work) lock(ctx context.Context, tx pgx.Tx, p part) (n int64, err error) {
	err = tx.QueryRow(ctx, fmt.Sprintf("WITH l AS MATERIALIZED (SELECT FROM pg_temp.pgveil_work AS w JOIN ONLY %s AS t ON %s FOR UPDATE OF t) SELECT count(*) FROM l",
		p.name, listed(p.job, p.from, p.to, "t"))).Scan(&n)
	return n, err
}

// intact tells whether the rows by which those of a unit were found are still as
// they were listed: else somebody may have given one of them, and with it what
// hangs on it, to somebody else.
func (w *work) intact(ctx context.Context, tx pgx.Tx, parts []part) (bool, error) {
	above := w.above(parts)
	for _, j := range w.jobs {
		if j.action == SetNull || j.action == Refuse || j.of >= len(w.g.Tables) || !above[j.of] {
			continue
		}
		var n int64
		err := tx.QueryRow(ctx, fmt.Sprintf("SELECT count(*) FROM pg_temp.pgveil_work AS w JOIN ONLY %s AS t ON %s", j.name, listed(j, 0, j.rows, "t"))).Scan(&n)
		if err != nil || n != j.rows {
			return false, err
		}
	}
	return true, nil
}

// unattended tells whether nothing hangs on rows that are deleted which the server
// would delete or change with them: what came since they were listed may be
// somebody else's, or what has to be kept. They are locked first, so that nothing
// more comes.
func (w *work) unattended(ctx context.Context, tx pgx.Tx, parts []part) (bool, error) {
	for _, p := range parts {
		for _, t := range w.ties {
			if p.action != Delete || t.table != p.of || !strings.ContainsRune("cnd", rune(t.onDelete)) {
				continue
			}
			if _, err := w.lock(ctx, tx, p); err != nil {
				return false, err
			}
			var attended bool
			err := tx.QueryRow(ctx, fmt.Sprintf(`SELECT EXISTS (SELECT FROM pg_temp.pgveil_work AS w JOIN ONLY %s AS p ON %s JOIN %s ON %s
				WHERE NOT EXISTS (SELECT FROM pg_temp.pgveil_work AS x WHERE x.a = %d AND x.t = ANY ($1) AND x.o = c.tableoid AND x.c = c.ctid))`,
				p.name, listed(p.job, p.from, p.to, "p"), w.source(t.childOID, t.child, "c"), t.condition, Delete), tables(parts)).Scan(&attended)
			if err != nil || attended {
				return false, err
			}
		}
	}
	return true, nil
}

func tables(parts []part) []int {
	all := make([]int, len(parts))
	for i, p := range parts {
		all[i] = p.of
	}
	return all
}

// above gives the tables by which rows of others are found, near and far, but
// those that are treated together.
func (w *work) above(parts []part) map[int]bool {
	own, all := map[int]bool{}, map[int]bool{}
	var next []int
	for _, p := range parts {
		at := p.of
		if p.action == SetNull {
			at = w.ties[p.of].table
			all[at] = true
		}
		own[at] = p.action != SetNull
		next = append(next, at)
	}
	for len(next) > 0 {
		at := next[0]
		next = next[1:]
		for _, e := range w.g.links {
			if e.child == at && e.finds && !all[e.parent] && !own[e.parent] {
				all[e.parent] = true
				next = append(next, e.parent)
			}
		}
	}
	return all
}

// do does one statement's parts in a subtransaction, and writes what it did
// into the journal. It gives the number of rows that it wrote; fewer than
// listed were changed by somebody else meanwhile, and have to be found again.
func (w *work) do(ctx context.Context, tx pgx.Tx, parts []part, record func(context.Context, ErasureStep) error) (done int64, err error) {
	nested, err := tx.Begin(ctx)
	if err != nil {
		return 0, err
	}
	var counts []int64
	for _, p := range parts {
		if err := w.doom(ctx, nested, p); err != nil {
			return 0, errors.Join(err, rolledBack(ctx, nested))
		}
	}
	err = w.forTriggers(ctx, nested, func() (err error) {
		counts, err = w.alone(ctx, nested, parts)
		return err
	})
	if err != nil {
		return 0, errors.Join(stepError(err, w.table(parts[0].job)), rolledBack(ctx, nested))
	}
	for i, p := range parts {
		if err := w.unchanged(ctx, nested, p, counts[i]); err != nil {
			return 0, errors.Join(err, rolledBack(ctx, nested))
		}
		if counts[i] == 0 {
			continue
		}
		done, w.wrote[p.oid] = done+counts[i], w.wrote[p.oid]+counts[i]
		step, err := w.j.write(ctx, nested, p.action.String(), w.table(p.job), counts[i])
		if err == nil && record != nil {
			err = record(ctx, step)
		}
		if err != nil {
			return 0, errors.Join(err, rolledBack(ctx, nested))
		}
	}
	return done, nested.Commit(ctx)
}

func rolledBack(ctx context.Context, tx pgx.Tx) error {
	if ctx.Err() != nil || tx.Conn().IsClosed() {
		return nil // with its connection the transaction is over
	}
	return tx.Rollback(ctx)
}

// pathSQL is the search_path for triggers, which look for what lies beside the
// tables, or where the login does. What is the system's own comes first.
const pathSQL = "SELECT set_config('search_path', concat_ws(', ', 'pg_catalog', $1::text, nullif(reset_val, '')), true) FROM pg_settings WHERE name = 'search_path'"

// forTriggers calls f, which runs triggers.
func (w *work) forTriggers(ctx context.Context, tx pgx.Tx, f func() error) error {
	var schemas []string
	for _, t := range w.g.Tables {
		if name := quote(t.Relation.Schema); !slices.Contains(schemas, name) {
			schemas = append(schemas, name)
		}
	}
	if _, err := tx.Exec(ctx, pathSQL, strings.Join(schemas, ", ")); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "SET LOCAL search_path = pg_catalog")
	return err
}

// constraints checks what is deferred, and runs what is.
func (w *work) constraints(ctx context.Context, tx pgx.Tx) error {
	return w.forTriggers(ctx, tx, func() error {
		_, err := tx.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE")
		return stepError(err, w.g.Subject.Name)
	})
}

// updatedSQL counts the rows of a table that a transaction has updated until now.
const updatedSQL = "SELECT sum(pg_stat_get_xact_tuples_updated(relid))::bigint FROM (SELECT $1::oid UNION SELECT relid FROM pg_partition_tree($1)) AS p (relid)"

// alone is write, and makes sure that no trigger updates rows of the very table
// that is anonymised: they would be taken for what the step has left.
func (w *work) alone(ctx context.Context, tx pgx.Tx, parts []part) ([]int64, error) {
	p := parts[0]
	if p.action != Anonymise {
		return w.write(ctx, tx, parts)
	}
	var before, after int64
	if err := tx.QueryRow(ctx, updatedSQL, w.oid(p.job)).Scan(&before); err != nil {
		return nil, err
	}
	counts, err := w.write(ctx, tx, parts)
	if err != nil {
		return nil, err
	}
	if err := tx.QueryRow(ctx, updatedSQL, w.oid(p.job)).Scan(&after); err != nil {
		return nil, err
	}
	if after-before > counts[0] {
		return nil, privacy.Fail(privacy.NotAllowed, "disable it for the login of pgveil", "a trigger of %s writes rows of it while they are anonymised", w.table(p.job))
	}
	return counts, nil
}

// write runs the statement, and gives the number of rows of each part.
func (w *work) write(ctx context.Context, tx pgx.Tx, parts []part) ([]int64, error) {
	if parts[0].action == Delete {
		return w.remove(ctx, tx, parts)
	}
	p := parts[0]
	set := w.set(p.job)
	if len(set) == 0 {
		// Nothing in the row tells of anybody; it is written all the same, to be known as done.
		set = []becomes{w.idle(p.job)}
	}
	set, err := w.g.Values.fill(ctx, set, p.to-p.from)
	if err != nil {
		return nil, err
	}
	var rows, other int64
	err = tx.QueryRow(ctx, updateSQL(w.columnTypes(p.job), p, set)).Scan(&rows, &other)
	if err == nil && other > 0 {
		err = privacy.Fail(privacy.NotAllowed, "disable it for the login of pgveil", "a trigger of %s does not let %s be written", w.table(p.job), columnList(set))
	}
	return []int64{rows}, err
}

func columnList(set []becomes) string {
	names := make([]string, len(set))
	for i, b := range set {
		names[i] = b.column
	}
	return strings.Join(names, ", ")
}

// idle is an assignment that changes nothing.
func (w *work) idle(j job) becomes {
	r := w.g.Tables[j.of].Relation
	i := slices.IndexFunc(r.Columns, func(c catalog.Column) bool { return !c.Generated && c.Identity != 'a' })
	name := r.Columns[max(i, 0)].Name
	return becomes{column: name, how: "as it is", value: "o." + quote(name)}
}

// columnTypes gives the types of a job's columns as SQL.
func (w *work) columnTypes(j job) func(column string) string {
	name := w.table(j)
	for _, r := range w.g.catalog.Relations() {
		if r.QualifiedName() == name {
			return func(column string) string {
				c, _ := r.Column(column)
				return c.Type.SQL
			}
		}
	}
	return nil
}

// updateSQL is the statement that writes a part. The new values are made in a
// subquery, so that what RETURNING sees can be compared with them: a trigger
// may have put others in their place. As text, since not every type has an =.
func updateSQL(typeOf func(string) string, p part, set []becomes) string {
	var values, assignments, same []string
	for i, b := range set {
		value := b.value
		if b.how != "as it is" {
			value = fmt.Sprintf("CAST(%s AS %s)", b.value, typeOf(b.column))
		}
		values = append(values, fmt.Sprintf("%s AS v%d", value, i))
		assignments = append(assignments, fmt.Sprintf("%s = v.v%d", quote(b.column), i))
		same = append(same, fmt.Sprintf("CAST(t.%s AS text) IS NOT DISTINCT FROM CAST(v.v%d AS text)", quote(b.column), i))
	}
	return fmt.Sprintf(`WITH u AS (UPDATE ONLY %[1]s AS t SET %[2]s
		FROM (SELECT w.c AS place, w.x AS version, %[3]s FROM pg_temp.pgveil_work AS w JOIN ONLY %[1]s AS o ON %[4]s OFFSET 0) AS v
		WHERE t.ctid = v.place AND t.xmin = v.version RETURNING %[5]s AS as_said)
		SELECT count(*), count(*) FILTER (WHERE NOT as_said) FROM u`,
		p.name, strings.Join(assignments, ", "), strings.Join(values, ", "), listed(p.job, p.from, p.to, "o"), strings.Join(same, " AND "))
}

// remove deletes parts in one statement: the constraints between them are
// checked when all of them are gone.
func (w *work) remove(ctx context.Context, tx pgx.Tx, parts []part) ([]int64, error) {
	var with, counts []string
	for i, p := range parts {
		with = append(with, fmt.Sprintf("d%d AS (DELETE FROM ONLY %s AS t USING pg_temp.pgveil_work AS w WHERE %s RETURNING 1)", i, p.name, listed(p.job, p.from, p.to, "t")))
		counts = append(counts, fmt.Sprintf("(SELECT count(*) FROM d%d)", i))
	}
	var rows []int64
	err := tx.QueryRow(ctx, fmt.Sprintf("WITH %s SELECT ARRAY[%s]", strings.Join(with, ", "), strings.Join(counts, ", "))).Scan(&rows)
	return rows, err
}

// unchanged gives an error when listed rows were not written though nobody else
// changed them: a trigger has kept them.
func (w *work) unchanged(ctx context.Context, tx pgx.Tx, p part, written int64) error {
	if written == p.to-p.from {
		return nil
	}
	var kept int64
	err := tx.QueryRow(ctx, fmt.Sprintf("SELECT count(*) FROM pg_temp.pgveil_work AS w JOIN ONLY %s AS t ON %s", p.name, listed(p.job, p.from, p.to, "t"))).Scan(&kept)
	if err == nil && kept > 0 {
		return privacy.Fail(privacy.NotAllowed, "disable it for the login of pgveil", "a trigger of %s keeps %d rows from being written (%s)", w.table(p.job), kept, p.action)
	}
	return err
}

// stepError is what went wrong with a table. What a server says of data may
// quote it, and what a trigger says may be anything: names alone are told.
func stepError(err error, table string) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return err
	}
	said := e.Code == "P0001" || strings.HasPrefix(e.Where, "PL/") // by a trigger, which may name anything
	switch {
	case !said && e.ConstraintName != "":
		return &refused{e.Code, fmt.Sprintf("the constraint %s of %s.%s does not allow it", e.ConstraintName, e.SchemaName, e.TableName)}
	case !said && e.ColumnName != "":
		return &refused{e.Code, fmt.Sprintf("the column %s.%s.%s does not allow it", e.SchemaName, e.TableName, e.ColumnName)}
	case said, aboutData(e):
		return &refused{e.Code, fmt.Sprintf("the server refuses it for %s with SQLSTATE %s: a trigger perhaps, or a value that does not fit", table, e.Code)}
	default:
		return fmt.Errorf("writing %s: %w", table, err)
	}
}

// refused is a step that the schema does not allow.
type refused struct{ code, message string }

func (r *refused) Error() string { return r.message }

// SQLState gives the server's code.
func (r *refused) SQLState() string { return r.code }

// foreignKey is the SQLSTATE of a foreign key that would lead nowhere.
const foreignKey = "23503"

// again tells whether an error passes when a transaction is tried once more:
// somebody else was in the way.
func again(err error) bool {
	var state interface{ SQLState() string }
	return errors.As(err, &state) && slices.Contains([]string{"40001", "40P01", "55P03"}, state.SQLState())
}
