package retention

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/state"
)

// Plan says what a run would do.
type Plan struct {
	AsOf       time.Time  `json:"as_of"` // by the server's clock
	Generation string     `json:"generation"`
	Rules      []RulePlan `json:"rules"` // in the order in which they are carried out
}

// RulePlan is what a run would do by one rule.
type RulePlan struct {
	Rule     string    `json:"rule"`
	Place    string    `json:"place"`
	Table    string    `json:"table"`
	Then     string    `json:"then"`
	Because  string    `json:"because,omitempty"`
	Before   string    `json:"before"`           // the moment that rows must be older than, in UTC
	Due      int64     `json:"due"`              // rows whose time is over
	Held     int64     `json:"held"`             // of those, by holds
	Awaiting int64     `json:"awaiting"`         // of those not held: that rows refer to which do not go with them
	Undated  int64     `json:"undated"`          // rows without a date, which are never due
	Oldest   string    `json:"oldest,omitempty"` // the date of the oldest row that is due
	Hanging  []Hanging `json:"hanging"`
	Refused  []string  `json:"refused"` // why it is not carried out, and what to do
	Warnings []string  `json:"warnings"`
}

// Free is how many rows a run would take.
func (p RulePlan) Free() int64 { return p.Due - p.Held - p.Awaiting }

// Hanging says what becomes of rows that refer to those that are due and not held.
type Hanging struct {
	Table string `json:"table"`
	By    string `json:"by"`   // the columns that refer
	Does  string `json:"does"` // goes, loosens, waits or blocks
	Rows  int64  `json:"rows"`
}

// Able says what can be done besides deleting rows.
type Able struct {
	Anonymise Anonymise // nil: rows cannot be anonymised
	Erase     Erase     // nil: whole subjects cannot be erased
}

// Anonymise gives the columns that change when a row of a table is to tell of nobody,
// and what they become: SQL over the row as it was, o, of so many rows.
type Anonymise func(ctx context.Context, tx pgx.Tx, r *catalog.Relation, rows int64) (columns, values []string, err error)

// Erase erases one subject, by its key as text, and gives how many rows it wrote:
// none where everything is kept, by a duty say. The number names the erasure, and is
// below 0, as those of requests are above. still is to be asked when the subject's row
// is locked, before anything is done: an error keeps it from being erased.
type Erase func(ctx context.Context, conn *pgx.Conn, subject, key string, number int64, still func(context.Context, pgx.Tx) error) (rows int64, err error)

// NewPlan finds out what a run would do, and changes nothing. The catalog is that
// which the policy was compiled with.
func NewPlan(ctx context.Context, conn *pgx.Conn, set *policy.Set, cat *catalog.Snapshot, able Able) (Plan, error) {
	plan := Plan{Generation: set.Generation(), Rules: []RulePlan{}}
	err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		if _, err := tx.Exec(ctx, settings); err != nil {
			return err
		}
		if plan.AsOf, err = serverTime(ctx, tx); err != nil {
			return err
		}
		for _, r := range newRules(set, cat) {
			p, err := r.plan(ctx, tx, plan.AsOf, able)
			if err != nil {
				return err
			}
			plan.Rules = append(plan.Rules, p)
		}
		return nil
	})
	if err != nil {
		return Plan{}, state.Explain("planning retention", withoutValues(err))
	}
	return plan, nil
}

// plan is NewPlan for one rule. What the server says against its statements makes
// it one that is refused.
func (r *rule) plan(ctx context.Context, tx pgx.Tx, now time.Time, able Able) (RulePlan, error) {
	p := RulePlan{Rule: r.name, Place: r.Place, Table: r.Relation.QualifiedName(), Then: r.Then, Because: r.Because, Hanging: []Hanging{}, Refused: []string{}, Warnings: []string{}}
	if err := r.at(ctx, tx, now); err != nil {
		return p, err
	}
	if err := r.look(ctx, tx); err != nil {
		return p, err
	}
	p.Before = r.cut.moment
	obstacles, err := r.obstacles(ctx, tx)
	if err != nil {
		return p, err
	}
	p.Refused = append(append(p.Refused, r.beyond(ctx, tx, able)...), obstacles...)
	if len(obstacles) > 0 {
		return p, nil // its rows cannot be counted
	}
	err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return r.count(ctx, tx, &p) })
	var said interface{ SQLState() string }
	if errors.As(err, &said) && ctx.Err() == nil && !coded(err, "3F000", "42P01") {
		p.Refused = append(p.Refused, fmt.Sprintf("its rows cannot be counted: %v", withoutValues(err)))
		return p, nil
	}
	if err == nil {
		p.Warnings, err = r.warnings(ctx, tx)
	}
	return p, err
}

