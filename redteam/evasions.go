package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// evasion is one way to get at more customers than allowed.
type evasion struct {
	name   string
	take   func(ctx context.Context, t *thief) error
	view   func([]byte) []byte // how the client reads what it gets; nil: as it is
	writes bool                // it leaves something changed
	since  int                 // the version of PostgreSQL that has it
	veiled bool                // it is one of pgveil's own doors: the server alone has nothing like it
	spends bool                // it asks until nothing more is answered, not even about somebody seen before
	closed bool                // PostgreSQL has it closed as well, at least for some: nothing is taken directly
}

// evasions are all that are known here.
func evasions() []evasion {
	return slices.Concat(paging(), lookups(), cursors(), copies(), sets(), folding(), nesting(), rowShapes(), writing(), laundering(), wires(), sessionsOf(), breaking(), sidelong())
}

// texts is an evasion by statements alone, which workers send as fast as they can.
func texts(name string, jobs ...string) evasion {
	return evasion{name: name, take: func(ctx context.Context, t *thief) error { return t.share(ctx, jobs) }}
}

// changing is texts that leave something changed.
func changing(name string, jobs ...string) evasion {
	e := texts(name, jobs...)
	e.writes = true
	return e
}

// phases is what leaves something changed, and reads it when all of that is done.
func phases(name string, first []string, then ...string) evasion {
	return evasion{name: name, writes: true, take: func(ctx context.Context, t *thief) error {
		if err := t.share(ctx, first); err != nil {
			return err
		}
		return t.share(ctx, then)
	}}
}

// steps fills numbers from 0 on into a statement, up to the population.
func steps(by int, format string) (jobs []string) {
	for n := 0; n < population; n += by {
		jobs = append(jobs, strings.NewReplacer("$a", fmt.Sprint(n), "$b", fmt.Sprint(n+by)).Replace(format))
	}
	return jobs
}

// some leaves out most of the jobs: those that take long.
func some(n int, jobs []string) []string {
	every := max(1, len(jobs)/n)
	var few []string
	for i := 0; i < len(jobs); i += every {
		few = append(few, jobs[i])
	}
	return few
}

func times(n int, job string) []string { return slices.Repeat([]string{job}, n) }

// many writes an expression for each of some numbers, after one another.
func many(n int, format string) string {
	var all []string
	for i := range n {
		all = append(all, strings.ReplaceAll(format, "$i", fmt.Sprint(i)))
	}
	return strings.Join(all, ", ")
}

func paging() []evasion {
	return []evasion{
		texts("LIMIT and OFFSET", steps(50, "SELECT * FROM customers ORDER BY number LIMIT 50 OFFSET $a")...),
		texts("keyset", steps(50, "SELECT name, email, phone FROM customers WHERE number > $a ORDER BY number LIMIT 50")...),
		texts("FETCH FIRST WITH TIES", steps(50, "SELECT email FROM customers WHERE number > $a ORDER BY number FETCH FIRST 50 ROWS WITH TIES")...),
		texts("ORDER BY a hidden column, LIMIT 1 OFFSET n", some(1500, steps(1, "SELECT email, remark FROM customers ORDER BY id LIMIT 1 OFFSET $a"))...),
		texts("TABLESAMPLE", times(100, "SELECT id, email FROM customers TABLESAMPLE BERNOULLI (3)")...),
		texts("in random order", times(100, "SELECT email FROM customers ORDER BY random() LIMIT 30")...),
		texts("without a limit", times(8, "SELECT * FROM customers")...),
		texts("backwards and forwards", "SELECT * FROM customers ORDER BY id", "SELECT * FROM customers ORDER BY id DESC", "SELECT * FROM customers ORDER BY email", "SELECT * FROM customers ORDER BY email DESC"),
		texts("other tables alone", "SELECT * FROM tickets", "SELECT * FROM notes", "SELECT * FROM orders", "SELECT body FROM tickets ORDER BY id DESC", "SELECT customer_id FROM orders ORDER BY id DESC"),
	}
}

