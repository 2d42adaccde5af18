package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const seen = "SELECT id, first_name, last_name, email, phone, card, birth_date, last_ip, credit_limit, notes FROM customers "

func alice(ctx context.Context, conn *pgx.Conn) error {
	for _, mode := range modes {
		title("%v", mode)
		show(ctx, conn, seen+"WHERE id <> $1 ORDER BY id", mode, 2)
		show(ctx, conn, "SELECT id, card FROM customers WHERE card = $1", mode, "4111111110201111")
		show(ctx, conn, "SELECT id, email FROM customers WHERE id = ANY ($1)", mode, []int{3, 4})
		show(ctx, conn, "SELECT ssn FROM customers WHERE id = $1", mode, 1)
		do(ctx, conn, "UPDATE customers SET email = $2, notes = $3, country = $4 WHERE id = $1", mode, 1, "a***@example.de", "***", "DE")
		do(ctx, conn, "DELETE FROM customers WHERE id = $1", mode, 1)
	}
	title("structs")
	type customer struct {
		ID    int
		Email string
		Phone *string
		Born  *time.Time `db:"birth_date"`
	}
	rows, _ := conn.Query(ctx, "SELECT id, email, phone, birth_date FROM customers ORDER BY id")
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[customer])
	if err != nil {
		return err
	}
	for _, c := range list {
		fmt.Println(c.ID, c.Email, *c.Phone, c.Born.Format(time.DateOnly))
	}
	if err := transaction(ctx, conn, "SELECT ssn FROM customers"); err != nil {
		return err
	}
	batch(ctx, conn)
	return streams(ctx, conn)
}

// transaction is refused something in its middle, rolls back and goes on.
func transaction(ctx context.Context, conn *pgx.Conn, refused string) error {
	title("a refusal in a transaction")
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	show(ctx, tx, refused)
	show(ctx, tx, "SELECT 'not any more'")
	fmt.Println(string(conn.PgConn().TxStatus()))
	if err := tx.Rollback(ctx); err != nil {
		return err
	}
	fmt.Println(string(conn.PgConn().TxStatus()))
	title("a refusal in a savepoint")
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		inner, err := tx.Begin(ctx)
		if err != nil {
			return err
		}
		show(ctx, inner, refused)
		err = inner.Rollback(ctx)
		show(ctx, tx, "SELECT 'again'")
		return err
	})
}

// batch sends several statements at once. What comes after a refused one is
// not done.
func batch(ctx context.Context, conn *pgx.Conn) {
	for _, sql := range []string{"SELECT id, email FROM customers WHERE id = $1", "SELECT id, ssn FROM customers WHERE id = $1"} {
		title("a batch with %s", sql)
		b := &pgx.Batch{}
		b.Queue("SELECT id, last_name FROM customers WHERE id = $1", 1)
		b.Queue(sql, 2)
		b.Queue("SELECT id, last_name FROM customers WHERE id = $1", 3)
		results := conn.SendBatch(ctx, b)
		for range b.Len() {
			rows, err := results.Query()
			if err != nil {
				fail(err)
				continue
			}
			print(rows)
		}
		if err := results.Close(); err != nil {
			fail(err)
		}
	}
	title("a pipeline")
	p := conn.PgConn().StartPipeline(ctx)
	p.SendQueryParams("SELECT id, email FROM customers WHERE id = 1", nil, nil, nil, nil)
	p.SendPipelineSync()
	p.SendQueryParams("SELECT ssn FROM customers", nil, nil, nil, nil)
	p.SendQueryParams("SELECT 'skipped'", nil, nil, nil, nil)
	p.SendPipelineSync()
	p.SendQueryParams("SELECT id, email FROM customers WHERE id = 2", nil, nil, nil, nil)
	p.SendPipelineSync()
	drain(p)
}

func drain(p *pgconn.Pipeline) {
	if err := p.Flush(); err != nil {
		fail(err)
	}
	for syncs := 0; syncs < 3; {
		r, err := p.GetResults()
		if err != nil {
			fail(err)
			continue
		}
		switch r := r.(type) {
		case *pgconn.ResultReader:
			result := r.Read()
			if result.Err != nil {
				fail(result.Err)
				continue
			}
			for _, row := range result.Rows {
				fmt.Printf("%q\n", row)
			}
			fmt.Println(result.CommandTag)
		case *pgconn.PipelineSync:
			fmt.Println("sync")
			syncs++
		}
	}
	if err := p.Close(); err != nil {
		fail(err)
	}
}

