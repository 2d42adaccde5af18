package reseal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/seal"
)

const oneClass = `
  ssn: {columns: [public.people.ssn], seal: deterministic, clear: accept}
`

const oneTable = "CREATE TABLE people (id int PRIMARY KEY, ssn text, born text, name text);\nINSERT INTO people SELECT i, 'ssn ' || i, '1990-01-01', 'name' FROM generate_series(1, 50) AS i;\n"

// versions tells whether any row was written.
const versions = "SELECT sum(xmin::text::bigint * id) + count(*) FROM people"

// TestRefused has jobs that may not begin, and looks that nothing was changed.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name, schema, classes, want string
	}{
		{"too short", "ALTER TABLE people ALTER ssn TYPE varchar(40)", "", "takes 43 characters when it is sealed, and it has room for 40: ALTER TABLE \"public\".\"people\" ALTER COLUMN \"ssn\" TYPE text"},
		{"a check", "ALTER TABLE people ADD CONSTRAINT form CHECK (ssn ~ '^ssn [0-9]+$')", "", "the CHECK form of public.people does not hold for what is sealed"},
		{"a check that fails", "UPDATE people SET ssn = id; ALTER TABLE people ADD CONSTRAINT form CHECK (ssn::int > id - 1)", "", "the CHECK form of public.people fails for what is sealed (SQLSTATE 22P02)"},
		{"a foreign key", "ALTER TABLE people ADD UNIQUE (ssn); CREATE TABLE visits (ssn text REFERENCES people (ssn))", "\n  ssn: {columns: [public.people.ssn, public.visits.ssn], seal: deterministic, joins: true, clear: accept}\n", "the foreign key visits_ssn_fkey would refuse what is changed on one side only"},
		{"values of another form", "UPDATE people SET born = '1.2.1990' WHERE id > 48", "\n  ssn: {columns: [public.people.born], seal: randomized, type: date, clear: accept}\n", "2 clear values are not written as date: correct them first; the first is public.people at ctid (0,51): dates and times are written as"},
		{"no clear: accept", "", "\n  ssn: {columns: [public.people.ssn], seal: randomized}\n", `class "ssn" does not say clear: accept: pgveil takes the 50 clear values for damage until they are sealed`},
		{"own keys", "", "\n  ssn: {columns: [public.people.ssn], seal: randomized, shred: true, clear: accept}\n", "has shred: true"},
		{"too long for its index", "CREATE INDEX wide ON people (ssn); UPDATE people SET ssn = repeat('x', 2200) WHERE id = 1", "", "takes 2968 bytes when it is sealed, which is more than the index wide takes"},
		{"parts by it", "CREATE TABLE p (ssn text) PARTITION BY LIST (ssn); CREATE TABLE p1 PARTITION OF p DEFAULT; INSERT INTO p VALUES ('a')", "\n  ssn: {columns: [public.p.ssn], seal: deterministic, clear: accept}\n", "rows of public.p are put into partitions by it"},
		{"a trigger that undoes it", "CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.ssn := OLD.ssn; RETURN NEW; END'; CREATE TRIGGER undo BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION undo()", "", "a trigger stores something else than was written"},
		{"a trigger that tells", "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''% is secret'', OLD.ssn; END'; CREATE TRIGGER tell BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION tell()", "", "the server refuses what is to be stored (SQLSTATE P0001), perhaps by a trigger"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.classes == "" {
				tt.classes = oneClass
			}
			s := newSite(t, oneTable+tt.schema, tt.classes)
			c := s.all[0]
			before := one(t, s.conn, versions)
			r, err := s.job(t).Migrate(t.Context(), c)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%+v, %v; want %s", r, err, tt.want)
			}
			if after := one(t, s.conn, versions); after != before {
				t.Error("rows were changed")
			}
		})
	}
}

// TestWithoutTriggers seals both sides of a foreign key, past a trigger.
func TestWithoutTriggers(t *testing.T) {
	s := newSite(t, oneTable+`ALTER TABLE people ADD UNIQUE (ssn); CREATE TABLE visits (id serial PRIMARY KEY, ssn text REFERENCES people (ssn)); INSERT INTO visits (ssn) SELECT ssn FROM people;
CREATE TABLE follows (ssn text REFERENCES people (ssn) ON UPDATE CASCADE); INSERT INTO follows SELECT ssn FROM people;
CREATE TABLE seen (n int); CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.seen VALUES (1); RETURN NEW; END';
CREATE TRIGGER see BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION see()`, `
  ssn: {columns: [public.people.ssn, public.visits.ssn, public.follows.ssn], seal: deterministic, joins: true, clear: accept}
`)
	for _, c := range s.all {
		j := s.job(t)
		j.WithoutTriggers = true
		if r, err := j.Migrate(t.Context(), c); err != nil || r.Done != 50 {
			t.Fatalf("%s: %+v, %v", c.Column, r, err)
		}
	}
	if n := one(t, s.conn, "SELECT count(*) FROM people JOIN visits USING (ssn) JOIN follows USING (ssn)"); n != 50 {
		t.Errorf("%d of 50 rows refer to one", n)
	}
	if n := one(t, s.conn, "SELECT count(*) FROM seen"); n != 0 {
		t.Errorf("the trigger ran %d times", n)
	}
}

