package dsar

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/privacy"
)

// makeWork makes the list of what is to be done, which outlives transactions
// and belongs to the connection: for each row the action a, what it is for t
// (a table or tie), its place and xmin, and its number among its like. A place
// together with its xmin is one version of one row for good: should anybody
// else change the row, or should another come to lie there, it is not the one
// that was listed, and nothing is done to it before it is found again.
const makeWork = `
	CREATE TEMPORARY TABLE IF NOT EXISTS pgveil_work (a int, t int, o oid, c tid, x xid, n bigint);
	CREATE INDEX IF NOT EXISTS pgveil_work_n ON pg_temp.pgveil_work (a, t, o, n);
	TRUNCATE pg_temp.pgveil_work`

const addWork = "INSERT INTO pg_temp.pgveil_work (a, t, o, c, x, n) SELECT q.a, q.t, q.o, q.c, q.x, row_number() OVER (PARTITION BY q.a, q.t, q.o) FROM (%s) AS q"

// settled lists rows that were anonymised before: there is nothing to do to
// them, but others are found by them.
const settled Action = Keep + 1

// analyzeFrom is the number of rows from which the server is told how many
// there are: to a temporary table it comes by no other way.
const analyzeFrom = 1000

// job is rows of one relation, a partition perhaps, that are treated alike.
type job struct {
	action Action
	of     int    // the index of a table; of SetNull that of a tie; from len(Tables) on, of Anonymise, a tie too
	oid    uint32 // of the relation
	name   string // of the relation, as SQL
	rows   int64
}

// work is a subject's rows as they are to be treated, found in one transaction.
type work struct {
	*scheme
	j     *journal
	jobs  []job
	key   privacy.Key      // of the subject, which it keeps until it is gone
	place place            // of its own row
	wrote map[uint32]int64 // how many rows of each relation
	home  int              // the table that it lies in: what inherits from the subject's may be that, too
}

// work begins with the place of the subject's own row.
func (s *scheme) work(j *journal, key privacy.Key, at place) (*work, error) {
	w := &work{scheme: s, j: j, key: key, place: at, wrote: map[uint32]int64{}, home: s.tableOf(at.table)}
	if w.home < 0 {
		return nil, errChanged
	}
	return w, nil
}

// errChanged is a relation that the catalog did not have.
var errChanged = privacy.Fail(privacy.SchemaChanged, "try again shortly", "the schema has changed since it was read")

// fill finds the rows anew, and lists them.
func (w *work) fill(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, makeWork); err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, w.g.closure()+"\n"+fmt.Sprintf(addWork, w.rowsSQL()), w.place.table, w.place.tuple)
	if err != nil {
		return err
	}
	if tag.RowsAffected() > analyzeFrom {
		if _, err := tx.Exec(ctx, "ANALYZE pg_temp.pgveil_work"); err != nil {
			return err
		}
	}
	for i, t := range w.ties {
		for _, sql := range w.tieSQL(i, t) {
			if _, err := tx.Exec(ctx, fmt.Sprintf(addWork, sql)); err != nil {
				return fmt.Errorf("following %s: %w", t, err)
			}
		}
	}
	rows, err := tx.Query(ctx, "SELECT a, t, o, CAST(CAST(o AS regclass) AS text) AS name, count(*) FROM pg_temp.pgveil_work GROUP BY a, t, o ORDER BY a, t, o")
	if err != nil {
		return err
	}
	w.jobs, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (j job, err error) {
		err = row.Scan(&j.action, &j.of, &j.oid, &j.name, &j.rows)
		return j, err
	})
	return err
}

// rowsSQL is the SELECT of the subject's rows with their fates. What is
// somebody else's as well is not among them; what refers loosely only where
// the policy says what becomes of it.
func (w *work) rowsSQL() string {
	var selects []string
	for i, t := range w.g.Tables {
		f := w.fates[i]
		from := fmt.Sprintf("r%d", i)
		if f.said {
			from = w.g.found(i)
		}
		selects = append(selects, fmt.Sprintf("SELECT %s AS a, %d AS t, c.tableoid AS o, c.ctid AS c, c.xmin AS x FROM %s AS s JOIN %s ON %s WHERE %s",
			w.action(i), i, from, as(t.Relation, "c"), samePlace("c"), w.g.notShared(i, "c")))
	}
	return strings.Join(selects, " UNION ALL ")
}