func streams(ctx context.Context, conn *pgx.Conn) error {
	title("copy out")
	for _, sql := range []string{
		"COPY (SELECT id, email FROM customers ORDER BY id) TO STDOUT",
		"COPY customers (id, ssn) TO STDOUT",
	} {
		tag, err := conn.PgConn().CopyTo(ctx, os.Stdout, sql)
		if err != nil {
			fail(err)
			continue
		}
		fmt.Println(tag)
	}
	title("copy in")
	opened := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	columns := []string{"customer_id", "region", "subject", "body", "opened_at"}
	n, err := conn.CopyFrom(ctx, pgx.Identifier{"tickets"}, columns, pgx.CopyFromRows([][]any{
		{1, "EU", "by pgx", "Write to anna@example.org", opened},
	}))
	fmt.Println(n)
	if err != nil {
		fail(err)
	}
	if _, err = conn.CopyFrom(ctx, pgx.Identifier{"orders"}, []string{"customer_id"}, pgx.CopyFromRows([][]any{{1}})); err != nil {
		fail(err)
	}
	show(ctx, conn, "SELECT id, subject, body FROM tickets WHERE opened_at = $1", opened)
	title("listening")
	do(ctx, conn, "LISTEN birds")
	do(ctx, conn, "NOTIFY birds, 'tit'")
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	_, err = conn.WaitForNotification(short)
	fmt.Println("notified:", err == nil, "in time:", !errors.Is(err, context.DeadlineExceeded))
	return nil
}

func ana(ctx context.Context, conn *pgx.Conn) error {
	for _, mode := range modes {
		title("%v", mode)
		show(ctx, conn, "SELECT id, first_name, last_name, email, birth_date, loyalty_no, left(device_id, 8), last_ip, postcode, credit_limit, notes FROM customers WHERE id > $1 ORDER BY id", mode, 7)
		show(ctx, conn, "SELECT id FROM customers WHERE email = $1", mode, "isla@example.com.au")
		show(ctx, conn, "SELECT id FROM customers WHERE loyalty_no = $1", mode, "L-100-779")
		show(ctx, conn, "SELECT country, count(*), avg(credit_limit)::text FROM customers GROUP BY country ORDER BY country", mode)
		show(ctx, conn, "SELECT card FROM customers", mode)
		do(ctx, conn, "UPDATE customers SET country = 'DE' WHERE id = $1", mode, 1)
	}
	return transaction(ctx, conn, "SELECT card FROM customers")
}

// crm does what a web application does: load a customer, change one thing, save
// all of it. Its login works for two purposes, and must say for which.
func crm(ctx context.Context, conn *pgx.Conn) error {
	title("without a purpose")
	show(ctx, conn, "SELECT id, email FROM crm.customers WHERE id = $1", 1)
	for _, purpose := range []string{"support", "sales"} {
		title("for %s", purpose)
		do(ctx, conn, "SET pgveil.purpose = '"+purpose+"'")
		for _, mode := range modes {
			if err := save(ctx, conn, mode); err != nil {
				return err
			}
		}
	}
	title("for a purpose that there is not")
	do(ctx, conn, "SET pgveil.purpose = 'curiosity'")
	return transaction(ctx, conn, "SELECT iban, ssn FROM crm.customers")
}

func save(ctx context.Context, conn *pgx.Conn, mode pgx.QueryExecMode) error {
	type customer struct {
		ID                  int
		FirstName, LastName string
		Email, Phone, City  string
		Interests           []string
		CreditLimit         *float64
		Notes               *string
	}
	rows, _ := conn.Query(ctx, "SELECT id, first_name, last_name, email, phone, city, interests, credit_limit::float8, notes FROM crm.customers WHERE id = $1", mode, 1)
	c, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[customer])
	if err != nil {
		fail(err)
		return nil
	}
	fmt.Println(c.ID, c.FirstName, c.LastName, c.Email, c.Phone, c.City, c.Interests, c.CreditLimit == nil)
	c.Interests = append(c.Interests, "chess")
	do(ctx, conn, "UPDATE crm.customers SET first_name = $2, last_name = $3, email = $4, phone = $5, city = $6, interests = $7, credit_limit = $8, notes = $9 WHERE id = $1",
		mode, c.ID, c.FirstName, c.LastName, c.Email, c.Phone, c.City, c.Interests, c.CreditLimit, c.Notes)
	return nil
}
