package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// erasing is the operation after which a customer is nowhere.
const erasing = "erase"

// fill writes numbers into a statement.
func (p *pair) fill(sql string, customer int) string {
	return strings.NewReplacer("{customer}", strconv.Itoa(customer), "{new}", strconv.Itoa(p.next)).Replace(sql)
}

type half = func(ctx context.Context, p *pair, customer int) ([][]string, error)

// veiled sends statements through pgveil for a purpose. {customer} in them
// is the customer, {new} a number that no row has.
func veiled(purpose, sql string) half {
	if purpose != "" {
		sql = "/* pgveil.purpose='" + purpose + "' */ " + sql
	}
	return func(ctx context.Context, p *pair, customer int) ([][]string, error) {
		return texts(ctx, p.veiled, p.fill(sql, customer))
	}
}

// plainly sends statements to the other database.
func plainly(sql string) half {
	return func(ctx context.Context, p *pair, customer int) ([][]string, error) {
		return texts(ctx, p.plain, p.fill(sql, customer))
	}
}

// command is one whose answer is pgveil's own way of saying that it was done.
func command(sql string) half {
	run := veiled("", sql)
	return func(ctx context.Context, p *pair, customer int) ([][]string, error) {
		_, err := run(ctx, p, customer)
		return nil, err
	}
}

// logged is a read of which an application itself writes down whose data it was.
func logged(id, sql string) half {
	return plainly("WITH r AS (" + sql + "), l AS (INSERT INTO reads (who, customer_id) SELECT 'processor', " + id + " FROM r) SELECT * FROM r ORDER BY 1")
}

const (
	own       = "SELECT id, name, email, phone FROM customers WHERE id = {customer}"
	orders    = "SELECT o.id, o.total, l.item FROM orders o JOIN order_lines l ON l.order_id = o.id WHERE o.customer_id = {customer} ORDER BY o.id, l.id"
	phone     = "UPDATE customers SET phone = '+49 171 {new}' WHERE id = {customer}"
	arrival   = "BEGIN; INSERT INTO customers VALUES ({new}, 'new {new}', 'new{new}@example.org', '+49 172 {new}', 'city 1'); INSERT INTO orders VALUES ({new}, {new}, 5); COMMIT"
	retention = "DELETE FROM visits WHERE id = (SELECT id FROM visits WHERE customer_id = {customer} AND seen < '2024-06-01' ORDER BY id LIMIT 1)"
	page      = "SELECT id, city FROM customers WHERE id > {customer} ORDER BY id LIMIT 50"
)

// workload is what the roles do. Where GDPRbench has a mix for a role, its
// shares are kept: erasures are the customer's alone here.
var workload = []role{
	{"controller", []deed{
		{"a customer comes", 25, veiled("operations", arrival), plainly(arrival)},
		{"delete what is old", 25, veiled("operations", retention), plainly(retention)},
		{"consent given", 25, command("PRIVACY CONSENT customer {customer} GIVE newsletter BY 'web form'"), plainly("INSERT INTO consents VALUES ({customer}) ON CONFLICT DO NOTHING")},
		{"consent withdrawn", 25, command("PRIVACY CONSENT customer {customer} WITHDRAW newsletter BY 'phone'"), plainly("DELETE FROM consents WHERE customer_id = {customer}")},
	}},
	{"customer", []deed{
		{"read", 20, veiled("account", own), plainly(own)},
		{"read orders", 20, veiled("account", orders), plainly(orders)},
		{"update", 20, veiled("account", phone), plainly(phone)},
		{"everything held", 10, export, exportByHand},
		{"object", 10, command("PRIVACY OBJECT customer {customer} TO analytics BECAUSE 'asked to'"), plainly("INSERT INTO objections VALUES ({customer}) ON CONFLICT DO NOTHING")},
		{erasing, 20, erase, plainly(eraseByHand)},
	}},
	{"processor", []deed{
		{"a customer, for support", 20, veiled("support", own), logged("id", own)},
		{"50 who consented", 40, veiled("newsletter", page), logged("id", "SELECT id, city FROM customers c WHERE id > {customer} AND EXISTS (SELECT FROM consents WHERE customer_id = c.id) ORDER BY id LIMIT 50")},
		{"50 who do not object", 40, veiled("analytics", page), logged("id", "SELECT id, city FROM customers c WHERE id > {customer} AND NOT EXISTS (SELECT FROM objections WHERE customer_id = c.id) ORDER BY id LIMIT 50")},
	}},
	{"regulator", []deed{
		{"who saw a customer", 46, whoSaw, plainly("SELECT count(*) FROM reads WHERE customer_id = {customer} AND who = 'processor'")},
		{"whom a minute concerns", 31, veiled("", breach), breachByHand},
		{"verify a deletion", 23, verify, verifyByHand},
	}},
}

