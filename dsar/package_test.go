package dsar

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// packed is a package, read.
type packed struct {
	*zip.Reader
	manifest Manifest
}

// pack makes a package and reads it. What it is made of is compared with its
// manifest.
func pack(t testing.TB, conn *pgx.Conn, g *Graph, key privacy.Key, o PackageOptions) packed {
	t.Helper()
	var b bytes.Buffer
	made, err := Package(t.Context(), conn, g, key, o, &b)
	if err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("PGVEIL_TEST_PACKAGES"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "_")+".zip"), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := bytes.NewReader(b.Bytes())
	m, err := VerifyPackage(r, r.Size())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made.Files, m.Files); diff != "" || made.Digest != m.Digest {
		t.Errorf("the manifest that is read is another: %s", diff)
	}
	z, err := zip.NewReader(r, r.Size())
	if err != nil {
		t.Fatal(err)
	}
	return packed{z, m}
}

func (p packed) text(t testing.TB, name string) string {
	t.Helper()
	b, err := fs.ReadFile(p, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// csv gives the rows of a table without the header, and with the table's file.
func (p packed) csv(t testing.TB, table string) ([][]string, File) {
	t.Helper()
	i := slices.IndexFunc(p.manifest.Files, func(f File) bool { return f.Table == table })
	if i < 0 {
		t.Fatalf("no file has the rows of %s", table)
	}
	text := p.text(t, p.manifest.Files[i].Name)
	if strings.Count(text, "\n") != strings.Count(text, "\r\n") && !strings.Contains(text, `"`) {
		t.Errorf("%s has lines that do not end in CRLF", table)
	}
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:], p.manifest.Files[i]
}

func (p packed) names() []string {
	var names []string
	for _, f := range p.File {
		names = append(names, f.Name)
	}
	return names
}

func TestPackageCRM(t *testing.T) {
	conn, g := crm(t, "crm")
	p := pack(t, conn, g, byKey("1"), PackageOptions{PreparedBy: "petra", Request: 7, Controller: Controller{Name: "Acme <b>GmbH</b>"}})
	want := mustExport(t, conn, g, "1")
	got := read(t, p.text(t, dataName))
	if diff := cmp.Diff(want.Tables, got.Tables); diff != "" || want.SHA256 != got.SHA256 {
		t.Errorf("data.json is not what PRIVACY EXPORT gives: %s", diff)
	}
	for table, n := range want.Counts {
		rows, f := p.csv(t, table)
		if len(rows) != n || *f.Rows != int64(n) || p.manifest.Counts[table] != int64(n) {
			t.Errorf("%s has %d rows in CSV, %d and %d in the manifest, want %d", table, len(rows), *f.Rows, p.manifest.Counts[table], n)
		}
	}
	var about About
	if err := json.Unmarshal([]byte(p.text(t, aboutName)), &about); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(about.Purposes, func(u PurposeOf) bool { return u.Name == "marketing" })
	if i < 0 || about.Purposes[i].Basis != bases["consent"] || about.Purposes[i].Consent != "newsletter" || about.Seen.Recorded {
		t.Errorf("about is %+v", about)
	}
	page := p.text(t, indexName)
	for _, want := range []string{"Acme &lt;b&gt;GmbH&lt;/b&gt;", "number 7", "petra", "crm.customers", "Article 6(1)(a)", "Not stated in this document."} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page, "<script") || strings.Contains(page, "http") && strings.Contains(page, "src=") {
		t.Error("the page has a script, or needs what is elsewhere")
	}
	validate(t, p, got)
}

