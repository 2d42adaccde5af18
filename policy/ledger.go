package policy

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
)

// OwnSchema holds what pgveil itself remembers in the governed database. No
// pattern of a policy gives anybody anything of it; the right to audit opens what
// is of the access log.
const OwnSchema = "pgveil"

// Ledger is where pgveil keeps what the subjects of one kind said: tables in
// OwnSchema whose keys are of the subjects' own type.
type Ledger struct {
	Consents     *catalog.Relation // in force: subject, consent, until
	Restrictions *catalog.Relation // in force: subject, purpose, kind
}

// The kinds of row in Restrictions. The purpose of a restriction may be "", for
// every one.
const (
	Restricted = "restriction" // GDPR, Article 18
	Objected   = "objection"   // GDPR, Article 21
)

// maxLedgerName is the length of the longest name of a kind of subject with a
// ledger: tables are named after it, and PostgreSQL cuts names at 63 bytes.
const maxLedgerName = 63 - len("_restrictions")

func consentsName(subject string) string     { return subject + "_consents" }
func restrictionsName(subject string) string { return subject + "_restrictions" }

// ledger finds the tables of a subject's ledger, and makes sure that they fit.
func (c *compiler) ledger(s *subject, r *catalog.Relation) *Ledger {
	key, ok := r.Column(s.key.parts[0].text)
	if !ok {
		return nil // reported already
	}
	if why := unkeepable(s.name.text, r, key); why != "" {
		c.add(s.name.pos, "subject %q cannot have a ledger: %s", s.name.text, why)
		return nil
	}
	return &Ledger{
		Consents:     c.ledgerTable(s, consentsName(s.name.text), key, "consent", "until"),
		Restrictions: c.ledgerTable(s, restrictionsName(s.name.text), key, "purpose", "kind"),
	}
}

// unkeepable says why there can be no ledger by a key; "" when there can.
func unkeepable(subject string, r *catalog.Relation, key *catalog.Column) string {
	at := r.ColumnIndex(key.Name)
	switch {
	case len(subject) > maxLedgerName:
		return fmt.Sprintf("its name is longer than %d bytes", maxLedgerName)
	case r.Kind != catalog.Table && r.Kind != catalog.PartitionedTable:
		return r.QualifiedName() + " is not a table"
	case len(r.Parents) > 0:
		return r.QualifiedName() + " is part of another table, through which its rows are seen as well: name that one"
	case len(r.PrimaryKey) > 1 && slices.Contains(r.PrimaryKey, at):
		return fmt.Sprintf("%s alone does not say who is meant, as it is one column of several in the primary key of %s", key.Name, r.QualifiedName())
	case key.Type.Kind == 'd' && key.Type.BaseSchema != "pg_catalog":
		return fmt.Sprintf("%s is of a domain over %s", key.Name, key.Type.Base)
	default:
		return ""
	}
}

func (c *compiler) ledgerTable(s *subject, name string, key *catalog.Column, columns ...string) *catalog.Relation {
	const hint = `run "pgveil schema --apply"`
	r, ok := c.cat.Relation(nil, OwnSchema, name)
	if !ok {
		c.add(s.name.pos, "subject %q keeps a ledger, but the database has no table %s.%s: %s", s.name.text, OwnSchema, name, hint)
		return nil
	}
	for _, column := range append(columns, "subject") {
		if _, ok := r.Column(column); !ok || r.Kind != catalog.Table {
			c.add(s.name.pos, "%s is not the table of a ledger, or lacks its column %s: give it another name, and %s", r.QualifiedName(), column, hint)
			return nil
		}
	}
	if subject, _ := r.Column("subject"); subject.Type.OID != key.Type.OID {
		c.add(s.name.pos, "%s.subject is of type %s, but %s.%s of type %s: change the type of the first to that of the second",
			r.QualifiedName(), subject.Type.SQL, s.table.text, key.Name, key.Type.SQL)
	}
	return r
}

