package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"regexp"

	"github.com/jackc/pgx/v5"
)

// compared are queries whose answers must be the same on both sides when all is
// over. Of those who were erased only the ledger of consents has something still.
var compared = [][2]string{
	{"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM customers t", ""},
	{"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM orders t", ""},
	{"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM order_lines t", ""},
	{"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM tickets t", ""},
	{"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM visits t", ""},
	{
		"SELECT count(*), sum(subject::bigint * subject) FROM pgveil.customer_consents WHERE subject IN (SELECT id FROM customers)",
		"SELECT count(*), sum(customer_id::bigint * customer_id) FROM consents",
	},
	{
		"SELECT count(*), sum(subject::bigint * subject) FROM pgveil.customer_restrictions WHERE kind = 'objection' AND subject IN (SELECT id FROM customers)",
		"SELECT count(*), sum(customer_id::bigint * customer_id) FROM objections",
	},
}

// judge compares the databases, and looks for those who were erased in both.
func (p *pair) judge(ctx context.Context) error {
	for _, q := range compared {
		if q[1] == "" {
			q[1] = q[0]
		}
		there, err := texts(ctx, p.direct, q[0])
		if err != nil {
			return err
		}
		here, err := texts(ctx, p.plain, q[1])
		if err != nil {
			return err
		}
		if there[0][0] != here[0][0] || there[0][1] != here[0][1] {
			return fmt.Errorf("at the end %s\nis %v behind pgveil, and %v by hand", q[0], there, here)
		}
	}
	erased := map[string]bool{}
	for _, e := range p.erased {
		erased[fmt.Sprintf("user%d@example.org", e.customer)] = true
	}
	for _, conn := range []*pgx.Conn{p.direct, p.plain} {
		if err := nowhere(ctx, conn, erased); err != nil {
			return err
		}
	}
	fmt.Printf("\nboth databases are the same; the addresses of %d who were erased are in no table of either\n", len(erased))
	return nil
}

const allTables = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND schemaname !~ '^pg_temp' ORDER BY 1"

var address = regexp.MustCompile(`user\d+@example\.org`)

// nowhere reads every table whole, pgveil's own among them, and looks for
// addresses of those who were erased.
func nowhere(ctx context.Context, conn *pgx.Conn, erased map[string]bool) error {
	tables, err := texts(ctx, conn, allTables)
	if err != nil {
		return err
	}
	for _, table := range tables {
		r, w := io.Pipe()
		go func() {
			_, err := conn.PgConn().CopyTo(ctx, w, "COPY (SELECT * FROM "+table[0]+") TO STDOUT")
			w.CloseWithError(err)
		}()
		found, err := search(r, erased)
		if err != nil {
			return fmt.Errorf("%s: %w", table[0], err)
		}
		if found > 0 {
			return fmt.Errorf("%s names somebody who was erased, %d times", table[0], found)
		}
	}
	return nil
}

// search counts addresses of the erased in a stream of lines.
func search(r io.Reader, erased map[string]bool) (found int, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		for _, a := range address.FindAllString(lines.Text(), -1) {
			if erased[a] {
				found++
			}
		}
	}
	return found, lines.Err()
}
