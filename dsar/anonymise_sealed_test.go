package dsar

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/seal"
)

// opens gives what a sealed column of some rows holds once it is opened.
func opens(t *testing.T, conn *pgx.Conn, g *Graph, column, where string) []string {
	t.Helper()
	parts := strings.Split(column, ".")
	r, _ := g.catalog.Relation(nil, parts[0], parts[1])
	var all []string
	for _, text := range query[*string](t, conn, fmt.Sprintf("SELECT %s FROM %s.%s AS c WHERE %s ORDER BY 1", readText(g.set.Sealed(r, parts[2]), "c", parts[2]), parts[0], parts[1], where)) {
		value, err := g.Values.openText(t.Context(), g.set.Sealed(r, parts[2]), text)
		switch {
		case err != nil:
			t.Errorf("%s: %v", column, err)
		case value == nil:
			all = append(all, "NULL")
		default:
			all = append(all, *value)
		}
	}
	return all
}

// TestEraseSeals writes what stands in for a value sealed, and nothing where that may be.
func TestEraseSeals(t *testing.T) {
	conn, g := sealed(t, "    erase: [{on: [public.customers, public.letters], do: anonymise}]")
	erase(t, conn, g, EraseOptions{Request: 1, Shred: &shredded{}}, "1")
	got := map[string]string{}
	for _, c := range []string{"email", "phone", "born", "income", "notes", "vip", "seen", "photo", "allergy", "referred_by_email"} {
		got[c] = strings.Join(opens(t, conn, g, "public.customers."+c, "id = 1"), " ")
	}
	if email := got["email"]; !strings.HasSuffix(email, mailDomain) || len(email) != 32+len(mailDomain) {
		t.Errorf("the address is %s", email)
	}
	delete(got, "email")
	want := map[string]string{"phone": "NULL", "born": "1900-01-01", "income": "NULL", "notes": "NULL", "vip": "NULL", "seen": "NULL", "photo": "NULL", "allergy": "NULL", "referred_by_email": "NULL"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if left := query[int](t, conn, "SELECT id FROM customers WHERE phone_blind IS NOT NULL"); !cmp.Equal(left, []int{2}) {
		t.Errorf("hashes are left of %v", left)
	}
	if got := opens(t, conn, g, "public.customers.born", "id = 2"); !cmp.Equal(got, []string{"1980-02-29"}) {
		t.Errorf("the other's birth is %v", got)
	}
	if got := opens(t, conn, g, "public.letters.body", "customer_id = 1"); !cmp.Equal(got, []string{"NULL", "NULL"}) {
		t.Errorf("letters are %v", got)
	}
}

// TestFormats has what keeps a format found, opened, and replaced by what has it.
func TestFormats(t *testing.T) {
	conn, g := erasable(t, "CREATE TABLE customers (id int PRIMARY KEY, ssn varchar(9) NOT NULL UNIQUE CHECK (ssn ~ '^[0-9]{9}$'), plate text NOT NULL)", `
classes:
  open: [public.customers.id]
  ssn: {columns: [public.customers.ssn], identifies: true, seal: deterministic, format: digits(9)}
  plate: {columns: [public.customers.plate], seal: deterministic, format: "letters(5, 9)"}
subjects:
  customer: {table: public.customers, key: id, find_by: [ssn], erase: [{on: [public.customers], do: anonymise}]}`)
	ssn, plate := seal.NewKey("ssn", seal.Primary, time.Now()), seal.NewKey("plate", seal.Primary, time.Now())
	ssn.Format, plate.Format = true, true
	ring, err := seal.NewRing(ssn, plate)
	if err != nil {
		t.Fatal(err)
	}
	g.Values = Values{Ring: func() *seal.Ring { return ring }}
	for i, value := range []string{"123456789", "987654321"} {
		if _, err := conn.Exec(t.Context(), "INSERT INTO customers VALUES ($1, $2, $3)", i, sealedIn(t, g, "public.customers.ssn", value).text, sealedIn(t, g, "public.customers.plate", "ABCDE").text); err != nil {
			t.Fatal(err)
		}
	}
	if row := mustExport(t, conn, g, "0").Tables["public.customers"][0]; row["ssn"] != "123456789" || row["plate"] != "ABCDE" {
		t.Errorf("the row is %v", row)
	}
	if found, err := g.resolve(t.Context(), conn, privacy.Key{Column: "ssn", Values: []string{"987654321"}}); err != nil || found.Name != "1" {
		t.Errorf("found %+v, %v", found, err)
	}
	_, err = g.resolve(t.Context(), conn, privacy.Key{Column: "ssn", Values: []string{"98765432"}})
	wantCode(t, err, privacy.BadKey, "it is not digits(9)")
	_, err = Rectify(t.Context(), conn, g, byKey("0"), []Change{{Table: "public.customers", Column: "ssn", Value: "1"}}, RectifyOptions{Record: recordNothing})
	wantCode(t, err, privacy.BadKey, "it is not digits(9)")
	erase(t, conn, g, EraseOptions{Request: 1}, "0")
	if got := opens(t, conn, g, "public.customers.plate", "id = 0"); !cmp.Equal(got, []string{"AAAAA"}) {
		t.Errorf("the plate is %v", got)
	}
	if got := opens(t, conn, g, "public.customers.ssn", "id = 0"); len(got) != 1 || len(got[0]) != 9 || got[0] == "123456789" {
		t.Errorf("the number is %v", got)
	}
}

const mandatorySchema = `
	CREATE TABLE customers (id int PRIMARY KEY, phone text NOT NULL, phone_blind bytea NOT NULL UNIQUE, health text NOT NULL, age bytea NOT NULL, doc json NOT NULL);
	CREATE TABLE visits (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, at text NOT NULL, diagnosis text NOT NULL);`

const mandatoryPolicy = `
classes:
  open: [public.customers.id, public.customers.phone_blind, public.visits.id, public.visits.customer_id]
  phone: {columns: [public.customers.phone], seal: randomized, index: blind}
  health: {columns: [public.customers.health, public.visits.diagnosis], seal: randomized, shred: true}
  age: {columns: [public.customers.age], seal: deterministic, type: integer}
  doc: {columns: [public.customers.doc], seal: randomized}
  at: {columns: [public.visits.at], seal: randomized, type: timestamp}
subjects:
  customer: {table: public.customers, key: id, find_by: [phone], erase: [{on: [public.customers, public.visits], do: anonymise}]}`

// TestEraseSealsEach gives each row an envelope of its own, a data key of its own, and the
// hash that its value is found by.
func TestEraseSealsEach(t *testing.T) {
	conn, g := erasable(t, mandatorySchema, mandatoryPolicy)
	g.Values = sealingValues(t, "phone", "health", "age", "doc", "at")
	in := func(column, value string) string { return sealedIn(t, g, "public."+column, value).text }
	for id := 1; id <= 2; id++ {
		phone := sealedIn(t, g, "public.customers.phone", fmt.Sprint("+49 ", id))
		if _, err := conn.Exec(t.Context(), "INSERT INTO customers VALUES ($1, $2, $3, $4, $5::text::bytea, $6)", id, phone.text, phone.blind, in("customers.health", "well"), in("customers.age", "42"), in("customers.doc", "[1]")); err != nil {
			t.Fatal(err)
		}
	}
	for v := range 5 {
		if _, err := conn.Exec(t.Context(), "INSERT INTO visits VALUES ($1, 1, $2, $3)", v, in("visits.at", "2026-01-01 10:00"), in("visits.diagnosis", fmt.Sprint("flu ", v))); err != nil {
			t.Fatal(err)
		}
	}
	before := query[string](t, conn, "SELECT diagnosis FROM visits")
	keys := &shredded{}
	o := EraseOptions{Request: 1, Key: byKey("1"), Plan: plan(t, conn, g, "1"), Batch: 2, Shred: keys}
	without := *g
	without.Values = Values{}
	_, err := Erase(t.Context(), conn, &without, o)
	wantCode(t, err, privacy.NotAvailable, "there are no keys here")
	if after := query[string](t, conn, "SELECT diagnosis FROM visits"); !cmp.Equal(before, after) {
		t.Error("something was written without keys")
	}
	if _, err := Erase(t.Context(), conn, g, o); err != nil {
		t.Fatal(err)
	}
	for column, want := range map[string][]string{
		"customers.health": {"anonymised"}, "customers.age": {"0"}, "customers.doc": {"{}"},
	} {
		if got := opens(t, conn, g, "public."+column, "id = 1"); !cmp.Equal(got, want) {
			t.Errorf("%s is %v", column, got)
		}
	}
	for column, want := range map[string]string{"visits.at": "1900-01-01 00:00:00", "visits.diagnosis": "anonymised"} {
		if got := opens(t, conn, g, "public."+column, "true"); !cmp.Equal(got, []string{want, want, want, want, want}) {
			t.Errorf("%s is %v", column, got)
		}
	}
	if n := query[int](t, conn, "SELECT count(DISTINCT diagnosis)::int FROM visits"); n[0] != 5 {
		t.Errorf("%d different envelopes in 5 rows", n[0])
	}
	for _, text := range query[string](t, conn, "SELECT diagnosis FROM visits") {
		if id, _ := seal.DataKeyOf([]byte(text), "text"); fmt.Sprint(keys.ids) == "[]" || strings.Contains(fmt.Sprint(keys.ids), fmt.Sprintf(" %d ", id)) {
			t.Errorf("the key %d of what stands in is destroyed: %v", id, keys.ids)
		}
	}
	phone := opens(t, conn, g, "public.customers.phone", "id = 1")[0]
	if found, err := g.resolve(t.Context(), conn, privacy.Key{Column: "phone", Values: []string{phone}}); err != nil || found.Name != "1" {
		t.Errorf("what stands in for the number, %s, is not found by its hash: %v", phone, err)
	}
	if _, err := g.resolve(t.Context(), conn, privacy.Key{Column: "phone", Values: []string{"+49 1"}}); err == nil {
		t.Error("the number that was erased is found")
	}
}