// action is the expression for what happens to the row c. Who has a duty to
// keep it until some time after a moment keeps it also when that is not known.
func (w *work) action(table int) string {
	f := w.fates[table]
	if f.do == Anonymise {
		return fmt.Sprintf("CASE WHEN %s THEN %d ELSE %d END", w.j.settled(w.g.Tables[table].Relation.QualifiedName(), "c"), settled, Anonymise)
	}
	if f.after == "" {
		return fmt.Sprint(int(f.do))
	}
	return fmt.Sprintf("CASE WHEN %s <= now() THEN %d ELSE %d END", w.over(table), Delete, Keep)
}

// over is the expression for when the row c need no longer be kept; null where
// nobody can say. What has no time zone is taken for that of the place where its
// time comes last, as by retention, and a day is over when the next begins.
func (w *work) over(table int) string {
	f := w.fates[table]
	column, _ := w.g.Tables[table].Relation.Column(f.after)
	const known = "CASE WHEN isfinite(c.%[1]s) AND c.%[1]s < '9999-01-01' THEN %[2]s END"
	then := fmt.Sprintf("c.%s + make_interval(years => %d, months => %d, days => %d)", quote(f.after), f.lasts.Years, f.lasts.Months, f.lasts.Days)
	switch column.Type.Base {
	case "timestamptz":
	case "timestamp":
		then = "(" + then + ") AT TIME ZONE INTERVAL '-12:00'"
	default:
		then = "(" + then + " + INTERVAL '1 day') AT TIME ZONE INTERVAL '-12:00'"
	}
	return fmt.Sprintf(known, quote(f.after), then)
}

// tieSQL gives the SELECTs of the rows that stay though they refer to rows that
// go, and of those that refer to a subject that stays, where columns beside
// the reference tell of it.
func (w *work) tieSQL(index int, t *tie) []string {
	child := w.tableOf(t.childOID)
	const unlisted = "NOT EXISTS (SELECT FROM pg_temp.pgveil_work AS x WHERE x.o = c.tableoid AND x.c = c.ctid AND x.a %s)"
	var selects []string
	if w.goes(t.table) {
		left := fmt.Sprintf(unlisted, fmt.Sprintf("= %d", Delete))
		if t.onDelete == 0 { // nothing holds what refers without a constraint: the row's own fate does
			left = fmt.Sprintf(unlisted, fmt.Sprintf("IN (%d, %d, %d, %d)", Delete, Anonymise, Keep, settled)) + " AND NOT " + t.stands
		}
		selects = append(selects, fmt.Sprintf(`SELECT %d AS a, %d AS t, c.tableoid AS o, c.ctid AS c, c.xmin AS x
			FROM pg_temp.pgveil_work AS s JOIN %s ON %s JOIN %s ON %s WHERE s.a = %d AND s.t = %d AND %s`,
			w.ends(t), index, w.source(t.parentOID, t.parent, "p"), samePlace("p"), w.source(t.childOID, t.child, "c"), t.condition, Delete, t.table, left))
	}
	if w.root(t.table) && w.fates[t.table].do == Anonymise && t.hidden != nil && (child < 0 || w.fates[child].do != Anonymise) {
		selects = append(selects, fmt.Sprintf(`SELECT %d AS a, %d AS t, c.tableoid AS o, c.ctid AS c, c.xmin AS x
			FROM %s JOIN %s ON %s WHERE p.tableoid = %d AND p.ctid = %s AND NOT %s AND `+unlisted,
			Anonymise, len(w.g.Tables)+index, w.source(t.parentOID, t.parent, "p"), w.source(t.childOID, t.child, "c"), t.condition,
			w.place.table, tid(w.place), w.j.settled(t.child, "c"), "IS NOT NULL"))
	}
	return selects
}

// ends gives how a tie to a row that goes ends: what is held is not changed
// either.
func (w *work) ends(t *tie) Action {
	if len(t.nullable) == 0 || w.matter(t.child) != "" {
		return Refuse
	}
	return SetNull
}

// source names a relation in FROM.
func (w *work) source(oid uint32, name, alias string) string {
	if r, ok := w.g.catalog.RelationByOID(oid); ok {
		return as(r, alias)
	}
	schema, table, _ := strings.Cut(name, ".")
	return "ONLY " + pgx.Identifier{schema, table}.Sanitize() + " AS " + alias
}

func tid(p place) string {
	return fmt.Sprintf("'(%d,%d)'::tid", p.tuple.BlockNumber, p.tuple.OffsetNumber)
}

// rows counts those of jobs of some actions.
func (w *work) rows(of ...Action) (n int64) {
	for _, j := range w.jobs {
		if slices.Contains(of, j.action) {
			n += j.rows
		}
	}
	return n
}

