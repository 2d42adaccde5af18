package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"

	"github.com/jackc/pgx/v5"
)

func clients() []client {
	return []client{
		{"simple", "dora", pgx.QueryExecModeSimpleProtocol, simple},
		{"prepared", "alice", pgx.QueryExecModeCacheStatement, masked},
		{"masked", "alice", pgx.QueryExecModeSimpleProtocol, masked},
		{"unprepared", "sam", pgx.QueryExecModeExec, literals},
		{"names", "sam", pgx.QueryExecModeExec, names},
		{"batch", "dora", pgx.QueryExecModeCacheDescribe, batch},
		{"transactions", "sam", pgx.QueryExecModeSimpleProtocol, transaction},
		{"copy", "dora", pgx.QueryExecModeSimpleProtocol, copies},
		{"errors", "alice", pgx.QueryExecModeExec, fails},
		{"cancel", "dora", pgx.QueryExecModeSimpleProtocol, cancels},
		{"large", "dora", pgx.QueryExecModeExec, large},
		{"sealed", "dora", pgx.QueryExecModeCacheStatement, seals},
		{"sealed", "dora", pgx.QueryExecModeSimpleProtocol, seals},
		{"sealed copy", "dora", pgx.QueryExecModeSimpleProtocol, sealedCopies},
		{"sealed masked", "sam", pgx.QueryExecModeCacheStatement, sealedMasks},
		{"short", "alice", pgx.QueryExecModeSimpleProtocol, short},
		{"short", "dora", pgx.QueryExecModeSimpleProtocol, short},
	}
}

func simple(ctx context.Context, conn *pgx.Conn, n int) error {
	_, err := conn.Exec(ctx, "INSERT INTO scratch VALUES ($1, $2); DELETE FROM scratch WHERE n = $1", n, "about")
	return err
}

// masked reads what the caller sees a part of.
func masked(ctx context.Context, conn *pgx.Conn, n int) error {
	rows, err := conn.Query(ctx, "SELECT id, last_name, card FROM customers WHERE id >= $1 ORDER BY id LIMIT 20", n%50)
	if err != nil {
		return err
	}
	var id int
	var name string
	var card *string
	_, err = pgx.ForEachRow(rows, []any{&id, &name, &card}, func() error {
		if strings.Trim(string([]rune(name)[1:]), "*") != "" || card != nil && !strings.HasPrefix(*card, "********") {
			return fmt.Errorf("customer %d is shown as %q, with a card", id, name)
		}
		return nil
	})
	return err
}

// literals sends ever new texts, with names that keep plans from being shared:
// the cache of plans must not grow without end.
func literals(ctx context.Context, conn *pgx.Conn, n int) error {
	_, err := conn.Exec(ctx, fmt.Sprintf("SELECT count(*) AS n%d FROM orders WHERE id > %d AND status <> 's%[1]d'", rand.IntN(1e6), n))
	return err
}

// names prepares, uses and forgets statements and cursors.
func names(ctx context.Context, conn *pgx.Conn, n int) error {
	name := fmt.Sprintf("s%d", n)
	if _, err := conn.Prepare(ctx, name, "SELECT id, email FROM customers WHERE id = $1"); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, name, n); err != nil {
		return err
	}
	for _, sql := range []string{"BEGIN", "DECLARE c" + name + " CURSOR FOR SELECT id FROM orders", "FETCH 5 FROM c" + name, "CLOSE c" + name, "COMMIT"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return conn.Deallocate(ctx, name)
}

func batch(ctx context.Context, conn *pgx.Conn, n int) error {
	var b pgx.Batch
	for i := range 20 {
		b.Queue("SELECT $1::int + $2::int", n, i)
	}
	return conn.SendBatch(ctx, &b).Close()
}

func transaction(ctx context.Context, conn *pgx.Conn, n int) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	for _, sql := range []string{"UPDATE orders SET status = 'paid' WHERE id = 1", "SAVEPOINT a", "SET LOCAL search_path = public", "ROLLBACK TO a"} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return errors.Join(err, tx.Rollback(ctx))
		}
	}
	if n%2 == 0 {
		return tx.Rollback(ctx)
	}
	return tx.Commit(ctx)
}

func copies(ctx context.Context, conn *pgx.Conn, n int) error {
	rows := strings.Repeat("1\tabout nothing\n", 500)
	if _, err := conn.PgConn().CopyFrom(ctx, strings.NewReader(rows), "COPY scratch FROM STDIN"); err != nil {
		return err
	}
	if _, err := conn.PgConn().CopyTo(ctx, io.Discard, "COPY scratch TO STDOUT"); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, "DELETE FROM scratch")
	return err
}

func fails(ctx context.Context, conn *pgx.Conn, n int) error {
	for sql, want := range map[string]string{
		"SELECT 1 / 0":                 "22012",
		"SELECT ssn FROM customers":    "42501",
		"SELEKT":                       "42601",
		"SELECT * FROM nothing_at_all": "42P01",
		"SELECT pg_read_file('x')":     "42501",
	} {
		_, err := conn.Exec(ctx, sql)
		if err := refused(err, want); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

func cancels(ctx context.Context, conn *pgx.Conn, n int) error {
	if n%20 > 0 {
		return nil
	}
	result := make(chan error, 1)
	go func() {
		_, err := conn.Exec(ctx, "SELECT pg_sleep(20)")
		result <- err
	}()
	for {
		if err := conn.PgConn().CancelRequest(ctx); err != nil {
			return errors.Join(err, <-result)
		}
		select {
		case err := <-result:
			return refused(err, "57014")
		default: // the request overtook the statement
		}
	}
}

func large(ctx context.Context, conn *pgx.Conn, n int) error {
	if n%10 > 0 {
		return nil
	}
	var length int
	rows, err := conn.Query(ctx, "SELECT repeat('x', $1) FROM generate_series(1, 20)", 1000*(1+n))
	if err != nil {
		return err
	}
	var text string
	if _, err := pgx.ForEachRow(rows, []any{&text}, func() error { length += len(text); return nil }); err != nil {
		return err
	}
	if want := 20 * 1000 * (1 + n); length != want {
		return fmt.Errorf("%d bytes, want %d", length, want)
	}
	return nil
}

// short is a session of one statement.
func short(ctx context.Context, conn *pgx.Conn, n int) error {
	_, err := conn.Exec(ctx, "SELECT count(*) FROM customers")
	return errors.Join(err, conn.Close(ctx))
}