const eraseByHand = `BEGIN;
DELETE FROM order_lines l USING orders o WHERE l.order_id = o.id AND o.customer_id = {customer};
DELETE FROM orders WHERE customer_id = {customer}; DELETE FROM tickets WHERE customer_id = {customer}; DELETE FROM visits WHERE customer_id = {customer};
DELETE FROM consents WHERE customer_id = {customer}; DELETE FROM objections WHERE customer_id = {customer}; DELETE FROM reads WHERE customer_id = {customer};
DELETE FROM customers WHERE id = {customer}; INSERT INTO erased VALUES ({customer}); COMMIT`

// erase asks for an erasure, and waits until the rows are gone. The search that
// follows it goes on meanwhile.
func erase(ctx context.Context, p *pair, customer int) ([][]string, error) {
	rows, err := texts(ctx, p.veiled, fmt.Sprintf("PRIVACY ERASE customer %d VERIFIED BY 'account' BECAUSE 'asked to'", customer))
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseInt(rows[0][0], 10, 64)
	if err != nil {
		return nil, err
	}
	p.erased = append(p.erased, gone{customer, number})
	return nil, awaitEvent(ctx, p.direct, number, "erased")
}

// export gives how many rows an export has of each table.
func export(ctx context.Context, p *pair, customer int) ([][]string, error) {
	rows, err := texts(ctx, p.veiled, fmt.Sprintf("PRIVACY EXPORT customer %d", customer))
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	for _, row := range rows {
		text.WriteString(row[0])
	}
	var document struct{ Counts map[string]int }
	if err := json.Unmarshal([]byte(text.String()), &document); err != nil {
		return nil, err
	}
	var counts [][]string
	for _, table := range slices.Sorted(maps.Keys(document.Counts)) {
		if strings.HasPrefix(table, "public.") {
			counts = append(counts, []string{table, strconv.Itoa(document.Counts[table])})
		}
	}
	return counts, nil
}

var exportParts = []string{"customers t WHERE id = {customer}", "order_lines t JOIN orders o ON o.id = t.order_id WHERE o.customer_id = {customer}",
	"orders t WHERE customer_id = {customer}", "tickets t WHERE customer_id = {customer}", "visits t WHERE customer_id = {customer}"}

// exportByHand makes a document of the same rows.
func exportByHand(ctx context.Context, p *pair, customer int) (counts [][]string, err error) {
	for _, part := range exportParts {
		rows, err := texts(ctx, p.plain, p.fill("SELECT to_jsonb(t) FROM "+part, customer))
		if err != nil {
			return nil, err
		}
		table, _, _ := strings.Cut(part, " ")
		counts = append(counts, []string{"public." + table, strconv.Itoa(len(rows))})
	}
	return counts, nil
}

// whoSaw counts the statements of the processor's that showed the customer for certain.
func whoSaw(ctx context.Context, p *pair, customer int) ([][]string, error) {
	rows, err := texts(ctx, p.veiled, fmt.Sprintf("SELECT count(*) FROM pgveil.who_saw('customer', %d) WHERE certain AND username = 'processor'", customer))
	return rows, err
}

const breach = "SELECT count(*) > 0 FROM pgveil.access_log WHERE at > now() - interval '1 day' AND username = 'processor'"

var breachByHand = plainly("SELECT count(*) > 0 FROM reads WHERE at > now() - interval '1 day' AND who = 'processor'")

// verify tells whether somebody who was erased has a request that says so.
func verify(ctx context.Context, p *pair, customer int) ([][]string, error) {
	if len(p.erased) == 0 {
		return nil, nil
	}
	e := p.erased[customer%len(p.erased)]
	events, err := texts(ctx, p.veiled, fmt.Sprintf("PRIVACY SHOW REQUEST %d", e.request))
	said := slices.ContainsFunc(events, func(row []string) bool { return len(row) > 2 && row[2] == "erased" })
	return [][]string{{strconv.FormatBool(said)}}, err
}

func verifyByHand(ctx context.Context, p *pair, customer int) ([][]string, error) {
	if len(p.erased) == 0 {
		return nil, nil
	}
	rows, err := texts(ctx, p.plain, fmt.Sprintf("SELECT EXISTS (SELECT FROM erased WHERE customer_id = %d)", p.erased[customer%len(p.erased)].customer))
	if err == nil {
		rows[0][0] = strconv.FormatBool(rows[0][0] == "t")
	}
	return rows, err
}
