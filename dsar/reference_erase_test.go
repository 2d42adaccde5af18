package dsar

import "testing"

// What is found by any kind of reference goes, and what is others' stays.
func TestEraseByReferences(t *testing.T) {
	for _, tt := range []struct{ name, script, references, key, want string }{
		{"polymorphic", `
			CREATE TABLE customers (id int PRIMARY KEY);
			CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers);
			CREATE TABLE notes (owner_type text NOT NULL, owner_id int NOT NULL);
			INSERT INTO customers VALUES (1), (2); INSERT INTO orders VALUES (10, 1), (1, 2);
			INSERT INTO notes VALUES ('customer', 1), ('customer', 2), ('order', 1), ('order', 10)`,
			"[{from: public.notes.owner_id, where: {owner_type: customer}}, {from: public.notes.owner_id, where: {owner_type: order}, to: public.orders.id}]", "1", `
customers {"id": 2}
notes {"owner_id": 1, "owner_type": "order"}
notes {"owner_id": 2, "owner_type": "customer"}
orders {"id": 1, "customer_id": 2}`},
		{"JSON and arrays", `
			CREATE TABLE customers (id int PRIMARY KEY, email text);
			CREATE TABLE events (payload jsonb);
			CREATE TABLE teams (members int[]);
			CREATE TABLE mails (address text);
			INSERT INTO customers VALUES (1, 'Ada@b.c'), (2, 'b@b.c');
			INSERT INTO events VALUES ('{"c": 1}'), ('{"c": [1]}'), ('{"c": 2}'), ('{"n": 1}'); INSERT INTO teams VALUES ('{1}'), ('{2}'), (NULL);
			INSERT INTO mails VALUES ('ada@B.c'), ('b@b.c')`,
			"[{from: public.events.payload, path: c}, {from: public.teams.members}, {from: public.mails.address, to: email, ignore_case: true}]", "1", `
customers {"id": 2, "email": "b@b.c"}
events {"payload": {"c": 2}}
events {"payload": {"n": 1}}
mails {"address": "b@b.c"}
teams {"members": [2]}
teams {"members": null}`},
		{"recursion", `
			CREATE TABLE customers (id int PRIMARY KEY);
			CREATE TABLE folders (id int PRIMARY KEY, customer_id int REFERENCES customers, within int REFERENCES folders);
			INSERT INTO customers VALUES (1), (2);
			INSERT INTO folders VALUES (10, 1, NULL), (11, NULL, 10), (12, NULL, 11), (13, 2, 12), (14, NULL, 13)`,
			"[{from: public.folders.within, to: public.folders.id}]", "1", `
customers {"id": 2}
folders {"id": 13, "within": null, "customer_id": 2}
folders {"id": 14, "within": 13, "customer_id": null}`},
		{"a subject among heirs", `
			CREATE TABLE customers (id int PRIMARY KEY, name text);
			CREATE TABLE vips (lounge text) INHERITS (customers);
			CREATE TABLE orders (customer_id int, payer_id int REFERENCES customers);
			INSERT INTO customers VALUES (1, 'Ada'); INSERT INTO vips VALUES (2, 'Bob', 'x'), (3, 'Cyd', 'y');
			INSERT INTO orders VALUES (1, 1), (2, NULL), (2, 1), (3, NULL)`,
			"[{from: public.orders.customer_id}]", "2", `
customers {"id": 1, "name": "Ada"}
orders {"payer_id": 1, "customer_id": 1}
orders {"payer_id": 1, "customer_id": null}
orders {"payer_id": null, "customer_id": 3}
vips {"id": 3, "name": "Cyd", "lounge": "y"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, g := erasable(t, tt.script, allOpen(", references: "+tt.references))
			erase(t, conn, g, EraseOptions{}, tt.key)
			wantContents(t, conn, tt.want)
		})
	}
}