// Implied gives the catalog with the tables of ledgers that the policy asks for
// and that are not there yet: as it is after "pgveil schema --apply".
func Implied(d *Document, cat *catalog.Snapshot) *catalog.Snapshot {
	var missing []catalog.Relation
	text := catalog.Type{OID: 25, Schema: "pg_catalog", Name: "text", Mod: -1, SQL: "text", Kind: 'b', Base: "text"}
	moment := catalog.Type{OID: 1184, Schema: "pg_catalog", Name: "timestamptz", Mod: -1, SQL: "timestamp with time zone", Kind: 'b', Base: "timestamptz"}
	add := func(name string, columns ...catalog.Column) {
		if _, ok := cat.Relation(nil, OwnSchema, name); ok {
			return
		}
		for i := range columns {
			columns[i].Num, columns[i].NotNull = int16(i+1), true
		}
		oid := uint32(math.MaxUint32 - len(missing)) // far from those that a server gives
		missing = append(missing, catalog.Relation{OID: oid, Schema: OwnSchema, Name: name, Kind: catalog.Table, Columns: columns})
	}
	for name, s := range d.subjects {
		table, column := s.table.name(), ""
		r, ok := cat.Relation(nil, table.Schema, table.Name)
		if len(s.key.parts) > 0 {
			column = s.key.parts[0].text
		}
		if !ok || !s.ledger {
			continue
		}
		key, ok := r.Column(column)
		if !ok {
			continue
		}
		subject := catalog.Column{Name: "subject", Type: key.Type}
		add(consentsName(name), subject, catalog.Column{Name: "consent", Type: text}, catalog.Column{Name: "until", Type: moment})
		add(restrictionsName(name), subject, catalog.Column{Name: "purpose", Type: text}, catalog.Column{Name: "kind", Type: text})
	}
	return cat.With(missing...)
}

// ledgerAlias is what filters call a table of a ledger.
const ledgerAlias = "pgveil_l"

// form is how a condition on a ledger is written: as one field of Condition.
type form uint8

// The forms. The zero form is none of them.
const (
	byRow form = iota + 1
	byIndex
	byJoin
)

func inForms(written func(form) string) Condition {
	return Condition{ByRow: written(byRow), ByIndex: written(byIndex), ByJoin: written(byJoin)}
}

// when gives the condition that all of others hold or, where yes is false, that
// none does. In a CASE a sub-select never becomes a join: it is evaluated where
// the relation is read, row by row, so that nothing else that a statement
// computes can come before it.
func (f form) when(yes bool, others []string) string {
	switch {
	case f == byJoin && yes:
		return strings.Join(others, " AND ")
	case f == byJoin:
		return "NOT " + strings.Join(others, " AND NOT ")
	case yes:
		return "CASE WHEN " + strings.Join(others, " AND ") + " THEN true ELSE false END"
	default:
		return "CASE WHEN " + strings.Join(others, " OR ") + " THEN false ELSE true END"
	}
}

// fence ends a sub-select. With OFFSET 0 the server does not think of making a
// hash of all that it could find, which it would whatever LIMIT the rows have.
func (f form) fence() string {
	if f == byIndex {
		return " OFFSET 0"
	}
	return ""
}

// consentKept is the condition that a subject's ledger holds a consent for a
// purpose. A consent lapses amid a transaction, too.
func consentKept(s *Subject, p *purpose, f form) func(value string) string {
	r := s.Ledger.Consents
	return func(value string) string {
		return exists(r, ledgerAlias, []string{
			equal(r, "subject", ledgerAlias, value),
			equal(r, "consent", ledgerAlias, quoteLiteral(p.consent)),
			ledgerAlias + ".until OPERATOR(pg_catalog.>) pg_catalog.statement_timestamp()",
		}, f.fence())
	}
}

