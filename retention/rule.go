package retention

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/state"
)

// row is what conditions call a row of a rule's table.
const row = "pgveil_t"

// rule is one of the policy's with what hangs on its rows.
type rule struct {
	policy.Retention
	name   string
	set    *policy.Set
	cat    *catalog.Snapshot
	hangs  []*hang
	tables []*catalog.Relation // its own, and those of the rows that go with its rows
	cut    cut
	unheld bool // there are no holds in force
}

// cut is the moment before which a rule's rows are due.
type cut struct {
	moment string // in UTC
	behind string // the wall clock then, where it is latest
}

// newRules gives the rules of a policy, those first whose rows refer to others'.
func newRules(set *policy.Set, cat *catalog.Snapshot) []*rule {
	var rules []*rule
	var ruled []*catalog.Relation
	for _, t := range set.Retention() {
		rules = append(rules, &rule{Retention: t, name: t.String(), set: set, cat: cat})
		if t.Then == "delete" && t.Subject == "" {
			ruled = append(ruled, t.Relation)
		}
	}
	for _, r := range rules {
		r.tables = []*catalog.Relation{r.Relation}
		if r.Then == "delete" && r.Subject == "" {
			g := hanger{set: set, cat: cat, with: r.With, ruled: ruled}
			r.hangs = g.on(r.Relation, nil)
			r.each(func(h *hang, _ []*hang) {
				if h.fate == goes && !slices.Contains(r.tables, h.child) {
					r.tables = append(r.tables, h.child)
				}
			})
		}
	}
	return inOrder(rules)
}

// inOrder puts rules behind those that their rows wait for.
func inOrder(rules []*rule) []*rule {
	var done []*rule
	var put func(r *rule, path []*rule)
	put = func(r *rule, path []*rule) {
		if slices.Contains(done, r) || slices.Contains(path, r) {
			return
		}
		path = append(slices.Clip(path), r)
		r.each(func(h *hang, _ []*hang) {
			for _, other := range rules {
				if h.fate == waits && other.Relation == h.child {
					put(other, path)
				}
			}
		})
		done = append(done, r)
	}
	for _, subjects := range []bool{false, true} {
		for _, r := range rules {
			if (r.Subject != "") == subjects {
				put(r, nil)
			}
		}
	}
	return done
}

// each calls f for every reference by which rows hang on the rule's, with those on
// the way to it: the leaves first.
func (r *rule) each(f func(h *hang, path []*hang)) {
	var walk func(all, path []*hang)
	walk = func(all, path []*hang) {
		for _, h := range all {
			walk(h.on, append(slices.Clip(path), h))
			f(h, path)
		}
	}
	walk(r.hangs, nil)
}

// goings gives the ways by which rows go with a rule's: the leaves first.
func (r *rule) goings() (all [][]*hang) {
	r.each(func(h *hang, path []*hang) {
		if h.fate == goes {
			all = append(all, append(slices.Clone(path), h))
		}
	})
	return all
}

// at settles the moment before which rows are due, by a time of the server's.
func (r *rule) at(ctx context.Context, tx pgx.Tx, now time.Time) error {
	const keep = "pg_catalog.make_interval(years => $2, months => $3, days => $4)"
	return tx.QueryRow(ctx, "SELECT ($1::timestamptz - "+keep+")::text, ($1::timestamptz AT TIME ZONE INTERVAL '-12:00' - "+keep+")::text",
		now, r.Keep.Years, r.Keep.Months, r.Keep.Days).Scan(&r.cut.moment, &r.cut.behind)
}

// past is the condition that what a column holds was before the cut. It is never
// true of null or of what is infinite.
func (r *rule) past(rel *catalog.Relation, column, alias string) string {
	c, _ := rel.Column(column)
	name := alias + "." + ident(column)
	compare, than := "<=", literal(r.cut.moment)+"::pg_catalog.timestamptz"
	switch c.Type.Base {
	case "timestamptz":
	case "timestamp":
		than = literal(r.cut.behind) + "::pg_catalog.timestamp"
	default: // a day is over when the next begins
		compare, than = "<", literal(r.cut.behind)+"::pg_catalog.timestamp::pg_catalog.date"
	}
	return fmt.Sprintf("(%s OPERATOR(pg_catalog.%s) %s AND %[1]s OPERATOR(pg_catalog.>) '-infinity')", name, compare, than)
}

