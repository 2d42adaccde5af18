package dsar

import (
	"testing"

	"github.com/pgveil/pgveil/privacy"
)

// References in which another column says what is referred to, to subjects and
// to rows that are a subject's.
func TestPolymorphicReferences(t *testing.T) {
	conn, g := scene(t, `
		CREATE TYPE owner AS ENUM ('customer', 'order', 'agent');
		CREATE TABLE customers (id int PRIMARY KEY);
		CREATE TABLE agents (id int PRIMARY KEY);
		CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers);
		CREATE TABLE notes (id int, owner_type owner, owner_id text, author_id int REFERENCES agents);
		INSERT INTO customers VALUES (1), (2); INSERT INTO agents VALUES (1), (9);
		INSERT INTO orders VALUES (10, 1), (1, 2);
		INSERT INTO notes VALUES (1, 'customer', '1', NULL), (2, 'order', '10', 9), (3, 'order', '1', NULL), (4, 'agent', '1', NULL), (5, 'customer', '2', NULL), (6, NULL, '1', NULL), (7, 'customer', NULL, NULL), (8, 'customer', 'x', NULL)`,
		`  customer: {table: public.customers, key: id, references: [{from: public.notes.owner_id, where: {owner_type: customer}}, {from: public.notes.owner_id, where: {owner_type: [order, "o'rder"]}, to: public.orders.id}]}
  agent: {table: public.agents, key: id, references: [{from: public.notes.owner_id, where: {owner_type: agent}}]}
`)
	same(t, conn, g, []string{"1"}, `
customers [id:1]
orders [customer_id:1 id:10]
notes [author_id:<nil> id:1 owner_id:1 owner_type:customer]
notes [author_id:map[redacted:another subject: agent] id:2 owner_id:10 owner_type:order]`,
		"delete 2 notes, delete 1 orders, delete 1 customers")
	same(t, conn, g, []string{"2"}, `
customers [id:2]
orders [customer_id:2 id:1]
notes [author_id:<nil> id:3 owner_id:1 owner_type:order]
notes [author_id:<nil> id:5 owner_id:2 owner_type:customer]`,
		"delete 2 notes, delete 1 orders, delete 1 customers")
}

// References within JSON and arrays, whose rows may name several.
func TestManyReferences(t *testing.T) {
	conn, g := scene(t, `
		CREATE TABLE customers (id bigint PRIMARY KEY, uid uuid);
		CREATE TABLE events (id int, payload jsonb);
		CREATE TABLE logs (id int, line json);
		CREATE TABLE teams (id int, members int[], uids text[]);
		INSERT INTO customers VALUES (1, '1c1e3dd0-9531-4f30-b24a-c021ca3b95b8'), (2, NULL), (11, NULL);
		INSERT INTO events VALUES (1, '{"customer": {"id": 1}}'), (2, '{"customer": {"id": "1"}}'), (3, '{"customer": [{"id": 1}, {"id": [1]}]}'), (4, '{"customer": {"id": 11}}'),
			(5, '{"customer": [{"id": 1}, {"id": 2}]}'), (6, '{"customer": {"id": null}}'), (7, '[1]'), (8, '1'), (9, NULL), (10, '{"id": 1}');
		INSERT INTO logs VALUES (1, '{"c": [1, 1]}'), (2, '{"c": [2, 1]}'), (3, '{"c": "01"}');
		INSERT INTO teams VALUES (1, '{1}', NULL), (2, '{NULL,1,1}', NULL), (3, '{2,1}', NULL), (4, '{11}', NULL), (5, '{}', NULL), (6, NULL, '{x,1C1E3DD0-9531-4F30-B24A-C021CA3B95B8}')`,
		`  customer: {table: public.customers, key: id, references: [{from: public.events.payload, path: customer.id}, {from: public.logs.line, path: c}, {from: public.teams.members}, {from: public.teams.uids, to: uid, ignore_case: true}]}
`)
	same(t, conn, g, []string{"1"}, `
customers [id:1 uid:1c1e3dd0-9531-4f30-b24a-c021ca3b95b8]
events [id:1 payload:map[customer:map[id:1]]]
events [id:2 payload:map[customer:map[id:1]]]
events [id:3 payload:map[customer:[map[id:1] map[id:[1]]]]]
events [id:5 payload:map[redacted:another customer]]
logs [id:1 line:map[c:[1 1]]]
logs [id:2 line:map[redacted:another customer]]
teams [id:1 members:[1] uids:<nil>]
teams [id:2 members:[<nil> 1 1] uids:<nil>]
teams [id:3 members:map[redacted:another customer] uids:<nil>]
teams [id:6 members:<nil> uids:map[redacted:another customer]]`,
		"refuse 1 events, refuse 1 logs, refuse 1 teams, refuse 1 teams, delete 2 teams, delete 1 logs, delete 3 events, delete 1 customers")
	same(t, conn, g, []string{"11"}, `
customers [id:11 uid:<nil>]
events [id:4 payload:map[customer:map[id:11]]]
teams [id:4 members:[11] uids:<nil>]`,
		"delete 1 teams, delete 0 logs, delete 1 events, delete 1 customers")
}