// unrestrained gives the filter that leaves out the rows of subjects who had
// the processing restricted or objected to the purpose; "" where none can be. A
// row that belongs to several goes with the first of them who did. Without a
// purpose everything counts: nobody can say that it is not meant.
func (s *Set) unrestrained(r *catalog.Relation, p *purpose, f form) string {
	only := s.restraints(p)
	if only == nil {
		return ""
	}
	var any []string
	for _, c := range s.belongs[r] {
		if c.subject.Ledger == nil {
			continue
		}
		if c.ways > maxWays {
			return "false"
		}
		kept := c.subject.Ledger.Restrictions
		any = append(any, s.via(c, consentAlias, 1, " OR ", f, func(value string) string {
			return exists(kept, ledgerAlias, append([]string{equal(kept, "subject", ledgerAlias, value)}, only...), f.fence())
		}))
	}
	if any == nil {
		return ""
	}
	return f.when(false, any)
}

// restraints gives the conditions by which rows of Restrictions count for a
// purpose; nil when none does.
func (s *Set) restraints(p *purpose) []string {
	if p == nil {
		return []string{}
	}
	var names, objected []string
	for _, q := range s.purposeAndAncestors(p) {
		names = append(names, q.name.text)
		if q.objectionable() {
			objected = append(objected, q.name.text)
		}
	}
	switch {
	case !p.despiteRestriction:
		return []string{isOneOf("purpose", append(names, ""))}
	case objected == nil:
		return nil
	default:
		return []string{isOneOf("purpose", objected), isOneOf("kind", []string{Objected})}
	}
}

func isOneOf(column string, values []string) string {
	any := make([]string, len(values))
	for i, v := range values {
		any[i] = fmt.Sprintf("%s.%s OPERATOR(pg_catalog.=) %s", ledgerAlias, column, quoteLiteral(v))
	}
	return "(" + strings.Join(any, " OR ") + ")"
}

// objectionable tells whether there is a right to object to a purpose.
func (p *purpose) objectionable() bool {
	return p.directMarketing || p.basis == legitimateInterest || p.basis == publicTask
}

// Ground is what a purpose rests on.
type Ground struct {
	Purpose, Basis string
	Consent        string // of basis consent: its name
	Objectionable  bool   // there is a right to object to it
	Despite        bool   // it sees restricted data as well
}

// Grounds gives what every purpose rests on, by name.
func (s *Set) Grounds() []Ground {
	var grounds []Ground
	for _, name := range slices.Sorted(maps.Keys(s.doc.purposes)) {
		p := s.doc.purposes[name]
		grounds = append(grounds, Ground{name, basisNames[p.basis-1], p.consent, p.objectionable(), p.despiteRestriction})
	}
	return grounds
}

// Reaching gives the relations whose rows belong to subjects of a kind: those
// that a filter by its ledger is for.
func (s *Set) Reaching(subject string) []*catalog.Relation {
	var found []*catalog.Relation
	for _, t := range s.governed {
		if slices.ContainsFunc(s.belongs[t.relation], func(c chain) bool { return c.subject.Name == subject }) {
			found = append(found, t.relation)
		}
	}
	return found
}

// unrestrainable lists the views that may show rows of subjects with a ledger
// whatever they restricted: nothing says whose their rows are.
func (s *Set) unrestrainable() []string {
	var lines []string
	for _, t := range s.governed {
		r := t.relation
		derived := r.Kind == catalog.View || r.Kind == catalog.MaterializedView
		if !derived || !s.discloses[catalog.Name{Schema: r.Schema, Name: r.Name}] {
			continue
		}
		for _, subject := range s.subjects {
			reached := slices.ContainsFunc(s.belongs[r], func(c chain) bool { return c.subject.Name == subject.Name })
			if subject.Ledger != nil && !reached {
				lines = append(lines, fmt.Sprintf("%s is disclosed, and no reference leads from it to subject %s: restrictions and objections do not filter it", r.QualifiedName(), subject.Name))
			}
		}
	}
	return lines
}
