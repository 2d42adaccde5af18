package dsar

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/seal"
)

// dataKeys is a store of data keys in memory.
type dataKeys struct {
	ring *seal.Ring
	kept map[seal.DataKeyID]seal.DataKey
}

func (d *dataKeys) Take(_ context.Context, class string, _ bool) (seal.DataKey, error) {
	k, _, _, err := d.ring.NewDataKey(class, seal.DataKeyID(len(d.kept)+1))
	d.kept[k.ID] = k
	return k, err
}

func (d *dataKeys) Fetch(_ context.Context, ids []seal.DataKeyID, _ bool, found func(seal.DataKey)) error {
	for _, id := range ids {
		if k, ok := d.kept[id]; ok {
			found(k)
		}
	}
	return nil
}

// sealingValues gives keys for classes.
func sealingValues(t testing.TB, classes ...string) Values {
	t.Helper()
	var keys []*seal.Key
	for _, c := range classes {
		keys = append(keys, seal.NewKey(c, seal.Primary, time.Now()))
	}
	ring, err := seal.NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return Values{Ring: func() *seal.Ring { return ring }, Keys: &dataKeys{ring, map[seal.DataKeyID]seal.DataKey{}}}
}

// sealedIn gives a value as a column holds it, as text.
func sealedIn(t testing.TB, g *Graph, column, value string) sealedValue {
	t.Helper()
	return sealedAt(t, g, column, value, 0)
}

