package dsar

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/privacy"
)

const (
	mails = `
		CREATE TABLE customers (id int PRIMARY KEY);
		CREATE TABLE mails (id int PRIMARY KEY, body text);
		INSERT INTO customers VALUES (1), (2), (3);
		INSERT INTO mails VALUES (10, 'ada'), (11, 'both'), (12, 'bob'), (13, 'three'), (14, 'ada twice'), (15, 'nobody');`
	whose    = "INSERT INTO customer_mail (customer_id, mail_id) VALUES (1, 10), (1, 11), (2, 11), (2, 12), (1, 13), (2, 13), (3, 13), (1, 14), (1, 14), (NULL, NULL), (1, NULL);"
	byJoin   = "{from: public.customer_mail.customer_id}, {from: public.mails.id, to: public.customer_mail.mail_id}"
	bobsJoin = `
customer_mail {"mail_id": 11, "customer_id": 2}
customer_mail {"mail_id": 12, "customer_id": 2}
customer_mail {"mail_id": 13, "customer_id": 2}
customer_mail {"mail_id": 13, "customer_id": 3}
customer_mail {"mail_id": null, "customer_id": null}
customers {"id": 2}
customers {"id": 3}`
	bobsMails = `
mails {"id": 11, "body": "both"}
mails {"id": 12, "body": "bob"}
mails {"id": 13, "body": "three"}
mails {"id": 15, "body": "nobody"}`
)

// What others are joined to as well stays theirs; only its join row goes.
func TestEraseJoined(t *testing.T) {
	for _, tt := range []struct{ name, script, references, want string }{
		{"a join table without a key", mails + "CREATE TABLE customer_mail (customer_id int, mail_id int);" + whose, byJoin, bobsJoin + bobsMails},
		{"with one, and what hangs on what it joins", mails + `
			CREATE TABLE customer_mail (customer_id int, mail_id int, n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
			CREATE TABLE files (mail_id int REFERENCES mails);
			INSERT INTO files VALUES (10), (11), (12), (14);` + strings.Replace(whose, ", (NULL, NULL), (1, NULL)", "", 1), byJoin, `
customer_mail {"n": 3, "mail_id": 11, "customer_id": 2}
customer_mail {"n": 4, "mail_id": 12, "customer_id": 2}
customer_mail {"n": 6, "mail_id": 13, "customer_id": 2}
customer_mail {"n": 7, "mail_id": 13, "customer_id": 3}
customers {"id": 2}
customers {"id": 3}
files {"mail_id": 11}
files {"mail_id": 12}` + bobsMails},
		{"a join table that foreign keys lead from", mails + `
			CREATE TABLE customer_mail (customer_id int REFERENCES customers, mail_id int REFERENCES mails);
			CREATE INDEX ON customer_mail (mail_id);` + whose,
			"{from: public.mails.id, to: public.customer_mail.mail_id}", bobsJoin + bobsMails},
		{"two of them, one after the other", `
			CREATE TABLE customers (id int PRIMARY KEY);
			CREATE TABLE has (customer_id int, address int); CREATE TABLE addresses (id int PRIMARY KEY);
			CREATE TABLE sent (address int, mail int); CREATE TABLE mails (id int PRIMARY KEY);
			INSERT INTO customers VALUES (1), (2);
			INSERT INTO has VALUES (1, 1), (1, 3), (2, 2), (2, 3); INSERT INTO addresses VALUES (1), (2), (3);
			INSERT INTO sent VALUES (1, 10), (1, 11), (2, 11), (2, 12), (3, 13), (1, 14), (3, 14);
			INSERT INTO mails VALUES (10), (11), (12), (13), (14)`,
			`{from: public.has.customer_id}, {from: public.addresses.id, to: public.has.address},
			 {from: public.sent.address, to: public.addresses.id}, {from: public.mails.id, to: public.sent.mail}`, `
addresses {"id": 2}
addresses {"id": 3}
customers {"id": 2}
has {"address": 2, "customer_id": 2}
has {"address": 3, "customer_id": 2}
mails {"id": 11}
mails {"id": 12}
mails {"id": 13}
mails {"id": 14}
sent {"mail": 11, "address": 2}
sent {"mail": 12, "address": 2}
sent {"mail": 13, "address": 3}
sent {"mail": 14, "address": 3}`},
		{"a cycle", `
			CREATE TABLE customers (id int PRIMARY KEY);
			CREATE TABLE posts (id int PRIMARY KEY, customer_id int, thread int); CREATE TABLE threads (id int PRIMARY KEY);
			INSERT INTO customers VALUES (1), (2);
			INSERT INTO posts VALUES (1, 1, 10), (2, 1, 11), (3, 2, 11), (4, 2, 12), (5, NULL, 13);
			INSERT INTO threads VALUES (10), (11), (12), (13)`,
			"{from: public.posts.customer_id}, {from: public.threads.id, to: public.posts.thread}, {from: public.posts.thread, to: public.threads.id}", `
customers {"id": 2}
posts {"id": 3, "thread": 11, "customer_id": 2}
posts {"id": 4, "thread": 12, "customer_id": 2}
posts {"id": 5, "thread": 13, "customer_id": null}
threads {"id": 11}
threads {"id": 12}
threads {"id": 13}`},
		{"rows that cannot be without the one whose they are", `
			CREATE TABLE customers (id int PRIMARY KEY);
			CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers);
			CREATE TABLE watchers (customer_id int, order_id int);
			INSERT INTO customers VALUES (1), (2); INSERT INTO orders VALUES (10, 1), (11, 2);
			INSERT INTO watchers VALUES (1, 11)`,
			"{from: public.watchers.customer_id}, {from: public.orders.id, to: public.watchers.order_id}", `
customers {"id": 2}
orders {"id": 11, "customer_id": 2}`},
	} {
		for _, batch := range []int{0, 1} {
			t.Run(tt.name, func(t *testing.T) {
				conn, g := erasable(t, tt.script, allOpen(", references: ["+tt.references+"]"))
				erase(t, conn, g, EraseOptions{Batch: batch}, "1")
				wantContents(t, conn, tt.want)
			})
		}
	}
}

