package rewrite_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

// vault gives an engine for the fixture whose columns are sealed.
func vault(t testing.TB) *rewrite.Engine {
	t.Helper()
	dir := filepath.Join("..", "testdata", "fixtures", "vault")
	schema, err := os.ReadFile(filepath.Join(dir, "schema.sql"))
	if err != nil {
		t.Fatal(err)
	}
	cat, err := ddl.Parse(string(schema))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Load(filepath.Join(dir, "policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	return rewrite.New(cat, set, 1<<20)
}

// told writes what a plan says of sealed values: the text to send with what
// is to be sealed in braces, parameters, and columns to open.
func told(p *rewrite.Plan) string {
	if p.Seals == nil {
		return p.SQL
	}
	var b strings.Builder
	at := 0
	for _, h := range p.Seals.Holes {
		fmt.Fprintf(&b, "%s{%s of %s%s}", p.SQL[at:h.At], h.Value, h.For.Column, found(h.Find)+forms(h.Forms))
		at = h.End
	}
	b.WriteString(p.SQL[at:])
	for i, prm := range p.Seals.Params {
		fmt.Fprintf(&b, " | $%d=$%d", i+1, prm.Client)
		if prm.For != nil {
			fmt.Fprintf(&b, " of %s%s%s", prm.For.Column, found(prm.Find), forms(prm.Forms))
		}
		if prm.Null != "" {
			b.WriteString(" if NULL")
		}
	}
	for step, outputs := range p.Seals.Outputs {
		for _, o := range outputs {
			fmt.Fprintf(&b, " | %d.%d from %s", step, o.Column, o.As[0].Column)
			if o.Show.Show != policy.ShowClear {
				fmt.Fprintf(&b, " as %s", o.Show.Shown())
			}
		}
	}
	return b.String()
}

func found(find bool) string {
	if find {
		return "?"
	}
	return ""
}

func forms(all bool) string {
	if all {
		return ", all forms"
	}
	return ""
}

func TestSealed(t *testing.T) {
	e := vault(t)
	for _, tt := range []struct{ login, sql, want string }{
		{"root", `SELECT 1`, `SELECT 1`},
		{"root", `SELECT name FROM people WHERE id = 7`, `SELECT name FROM people WHERE id = 7`},
		{"root", `SELECT id, ssn FROM people`, `SELECT id, ssn FROM people | 0.1 from public.people.ssn`},
		{"root", `SELECT * FROM leads`, `SELECT * FROM leads | 0.1 from public.leads.ssn`},
		{"root", `SELECT number FROM directory`, `SELECT number FROM directory | 0.0 from public.people.ssn`},
		{"root", `INSERT INTO leads VALUES (1, '123', 'web')`, `INSERT INTO leads VALUES (1, {123 of public.leads.ssn}, 'web')`},
		{"root", `INSERT INTO leads (source, ssn) VALUES ('a', NULL), ('b', DEFAULT), ('c', 'x')`, `INSERT INTO leads (source, ssn) VALUES ('a', NULL), ('b', DEFAULT), ('c', {x of public.leads.ssn})`},
		{"root", `SELECT 1; UPDATE people SET ssn = '9' WHERE ssn = '8'; SELECT ssn FROM leads`, `SELECT 1; UPDATE people SET ssn = {9 of public.people.ssn} WHERE ssn IN ({8 of public.people.ssn, all forms}); SELECT ssn FROM leads | 2.0 from public.leads.ssn`},
		{"root", `SELECT id FROM people WHERE ssn IN ('1', '2') OR ssn IS NULL`, `SELECT id FROM people WHERE ssn IN ({1 of public.people.ssn, all forms}, {2 of public.people.ssn, all forms}) OR ssn IS NULL`},
		{"root", `SELECT p.id FROM people p JOIN leads l USING (ssn)`, `SELECT p.id FROM people p JOIN leads l USING (ssn)`},
		{"root", `SELECT ssn, count(*) FROM people GROUP BY ssn`, `SELECT ssn, count(*) FROM people GROUP BY ssn | 0.0 from public.people.ssn`},
		{"root", `SELECT DISTINCT ssn FROM people UNION SELECT ssn FROM leads`, `SELECT DISTINCT ssn FROM people UNION SELECT ssn FROM leads | 0.0 from public.people.ssn`},
		{"root", `SELECT count(iban), count(DISTINCT ssn) FROM people`, `SELECT count(iban), count(DISTINCT ssn) FROM people`},
		{"root", `WITH x AS (SELECT ssn s FROM people) SELECT (SELECT s FROM x LIMIT 1), 1`, `WITH x AS (SELECT ssn s FROM people) SELECT (SELECT s FROM x LIMIT 1), 1 | 0.0 from public.people.ssn`},
		{"root", `INSERT INTO leads (id, ssn) SELECT id, ssn FROM people`, `INSERT INTO leads (id, ssn) SELECT id, ssn FROM people`},
		{"root", `INSERT INTO leads (id, ssn) VALUES (1, '2') ON CONFLICT (id) DO UPDATE SET ssn = excluded.ssn RETURNING ssn`,
			`INSERT INTO leads (id, ssn) VALUES (1, {2 of public.leads.ssn}) ON CONFLICT (id) DO UPDATE SET ssn = excluded.ssn RETURNING ssn AS ssn | 0.0 from public.leads.ssn`},
		{"root", `INSERT INTO leads (id, ssn) SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM leads WHERE ssn = $2)`,
			`INSERT INTO leads (id, ssn) SELECT $1 AS "?column?", $2 AS "?column?" WHERE NOT EXISTS (SELECT FROM leads WHERE ssn = ANY($3)) | $1=$1 | $2=$2 of public.leads.ssn | $3=$2 of public.leads.ssn, all forms`},
		{"root", `SELECT ssn FROM people WHERE $1 IS NULL OR ssn = $1`, `SELECT ssn FROM people WHERE $1 IS NULL OR ssn = ANY($1) | $1=$1 of public.people.ssn, all forms | 0.0 from public.people.ssn`},
		{"root", `SELECT id FROM people WHERE $1::date IS NULL OR born = $2`, `SELECT id FROM people WHERE $1 IS NULL OR born = ANY($2) | $1=$1 if NULL | $2=$2 of public.people.born, all forms`},
		{"root", `SELECT id FROM people WHERE ($1::text IS NULL OR ssn = $1) AND ($2::int IS NULL OR id = $2)`,
			`SELECT id FROM people WHERE ($1 IS NULL OR ssn = ANY($1)) AND ($2::int IS NULL OR id = $2) | $1=$1 of public.people.ssn, all forms | $2=$2`},
		{"root", `SELECT id FROM people WHERE ssn IN ($1, 'a', $2) OR ssn NOT IN ('b', $3) OR 'c' = ssn OR ssn <> $1`, `SELECT id FROM people WHERE ssn IN ({a of public.people.ssn, all forms}) OR ssn = ANY($1) OR ssn = ANY($2) OR (ssn NOT IN ({b of public.people.ssn, all forms}) AND ssn <> ALL($3)) OR ssn IN ({c of public.people.ssn, all forms}) OR ssn <> ALL($1) | $1=$1 of public.people.ssn, all forms | $2=$2 of public.people.ssn, all forms | $3=$3 of public.people.ssn, all forms`},
		{"root", `SELECT id FROM people WHERE ssn IS DISTINCT FROM 'a' OR ssn IS NOT DISTINCT FROM $1`, `SELECT id FROM people WHERE NOT ssn IN ({a of public.people.ssn, all forms}) IS TRUE OR (ssn = ANY($1) IS TRUE OR (ssn IS NULL AND $1 IS NULL)) | $1=$1 of public.people.ssn, all forms`},
		{"root", `SELECT id FROM people WHERE phone = ANY(ARRAY[$1, '5'])`, `SELECT id FROM people WHERE phone_blind IN ({5 of public.people.phone?, all forms}) OR phone_blind = ANY($1) | $1=$1 of public.people.phone?, all forms`},
		{"root", `UPDATE people SET born = DATE '2001-02-03' WHERE born = '1999-01-01'::date`, `UPDATE people SET born = {2001-02-03 of public.people.born} WHERE born IN ({1999-01-01 of public.people.born, all forms})`},
		{"root", `UPDATE people SET income = 12.50`, `UPDATE people SET income = {12.50 of public.people.income}`},
		{"root", `UPDATE people SET phone = '55' WHERE phone = '44'`, `UPDATE people SET phone = {55 of public.people.phone}, phone_blind = {55 of public.people.phone?} WHERE phone_blind IN ({44 of public.people.phone?, all forms})`},
		{"root", `INSERT INTO people (id, name, phone) VALUES (1, 'a', $1)`, `INSERT INTO people (id, name, phone, phone_blind) VALUES (1, 'a', $1, $2) | $1=$1 of public.people.phone | $2=$1 of public.people.phone?`},

		{"root", `INSERT INTO people (id, name, phone) VALUES (1, 'a', NULL), (2, 'b', '55'), (3, 'c', DEFAULT)`,
			`INSERT INTO people (id, name, phone, phone_blind) VALUES (1, 'a', NULL, NULL), (2, 'b', {55 of public.people.phone}, {55 of public.people.phone?}), (3, 'c', DEFAULT, NULL)`},
		{"root", `CREATE INDEX ON people (ssn) WHERE ssn IS NOT NULL`, `CREATE INDEX ON people (ssn) WHERE ssn IS NOT NULL`},
		{"root", `ALTER TABLE leads ADD CHECK (ssn LIKE 'pgv1.%'), ADD note text DEFAULT 'x'`, `ALTER TABLE leads ADD CHECK (ssn LIKE 'pgv1.%'), ADD note text DEFAULT 'x'`},
		{"root", `CREATE VIEW v AS SELECT ssn FROM leads; SELECT 1`, `CREATE VIEW v AS SELECT ssn FROM leads; SELECT 1`},
		{"root", `SET search_path = public; INSERT INTO leads VALUES (1, '2', '')`, `SET search_path = public; INSERT INTO leads VALUES (1, {2 of public.leads.ssn}, '')`},
		{"root", `SELECT COALESCE(ssn, 'none') FROM people`, `SELECT COALESCE(ssn, {none of public.people.ssn}) FROM people | 0.0 from public.people.ssn`},
		{"root", `SELECT CASE WHEN id > 1 THEN ssn END AS x FROM people WHERE COALESCE(ssn, '') <> ''`,
			`SELECT CASE WHEN id > 1 THEN ssn END AS x FROM people WHERE COALESCE(ssn, { of public.people.ssn}) NOT IN ({ of public.people.ssn, all forms}) | 0.0 from public.people.ssn`},
		{"root", `SELECT count(*) OVER (PARTITION BY ssn) FROM people`, `SELECT count(*) OVER (PARTITION BY ssn) FROM people`},
		{"root", `INSERT INTO patients (id, allergy) VALUES ($1, $2), ($3, $2) RETURNING allergy`,
			`INSERT INTO patients (id, allergy) VALUES ($1, $2), ($3, $4) RETURNING allergy AS allergy | $1=$1 | $2=$2 of public.patients.allergy | $3=$3 | $4=$2 of public.patients.allergy | 0.0 from public.patients.allergy`},
		{"root", `UPDATE patients SET allergy = 'nuts' WHERE ward = 'a' AND 7 = id`, `UPDATE patients SET allergy = {nuts of public.patients.allergy} WHERE ward = 'a' AND 7 = id`},
		{"root", `UPDATE patients SET allergy = NULL`, `UPDATE patients SET allergy = NULL`},
		{"root", `INSERT INTO patients VALUES (1, lower('A'), 'nuts') ON CONFLICT (id) DO UPDATE SET allergy = 'dust'`,
			`INSERT INTO patients VALUES (1, lower('A'), {nuts of public.patients.allergy}) ON CONFLICT (id) DO UPDATE SET allergy = {dust of public.patients.allergy}`},
		{"root", `INSERT INTO patients (id, allergy) VALUES (1, 'a'), (2, 'b') ON CONFLICT (id) DO UPDATE SET allergy = excluded.allergy`,
			`INSERT INTO patients (id, allergy) VALUES (1, {a of public.patients.allergy}), (2, {b of public.patients.allergy}) ON CONFLICT (id) DO UPDATE SET allergy = excluded.allergy`},

		{"carla", `SELECT ssn FROM people WHERE ssn = '5'`, `SELECT people.ssn FROM public.people WHERE people.ssn IN ({5 of public.people.ssn, all forms}) | 0.0 from public.people.ssn`},
		{"amy", `SELECT ssn, born FROM people`, ` | 0.0 from public.people.ssn as last(4) | 0.1 from public.people.born as year`},
		{"amy", `SELECT count(ssn) FROM people WHERE ssn IS NOT NULL`, ``},
	} {
		p, err := e.Plan(session(t, e, tt.login, ""), tt.sql)
		if err != nil {
			t.Errorf("%s: %s: %v", tt.login, tt.sql, err)
			continue
		}
		if got := told(p); got != tt.want && !(tt.login != "root" && strings.HasSuffix(got, tt.want)) {
			t.Errorf("%s: %s\n got %s\nwant %s", tt.login, tt.sql, got, tt.want)
		}
	}
}

func TestSealedRefusals(t *testing.T) {
	e := vault(t)
	for _, tt := range []struct{ login, sql, want string }{
		{"root", `SELECT upper(ssn) FROM people`, "cannot be computed with"},
		{"root", `SELECT ssn || 'x' FROM people`, "compared but for being equal"},
		{"root", `SELECT ssn FROM people ORDER BY ssn`, "sorted by"},
		{"root", `SELECT ssn FROM people ORDER BY 1`, "sorted by"},
		{"root", `SELECT ssn AS x FROM people ORDER BY x`, "sorted by"},
		{"root", `SELECT max(ssn) FROM people`, "computed with"},
		{"root", `SELECT id FROM people WHERE ssn LIKE '1%'`, "compared but for being equal"},
		{"root", `SELECT id FROM people WHERE ssn > '1'`, "compared but for being equal"},
		{"root", `SELECT id FROM people WHERE iban = '1'`, "randomized"},
		{"root", `SELECT DISTINCT iban FROM people`, "randomized"},
		{"root", `SELECT p FROM people p`, "name the columns"},
		{"root", `SELECT row_to_json(p) FROM people p`, "name the columns"},
		{"root", `SELECT ssn FROM people UNION ALL SELECT name FROM people`, "not sealed"},
		{"root", `SELECT ssn FROM people UNION ALL SELECT 'x'`, "not sealed"},
		{"root", `SELECT id FROM people WHERE ssn = name`, "computes"},
		{"root", `SELECT v.at FROM visits v JOIN people p ON p.ssn = v.ssn`, "sealed differently"},
		{"root", `SELECT v.at FROM visits v NATURAL JOIN people p`, "sealed differently"},
		{"root", `SELECT id FROM people WHERE ssn IN (SELECT name FROM people)`, "not sealed"},
		{"root", `SELECT id FROM people WHERE name IN (SELECT ssn FROM people)`, "compared so"},
		{"root", `SELECT ARRAY(SELECT ssn FROM people)`, "compared so"},
		{"root", `INSERT INTO leads (id, ssn) VALUES (1, lower('A'))`, "computes"},
		{"root", `INSERT INTO leads (id, ssn) SELECT id, name FROM people`, "computes"},
		{"root", `INSERT INTO leads (id, source) SELECT id, ssn FROM people`, "not sealed"},
		{"root", `UPDATE leads SET source = ssn`, "not sealed"},
		{"root", `UPDATE visits SET ssn = p.ssn FROM people p WHERE p.id = person_id`, "sealed differently"},
		{"root", `UPDATE people SET ssn = name`, "computes"},
		{"root", `UPDATE people SET phone_blind = 'x'`, "pgveil writes"},
		{"root", `CREATE TABLE x AS SELECT ssn FROM people`, "new table"},
		{"root", `SELECT ssn INTO x FROM people`, "new table"},
		{"root", `DO $$ BEGIN UPDATE people SET ssn = 'x'; END $$`, "plain statement"},
		{"root", `COPY people FROM '/tmp/x'`, "STDIN"},
		{"root", `COPY people FROM STDIN WHERE ssn = '1'`, "WHERE"},
		{"root", `UPDATE people SET born = 'x'::timestamp`, "cast"},
		{"root", `UPDATE people SET ssn = '1'::varchar(3)`, "cast"},
		{"root", `PREPARE p AS UPDATE people SET ssn = $1`, "PREPARE"},
		{"root", `INSERT INTO people (id, name, ssn) VALUES (1, $1, $1)`, "in clear"},
		{"root", `SELECT $1 FROM people WHERE ssn = $1`, "in clear"},
		{"root", `SELECT count(*) FILTER (WHERE upper(ssn) = 'X') FROM people`, "computed with"},
		{"root", `SELECT rank() OVER (ORDER BY ssn) FROM people`, "sorted by"},
		{"root", `SELECT x FROM (SELECT ssn AS x FROM people) s WHERE x LIKE 'a'`, "compared but for being equal"},
		{"root", `WITH RECURSIVE r AS (SELECT ssn, name FROM people UNION ALL SELECT name, ssn FROM r) SELECT * FROM r`, "not sealed"},
		{"root", `MERGE INTO leads l USING people p ON l.id = p.id WHEN MATCHED THEN UPDATE SET source = p.ssn`, "not sealed"},
		{"root", `UPDATE leads SET (source, ssn) = (SELECT 'a', 'b')`, "computes"},
		{"root", `DELETE FROM people WHERE ssn < 'a'`, "compared but for being equal"},
		{"root", `DELETE FROM people RETURNING upper(ssn)`, "computed with"},
		{"root", `SELECT COALESCE(ssn, name) FROM people`, "computes"},
		{"root", `SELECT CASE ssn WHEN 'x' THEN 1 END FROM people`, "computed with"},
		{"root", `SELECT id FROM initials`, "cannot be used"},
		{"root", `SELECT nothing FROM people`, "cannot be followed"},
		{"root", `UPDATE patients SET allergy = 'nuts'`, "more than one row"},
		{"root", `UPDATE patients SET allergy = 'nuts' WHERE id = 1 OR ward = 'a'`, "more than one row"},
		{"root", `UPDATE patients SET allergy = 'nuts' WHERE id IN (1, 2)`, "more than one row"},
		{"root", `UPDATE patients SET allergy = 'nuts' WHERE id = ANY ($1)`, "more than one row"},
		{"root", `UPDATE patients SET allergy = 'nuts' WHERE id > 1`, "more than one row"},
		{"root", `UPDATE patients p SET allergy = 'nuts' FROM people q WHERE q.id = 1`, "more than one row"},
		{"root", `UPDATE patients p SET allergy = 'nuts' FROM people q WHERE p.id = q.id AND q.id = 1`, "more than one row"},
		{"root", `UPDATE patients SET allergy = 'nuts' WHERE id OPERATOR(public.=) 1`, "more than one row"},
		{"root", `INSERT INTO patients (id, allergy) SELECT id, 'nuts' FROM people`, "more than one row"},
		{"root", `INSERT INTO patients (id, allergy) SELECT 1, 'nuts'`, "more than one row"},
		{"root", `INSERT INTO patients (id, allergy) VALUES (generate_series(1, 9), 'nuts')`, "more than one row"},
		{"root", `INSERT INTO patients (id, allergy) VALUES (unheard_of(1), 'nuts')`, "cannot be followed"},
		{"root", `INSERT INTO patients (id, allergy) VALUES (1, 'a'), (2, 'b') ON CONFLICT (id) DO UPDATE SET allergy = 'nuts'`, "more than one row"},
		{"root", `INSERT INTO patients (id, allergy) SELECT id + 1, allergy FROM patients`, "would share the key"},
		{"root", `UPDATE patients p SET allergy = q.allergy FROM patients q WHERE p.id = 1`, "would share the key"},
		{"root", `MERGE INTO patients t USING people p ON t.id = p.id WHEN MATCHED THEN UPDATE SET allergy = 'x'`, "more than one row"},
		{"root", `MERGE INTO patients t USING people p ON t.id = p.id WHEN NOT MATCHED THEN INSERT (id, allergy) VALUES (p.id, 'x')`, "more than one row"},
		{"root", `PREPARE p AS INSERT INTO patients (id, allergy) VALUES ($1, 'nuts')`, "PREPARE"},
		{"root", `EXPLAIN ANALYZE CREATE TABLE x AS SELECT ssn FROM people`, "new table"},
		{"root", `CREATE TABLE x AS EXECUTE p`, "EXECUTE"},
		{"root", `CREATE VIEW v AS SELECT * FROM leads; INSERT INTO v VALUES (1, 'x', '')`, "end the transaction"},
		{"root", `CREATE TABLE l2 () INHERITS (leads); COPY l2 FROM STDIN`, "end the transaction"},
		{"root", `CREATE TEMP VIEW v AS SELECT * FROM leads`, "temporary"},
		{"root", `CREATE VIEW v AS SELECT id FROM leads WHERE ssn = 'x'`, "holds a value"},
		{"root", `CREATE VIEW v AS SELECT upper(ssn) FROM leads`, "computed with"},
		{"root", `CREATE TEMP TABLE l2 () INHERITS (leads)`, "temporary"},
		{"root", `CREATE TABLE l2 (ssn text DEFAULT 'x') INHERITS (leads)`, "default"},
		{"root", `CREATE TABLE l2 (CHECK (ssn <> 'x')) INHERITS (leads)`, "look at"},
		{"root", `CREATE SCHEMA s CREATE VIEW v AS SELECT id FROM public.leads WHERE ssn = 'x'`, "holds a value"},
		{"root", `ALTER TABLE leads ALTER ssn SET DEFAULT 'x'`, "default"},
		{"root", `ALTER TABLE leads ALTER ssn TYPE varchar USING lower(ssn)`, "compute"},
		{"root", `ALTER TABLE leads ADD CHECK (ssn <> 'x')`, "look at"},
		{"root", `ALTER TABLE leads ADD y text GENERATED ALWAYS AS (ssn) STORED`, "look at"},
		{"root", `ALTER TABLE leads RENAME TO x`, "do not open"},
		{"root", `ALTER TABLE leads RENAME ssn TO x`, "do not open"},
		{"root", `ALTER TABLE leads SET SCHEMA x`, "do not open"},
		{"root", `ALTER SCHEMA public RENAME TO x`, "do not open"},
		{"root", `CREATE INDEX ON leads (lower(ssn))`, "look at"},
		{"root", `CREATE INDEX ON leads (id) WHERE ssn = 'x'`, "look at"},
		{"root", `CREATE INDEX ON leads ((leads.*::text))`, "look at"},
		{"root", `CREATE STATISTICS s ON lower(ssn), id FROM leads`, "look at"},
		{"root", `CREATE POLICY p ON leads USING (ssn = 'x')`, "look at"},
		{"root", `ALTER POLICY p ON leads WITH CHECK (ssn = 'x')`, "look at"},
		{"root", `CREATE RULE r AS ON INSERT TO leads DO ALSO INSERT INTO leads VALUES (2, 'x', '')`, "a rule"},
		{"root", `CREATE RULE r AS ON INSERT TO other DO ALSO INSERT INTO leads VALUES (2, 'x', '')`, "a rule"},
		{"root", `CREATE TRIGGER t BEFORE INSERT ON leads FOR EACH ROW WHEN (new.ssn = 'x') EXECUTE FUNCTION f()`, "look at"},
		{"root", `CREATE PUBLICATION p FOR TABLE leads WHERE (ssn = 'x')`, "look at"},
		{"root", `ALTER PUBLICATION p ADD TABLE leads WHERE (ssn = 'x')`, "look at"},
		{"root", `SELECT query_to_xml('SELECT 1', true, true, '')`, "nobody opens"},
		{"root", `SELECT ts_stat('SELECT ssn FROM people')`, "nobody opens"},
		{"root", `SELECT DISTINCT ssn FROM (SELECT ssn FROM people UNION ALL SELECT ssn FROM visits) s`, "sealed differently"},
		{"root", `WITH RECURSIVE r AS (SELECT id, ssn FROM people UNION ALL SELECT id, ssn FROM r) CYCLE id SET c USING p SELECT * FROM r`, "SEARCH or CYCLE"},
		{"root", `WITH RECURSIVE r AS (SELECT id, ssn FROM people UNION ALL SELECT id, ssn FROM r) SEARCH DEPTH FIRST BY ssn SET o SELECT o FROM r`, "SEARCH or CYCLE"},
		{"root", `INSERT INTO people (id, notes['a']) VALUES (1, '1')`, "part of it"},
		{"root", `MERGE INTO people p USING leads l ON p.id = l.id WHEN NOT MATCHED THEN INSERT (id, notes['a']) VALUES (1, '1')`, "part of it"},
		{"root", `INSERT INTO people (id, name, phone) SELECT 1, 'x', '55'`, "found by"},
		{"root", `UPDATE leads SET (ssn, source) = ('x', 'y')`, "each"},
		{"amy", `SELECT id FROM people WHERE ssn = '5'`, "masked"},
		{"amy", `SELECT DISTINCT ssn FROM people`, "masked"},
		{"amy", `UPDATE people SET ssn = '5' WHERE id = 1`, "mask"},
		{"amy", `INSERT INTO leads (id, ssn) SELECT id, ssn FROM people`, "mask"},
		{"amy", `SELECT l.id FROM leads l JOIN people p USING (ssn)`, "masked"},
	} {
		p, err := e.Plan(session(t, e, tt.login, ""), tt.sql)
		var r *rewrite.Refusal
		if !errors.As(err, &r) {
			t.Errorf("%s: %s: %v, %v", tt.login, tt.sql, p, err)
		} else if !strings.Contains(r.Message+" "+r.Hint, tt.want) {
			t.Errorf("%s: %s: %s", tt.login, tt.sql, r.Message)
		}
	}
}

// A statement of which a stage that seals was left out is not sent.
func TestSealedVerified(t *testing.T) {
	e := vault(t)
	for _, stage := range []string{"follow sealed", "seal"} {
		for _, sql := range []string{
			`SELECT id FROM people WHERE ssn = '5'`,
			`SELECT id FROM people WHERE ssn = $1`,
			`INSERT INTO leads VALUES (1, '2', 'web')`,
			`INSERT INTO leads SELECT 1, '2', 'web'`,
			`UPDATE people SET born = '2001-02-03' WHERE id = 1`,
			`MERGE INTO leads l USING people p ON l.ssn = '5' WHEN MATCHED THEN UPDATE SET source = 'x'`,
			`INSERT INTO leads (id, ssn) VALUES (1, NULL) ON CONFLICT (id) DO UPDATE SET ssn = 'x'`,
		} {
			if sent, want, err := e.Skip(session(t, e, "carla", "support"), sql, stage); !rewrite.IsVerification(err) || want == "" {
				t.Errorf("without %q: %s\nis sent as %s, in place of %s: %v", stage, sql, sent, want, err)
			}
		}
	}
}
