package dsar

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/policy"
)

// tie is a reference to rows that an erasure may delete, from wherever it
// comes: a foreign key, or a reference that the policy declares.
type tie struct {
	child, parent       string // schema.table, as the constraint has them
	childOID, parentOID uint32
	columns, refs       []string // of the child and the parent, one for one
	nullable            []string // those that can be set null to end it
	condition           string   // under which the row c refers to the row p
	stands              string   // the condition under which c refers to others that stay, too
	onDelete            byte     // pg_constraint.confdeltype; 0 of a declared reference
	indexed             bool

	table  int       // of the parent, in the graph's Tables
	hidden []becomes // what else in the row tells of the subject
}

func (t *tie) String() string {
	if len(t.columns) == 1 {
		return t.child + "." + t.columns[0]
	}
	return t.child + ".(" + strings.Join(t.columns, ", ") + ")"
}

// tiesSQL lists the foreign keys to relations, those of tables that no graph
// knows included: the server enforces them all the same. One that demands all
// of its columns or none (MATCH FULL) ends only when all of them can be null,
// and nothing else refers by them. Of others those are set null that the
// schema sets (ON DELETE SET NULL (…), of PostgreSQL 15), or else those by which
// nothing else refers: the tenant stays.
const tiesSQL = `
	SELECT k.conrelid, k.confrelid, k.confdeltype::text, cn.nspname || '.' || c.relname, pn.nspname || '.' || p.relname, a.columns, a.refs, a.operators,
	       CASE WHEN k.confmatchtype = 'f' AND cardinality(a.own) < cardinality(a.columns) THEN '{}'
	            WHEN k.confmatchtype <> 'f' AND cardinality(a.said) > 0 THEN a.said
	            WHEN cardinality(a.own) > 0 THEN a.own ELSE a.nullable END,
	       EXISTS (SELECT FROM pg_index AS i, LATERAL (SELECT (string_to_array(i.indkey::text, ' ')::int2[])[1:cardinality(k.conkey)]) AS l (lead)
	                WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indpred IS NULL AND l.lead @> k.conkey AND l.lead <@ k.conkey)
	  FROM pg_constraint AS k
	  JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_namespace AS cn ON cn.oid = c.relnamespace
	  JOIN pg_class AS p ON p.oid = k.confrelid JOIN pg_namespace AS pn ON pn.oid = p.relnamespace
	 CROSS JOIN LATERAL (
	       SELECT array_agg(f.attname::text ORDER BY n.i) AS columns, array_agg(t.attname::text ORDER BY n.i) AS refs,
	              array_agg(quote_ident(os.nspname) || '.' || o.oprname ORDER BY n.i) AS operators,
	              coalesce(array_agg(f.attname::text ORDER BY n.i) FILTER (WHERE v.may), '{}') AS nullable,
	              coalesce(array_agg(f.attname::text ORDER BY n.i) FILTER (WHERE v.may AND NOT EXISTS (
	                       SELECT FROM pg_constraint AS b WHERE b.conrelid = k.conrelid AND b.contype = 'f' AND b.conkey <> k.conkey AND n.f = ANY (b.conkey))), '{}') AS own,
	              coalesce(array_agg(f.attname::text ORDER BY n.i) FILTER (WHERE v.may AND to_jsonb(k) -> 'confdelsetcols' @> to_jsonb(n.f)), '{}') AS said
	         FROM ROWS FROM (unnest(k.conkey), unnest(k.confkey), unnest(k.conpfeqop)) WITH ORDINALITY AS n (f, t, o, i)
	         JOIN pg_attribute AS f ON f.attrelid = k.conrelid AND f.attnum = n.f
	         JOIN pg_type AS y ON y.oid = f.atttypid
	        CROSS JOIN LATERAL (SELECT NOT f.attnotnull AND f.attgenerated = '' AND NOT y.typnotnull AS may) AS v
	         JOIN pg_attribute AS t ON t.attrelid = k.confrelid AND t.attnum = n.t
	         JOIN pg_operator AS o ON o.oid = n.o JOIN pg_namespace AS os ON os.oid = o.oprnamespace) AS a
	 WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = ANY ($1::oid[])
	 ORDER BY 4, a.columns`

// foreignKeys gives those to the graph's tables and their partitions.
func (g *Graph) foreignKeys(ctx context.Context, tx pgx.Tx) ([]*tie, error) {
	rows, err := tx.Query(ctx, tiesSQL, g.watched)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*tie, error) {
		var t tie
		var onDelete string
		var operators []string
		err := row.Scan(&t.childOID, &t.parentOID, &onDelete, &t.child, &t.parent, &t.columns, &t.refs, &operators, &t.nullable, &t.indexed)
		if err != nil {
			return nil, err
		}
		t.onDelete = onDelete[0]
		conditions := make([]string, len(operators))
		for i, operator := range operators {
			conditions[i] = fmt.Sprintf("p.%s OPERATOR(%s) c.%s", quote(t.refs[i]), operator, quote(t.columns[i]))
		}
		t.condition = strings.Join(conditions, " AND ")
		return &t, nil
	})
}