// beyond says what a rule asks for that cannot be done here.
func (r *rule) beyond(ctx context.Context, tx pgx.Tx, able Able) []string {
	switch {
	case r.Subject != "" && able.Erase == nil:
		return []string{"erasing whole subjects is not available here"}
	case r.anonymises() && able.Anonymise == nil:
		return []string{"anonymising rows is not available here"}
	case r.anonymises():
		if _, _, err := able.Anonymise(ctx, tx, r.Relation, 0); err != nil {
			return []string{withoutValues(err).Error()}
		}
	}
	return nil
}

func (r *rule) anonymises() bool { return r.Subject == "" && r.Then == "anonymise" }

// todo is the condition that there is something to do about a row: it is due, and
// not as an anonymisation has left it. What that wrote has the xmin of what was
// written down about it, in the same transaction; a row that somebody has changed
// since is to be anonymised again. What was loaded from a dump, in one transaction
// with all rows perhaps, was not written by the transaction that it names.
func (r *rule) todo() string {
	journal := ""
	switch {
	case r.Subject != "":
		journal = "pgveil.erasure_steps AS j WHERE j.mark OPERATOR(pg_catalog.=) j.xmin AND j.action = 'anonymise' AND j.relation = " + literal(r.Relation.QualifiedName())
	case r.anonymises():
		journal = "pgveil.retention_batches AS j WHERE j.xact::pg_catalog.xid OPERATOR(pg_catalog.=) j.xmin AND j.action = 'anonymise' AND j.relation = " + literal(r.Relation.QualifiedName())
	default:
		return r.due()
	}
	return and([]string{r.due(), "NOT (" + row + ".xmin OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT j.xmin FROM " + journal + ")))"})
}

func (r *rule) count(ctx context.Context, tx pgx.Tx, p *RulePlan) error {
	due := r.todo()
	oldest := "NULL::pg_catalog.text"
	if r.After != "" {
		oldest = "pg_catalog.min(" + row + "." + ident(r.After) + ")::pg_catalog.text"
	}
	sql := fmt.Sprintf(`SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE k.pgveil_held), pg_catalog.count(*) FILTER (WHERE k.pgveil_awaited AND NOT k.pgveil_held), coalesce(%s, '')
		FROM %s CROSS JOIN LATERAL (SELECT %s AS pgveil_held, %s AS pgveil_awaited) AS k WHERE %s`, oldest, from(r.Relation, row), r.held(), r.awaited(), due)
	if err := tx.QueryRow(ctx, sql).Scan(&p.Due, &p.Held, &p.Awaiting, &p.Oldest); err != nil {
		return err
	}
	if r.After != "" {
		sql := "SELECT pg_catalog.count(*) FROM " + from(r.Relation, row) + " WHERE " + r.undated()
		if err := tx.QueryRow(ctx, sql).Scan(&p.Undated); err != nil {
			return err
		}
	}
	return r.countHanging(ctx, tx, p, due)
}

// countHanging counts the rows that refer to rows that are due and not held. Those
// that nothing takes refuse the rule.
func (r *rule) countHanging(ctx context.Context, tx pgx.Tx, p *RulePlan, due string) (err error) {
	r.each(func(h *hang, path []*hang) {
		if err != nil {
			return
		}
		line := Hanging{Table: h.child.QualifiedName(), By: h.String(), Does: h.fate.String()}
		sql := "SELECT pg_catalog.count(*) FROM " + from(h.child, "pgveil_x") + " WHERE " + r.hangsOn(append(path, h), "pgveil_x", and([]string{due, "NOT " + r.held()}))
		if err = tx.QueryRow(ctx, sql).Scan(&line.Rows); err != nil {
			return
		}
		p.Hanging = append(p.Hanging, line)
		if h.fate == blocks && line.Rows > 0 {
			p.Refused = append(p.Refused, r.unblock(h, line.Rows))
		}
	})
	return err
}

// hangsOn is the condition that a row of the last of a path hangs on a row of the
// rule's of which a condition holds.
func (r *rule) hangsOn(path []*hang, alias, of string) string {
	h := path[len(path)-1]
	if len(path) == 1 {
		return exists(from(r.Relation, row), h.refers(alias, row), of)
	}
	inner := fmt.Sprintf("pgveil_x%d", len(path))
	return exists(from(path[len(path)-2].child, inner), h.refers(alias, inner), r.hangsOn(path[:len(path)-1], inner, of))
}

// unblock says what to do about rows that keep those of a rule.
func (r *rule) unblock(h *hang, n int64) string {
	table := whole(r.cat, h.child).QualifiedName()
	ways := []string{fmt.Sprintf("\"with: [%s]\" lets them go too", table), "a rule for " + table + " takes them when their own time is over", "ON DELETE SET NULL lets them stay without"}
	if h.apart {
		ways = []string{"refer to the whole table"}
	}
	return fmt.Sprintf("%d rows of %s refer to rows that are due, by %s, and nothing takes them: %s", n, table, h, strings.Join(ways, "; "))
}