// TestPackageSeen takes who saw the rows from the log in the database: roles and
// purposes, and no persons.
func TestPackageSeen(t *testing.T) {
	conn, g := crm(t, "crm")
	if _, err := conn.Exec(t.Context(), state.Schema()+state.AccessLogSchema(nil)+`
		SELECT pgveil.access_log_days('2026-11-21', '2026-11-22');
		INSERT INTO pgveil.subjects VALUES ('customer', '1', 'aaaaaaaaaaaaaaaaaaaaaa');
		INSERT INTO pgveil.access_subjects SELECT 'crm', n, '2026-11-21 10:00+00'::timestamptz + n * interval '1 hour', n, 0, 'customer',
			CASE WHEN n < 4 THEN 'aaaaaaaaaaaaaaaaaaaaaa' END, CASE WHEN n >= 4 THEN 5 END FROM generate_series(1, 5) AS n;
		INSERT INTO pgveil.access_log (log, seq, at, kind, username, roles, purpose, command, reasons, classes, columns, column_classes, column_shows, column_uses, subject_kinds, hash, outcome)
			SELECT 'crm', n, '2026-11-21 10:00+00'::timestamptz + n * interval '1 hour', 'statement', 'pia', CASE WHEN n < 5 THEN '{clerk,lead}' ELSE '{}' END::text[],
				CASE WHEN n < 5 THEN 'sales' END, CASE WHEN n < 5 THEN 'SELECT' ELSE 'PRIVACY' END, '{}', '{}', '{}', '{}', '{}', '{}', '{customer}', '\x00', 8 FROM generate_series(1, 5) AS n`); err != nil {
		t.Fatal(err)
	}
	p := pack(t, conn, g, privacy.Key{Column: "email", Values: query[string](t, conn, "SELECT email FROM crm.customers WHERE id = 1")}, PackageOptions{})
	var about About
	if err := json.Unmarshal([]byte(p.text(t, aboutName)), &about); err != nil {
		t.Fatal(err)
	}
	at := func(hour int) time.Time { return time.Date(2026, 11, 21, 10+hour, 0, 0, 0, time.UTC) }
	want := Seen{Recorded: true, Since: at(1), By: []SeenBy{
		{Roles: "clerk, lead", Purpose: "sales", Certain: 3, Possible: 1, First: at(1), Last: at(4)},
		{Purpose: Requests, Possible: 1, First: at(5), Last: at(5)},
	}}
	if diff := cmp.Diff(want, about.Seen); diff != "" {
		t.Errorf("seen: -want +got:\n%s", diff)
	}
	if page := p.text(t, indexName); !strings.Contains(page, "<th scope=\"row\">clerk, lead</th>") || strings.Contains(page, "pia") {
		t.Error("the page does not say who saw, or names persons")
	}
}

// validate holds data.json to schema.json.
func validate(t testing.TB, p packed, _ exported) {
	t.Helper()
	var schema map[string]any
	var data any
	if err := errors.Join(json.Unmarshal([]byte(p.text(t, schemaName)), &schema), json.Unmarshal([]byte(p.text(t, dataName)), &data)); err != nil {
		t.Fatal(err)
	}
	for _, fault := range (validator{schema}).check(schema, data, "") {
		t.Error("data.json does not fit schema.json: " + fault)
	}
}

// validator knows of JSON Schema what ours are made of.
type validator struct{ root map[string]any }

func (v validator) check(schema map[string]any, value any, at string) (faults []string) {
	for word, is := range schema {
		switch word {
		case "$schema", "title", "description", "$defs", "format", "pattern", "minimum":
		case "$ref":
			faults = append(faults, v.check(v.root["$defs"].(map[string]any)["redacted"].(map[string]any), value, at)...)
		case "anyOf":
			if !slices.ContainsFunc(is.([]any), func(s any) bool { return v.check(s.(map[string]any), value, at) == nil }) {
				faults = append(faults, at+": none of anyOf")
			}
		case "type":
			types, many := is.([]any)
			if !many {
				types = []any{is}
			}
			if !slices.ContainsFunc(types, func(t any) bool { return typed(value, t.(string)) }) {
				faults = append(faults, fmt.Sprintf("%s: is %T, want one of %v", at, value, types))
			}
		case "items":
			list, _ := value.([]any)
			for i, item := range list {
				faults = append(faults, v.check(is.(map[string]any), item, fmt.Sprintf("%s[%d]", at, i))...)
			}
		case "properties":
			object, _ := value.(map[string]any)
			for name, s := range is.(map[string]any) {
				if member, ok := object[name]; ok {
					faults = append(faults, v.check(s.(map[string]any), member, at+"/"+name)...)
				}
			}
		case "required":
			object, _ := value.(map[string]any)
			for _, name := range is.([]any) {
				if _, ok := object[name.(string)]; !ok {
					faults = append(faults, at+": lacks "+name.(string))
				}
			}
		case "additionalProperties":
			object, _ := value.(map[string]any)
			known, _ := schema["properties"].(map[string]any)
			for name := range object {
				if _, ok := known[name]; !ok {
					faults = append(faults, at+": has "+name)
				}
			}
		default:
			faults = append(faults, "unknown word "+word)
		}
	}
	return faults
}