func lookups() []evasion {
	return []evasion{
		texts("point reads", some(5000, steps(1, "SELECT name, email, remark FROM customers WHERE number = $a"))...),
		texts("point reads of tickets", some(2000, steps(1, "SELECT body FROM tickets WHERE id = $a"))...),
		texts("IN lists", steps(100, "SELECT email, phone FROM customers WHERE number IN ("+many(100, "$a + $i")+")")...),
		texts("= ANY of arrays", steps(100, "SELECT email, phone FROM customers WHERE number = ANY (ARRAY["+many(100, "$a + $i")+"])")...),
		texts("OR of conditions", steps(20, "SELECT email FROM customers WHERE "+strings.ReplaceAll(many(20, "number = $a + $i"), ", ", " OR "))...),
		texts("a join with VALUES", steps(50, "SELECT c.email FROM customers c JOIN (VALUES "+many(50, "($a + $i)")+") v (n) ON v.n = c.number")...),
		texts("a join with generate_series", steps(200, "SELECT n, c.email, c.phone FROM generate_series($a, $b) n JOIN customers c ON c.number = n")...),
		texts("LIKE by first letters", likes()...),
	}
}

// likes looks for addresses by how they begin.
func likes() (jobs []string) {
	for _, a := range "abcdefghijklmnopqrstuvwxyz234567" {
		for _, b := range "abcdefghijklmnopqrstuvwxyz234567" {
			jobs = append(jobs, fmt.Sprintf("SELECT email FROM customers WHERE email LIKE 'c%c%c%%'", a, b))
		}
	}
	return jobs
}

func cursors() []evasion {
	return []evasion{
		texts("a cursor, FETCH 40", times(workers, "BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT * FROM customers ORDER BY random(); "+strings.Repeat("FETCH 40 FROM c; ", 100)+"COMMIT")...),
		{name: "a cursor, each FETCH a statement", take: func(ctx context.Context, t *thief) error {
			return t.each(func(s *session) error {
				for _, sql := range append([]string{"BEGIN", fmt.Sprintf("DECLARE c CURSOR FOR SELECT email FROM customers WHERE number %% 4 = %d", s.n)}, times(70, "FETCH 40 FROM c")...) {
					if err := s.run(ctx, sql); err != nil {
						return err
					}
				}
				return s.run(ctx, "COMMIT")
			})
		}},
		{name: "a cursor WITH HOLD", take: func(ctx context.Context, t *thief) error {
			return t.each(func(s *session) error {
				for _, sql := range append([]string{fmt.Sprintf("DECLARE h CURSOR WITH HOLD FOR SELECT email, phone FROM customers WHERE number %% 4 = %d", s.n)}, times(70, "FETCH 40 FROM h")...) {
					if err := s.run(ctx, sql); err != nil {
						return err
					}
				}
				return nil
			})
		}},
		texts("a scrolling cursor", times(workers, "BEGIN; DECLARE s SCROLL CURSOR FOR SELECT email FROM customers ORDER BY id; "+absolutes()+"COMMIT")...),
		texts("FETCH ALL, backwards", "BEGIN; DECLARE s SCROLL CURSOR FOR SELECT email FROM customers; MOVE LAST FROM s; FETCH BACKWARD ALL FROM s; COMMIT", "BEGIN; DECLARE s CURSOR FOR SELECT phone FROM customers; FETCH ALL FROM s; COMMIT"),
		texts("many cursors", steps(50, "BEGIN; DECLARE c$a CURSOR FOR SELECT email FROM customers WHERE number BETWEEN $a AND $b; FETCH ALL IN c$a; COMMIT")...),
	}
}

func absolutes() (text string) {
	for n := range 700 {
		text += fmt.Sprintf("FETCH ABSOLUTE %d FROM s; ", 10*n+1)
	}
	return text
}