// References by other columns of the subject, and by several together.
func TestOtherKeys(t *testing.T) {
	conn, g := scene(t, `
		CREATE EXTENSION citext;
		CREATE TABLE customers (tenant int, no int, email text, mail citext, PRIMARY KEY (tenant, no));
		CREATE TABLE mails (to_address varchar(40), subject text);
		CREATE TABLE bounces (address citext);
		CREATE TABLE carts (tenant text, customer bigint);
		INSERT INTO customers VALUES (1, 7, 'Ada@b.c', 'ada@b.c'), (1, 8, 'bob@b.c', NULL), (2, 7, '', NULL), (2, 8, '', NULL), (3, 1, 'eve@b.c', NULL), (3, 2, 'EVE@b.c', NULL);
		INSERT INTO mails VALUES ('ada@B.c', 'a'), ('bob@b.c', 'b'), ('', 'nobody'), (NULL, NULL);
		INSERT INTO bounces VALUES ('ADA@B.C'), ('');
		INSERT INTO carts VALUES ('1', 7), ('1', 8), ('2', 7), (NULL, 7)`,
		`  customer: {table: public.customers, key: no, references: [{from: public.mails.to_address, to: email, ignore_case: true}, {from: public.bounces.address, to: mail}, {from: [public.carts.tenant, public.carts.customer], to: [tenant, no]}]}
`)
	same(t, conn, g, []string{"1", "7"}, `
customers [email:Ada@b.c mail:ada@b.c no:7 tenant:1]
mails [subject:a to_address:ada@B.c]
bounces [address:ADA@B.C]
carts [customer:7 tenant:1]`,
		"delete 1 carts, delete 1 bounces, delete 1 mails, delete 1 customers")
	// What is empty names nobody.
	same(t, conn, g, []string{"2", "7"}, `
customers [email: mail:<nil> no:7 tenant:2]
carts [customer:7 tenant:2]`,
		"delete 1 carts, delete 0 bounces, delete 0 mails, delete 1 customers")
	_, err := export(t, conn, g, byKey("3", "1"), ExportOptions{})
	wantCode(t, err, privacy.Ambiguous, "2 of kind \"customer\" have this email, and public.mails.to_address names them by it alone; tell them apart")
}