// TestCascades seals the referenced side alone: the other follows.
func TestCascades(t *testing.T) {
	s := newSite(t, oneTable+`ALTER TABLE people ADD UNIQUE (ssn); CREATE TABLE follows (id serial PRIMARY KEY, ssn text REFERENCES people (ssn) ON UPDATE CASCADE); INSERT INTO follows (ssn) SELECT ssn FROM people`, `
  ssn: {columns: [public.people.ssn, public.follows.ssn], seal: deterministic, joins: true, clear: accept}
`)
	follows, people := s.column(t, "public.follows.ssn"), s.column(t, "public.people.ssn")
	if _, err := s.job(t).Migrate(t.Context(), follows); err == nil || !strings.Contains(err.Error(), "it follows another column") {
		t.Errorf("what follows, first: %v", err)
	}
	if _, err := s.job(t).Migrate(t.Context(), people); err != nil {
		t.Fatal(err)
	}
	if r, err := s.job(t).Migrate(t.Context(), follows); err != nil || r.Done != 0 || r.Census.Sealed() != 50 {
		t.Errorf("what follows: %+v, %v", r, err)
	}
}

// TestUnfit leaves what looks sealed and is not, and what others damaged, as it is.
func TestUnfit(t *testing.T) {
	s := newSite(t, oneTable, oneClass)
	c := s.all[0]
	if _, err := s.job(t).Migrate(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	s.exec(t, `UPDATE people SET ssn = 'pgv1.is my number' WHERE id = 1`)
	s.exec(t, `UPDATE people SET ssn = 'pgv1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' WHERE id = 2`)
	s.exec(t, `UPDATE people SET ssn = left(ssn, -1) || 'A' WHERE id = 3`) // does not open
	s.exec(t, `UPDATE people SET ssn = 'clear again' WHERE id = 4`)
	was := one(t, s.conn, "SELECT sum(hashtext(ssn)) FROM people WHERE id < 4")
	if census := s.count(t, c); census.Damaged != 2 || census.Clear != 1 {
		t.Errorf("%+v", census)
	}
	if r, err := s.job(t).Migrate(t.Context(), c); err != nil || r.Done != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	s.rotate(t, c.Class)
	r, err := s.job(t).Rotate(t.Context(), c)
	if !errors.Is(err, ErrUnfit) || r.Done != 47 || r.Left != 1 || len(r.Unfit) != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	if now := one(t, s.conn, "SELECT sum(hashtext(ssn)) FROM people WHERE id < 4"); now != was {
		t.Error("they were changed")
	}
}

// TestUnknownKey takes a ring from before a rotation.
func TestUnknownKey(t *testing.T) {
	s := newSite(t, oneTable, oneClass)
	c := s.all[0]
	k := s.rotate(t, c.Class)
	if _, err := s.job(t).Migrate(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	s.exec(t, "INSERT INTO people VALUES (51, 'clear')")
	before := one(t, s.conn, versions)
	s.keys[c.Class] = s.keys[c.Class][:1]
	s.keys[c.Class][0].State = seal.Primary
	s.renew(t)
	want := fmt.Sprintf("public.people.ssn has 50 values under key %08x: the file of keys does not have them: was it restored from a backup", k.ID)
	for name, do := range map[string]func(*Job) (*Result, error){
		"migrate": func(j *Job) (*Result, error) { return j.Migrate(t.Context(), c) },
		"rotate":  func(j *Job) (*Result, error) { return j.Rotate(t.Context(), c) },
		"unseal":  func(j *Job) (*Result, error) { return j.Unseal(t.Context(), c) },
	} {
		if _, err := do(s.job(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", name, err, want)
		}
	}
	if one(t, s.conn, versions) != before {
		t.Error("rows were changed")
	}
	j := s.job(t)
	j.LeaveUnknown = true
	if r, err := j.Migrate(t.Context(), c); err != nil || r.Done != 1 || len(r.Census.Unknown()) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestWall builds one while values are clear, and has it hold for all when none is.
func TestWall(t *testing.T) {
	s := newSite(t, oneTable+"ALTER TABLE people ADD b bytea, ADD j jsonb; UPDATE people SET b = 'x', j = '{}'", `
  ssn: {columns: [public.people.ssn, public.people.b, public.people.j], seal: randomized, clear: accept}
`)
	j := s.job(t)
	clear := map[string]string{"ssn": "'x'", "b": "'x'", "j": `'"x"'`}
	for _, c := range s.all {
		if w, err := j.AddWall(t.Context(), c); err != nil || w.Valid || w.Name != c.Name+"_sealed" {
			t.Fatalf("%+v, %v", w, err)
		}
		if _, err := s.conn.Exec(t.Context(), fmt.Sprintf("UPDATE people SET %s = %s WHERE id = 1", c.Name, clear[c.Name])); err == nil || !strings.Contains(err.Error(), "23514") {
			t.Errorf("a clear value in %s: %v", c.Column, err)
		}
	}
	for _, c := range s.all {
		// The other columns are clear still, and their walls refuse the rows.
		if _, err := j.Migrate(t.Context(), c); err == nil || !strings.Contains(err.Error(), "23514") {
			t.Errorf("with other walls: %v", err)
		}
	}
	for _, c := range s.all {
		if name, err := j.DropWall(t.Context(), c); err != nil || name == "" {
			t.Errorf("%q, %v", name, err)
		}
	}
	for _, c := range s.all {
		if _, err := j.Migrate(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if w, err := j.AddWall(t.Context(), c); err != nil || !w.Valid {
			t.Errorf("%+v, %v", w, err)
		}
		s.rotate(t, c.Class)
		if _, err := j.Rotate(t.Context(), c); err != nil {
			t.Errorf("rotating behind a wall: %v", err)
		}
		if _, err := j.Unseal(t.Context(), c); !errors.Is(err, ErrWall) {
			t.Errorf("unsealing behind a wall: %v", err)
		}
		if r, err := j.Check(t.Context(), c); err != nil || r.Wall == nil || !r.Wall.Valid || r.refused(func(topic) bool { return true }) != nil {
			t.Errorf("%+v, %v", r, err)
		}
	}
	// Somebody who uses the table all the time is not held up.
	other := pgtest.Connect(t, s.dsn)
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "UPDATE people SET name = name"); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if _, err := j.DropWall(t.Context(), s.all[0]); err == nil || !strings.Contains(err.Error(), "try again when less is done") || time.Since(begun) > 20*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
}

// TestWallOfParts builds walls around partitions and heirs.
func TestWallOfParts(t *testing.T) {
	s := newSite(t, `CREATE TABLE parted (id int, ssn text) PARTITION BY HASH (id);
CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE base (id int, ssn text); CREATE TABLE heir () INHERITS (base);
INSERT INTO parted SELECT i, 'x' FROM generate_series(1, 50) AS i; INSERT INTO heir SELECT i, 'x' FROM generate_series(1, 50) AS i`, `
  ssn: {columns: [public.parted.ssn, public.base.ssn], seal: randomized, clear: accept}
`)
	j := s.job(t)
	for _, c := range s.all {
		w, err := j.AddWall(t.Context(), c)
		if err != nil || w.Valid {
			t.Fatalf("%s: %+v, %v", c.Column, w, err)
		}
		if r, err := j.Migrate(t.Context(), c); err != nil || r.Done != 50 {
			t.Fatalf("%s: %+v, %v", c.Column, r, err)
		}
		if w, err = j.AddWall(t.Context(), c); err != nil || !w.Valid {
			t.Errorf("%s: %+v, %v", c.Column, w, err)
		}
	}
	for _, table := range []string{"parted", "parted_1", "base", "heir"} {
		if _, err := s.conn.Exec(t.Context(), "INSERT INTO "+table+" (id, ssn) VALUES (3, 'clear')"); err == nil {
			t.Errorf("%s takes a clear value", table)
		}
	}
}

// TestLarge seals values of which few make a batch.
func TestLarge(t *testing.T) {
	s := newSite(t, "CREATE TABLE people (id int PRIMARY KEY, ssn bytea); ALTER TABLE people ALTER ssn SET STORAGE EXTERNAL; INSERT INTO people SELECT i, decode(repeat('00', 300000), 'hex') FROM generate_series(1, 400) AS i; ALTER TABLE people ADD fill text; UPDATE people SET fill = repeat('x', 1500)", `
  ssn: {columns: [public.people.ssn], seal: randomized, clear: accept}
`)
	r, err := s.job(t).Migrate(t.Context(), s.all[0])
	if err != nil || r.Done != 400 || r.Batches < 4 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestFindings has what would break told.
func TestFindings(t *testing.T) {
	s := newSite(t, oneTable+`
ALTER TABLE people ADD phone text, ADD phone_blind bytea, ADD last text GENERATED ALWAYS AS (right(ssn, 4)) STORED, ADD seen timestamptz;
CREATE UNIQUE INDEX once ON people (ssn); CREATE INDEX low ON people (lower(ssn)); CREATE INDEX part ON people (id) WHERE ssn IS NULL;
CREATE MATERIALIZED VIEW copies AS SELECT ssn FROM people;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.seen := now(); RETURN NEW; END';
CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM OLD.ssn; RETURN NEW; END';
CREATE FUNCTION find(text) RETURNS int LANGUAGE sql AS 'SELECT id FROM people WHERE ssn = $1';
CREATE TRIGGER touch BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER log AFTER UPDATE ON people FOR EACH ROW EXECUTE FUNCTION log();
CREATE TRIGGER off AFTER UPDATE ON people FOR EACH ROW EXECUTE FUNCTION log(); ALTER TABLE people DISABLE TRIGGER off;
ALTER TABLE people ADD CONSTRAINT there CHECK (ssn <> '');
ALTER TABLE people ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON people USING (ssn <> '');
`, `
  ssn: {columns: [public.people.ssn], seal: randomized, clear: accept}
  phone: {columns: [public.people.phone], seal: randomized, index: blind, clear: accept}
`)
	r, err := s.job(t).Check(t.Context(), s.column(t, "public.people.ssn"))
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, f := range r.Findings {
		said = append(said, fmt.Sprintf("%s: %s", f.Level, f.Says))
	}
	for _, want := range []string{
		"breaks: the unique index once no longer keeps equal values apart",
		"breaks: the index low computes from it", "breaks: the index part computes from it",
		"breaks: the materialized view copies has copies",
		"breaks: the trigger log runs for each row, and log() looks at the column",
		"note: the trigger touch runs for each row that is sealed, and touch() looks at rows",
		"breaks: functions name the table and the column, and would have what is sealed: find(text)",
		"breaks: policy mine on table people looks at what is sealed",
		"column last of table people looks at what is sealed", // before PostgreSQL 15 the column, and then its default value
		"note: no CHECK keeps clear values out",
	} {
		if !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("%q is not found", want)
		}
	}
	if len(said) != 10 {
		t.Errorf("%s", strings.Join(said, "\n"))
	}
	r, err = s.job(t).Check(t.Context(), s.column(t, "public.people.phone"))
	if err != nil || !slices.ContainsFunc(r.Findings, func(f Finding) bool {
		return f.Level == Breaks && strings.Contains(f.Says, "no index on \"phone_blind\"")
	}) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestLogin comes as somebody who may not do it all.
func TestLogin(t *testing.T) {
	s := newSite(t, oneTable+`DO $$ BEGIN CREATE ROLE sealer LOGIN; EXCEPTION WHEN duplicate_object THEN END $$;
GRANT SELECT ON people TO sealer`, oneClass)
	c := s.all[0]
	come := func(t *testing.T, do func(*Job) error, want string) {
		t.Helper()
		j := s.job(t)
		if _, err := j.Conn.Exec(t.Context(), "SET SESSION AUTHORIZATION sealer"); err != nil {
			t.Fatal(err)
		}
		if err := do(j); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v; want %s", err, want)
		}
	}
	migrate := func(j *Job) error { _, err := j.Migrate(t.Context(), c); return err }
	before := one(t, s.conn, versions)
	come(t, migrate, "the login sealer may not read and update ssn of public.people: name one that may by --admin-url")
	s.exec(t, "GRANT UPDATE (ssn) ON people TO sealer")
	come(t, func(j *Job) error { _, err := j.AddWall(t.Context(), c); return err }, "only the owner changes CHECKs; name one by --admin-url")
	come(t, func(j *Job) error { j.WithoutTriggers = true; return migrate(j) }, "--without-triggers takes a superuser")
	s.exec(t, "ALTER TABLE people ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON people USING (id < 10)")
	come(t, migrate, "row-level security")
	if one(t, s.conn, versions) != before {
		t.Error("rows were changed")
	}
	s.exec(t, "ALTER TABLE people DISABLE ROW LEVEL SECURITY")
	come(t, migrate, "")
	if census := s.count(t, c); census.Sealed() != 50 {
		t.Errorf("%+v", census)
	}
}
