// Pq uses lib/pq through database/sql, as most older Go programs do.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/lib/pq"
)

func main() {
	work := map[string]func(context.Context, *sql.DB) error{"dora": dora, "alice": alice, "crm_app": crm}[os.Args[1]]
	for _, dsn := range []string{"", "binary_parameters=yes"} {
		fmt.Printf("# connected with %q\n", dsn)
		db, err := sql.Open("postgres", dsn)
		if err == nil {
			db.SetMaxOpenConns(2)
			err = errors.Join(work(context.Background(), db), db.Close())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// querier is a database, a transaction or a connection.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// show prints the rows of a statement, the values as strings.
func show(ctx context.Context, q querier, query string, args ...any) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		fail(err)
		return
	}
	print(rows)
}

func print(rows *sql.Rows) {
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		fail(err)
		return
	}
	values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			fail(err)
			return
		}
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = v.String
			if !v.Valid {
				texts[i] = "NULL"
			}
		}
		fmt.Println(strings.Join(texts, "|"))
	}
	if err := rows.Err(); err != nil {
		fail(err)
	}
}

func do(ctx context.Context, q querier, query string, args ...any) {
	result, err := q.ExecContext(ctx, query, args...)
	if err != nil {
		fail(err)
		return
	}
	n, err := result.RowsAffected()
	fmt.Println(n, "rows", err)
}

func fail(err error) {
	if e, ok := errors.AsType[*pq.Error](err); ok {
		fmt.Println("error", e.Code, e.Message)
		return
	}
	fmt.Println("error", err)
}

func alice(ctx context.Context, db *sql.DB) error {
	show(ctx, db, "SELECT id, first_name, last_name, email, phone, card, birth_date, last_ip, credit_limit, notes FROM customers ORDER BY id")
	show(ctx, db, "SELECT id, card FROM customers WHERE card = $1", "4111111110201111")
	show(ctx, db, "SELECT id, email FROM customers WHERE id = ANY ($1)", pq.Array([]int{3, 4}))
	show(ctx, db, "SELECT ssn FROM customers WHERE id = $1", 1)
	show(ctx, db, "SELECT ssn FROM customers")
	do(ctx, db, "UPDATE customers SET email = $2, notes = $3, country = $4 WHERE id = $1", 1, "a***@example.de", "***", "DE")
	do(ctx, db, "DELETE FROM customers WHERE id = $1", 1)
	return errors.Join(prepared(ctx, db, "SELECT id, email FROM customers WHERE id = $1"),
		transaction(ctx, db, "SELECT ssn FROM customers"),
		copyIn(ctx, db, "tickets", "customer_id", "region", "subject", "body", "opened_at"),
		copyIn(ctx, db, "orders", "customer_id"))
}

// crm loads a customer, changes one thing and saves all of it. The purpose is a
// run-time parameter of the connection.
func crm(ctx context.Context, _ *sql.DB) error {
	db, err := sql.Open("postgres", "options='-c pgveil.purpose=support'")
	if err != nil {
		return err
	}
	defer db.Close()
	show(ctx, db, "SELECT id, first_name, last_name, email, iban, address FROM crm.customers ORDER BY id")
	var first, last, email string
	var phone, notes sql.NullString
	err = db.QueryRowContext(ctx, "SELECT first_name, last_name, email, phone, notes FROM crm.customers WHERE id = $1", 1).Scan(&first, &last, &email, &phone, &notes)
	if err != nil {
		return err
	}
	do(ctx, db, "UPDATE crm.customers SET first_name = $2, last_name = $3, email = $4, phone = $5, notes = $6, city = $7 WHERE id = $1",
		1, first, last, email, phone, notes, "Altona")
	show(ctx, db, "SELECT id, first_name, last_name, email, phone, city FROM crm.customers WHERE id = $1", 1)
	return nil
}

func prepared(ctx context.Context, db *sql.DB, query string) error {
	fmt.Println("# prepared")
	stmt, err := db.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for id := range 3 {
		rows, err := stmt.QueryContext(ctx, id+1)
		if err != nil {
			return err
		}
		print(rows)
	}
	return nil
}

// transaction fails in its middle, rolls back, and the connection goes on.
func transaction(ctx context.Context, db *sql.DB, failing string) error {
	fmt.Println("# a failure in a transaction")
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable, ReadOnly: true})
	if err != nil {
		return err
	}
	show(ctx, tx, failing)
	show(ctx, tx, "SELECT 'not any more'")
	if err := tx.Rollback(); err != nil {
		return err
	}
	show(ctx, conn, "SELECT 'again'")
	return nil
}

func copyIn(ctx context.Context, db *sql.DB, table string, columns ...string) error {
	fmt.Println("# copy into", table)
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	stmt, err := tx.PrepareContext(ctx, pq.CopyIn(table, columns...))
	if err != nil {
		fail(err)
		return tx.Rollback()
	}
	row := []any{1, "EU", "by pq", "Write to anna@example.org", time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)}
	if _, err := stmt.ExecContext(ctx, row[:len(columns)]...); err != nil {
		fail(err)
	}
	result, err := stmt.ExecContext(ctx)
	if err != nil {
		fail(err)
		return tx.Rollback()
	}
	n, err := result.RowsAffected()
	fmt.Println(n, "rows", err)
	return errors.Join(stmt.Close(), tx.Commit())
}

func dora(ctx context.Context, db *sql.DB) error {
	show(ctx, db, "SELECT * FROM customers ORDER BY id")
	show(ctx, db, "SELECT $1::int, $2::text, $3::bytea, $4::timestamptz, $5::float8, $6::boolean, $7::text[]",
		1, "tëxt", []byte{0, 255}, time.Unix(0, 0), 0.1, true, pq.Array([]string{"x", "y, z"}))
	show(ctx, db, "SELECT 1; SELECT 2")
	show(ctx, db, "SELECT 1 / $1::int", 0)
	do(ctx, db, "INSERT INTO countries VALUES ($1, 'again', 'EU')", "DE")
	err := errors.Join(prepared(ctx, db, "SELECT * FROM orders WHERE id = $1"), transaction(ctx, db, "SELECT 1 / 0"),
		copyIn(ctx, db, "tickets", "customer_id", "region", "subject", "body", "opened_at"), copyIn(ctx, db, "countries", "code"), listen(ctx, db))
	if err != nil {
		return err
	}
	fmt.Println("# cancelled")
	short, stop := context.WithTimeout(ctx, 100*time.Millisecond)
	defer stop()
	if _, err := db.ExecContext(short, "SELECT pg_sleep(30)"); err == nil {
		return errors.New("a cancelled statement went on")
	}
	show(ctx, db, "SELECT 'alive'")
	return nil
}

func listen(ctx context.Context, db *sql.DB) error {
	fmt.Println("# notifications")
	l := pq.NewListener("", time.Second, time.Minute, nil)
	defer l.Close()
	if err := l.Listen("birds"); err != nil {
		return err
	}
	do(ctx, db, "NOTIFY birds, 'tit'")
	select {
	case n := <-l.Notify:
		fmt.Println(n.Channel, n.Extra)
	case <-time.After(10 * time.Second):
		return errors.New("no notification came")
	}
	return l.Ping()
}