func typed(value any, name string) bool {
	switch v := value.(type) {
	case nil:
		return name == "null"
	case string:
		return name == "string"
	case bool:
		return name == "boolean"
	case float64:
		return name == "number" || name == "integer" && v == float64(int64(v))
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	}
	return false
}

// hostile are values that break what is careless.
var hostile = []string{
	"", "plain", `"`, `""`, "a,b", "a\nb", "a\r\nb", "\\.", `\N`, "NULL", "=1+1", "+49 30 90182273", "-5", "-cmd|' /C calc'!A0", "@SUM(A1)", "\t=1",
	"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "</td></table>", "{{.}}", "&lt;", "'; DROP TABLE customers; --", "\u202eevil\u202c", "\u2028", "\x01\x1b[2J",
	"Ünïcödé 𝕏", "$1::oid", strings.Repeat("x", 1000) + "é", " blank ", "../../etc/passwd",
}

func TestPackageHostile(t *testing.T) {
	conn := database(t, "", `
		CREATE TABLE customers (id int PRIMARY KEY, name text);
		CREATE SCHEMA "../up"; CREATE SCHEMA con;
		CREATE TABLE "../up"."a/b.c\d" (customer_id int NOT NULL REFERENCES customers, n int, "=v,""<b>" text, "$1::oid" text);
		CREATE TABLE con."Aux" (customer_id int REFERENCES customers); CREATE TABLE con.aux (customer_id int REFERENCES customers);
		CREATE TABLE con."`+strings.Repeat("ü", 31)+`" (customer_id int REFERENCES customers);
		CREATE TABLE single (id int PRIMARY KEY REFERENCES customers) ;
		CREATE TABLE huge (customer_id int NOT NULL REFERENCES customers, b bytea, t text);
		CREATE TABLE types (customer_id int NOT NULL REFERENCES customers, f float8, n numeric, j jsonb, js json, a int[], r int4range, i interval, ts timestamptz, d date, e text);
		INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bob');
		INSERT INTO single VALUES (1); INSERT INTO con.aux VALUES (1); INSERT INTO con."Aux" VALUES (1), (1);
		INSERT INTO huge SELECT 1, decode(repeat('00ff', 4000000), 'hex'), repeat('0123456789', 3000000);
		INSERT INTO types VALUES (1, 'NaN', 'NaN', '{"a": [1, null]}', '[]', '{1,NULL}', '[1,2)', '1 day', 'infinity', '-infinity', NULL), (1, 1.5, 2, '5', 'null', '{}', 'empty', NULL, now(), now(), '')`)
	doc, err := policy.Parse(policy.File{Name: "p.yaml", Text: "version: 1\nmode: enforce\nclasses: {open: [\"*.*.*\"]}\nsubjects:\n" + customerByID})
	if err != nil {
		t.Fatal(err)
	}
	g, err := compile(t, conn, doc, "customer")
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range hostile {
		if _, err := conn.Exec(t.Context(), `INSERT INTO "../up"."a/b.c\d" VALUES (1, $1, $2, $2)`, i, v); err != nil {
			t.Fatal(err)
		}
	}
	p := pack(t, conn, g, byKey("1"), PackageOptions{})
	names := p.names()
	seen := map[string]bool{}
	for _, name := range names {
		small := strings.ToLower(name)
		if seen[small] || !fs.ValidPath(name) || strings.Count(name, "/") > 1 || len(name) > 255 || strings.ContainsAny(name, `\:*?"<>|%`) {
			t.Errorf("%q is not a name that can be unpacked anywhere", name)
		}
		seen[small] = true
		if base := strings.TrimPrefix(small, "csv/"); slices.Contains(devices, strings.SplitN(base, ".", 2)[0]) {
			t.Errorf("%q is a device", name)
		}
	}
	rows, f := p.csv(t, `../up.a/b.c\d`)
	var got []string
	var formulas int64 = 1 // the header's
	for _, r := range rows {
		got = append(got, r[2])
		if formula([]byte(r[2])) {
			formulas += 2
		}
	}
	want := make([]string, len(hostile))
	for i, v := range hostile {
		want[i] = strings.ReplaceAll(v, "\r\n", "\n") // as Go's reader gives it
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values in CSV: -want +got:\n%s", diff)
	}
	if f.Formulas != formulas || formulas < 9 {
		t.Errorf("%d values are told to be formulas, want %d", f.Formulas, formulas)
	}
	if !strings.Contains(p.text(t, f.Name), ",\"a\r\nb\",") {
		t.Error("a CRLF in a value is not exact in CSV")
	}
	if rows, _ := p.csv(t, "public.huge"); len(rows[0][1]) != 2+16000000 || len(rows[0][2]) != 30000000 {
		t.Errorf("huge values are %d and %d bytes", len(rows[0][1]), len(rows[0][2]))
	}
	text := p.text(t, indexOf(p, "public.types"))
	if !strings.Contains(text, ",\r\n") || !strings.Contains(text, ",\"\"\r\n") {
		t.Errorf("NULL and an empty text are not told apart:\n%s", text)
	}
	loaded(t, conn, p, `../up.a/b.c\d`, `"../up"."a/b.c\d"`)
	loaded(t, conn, p, "public.types", "types")
	loaded(t, conn, p, "public.huge", "huge")
	page := p.text(t, indexName)
	for _, bad := range []string{"<script", "<img", "</td></table>\n", "\u202e", "\x1b"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if len(page) > 1<<20 {
		t.Errorf("the page has %d bytes", len(page))
	}
	validate(t, p, exported{})
}

// loaded loads a table's CSV into a copy of the table, which must be equal to it,
// NULLs included.
func loaded(t *testing.T, conn *pgx.Conn, p packed, table, name string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), "DROP TABLE IF EXISTS again; CREATE TEMPORARY TABLE again (LIKE "+name+")"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.PgConn().CopyFrom(t.Context(), strings.NewReader(p.text(t, indexOf(p, table))), "COPY again FROM STDIN (FORMAT csv, HEADER)"); err != nil {
		t.Fatalf("loading the CSV of %s: %v", table, err)
	}
	const lines = "SELECT count(*) || md5(coalesce(string_agg(md5(c::text), ',' ORDER BY md5(c::text)), '')) FROM "
	want, got := query[string](t, conn, lines+name+" AS c"), query[string](t, conn, lines+"again AS c")
	if want[0] != got[0] {
		t.Errorf("the CSV of %s, loaded, is %s, want %s", table, got[0], want[0])
	}
}