// A table that refers to itself is followed when the policy says so.
func TestConfirmedRecursion(t *testing.T) {
	conn, g := scene(t, `
		CREATE TABLE customers (id int PRIMARY KEY);
		CREATE TABLE folders (id int PRIMARY KEY, customer_id int REFERENCES customers, within int REFERENCES folders);
		CREATE TABLE files (folder_id int NOT NULL REFERENCES folders);
		INSERT INTO customers VALUES (1), (2);
		INSERT INTO folders VALUES (10, 1, NULL), (11, NULL, 10), (12, NULL, 11), (13, 2, 12), (14, NULL, 13), (15, NULL, NULL);
		UPDATE folders SET within = 12 WHERE id = 10;
		INSERT INTO files VALUES (10), (12), (13), (14), (15)`,
		`  customer: {table: public.customers, key: id, references: [{from: public.folders.within, to: public.folders.id}]}
`)
	if len(g.NotFollowed) != 0 {
		t.Errorf("not followed: %v", g.NotFollowed)
	}
	same(t, conn, g, []string{"1"}, `
customers [id:1]
folders [customer_id:1 id:10 within:12]
folders [customer_id:<nil> id:11 within:10]
folders [customer_id:<nil> id:12 within:11]
folders [customer_id:map[redacted:another customer] id:13 within:12]
files [folder_id:10]
files [folder_id:12]`,
		"set null 1 folders, delete 2 files, delete 3 folders, delete 1 customers")
}

// A subject may be a row of what inherits from the subject's table.
func TestHeirs(t *testing.T) {
	conn, g := scene(t, `
		CREATE TABLE customers (id int PRIMARY KEY, name text);
		CREATE TABLE vips (lounge text) INHERITS (customers);
		CREATE TABLE stars (films int) INHERITS (vips);
		ALTER TABLE stars ADD PRIMARY KEY (id);
		CREATE TABLE orders (id int PRIMARY KEY, customer_id int, payer_id int REFERENCES customers);
		CREATE TABLE lines (order_id int REFERENCES orders);
		CREATE TABLE awards (star_id int NOT NULL REFERENCES stars, giver_id int);
		INSERT INTO customers VALUES (1, 'Ada'); INSERT INTO vips VALUES (2, 'Bob', 'x'), (4, 'Dan', 'z'), (4, 'Dan too', 'z'); INSERT INTO stars VALUES (3, 'Cyd', 'y', 7);
		INSERT INTO orders VALUES (10, 1, 1), (11, 2, NULL), (12, 3, NULL), (13, 2, 1);
		INSERT INTO lines VALUES (10), (11), (12), (13);
		INSERT INTO awards VALUES (3, 2), (3, 3)`,
		`  customer: {table: public.customers, key: id, references: [{from: public.orders.customer_id}, {from: public.awards.giver_id}]}
`)
	same(t, conn, g, []string{"1"}, `
customers [id:1 name:Ada]
orders [customer_id:1 id:10 payer_id:1]
orders [customer_id:map[redacted:another customer] id:13 payer_id:1]
lines [order_id:10]`,
		"set null 1 orders, delete 1 lines, delete 0 awards, delete 1 orders, delete 0 vips, delete 0 stars, delete 1 customers")
	same(t, conn, g, []string{"2"}, `
vips [id:2 lounge:x name:Bob]
orders [customer_id:2 id:11 payer_id:<nil>]
orders [customer_id:2 id:13 payer_id:map[redacted:another customer]]
awards [giver_id:2 star_id:map[redacted:another customer]]
lines [order_id:11]`,
		"set null 1 orders, set null 1 awards, delete 1 lines, delete 0 awards, delete 1 orders, delete 1 vips, delete 0 stars, delete 0 customers")
	same(t, conn, g, []string{"3"}, `
stars [films:7 id:3 lounge:y name:Cyd]
orders [customer_id:3 id:12 payer_id:<nil>]
awards [giver_id:map[redacted:another customer] star_id:3]
awards [giver_id:3 star_id:3]
lines [order_id:12]`,
		"delete 1 lines, delete 2 awards, delete 1 orders, delete 0 vips, delete 1 stars, delete 0 customers")
	_, err := export(t, conn, g, byKey("4"), ExportOptions{})
	wantCode(t, err, privacy.Ambiguous, "2 of kind \"customer\" match")
}