// look sees whether there are holds at all: most often there are none, and no row
// need be asked whose it is.
func (r *rule) look(ctx context.Context, tx pgx.Tx) error {
	return tx.QueryRow(ctx, "SELECT NOT EXISTS (SELECT FROM pgveil.holds AS h WHERE "+state.HoldsInForce+")").Scan(&r.unheld)
}

// due is the condition that a row's time is over.
func (r *rule) due() string {
	var conditions []string
	switch {
	case r.Purpose != "":
		conditions = append(conditions, r.unconsented())
	default:
		conditions = append(conditions, r.past(r.Relation, r.After, row))
	}
	for _, u := range r.Unless {
		newer := "(" + r.past(u.Relation, u.After, "pgveil_u") + ") IS NOT TRUE"
		own := r.whose(u.Relation, "pgveil_u", r.Subject, func(key string) string {
			return equal(r.Relation, r.subject().Key, row, key)
		})
		conditions = append(conditions, "NOT "+exists(from(u.Relation, "pgveil_u"), newer, own))
	}
	return and(append(conditions, r.where()))
}

func (r *rule) where() string {
	if r.Where == "" {
		return ""
	}
	return "(" + r.Where + ")"
}

// undated is the condition that nobody can say when a row's time is over.
func (r *rule) undated() string {
	if r.After == "" {
		return "false"
	}
	name := row + "." + ident(r.After)
	return and([]string{fmt.Sprintf("(%s IS NULL OR NOT pg_catalog.isfinite(%[1]s))", name), r.where()})
}

// subject gives the kind that the rule is about.
func (r *rule) subject() policy.Subject {
	all := r.set.Subjects()
	return all[slices.IndexFunc(all, func(s policy.Subject) bool { return s.Name == r.Subject })]
}

// whose is policy.Set.Whose where the ways are known not to be too many: see
// tangled.
func (r *rule) whose(rel *catalog.Relation, alias, kind string, of func(key string) string) string {
	condition, _ := r.set.Whose(rel, alias, kind, of)
	return or([]string{condition})
}

// tangled names the tables of which it cannot be said whose their rows are.
func (r *rule) tangled() (names []string) {
	tables := slices.Clone(r.tables)
	for _, u := range r.Unless {
		tables = append(tables, u.Relation)
	}
	r.each(func(h *hang, _ []*hang) { tables = append(tables, h.child) })
	for _, t := range tables {
		for _, s := range r.set.Subjects() {
			_, ok := r.set.Whose(t, row, s.Name, func(string) string { return "true" })
			if !ok && !slices.Contains(names, t.QualifiedName()) {
				names = append(names, t.QualifiedName())
			}
		}
	}
	return names
}

// unconsented is the condition that some subject of a row had consented to the
// rule's purpose and does no more, and none does.
func (r *rule) unconsented() string {
	var over, kept []string
	for _, s := range r.set.Subjects() {
		if s.Consent == nil && s.Ledger == nil {
			continue
		}
		over = append(over, r.whose(r.Relation, row, s.Name, func(key string) string { ended, _ := r.consents(s, key); return ended }))
		kept = append(kept, r.whose(r.Relation, row, s.Name, func(key string) string { _, stands := r.consents(s, key); return stands }))
	}
	return and([]string{or(over), "NOT " + or(kept)})
}