// sealedAt is sealedIn for the row with an id, where values are bound to rows.
func sealedAt(t testing.TB, g *Graph, column, value string, id int) sealedValue {
	t.Helper()
	parts := strings.Split(column, ".")
	r, ok := g.catalog.Relation(nil, parts[0], parts[1])
	if !ok {
		t.Fatalf("no table of %s", column)
	}
	s, err := g.Values.seal(t.Context(), g.set.Sealed(r, parts[2]), value, fmt.Appendf(nil, "%d~", id))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const sealedSchema = `
	CREATE TABLE customers (id int PRIMARY KEY, email text NOT NULL UNIQUE, phone text, phone_blind bytea, born text NOT NULL, income bytea, notes jsonb, vip text,
		seen varchar(120), photo bytea, allergy text, referred_by int REFERENCES customers, referred_by_email text);
	CREATE TABLE visits (id int PRIMARY KEY, customer_email text, place text);
	CREATE TABLE letters (id int PRIMARY KEY, customer_id int REFERENCES customers, body text);`

const sealedPolicy = `
classes:
  open: [public.customers.id, public.customers.phone_blind, public.customers.referred_by, public.visits.id, public.visits.place, public.letters.id, public.letters.customer_id]
  email: {columns: [public.customers.email, public.customers.referred_by_email, public.visits.customer_email], identifies: true, seal: deterministic, joins: true}
  phone: {columns: [public.customers.phone], identifies: true, seal: randomized, index: blind}
  born: {columns: [public.customers.born], seal: randomized, type: date}
  income: {columns: [public.customers.income], seal: randomized, type: numeric, bind: row}
  notes: {columns: [public.customers.notes], seal: randomized, damaged: hide, bind: row}
  vip: {columns: [public.customers.vip], seal: randomized, type: boolean}
  seen: {columns: [public.customers.seen], seal: deterministic, type: timestamptz}
  photo: {columns: [public.customers.photo], seal: randomized, bind: row}
  allergy: {columns: [public.customers.allergy], seal: randomized, shred: true, bind: row}
  body: {columns: [public.letters.body], seal: randomized, clear: accept, bind: row}
subjects:
  customer:
    table: public.customers
    key: id
    find_by: [email, phone]
    references: [{from: public.visits.customer_email, to: email}]
%s`

// sealed gives a database of two customers whose values are sealed.
func sealed(t testing.TB, erase string) (*pgx.Conn, *Graph) {
	t.Helper()
	conn, g := erasable(t, sealedSchema, fmt.Sprintf(sealedPolicy, erase))
	g.Values = sealingValues(t, "email", "phone", "born", "income", "notes", "vip", "seen", "photo", "allergy", "body")
	for _, c := range []struct {
		id   int
		name string
		by   *int
	}{{2, "bob", nil}, {1, "ada", new(2)}} {
		id, name := c.id, c.name
		in := func(column, value string) string { return sealedAt(t, g, "public.customers."+column, value, id).text }
		phone := sealedIn(t, g, "public.customers.phone", fmt.Sprintf("+49 30 %d", id))
		_, err := conn.Exec(t.Context(), `INSERT INTO customers VALUES ($1, $2, $3, $4, $5, $6::text::bytea, $7, $8, $9, $10::text::bytea, $11, $12, $13)`,
			id, in("email", name+"@a.example"), phone.text, phone.blind, in("born", "1980-02-29"), in("income", "1234.50"), in("notes", `{"vegan": [true]}`), in("vip", "true"),
			in("seen", "2026-01-02 04:04:05+01"), in("photo", `\x00ff`), in("allergy", "nuts"), c.by, in("referred_by_email", "other@a.example"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Exec(t.Context(), "INSERT INTO visits VALUES ($1, $2, 'Bonn')", 10*id, sealedIn(t, g, "public.visits.customer_email", name+"@a.example").text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "INSERT INTO letters VALUES ($1, $2, $3), ($1 + 1, $2, 'in clear')", 10*id, id, sealedAt(t, g, "public.letters.body", "Dear "+name, 10*id).text); err != nil {
			t.Fatal(err)
		}
	}
	return conn, g
}

func TestExportOpens(t *testing.T) {
	conn, g := sealed(t, "")
	text, err := export(t, conn, g, byKey("1"), ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, ciphertext := range []string{"pgv1.", `\\xe5`, "phone_blind"} {
		if strings.Contains(text, ciphertext) {
			t.Errorf("the document has %s:\n%s", ciphertext, text)
		}
	}
	doc := read(t, text)
	other := map[string]any{"redacted": "another customer"}
	want := map[string][]map[string]any{
		"public.customers": {{
			"id": 1., "email": "ada@a.example", "phone": "+49 30 1", "born": "1980-02-29", "income": 1234.5, "notes": map[string]any{"vegan": []any{true}}, "vip": true,
			"seen": "2026-01-02T03:04:05+00:00", "photo": `\x00ff`, "allergy": "nuts", "referred_by": other, "referred_by_email": other,
		}},
		"public.visits":  {{"id": 10., "customer_email": "ada@a.example", "place": "Bonn"}},
		"public.letters": {{"id": 10., "customer_id": 1., "body": "Dear ada"}, {"id": 11., "customer_id": 1., "body": "in clear"}},
	}
	if diff := cmp.Diff(want, doc.Tables); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	pretty, err := export(t, conn, g, byKey("1"), ExportOptions{Pretty: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, read(t, pretty).Tables); diff != "" {
		t.Errorf("indented: -want +got:\n%s", diff)
	}
	p := pack(t, conn, g, byKey("1"), PackageOptions{})
	rows, _ := p.csv(t, "public.customers")
	if diff := cmp.Diff([][]string{{"1", "ada@a.example", "+49 30 1", "1980-02-29", "1234.50", `{"vegan": [true]}`, "true", "2026-01-02 03:04:05+00", `\x00ff`, "nuts", "[redacted: another customer]", "[redacted: another customer]"}}, rows); diff != "" {
		t.Errorf("CSV: -want +got:\n%s", diff)
	}
	if page := p.text(t, indexName); strings.Contains(page, "pgv1.") || !strings.Contains(page, "1980-02-29") {
		t.Error("the page has what is stored")
	}
}

// TestExportDamaged tells of what cannot be opened, or fails.
func TestExportDamaged(t *testing.T) {
	conn, g := sealed(t, "")
	set := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	set("UPDATE customers SET notes = to_jsonb(left(notes #>> '{}', -2)) WHERE id = 1")
	text, err := export(t, conn, g, byKey("1"), ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const why = "it is damaged, or sealed for another place"
	if got := read(t, text).Tables["public.customers"][0]["notes"]; !cmp.Equal(got, map[string]any{"unreadable": why}) || !strings.Contains(text, `"unreadable":{"public.customers.notes":1}`) {
		t.Errorf("notes are %v in:\n%s", got, text)
	}
	p := pack(t, conn, g, byKey("1"), PackageOptions{})
	rows, _ := p.csv(t, "public.customers")
	if rows[0][5] != "[unreadable: "+why+"]" || p.manifest.Unreadable["public.customers.notes"] != 1 || !strings.Contains(p.text(t, indexName), "public.customers.notes: 1.") {
		t.Errorf("notes are %q, and the manifest has %v", rows[0][5], p.manifest.Unreadable)
	}
	set("UPDATE customers SET born = '1980-02-29' WHERE id = 1")
	_, err = export(t, conn, g, byKey("1"), ExportOptions{})
	wantCode(t, err, privacy.NotAvailable, "a value of public.customers.born cannot be opened: it is not sealed")
	g.Values = Values{}
	_, err = export(t, conn, g, byKey("1"), ExportOptions{})
	wantCode(t, err, privacy.NotAvailable, "there are no keys here")
}

// TestFindSealed looks for subjects by what is sealed.
func TestFindSealed(t *testing.T) {
	conn, g := sealed(t, "")
	for _, by := range []privacy.Key{{Column: "email", Values: []string{"bob@a.example"}}, {Column: "phone", Values: []string{"+49 30 2"}}} {
		found, err := g.resolve(t.Context(), conn, by)
		if err != nil || found.Name != "2" {
			t.Errorf("by %s: %+v, %v", by.Column, found, err)
		}
	}
	_, err := g.resolve(t.Context(), conn, privacy.Key{Column: "email", Values: []string{"nobody@a.example"}})
	wantCode(t, err, privacy.NotFound, "no such customer")
	_, err = g.resolve(t.Context(), conn, privacy.Key{Column: "born", Values: []string{"1980-02-29"}})
	wantCode(t, err, privacy.NoColumn, "cannot be looked up by that column")
	for _, sql := range []string{"born", "seen"} {
		root := g.Tables[0].Relation
		_, _, err := g.Values.match(g.set, root, sql, "c", "yesterday", 1)
		wantCode(t, err, privacy.BadKey, "does not fit public.customers."+sql)
	}
	_, _, err = g.Values.match(g.set, g.Tables[0].Relation, "born", "c", "1980-02-29", 1)
	wantCode(t, err, privacy.NotAllowed, "equal values of it look different")
	s := Service{Values: g.Values}
	err = pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		key, err := s.keyOf(t.Context(), tx, g.set, g.Subject, privacy.Key{Column: "phone", Values: []string{"+49 30 1"}})
		if err == nil && key != "1" {
			err = fmt.Errorf("it is %s", key)
		}
		return err
	})
	if err != nil {
		t.Errorf("in the book: %v", err)
	}
	g.Values = Values{}
	_, err = g.resolve(t.Context(), conn, privacy.Key{Column: "email", Values: []string{"bob@a.example"}})
	wantCode(t, err, privacy.NotAvailable, "there are no keys here")
}