func indexOf(p packed, table string) string {
	return p.manifest.Files[slices.IndexFunc(p.manifest.Files, func(f File) bool { return f.Table == table })].Name
}

const portablePolicy = `version: 1
mode: enforce
purposes: {shop: {basis: contract}, news: {basis: consent, consent: news}, fraud: {basis: legitimate_interest}}
subjects: {customer: {table: public.customers, key: id, consent: {table: public.agreed, subject: who, purpose: purpose, given: given, withdrawn: withdrawn}}}
classes:
  open: {columns: [public.customers.id, public.orders.*], provided: false}
  contact: {columns: [public.customers.email, public.orders.payee_name], provided: true}
  score: {columns: [public.customers.score], provided: true}
  made: [public.customers.made_by_us, "public.agreed.*"]
roles:
  clerk: {purposes: [shop], tables: [{on: [public.customers, public.orders], do: [select]}]}
  guard: {purposes: [fraud], tables: [{on: [public.customers], do: [select]}]}
rules:
  - {role: clerk, for: shop, on: contact, show: clear}
  - {role: clerk, for: shop, on: made, show: clear}
  - {role: guard, for: fraud, on: score, show: clear}
users: {ann: {roles: [clerk, guard]}}
`

func TestPackagePortable(t *testing.T) {
	conn := database(t, "", `
		CREATE TABLE customers (id int PRIMARY KEY, email text, score int, made_by_us text);
		CREATE TABLE agreed (who int, purpose text, given date, withdrawn date);
		CREATE TABLE orders (id int PRIMARY KEY, payer_id int NOT NULL REFERENCES customers, payee_id int REFERENCES customers, payee_name text);
		INSERT INTO customers VALUES (1, 'ada@example.com', 7, 'x'), (2, 'bob@example.com', 8, 'y');
		INSERT INTO orders VALUES (1, 1, NULL, 'me'), (2, 1, 2, 'Bob')`)
	doc, err := policy.Parse(policy.File{Name: "p.yaml", Text: portablePolicy})
	if err != nil {
		t.Fatal(err)
	}
	g, err := compile(t, conn, doc, "customer")
	if err != nil {
		t.Fatal(err)
	}
	p := pack(t, conn, g, byKey("1"), PackageOptions{Portable: true})
	want := []string{dataName, "csv/public.customers.csv", "csv/public.orders.csv", schemaName, manifestName}
	if diff := cmp.Diff(want, p.names()); diff != "" {
		t.Errorf("files: -want +got:\n%s", diff)
	}
	got := read(t, p.text(t, dataName))
	tables := map[string][]map[string]any{
		"public.customers": {{"email": "ada@example.com"}},
		"public.orders":    {{"payee_name": "me"}, {"payee_name": map[string]any{"redacted": "another customer"}}},
	}
	if diff := cmp.Diff(tables, got.Tables); diff != "" {
		t.Errorf("tables: -want +got:\n%s", diff)
	}
	if rows, _ := p.csv(t, "public.orders"); rows[1][0] != "[redacted: another customer]" {
		t.Errorf("orders in CSV are %q", rows)
	}
	validate(t, p, got)

	conn, g = crm(t, "crm")
	_, err = Package(t.Context(), conn, g, byKey("1"), PackageOptions{Portable: true}, io.Discard)
	wantCode(t, err, privacy.NotAvailable, "provided: true")
}

