package dsar

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/privacy"
)

// Action is what an erasure does with rows. The zero Action is none.
type Action uint8

// The actions.
const (
	Refuse  Action = iota + 1 // the erasure cannot happen
	SetNull                   // the reference to a row that goes is taken out of a row that stays
	Delete                    // the row goes
)

func (a Action) String() string {
	switch a {
	case Refuse:
		return "refuse"
	case SetNull:
		return "set null"
	case Delete:
		return "delete"
	default:
		return "none"
	}
}

// Step is one thing that an erasure does.
type Step struct {
	Table  string
	Rows   int64
	Action Action
	Path   string // the references by which the rows are found
	Reason string
}

// Report is what an erasure would do, in the order in which it would: what
// makes it impossible, references taken out, rows deleted. Every table in
// which rows are looked for is in it, be it with none.
type Report struct {
	Steps []Step
}

// Refused tells whether something makes the erasure impossible.
func (r Report) Refused() bool {
	return len(r.Steps) > 0 && r.Steps[0].Action == Refuse
}

// DryRun finds out what erasing a subject would do, and changes nothing. Once
// ctx has ended, conn is of no use any more.
func DryRun(ctx context.Context, conn *pgx.Conn, g *Graph, key privacy.Key) (Report, error) {
	plan := g.plan()
	var report Report
	err := inSnapshot(ctx, conn, func(tx pgx.Tx) error {
		s, err := g.find(ctx, tx, key)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, g.countSQL(plan), s.table, s.tuple)
		if err != nil {
			return err
		}
		var at int
		var n int64
		_, err = pgx.ForEachRow(rows, []any{&at, &n}, func() error {
			plan[at].Rows = n
			return nil
		})
		return err
	})
	if err != nil {
		return Report{}, fmt.Errorf("planning to erase a %s: %w", g.Subject.Name, err)
	}
	for _, p := range plan {
		if p.Rows > 0 || p.always {
			report.Steps = append(report.Steps, p.Step)
		}
	}
	return report, nil
}

// planned is a Step whose rows are still to be counted.
type planned struct {
	Step
	from   string // the FROM clause, after closure, of the rows
	always bool   // reported even when there are none
}

// plan gives every step that an erasure may take.
func (g *Graph) plan() []planned {
	var refusals, nulls, deletions []planned
	for _, e := range g.links {
		p, ok := g.detach(e)
		switch {
		case !ok:
		case p.Action == SetNull:
			nulls = append(nulls, p)
		default:
			refusals = append(refusals, p)
		}
	}
	for _, group := range g.deletion {
		for _, i := range group {
			if g.owns(i) {
				deletions = append(deletions, g.remove(i, group))
			}
		}
	}
	return append(append(refusals, nulls...), deletions...)
}

// owns tells whether a table may hold rows that belong to the subject, rather
// than rows that refer to it loosely.
func (g *Graph) owns(table int) bool {
	return table == 0 || slices.ContainsFunc(g.Tables[table].in, func(l *Link) bool { return !l.Loose })
}

// remove plans the deletion of a table's rows that are the subject's alone.
func (g *Graph) remove(table int, group []int) planned {
	t := g.Tables[table]
	var with []string
	for _, i := range group {
		if i != table && g.owns(i) {
			with = append(with, g.Tables[i].Relation.QualifiedName())
		}
	}
	reason := ""
	if with != nil {
		reason = "in one statement with " + strings.Join(with, ", ") + ": they refer to each other"
	}
	return planned{
		Step: Step{Table: t.Relation.QualifiedName(), Action: Delete, Path: t.Path, Reason: reason},
		from: fmt.Sprintf("r%d AS s JOIN %s ON %s WHERE %s",
			table, as(t.Relation, "c"), samePlace("c"), g.notShared(table, "c")),
		always: true,
	}
}

// detach plans for the rows that refer to rows that go and stay themselves;
// ok is false where there can be none.
func (g *Graph) detach(e edge) (p planned, ok bool) {
	child := g.Tables[e.child]
	stays := fmt.Sprintf("NOT EXISTS (SELECT FROM r%d AS x WHERE x.o = c.tableoid AND x.c = c.ctid)", e.child)
	if mine := g.notShared(e.child, "c"); mine != "true" {
		stays = fmt.Sprintf("(%s OR NOT (%s))", stays, mine)
	} else if e.follows() {
		return planned{}, false // the row goes too
	}
	p = planned{
		Step: Step{Table: child.Relation.QualifiedName(), Path: e.String() + " -> " + g.Tables[e.parent].nearest},
		from: fmt.Sprintf("r%d AS s JOIN %s ON %s JOIN %s ON %s WHERE %s AND %s",
			e.parent, as(e.To, "p"), samePlace("p"), as(e.From, "c"), refers(e.Link), g.notShared(e.parent, "p"), stays),
	}
	columns := e.nullable()
	switch {
	case columns == nil:
		p.Action, p.Reason = Refuse, "rows that stay refer by "+strings.Join(e.Columns, ", ")+", which cannot be null"
	case e.finds && e.Loose:
		p.Action, p.always = SetNull, true
		p.Reason = fmt.Sprintf("the schema lets the row live on without %s; the rest of it may still tell of the %s",
			strings.Join(columns, ", "), g.Subject.Name)
	default:
		p.Action, p.Reason = SetNull, "rows of others refer by "+strings.Join(columns, ", ")
	}
	return p, true
}

// countSQL is the statement that counts the rows of every step.
func (g *Graph) countSQL(plan []planned) string {
	counts := make([]string, len(plan))
	for i, p := range plan {
		counts[i] = fmt.Sprintf("SELECT %d, count(*) FROM %s", i, p.from)
	}
	return g.closure() + "\n" + strings.Join(counts, "\nUNION ALL ")
}