// What is shared is exported, and what hangs on it is not; nor do its values
// tell who somebody is. The plan says where an index is missing, and the
// explanation that rows are shared.
func TestJoined(t *testing.T) {
	conn, g := erasable(t, mails+`CREATE TABLE customer_mail (customer_id int, mail_id int);
		CREATE TABLE files (mail_id int REFERENCES mails); INSERT INTO files VALUES (10), (11);`+whose, allOpen(", references: ["+byJoin+"]"))
	var ids []any
	doc := mustExport(t, conn, g, "1")
	for _, row := range doc.Tables["public.mails"] {
		ids = append(ids, row["id"])
	}
	if !slices.Equal(ids, []any{10.0, 11.0, 13.0, 14.0}) {
		t.Errorf("exported are the mails %v", ids)
	}
	if files := doc.Tables["public.files"]; len(files) != 1 || files[0]["mail_id"] != 10.0 {
		t.Errorf("exported are the files %v", files)
	}
	plan, err := PlanErasure(t.Context(), conn, g, privacy.Key{Values: []string{"1"}})
	if err != nil {
		t.Fatal(err)
	}
	const missing = "public.customer_mail.mail_id has no index: whether rows of public.mails are others' as well reads all of public.customer_mail"
	if !slices.Contains(plan.Warnings, missing) {
		t.Errorf("warnings are %q, want %q among them", plan.Warnings, missing)
	}
	for _, e := range g.Explain().Tables {
		if (e.Standing == Shared) != (e.Name == "public.mails") {
			t.Errorf("%s is %s", e.Name, e.Standing)
		}
	}
	if _, err := conn.Exec(t.Context(), "CREATE INDEX ON customer_mail (mail_id)"); err != nil {
		t.Fatal(err)
	}
	if plan, err = PlanErasure(t.Context(), conn, g, privacy.Key{Values: []string{"1"}}); err != nil || slices.Contains(plan.Warnings, missing) {
		t.Errorf("with an index: %v, %q", err, plan.Warnings)
	}
}

// A table that refers loosely is anonymised as a whole row where the policy says
// so, not only without the reference.
func TestAnonymisesLooseRows(t *testing.T) {
	conn, g := erasable(t, `
		CREATE TABLE customers (id int PRIMARY KEY);
		CREATE TABLE deals (id int PRIMARY KEY, customer_id int REFERENCES customers ON DELETE SET NULL, said text);
		INSERT INTO customers VALUES (1), (2); INSERT INTO deals VALUES (10, 1, 'by ada'), (11, 2, 'by bob'), (12, NULL, 'by nobody')`, `
classes:
  open: {columns: [public.customers.*, public.deals.id, public.deals.customer_id]}
  words: {columns: [public.deals.said]}
subjects:
  customer: {table: public.customers, key: id, erase: [{on: [public.deals], do: anonymise}]}
`)
	erase(t, conn, g, EraseOptions{}, "1")
	wantContents(t, conn, `
customers {"id": 2}
deals {"id": 10, "said": null, "customer_id": null}
deals {"id": 11, "said": "by bob", "customer_id": 2}
deals {"id": 12, "said": "by nobody", "customer_id": null}`)
}