func copies() []evasion {
	return []evasion{
		texts("COPY of a query", "COPY (SELECT * FROM customers) TO STDOUT", "COPY (SELECT email FROM customers ORDER BY id DESC) TO STDOUT", "COPY (SELECT * FROM customers ORDER BY phone) TO STDOUT (FORMAT csv, HEADER)"),
		texts("COPY of a query, by parts", steps(50, "COPY (SELECT email FROM customers WHERE number BETWEEN $a AND $b) TO STDOUT")...),
		texts("COPY of a table", "COPY customers TO STDOUT", "COPY customers (email) TO STDOUT (FORMAT csv)", "COPY tickets TO STDOUT", "COPY notes TO STDOUT"),
		texts("COPY in binary", "COPY customers TO STDOUT (FORMAT binary)", "COPY (SELECT id FROM customers) TO STDOUT (FORMAT binary)", "COPY orders TO STDOUT (FORMAT binary)"),
		texts("COPY of aggregates", "COPY (SELECT string_agg(email, ',') FROM customers) TO STDOUT", "COPY (SELECT city, string_agg(email, ',') FROM customers GROUP BY city) TO STDOUT"),
	}
}

func sets() []evasion {
	return []evasion{
		texts("UNION ALL", steps(100, "SELECT email FROM customers WHERE number BETWEEN $a AND $a + 50 UNION ALL SELECT email FROM customers WHERE number BETWEEN $a + 50 AND $b")...),
		texts("UNION", steps(50, "SELECT email FROM customers WHERE number BETWEEN $a AND $b UNION SELECT phone FROM customers WHERE number BETWEEN $a AND $b")...),
		texts("EXCEPT and INTERSECT", steps(50, "SELECT email FROM customers WHERE number < $b EXCEPT SELECT email FROM customers WHERE number < $a")...),
		texts("UNION ALL with nobody's rows", steps(50, "SELECT 'x', null::bigint WHERE false UNION ALL SELECT email, null FROM customers WHERE number BETWEEN $a AND $b")...),
		texts("INTERSECT with what is known", steps(100, "SELECT email FROM customers INTERSECT ALL SELECT email FROM customers WHERE number BETWEEN $a AND $b")...),
		texts("DISTINCT", steps(50, "SELECT DISTINCT email, phone FROM customers WHERE number BETWEEN $a AND $b")...),
		texts("DISTINCT ON", steps(50, "SELECT DISTINCT ON (number) email, phone FROM customers WHERE number BETWEEN $a AND $b ORDER BY number")...),
		texts("joins with orders", steps(50, "SELECT o.id, c.email FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.number BETWEEN $a AND $b")...),
		texts("outer joins", steps(50, "SELECT c.email, o.id, t.body FROM customers c LEFT JOIN orders o ON o.customer_id = c.id FULL JOIN tickets t ON t.customer_id = c.id WHERE c.number BETWEEN $a AND $b")...),
		texts("a join with oneself, two a row", steps(50, "SELECT a.email, b.email FROM customers a, customers b WHERE a.number BETWEEN $a AND $b AND b.number = a.number + 5000")...),
		texts("a join with oneself, twelve a row", steps(120, "SELECT "+many(12, "c$i.email")+" FROM customers c0 "+joins(12)+" WHERE c0.number % 12 = 0 AND c0.number BETWEEN $a AND $b")...),
		texts("everybody beside one who is known", steps(100, "SELECT k.id, c.email FROM customers k, customers c WHERE k.number = 77 AND c.number BETWEEN $a AND $b")...),
		texts("everybody beside one who is known, further in", steps(100, "SELECT * FROM (SELECT k.id, c.email FROM customers k, customers c WHERE k.number = 77 AND c.number BETWEEN $a AND $b) x")...),
		texts("everybody beside nobody", steps(100, "SELECT * FROM (SELECT k.id, c.email FROM customers c LEFT JOIN customers k ON false WHERE c.number BETWEEN $a AND $b) x")...),
		texts("beside one, by an equality that holds for nobody", steps(100, "SELECT k.id, c.email FROM customers c LEFT JOIN customers k ON k.id = c.id AND k.number = 77 WHERE c.number BETWEEN $a AND $b")...),
		texts("beside one, by equality and OR", steps(100, "SELECT k.id, c.email FROM customers c JOIN customers k ON k.id = c.id OR k.number = 77 WHERE k.number = 77 AND c.number BETWEEN $a AND $b")...),
	}
}

// joins joins customers with those who come after them.
func joins(n int) (text string) {
	for i := 1; i < n; i++ {
		text += fmt.Sprintf("JOIN customers c%d ON c%[1]d.number = c0.number + %[1]d ", i)
	}
	return text
}