// own tells whether a job is for the subject's own row.
func (w *work) own(j job) bool {
	return j.of == w.home && (j.action == Delete || j.action == Anonymise)
}

// table names the table that a job is about, as a policy does.
func (w *work) table(j job) string {
	switch {
	case j.action == SetNull, j.action == Refuse:
		return w.ties[j.of].child
	case j.of >= len(w.g.Tables):
		return w.ties[j.of-len(w.g.Tables)].child
	default:
		return w.g.Tables[j.of].Relation.QualifiedName()
	}
}

// oid is that of the table which table names.
func (w *work) oid(j job) uint32 {
	if j.of >= len(w.g.Tables) {
		return w.ties[j.of-len(w.g.Tables)].childOID
	}
	return w.g.Tables[j.of].Relation.OID
}

// set gives what the rows of a job become.
func (w *work) set(j job) []becomes {
	switch {
	case j.action == SetNull:
		t := w.ties[j.of]
		var set []becomes
		for _, c := range t.nullable {
			set = append(set, becomes{column: c, how: "null", value: "NULL"})
		}
		return append(set, t.hidden...)
	case j.of >= len(w.g.Tables):
		return w.ties[j.of-len(w.g.Tables)].hidden
	default:
		return w.fates[j.of].set
	}
}

// unit is jobs that one statement does, all at once where tables refer to each
// other, and else in batches.
type unit struct {
	jobs  []job
	whole bool
}

// units gives what can be done with what was found, in order. Rows are
// anonymised while they are still found by what they refer to. Then go, table
// by table, the references to rows that go next, and these rows: what refers
// goes before what it refers to. The subject's own row waits for the last.
func (w *work) units() []unit {
	if all := w.anonymising(); all != nil {
		return all
	}
	return w.removing()
}

// anonymising gives those of rows that stay, those that refer first: what is
// written has another version, and what was found by it has to be found again.
func (w *work) anonymising() (all []unit) {
	for _, group := range w.g.deletion {
		for _, j := range w.jobs {
			if j.action == Anonymise && slices.Contains(group, j.of) && !w.own(j) {
				all = append(all, unit{jobs: []job{j}})
			}
		}
	}
	for _, j := range w.jobs {
		if j.action == Anonymise && j.of >= len(w.g.Tables) {
			all = append(all, unit{jobs: []job{j}})
		}
	}
	return all
}

func (w *work) removing() (all []unit) {
	for _, group := range w.g.deletion {
		for _, j := range w.jobs {
			if j.action == SetNull && slices.Contains(group, w.ties[j.of].table) {
				all = append(all, unit{jobs: []job{j}})
			}
		}
		jobs := w.deletions(group)
		switch {
		case len(jobs) == 0, slices.ContainsFunc(jobs, w.own):
		case w.tangled(group):
			all = append(all, unit{jobs, true})
		default:
			for _, j := range jobs {
				all = append(all, unit{jobs: []job{j}})
			}
		}
	}
	return all
}

func (w *work) deletions(group []int) []job {
	var found []job
	for _, j := range w.jobs {
		if j.action == Delete && slices.Contains(group, j.of) {
			found = append(found, j)
		}
	}
	return found
}

// tangled tells whether rows of tables may refer to each other, so that no
// order of deleting one after the other need exist.
func (w *work) tangled(group []int) bool {
	return len(group) > 1 || slices.ContainsFunc(w.ties, func(t *tie) bool {
		return t.onDelete != 0 && t.table == group[0] && w.tableOf(t.childOID) == group[0]
	})
}

// last gives what is done when nothing else is left: the subject's own row,
// and those that go with it.
func (w *work) last() []unit {
	for _, group := range w.g.deletion {
		if slices.Contains(group, w.home) {
			if jobs := w.deletions(group); slices.ContainsFunc(jobs, w.own) {
				return []unit{{jobs, true}}
			}
		}
	}
	for _, j := range w.jobs {
		if w.own(j) {
			return []unit{{jobs: []job{j}}}
		}
	}
	return nil
}

func rowsOf(parts []part) (n int64) {
	for _, p := range parts {
		n += p.to - p.from
	}
	return n
}

// parts divides the rows of a unit.
func (u unit) parts(most int64) [][]part {
	if u.whole {
		return [][]part{u.all()}
	}
	var all [][]part
	for _, j := range u.jobs {
		for from := int64(0); from < j.rows; from += most {
			all = append(all, []part{{j, from, min(from+most, j.rows)}})
		}
	}
	return all
}

func (u unit) all() []part {
	var parts []part
	for _, j := range u.jobs {
		parts = append(parts, part{j, 0, j.rows})
	}
	return parts
}