// consents gives the conditions that a consent of the subject with a key ended
// before the cut, and that one has not.
func (r *rule) consents(s policy.Subject, key string) (ended, stands string) {
	if c := s.Consent; c != nil {
		own := and([]string{
			equal(c.Relation, c.Subject, "pgveil_c", key), equal(c.Relation, c.Purpose, "pgveil_c", literal(r.Consent)),
			"pgveil_c." + ident(c.Given) + " IS NOT NULL",
		})
		past := r.past(c.Relation, c.Withdrawn, "pgveil_c")
		of := ident(c.Relation.Schema, c.Relation.Name) + " AS pgveil_c"
		return exists(of, own, past), exists(of, own, "("+past+") IS NOT TRUE")
	}
	l := s.Ledger.Consents
	moment := literal(r.cut.moment) + "::pg_catalog.timestamptz"
	inForce := and([]string{equal(l, "subject", "pgveil_c", key), equal(l, "consent", "pgveil_c", literal(r.Consent))})
	event := fmt.Sprintf("pgveil_e.subject_kind = %s AND pgveil_e.subject_key = CAST(%s AS pg_catalog.text) AND pgveil_e.consent = %s AND pgveil_e.event_type = %s",
		literal(s.Name), key, literal(r.Consent), literal(state.Withdrawn))
	of, events := ident(l.Schema, l.Name)+" AS pgveil_c", "pgveil.consent_events AS pgveil_e"
	ended = or([]string{exists(of, inForce, "pgveil_c.until <= "+moment), exists(events, event, "pgveil_e.event_time <= "+moment)})
	stands = or([]string{exists(of, inForce, "pgveil_c.until > "+moment), exists(events, event, "pgveil_e.event_time > "+moment)})
	return ended, stands
}

// held is the condition that a hold in force keeps a row, or one that would go or
// change with it.
func (r *rule) held() string {
	if r.unheld {
		return "false"
	}
	if r.Subject != "" {
		return r.subjectHeld()
	}
	return r.heldOf(r.Relation, row, r.hangs, 0)
}

func (r *rule) heldOf(rel *catalog.Relation, alias string, hangs []*hang, depth int) string {
	names := r.names(rel)
	any := []string{exists("pgveil.holds AS h", state.HoldsInForce, "h.kind = ''", "h.relation IN ("+names+")")}
	for _, s := range r.set.Subjects() {
		any = append(any, r.whose(rel, alias, s.Name, func(key string) string {
			return exists("pgveil.holds AS h", state.HoldsInForce, "h.kind = "+literal(s.Name),
				fmt.Sprintf("h.key = CAST(%s AS pg_catalog.text)", key), "h.relation IN ('', "+names+")")
		}))
	}
	for _, h := range hangs {
		if h.fate == goes || h.fate == loosens {
			inner := fmt.Sprintf("pgveil_h%d", depth)
			any = append(any, exists(from(h.child, inner), h.refers(inner, alias), r.heldOf(h.child, inner, h.on, depth+1)))
		}
	}
	return or(any)
}

// names gives those under which a hold may be over rows of a table: its own, and
// that of the table that it is part of. One over a part counts for the whole.
func (r *rule) names(rel *catalog.Relation) string {
	all := whole(r.cat, rel)
	var names []string
	for _, part := range r.cat.Relations() {
		if whole(r.cat, part) == all {
			names = append(names, literal(part.QualifiedName()))
		}
	}
	return strings.Join(names, ", ")
}

// subjectHeld is the condition that a hold is over some row of a subject: over the
// subject, or over a whole table in which rows of its kind lie.
func (r *rule) subjectHeld() string {
	var names []string
	for _, rel := range r.set.Reaching(r.Subject) {
		names = append(names, literal(rel.QualifiedName()))
	}
	key := row + "." + ident(r.subject().Key)
	return exists("pgveil.holds AS h", state.HoldsInForce, or([]string{
		fmt.Sprintf("h.kind = %s AND h.key = CAST(%s AS pg_catalog.text)", literal(r.Subject), key),
		"h.kind = '' AND h.relation IN (" + strings.Join(names, ", ") + ")",
	}))
}

// awaited is the condition that rows refer to a row, or to one that goes with it,
// and must be gone before it.
func (r *rule) awaited() string { return awaitedBy(r.hangs, row, 0) }

func awaitedBy(hangs []*hang, alias string, depth int) string {
	var any []string
	for _, h := range hangs {
		inner := fmt.Sprintf("pgveil_a%d", depth)
		switch h.fate {
		case blocks, waits:
			any = append(any, exists(from(h.child, inner), h.refers(inner, alias)))
		case goes:
			if then := awaitedBy(h.on, inner, depth+1); then != "false" {
				any = append(any, exists(from(h.child, inner), h.refers(inner, alias), then))
			}
		}
	}
	return or(any)
}
