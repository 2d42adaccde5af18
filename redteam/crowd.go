package main

import (
	"context"
	"encoding/base32"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/jackc/pgx/v5"
)

// population is how many customers there are, allowed how many of them somebody
// may see in a day.
const (
	population = 10_000
	allowed    = 500
)

// crowd are the customers, and what identifies each.
type crowd struct {
	ids    []int64 // by number, from 0 on
	values map[string]int
	keys   map[int64]int

	customers, orders, tickets, notes [][]any
}

// newCrowd makes the customers, from a seed: the same ones each time. There are
// some without an address for e-mail, a telephone, orders or tickets, names that
// many have, and orders of guests.
func newCrowd() *crowd {
	c := &crowd{values: map[string]int{}, keys: map[int64]int{}}
	r := rand.New(rand.NewPCG(10, 500))
	for n := range population {
		c.add(r, n)
	}
	return c
}

var names = strings.Fields("Anna Ben Carla David Elif Finn Greta Hugo Ines Jan Katrin Levin Mara Nico Olga Paul")

var cities = strings.Fields("Aachen Berlin Cottbus Dresden Essen Fulda Gera Halle Jena Kiel")

func (c *crowd) add(r *rand.Rand, n int) {
	id := c.newKey(r, n)
	var email, phone any
	if n%20 != 7 {
		email = c.means(n, "c"+code(r)+emailEnd)
	}
	if n%10 != 3 {
		phone = c.means(n, phoneLead+fmt.Sprintf("%08d", r.IntN(1e8)))
	}
	name := names[r.IntN(len(names))] + " " + names[r.IntN(len(names))]
	c.customers = append(c.customers, []any{id, n + 1, name, email, phone, cities[r.IntN(len(cities))], r.IntN(1000), "pays by invoice, " + c.means(n, codeLead+code(r))})
	if n%5 == 4 {
		return // of whom there is nothing else
	}
	c.orders = append(c.orders, []any{id, "paid", 10 + r.IntN(500)}, []any{id, "sent", 10 + r.IntN(500)})
	if n%50 == 0 {
		c.orders = append(c.orders, []any{nil, "guest", 5})
	}
	c.tickets = append(c.tickets, []any{id, "Where is it?", "I am " + name + ", order " + c.means(n, codeLead+code(r))})
	if n%2 == 0 {
		c.notes = append(c.notes, []any{id, "called back, see " + c.means(n, codeLead+code(r))})
	}
}

// newKey makes a key of twelve digits.
func (c *crowd) newKey(r *rand.Rand, n int) int64 {
	for {
		id := keyFrom + r.Int64N(keyRange)
		if _, taken := c.keys[id]; !taken {
			c.keys[id] = n
			c.ids = append(c.ids, id)
			c.means(n, fmt.Sprint(id))
			return id
		}
	}
}

// means notes that a value identifies a customer.
func (c *crowd) means(n int, value string) string {
	c.values[value] = n
	return value
}

func code(r *rand.Rand) string {
	var b [10]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))[:codeLength]
}

// load puts the customers into an empty database, and a copy of them aside from
// which restore puts them back.
func (c *crowd) load(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, schema); err != nil {
		return err
	}
	for _, t := range []struct {
		name    string
		columns []string
		rows    [][]any
	}{
		{"customers", []string{"id", "number", "name", "email", "phone", "city", "balance", "remark"}, c.customers},
		{"orders", []string{"customer_id", "status", "total"}, c.orders},
		{"tickets", []string{"customer_id", "subject", "body"}, c.tickets},
		{"notes", []string{"customer_id", "body"}, c.notes},
	} {
		if _, err := conn.CopyFrom(ctx, pgx.Identifier{t.name}, t.columns, pgx.CopyFromRows(t.rows)); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		if _, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS aside; CREATE TABLE aside."+t.name+" AS TABLE "+t.name); err != nil {
			return err
		}
	}
	_, err := conn.Exec(ctx, "GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO PUBLIC; ANALYZE")
	return err
}

// restore undoes what an evasion has changed.
const restore = `TRUNCATE customers, orders, tickets, notes;
INSERT INTO customers SELECT * FROM aside.customers; INSERT INTO orders SELECT * FROM aside.orders;
INSERT INTO tickets SELECT * FROM aside.tickets; INSERT INTO notes SELECT * FROM aside.notes`