// TestPackageAge encrypts a package, and opens it by the right key alone.
func TestPackageAge(t *testing.T) {
	conn, g := crm(t, "crm")
	mine, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEncryption([]string{mine.Recipient().String()})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := e.Writer(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Package(t.Context(), conn, g, byKey("1"), PackageOptions{}, w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	in := bytes.NewReader(b.Bytes())
	if !Encrypted(in) || bytes.Contains(b.Bytes(), []byte("data.json")) {
		t.Error("the package is not encrypted")
	}
	plain, size, err := Decrypted(in, in.Size(), strings.NewReader(mine.String()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyPackage(plain, size); err != nil {
		t.Error(err)
	}
	if _, _, err := Decrypted(in, in.Size(), strings.NewReader(other.String())); err == nil {
		t.Error("another key opens it")
	}
	for _, bad := range [][]string{{"age1nonsense"}, {""}, {"# comment"}, {mine.String()}, {mine.Recipient().String() + "\n" + other.Recipient().String()}, {}} {
		if _, err := NewEncryption(bad); err == nil || strings.Contains(err.Error(), strings.TrimPrefix(mine.String(), "AGE-SECRET-KEY-")) {
			t.Errorf("recipients %.20q: error is %v", bad, err)
		}
	}
}

// full is a disk with room for some bytes.
type full struct{ room int }

func (f *full) Write(b []byte) (int, error) {
	if f.room -= len(b); f.room < 0 {
		return 0, errNoRoom
	}
	return len(b), nil
}

var errNoRoom = errors.New("no space left on device")

func TestPackageFails(t *testing.T) {
	conn, g := scene(t, `
		CREATE TABLE customers (id int PRIMARY KEY, name text);
		CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, note text);
		INSERT INTO customers VALUES (1, 'Ada');
		INSERT INTO orders SELECT n, 1, md5(n::text) FROM generate_series(1, 30000) AS n`, customerByID)
	for room := range 8 {
		if _, err := Package(t.Context(), conn, g, byKey("1"), PackageOptions{}, &full{room * room * 20_000}); !errors.Is(err, errNoRoom) {
			t.Fatalf("with room for %d: error is %v", room*room*20_000, err)
		}
	}
	_, err := Package(t.Context(), conn, g, byKey("99"), PackageOptions{}, &full{})
	wantCode(t, err, privacy.NotFound, "no such customer")

	ctx, cancel := context.WithCancel(t.Context())
	_, err = Package(ctx, conn, g, byKey("1"), PackageOptions{Progress: func(Progress) { cancel() }}, io.Discard)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that the context was cancelled", err)
	}
}

func TestVerifyPackage(t *testing.T) {
	conn, g := crm(t, "crm")
	var whole bytes.Buffer
	if _, err := Package(t.Context(), conn, g, byKey("1"), PackageOptions{}, &whole); err != nil {
		t.Fatal(err)
	}
	// forge writes the package anew, with what change makes of each file.
	forge := func(change func(name, text string) []string) []byte {
		z, err := zip.NewReader(bytes.NewReader(whole.Bytes()), int64(whole.Len()))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		out := zip.NewWriter(&b)
		for _, f := range z.File {
			for _, text := range change(f.Name, packed{Reader: z}.text(t, f.Name)) {
				w, err := out.Create(f.Name)
				if err != nil {
					t.Fatal(err)
				}
				io.WriteString(w, text)
			}
		}
		out.Close()
		return b.Bytes()
	}
	for _, tt := range []struct {
		name, want string
		pack       []byte
	}{
		{"a changed file", "is not as it was", forge(func(name, text string) []string {
			return []string{strings.Replace(text, "\"policy\":", "\"policy\" :", boolInt(name == dataName))}
		})},
		{"a file less", "is missing", forge(func(name, text string) []string {
			if name == aboutName {
				return nil
			}
			return []string{text}
		})},
		{"a file twice", "is there twice", forge(func(name, text string) []string {
			if name == aboutName {
				return []string{text, text}
			}
			return []string{text}
		})},
		{"no manifest", "there is none", forge(func(name, text string) []string {
			if name == manifestName {
				return nil
			}
			return []string{text}
		})},
		{"a manifest that lists less", "is not in the manifest", forge(func(name, text string) []string {
			if name == manifestName {
				var m Manifest
				json.Unmarshal([]byte(text), &m)
				m.Files = m.Files[1:]
				b, _ := json.Marshal(m)
				text = string(b)
			}
			return []string{text}
		})},
		{"another form", "is of the form", forge(func(name, text string) []string {
			if name == manifestName {
				text = strings.Replace(text, PackageFormat, "other/1", 1)
			}
			return []string{text}
		})},
		{"cut off", "read the package", whole.Bytes()[:whole.Len()/2]},
		{"a flipped bit", "", flipped(whole.Bytes())},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := VerifyPackage(bytes.NewReader(tt.pack), int64(len(tt.pack)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want one with %q", err, tt.want)
			}
		})
	}
}

func boolInt(is bool) int {
	if is {
		return 1
	}
	return 0
}

func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/4] ^= 4
	return b
}