// fact is what must be known about a column before something else can stand
// in its rows.
type fact struct {
	name             string
	mandatory        bool   // it cannot be null, be it for a domain
	unique           bool   // some unique index has it, or what is computed of it
	key              bool   // of the row, of its partition, or of what others refer to
	refers           bool   // it is in a foreign key
	base             string // the type below domains
	kind, category   string // of that type: pg_type.typtype and typcategory
	width            int    // of varchar(n) and char(n); 0: no limit
	label            string // the first of an enum
	attributes       int    // of a composite type
	fixed            bool   // the server alone writes it
	dangling         bool   // it refers to rows that go
	reference, class string // the column as a policy writes it, and its class
	sealed           *policy.Sealed
	blind            bool // it holds keyed hashes of the column beside it
	same             bool // of a sealed one: the hashes beside it may not be there twice
}

const factsSQL = `
	WITH RECURSIVE base AS (
	       SELECT attnum, atttypid AS oid, atttypmod AS mod, attnotnull AS mandatory
	         FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped
	        UNION ALL
	       SELECT b.attnum, t.typbasetype, t.typtypmod, b.mandatory OR t.typnotnull
	         FROM base AS b JOIN pg_type AS t ON t.oid = b.oid WHERE t.typtype = 'd')
	SELECT a.attname::text, b.mandatory,
	       EXISTS (SELECT FROM pg_index WHERE indrelid = $1 AND indisunique AND (a.attnum = ANY (indkey) OR indexprs::text ~ (':varattno ' || a.attnum || ' '))),
	       EXISTS (SELECT FROM pg_index WHERE indrelid = $1 AND indisprimary AND a.attnum = ANY (indkey))
	         OR EXISTS (SELECT FROM pg_partitioned_table WHERE partrelid = $1 AND a.attnum = ANY (partattrs))
	         OR EXISTS (SELECT FROM pg_constraint WHERE confrelid = $1 AND contype = 'f' AND a.attnum = ANY (confkey)),
	       EXISTS (SELECT FROM pg_constraint WHERE conrelid = $1 AND contype = 'f' AND a.attnum = ANY (conkey)),
	       t.typname::text, t.typtype::text, t.typcategory::text,
	       CASE WHEN t.typname IN ('varchar', 'bpchar') AND b.mod >= 4 THEN b.mod - 4 ELSE 0 END,
	       coalesce((SELECT enumlabel::text FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder LIMIT 1), ''),
	       (SELECT count(*) FROM pg_attribute AS p WHERE p.attrelid = t.typrelid AND t.typrelid <> 0 AND p.attnum > 0 AND NOT p.attisdropped),
	       a.attgenerated <> '' OR a.attidentity = 'a'
	  FROM base AS b
	  JOIN pg_type AS t ON t.oid = b.oid AND t.typtype <> 'd'
	  JOIN pg_attribute AS a ON a.attrelid = $1 AND a.attnum = b.attnum
	 ORDER BY a.attnum`

// columnFacts gives the facts about a relation's columns.
func columnFacts(ctx context.Context, tx pgx.Tx, relation uint32) ([]fact, error) {
	rows, err := tx.Query(ctx, factsSQL, relation)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (f fact, err error) {
		err = row.Scan(&f.name, &f.mandatory, &f.unique, &f.key, &f.refers, &f.base, &f.kind, &f.category,
			&f.width, &f.label, &f.attributes, &f.fixed)
		return f, err
	})
}

// hook is something of the schema's that runs when rows are written.
type hook struct {
	relation uint32
	table    string
	name     string
	rule     bool
	event    string // delete or update
}

// hooksSQL lists rules and enabled triggers, but those that the server made
// itself for a constraint, of relations and their partitions.
const hooksSQL = `
	SELECT t.tgrelid, n.nspname || '.' || c.relname, t.tgname::text, false,
	       CASE WHEN t.tgtype & 24 = 24 THEN 'delete or update' WHEN t.tgtype & 8 <> 0 THEN 'delete' ELSE 'update' END
	  FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
	 WHERE t.tgrelid = ANY ($1::oid[]) AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & 24 <> 0 AND t.tgparentid = 0
	UNION ALL
	SELECT r.ev_class, n.nspname || '.' || c.relname, r.rulename::text, true, CASE r.ev_type WHEN '2' THEN 'update' ELSE 'delete' END
	  FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = r.ev_class JOIN pg_namespace AS n ON n.oid = c.relnamespace
	 WHERE r.ev_class = ANY ($1::oid[]) AND r.ev_type IN ('2', '4') AND r.ev_enabled IN ('O', 'A')
	 ORDER BY 2, 3`

func hooks(ctx context.Context, tx pgx.Tx, relations []uint32) ([]hook, error) {
	rows, err := tx.Query(ctx, hooksSQL, relations)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (h hook, err error) {
		err = row.Scan(&h.relation, &h.table, &h.name, &h.rule, &h.event)
		return h, err
	})
}

// factOf finds a column's.
func factOf(facts []fact, column string) (fact, bool) {
	i := slices.IndexFunc(facts, func(f fact) bool { return f.name == column })
	if i < 0 {
		return fact{}, false
	}
	return facts[i], true
}
