// Sealed-pgx uses pgx on sealed columns, in each of its modes.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

var modes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
	pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
}

var (
	born = time.Date(1980, 2, 29, 0, 0, 0, 0, time.UTC)
	seen = time.Date(2001, 2, 3, 4, 5, 6, 700_000_000, time.UTC)
	ref  = pgtype.UUID{Bytes: [16]byte{0xa0, 0xee, 0xbc, 0x99, 15: 0x11}, Valid: true}
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, "")
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for i, mode := range modes {
		fmt.Printf("# %s\n", mode)
		if err := write(ctx, conn, mode, i+1, fmt.Sprintf("%d-45-6789", i)); err != nil {
			return fmt.Errorf("%s: %w", mode, err)
		}
	}
	return many(ctx, conn)
}

// write writes a row and reads it in a mode.
func write(ctx context.Context, conn *pgx.Conn, mode pgx.QueryExecMode, id int, ssn string) error {
	var income pgtype.Numeric
	if err := income.Scan("1234.50"); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "INSERT INTO people VALUES ($1, $2, $3, $4, $5, $6, $7)", mode, id, ssn, born, income, ref, seen, "it's a note"); err != nil {
		return err
	}
	if err := show(ctx, conn, "SELECT * FROM people WHERE ssn = $1", mode, ssn); err != nil {
		return err
	}
	if err := show(ctx, conn, "SELECT id FROM people WHERE born = $1 AND ref = $2 ORDER BY id", mode, born, ref); err != nil {
		return err
	}
	return show(ctx, conn, "UPDATE people SET note = $1, income = NULL WHERE ssn = $2 RETURNING note, income", mode, nil, ssn)
}

// show prints rows, values as pgx reads them by their types.
func show(ctx context.Context, conn *pgx.Conn, sql string, args ...any) error {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return err
		}
		for _, v := range values {
			if n, ok := v.(pgtype.Numeric); ok {
				text, _ := n.Value()
				v = text
			}
			fmt.Printf("%T %v|", v, v)
		}
		fmt.Println()
	}
	fmt.Println(rows.CommandTag())
	return rows.Err()
}

// many copies and sends batches.
func many(ctx context.Context, conn *pgx.Conn) error {
	fmt.Println("# copies and batches")
	n, err := conn.PgConn().CopyFrom(ctx, strings.NewReader("100\tx\t1999-01-01\n101\ty\t1999-01-02\n"), "COPY people (id, ssn, born) FROM STDIN")
	if err != nil {
		return err
	}
	fmt.Println(n)
	var b pgx.Batch
	for _, ssn := range []string{"x", "y", "z"} {
		b.Queue("SELECT id, born FROM people WHERE ssn = $1", ssn)
	}
	results := conn.SendBatch(ctx, &b)
	for range b.Len() {
		var id int
		var day time.Time
		err := results.QueryRow().Scan(&id, &day)
		fmt.Println(id, day.Format(time.DateOnly), err)
	}
	if err := results.Close(); err != nil {
		return err
	}
	var out bytes.Buffer
	if _, err := conn.PgConn().CopyTo(ctx, &out, "COPY (SELECT id, ssn, born FROM people ORDER BY id) TO STDOUT"); err != nil {
		return err
	}
	fmt.Print(out.String())
	return show(ctx, conn, "SELECT id FROM people WHERE ssn = ANY ($1) ORDER BY id", []string{"x", "y"})
}
