package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

// values has something of most types, each cast from a parameter.
const values = `SELECT $1::smallint, $2::bigint, $3::float8, $4::boolean, $5::text, $6::bytea, $7::date, $8::timestamptz,
	$9::interval, $10::uuid, $11::jsonb, $12::text[], $13::numeric::text, NULL::inet, '[1,5)'::int4range::text, '{1,NULL,3}'::int[]`

func dora(ctx context.Context, conn *pgx.Conn) error {
	day := time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)
	for _, mode := range modes {
		title("%v", mode)
		for range 3 {
			show(ctx, conn, values, mode, int16(1), int64(1)<<40, 0.1, true, "tëxt", []byte{0, 255}, day, day,
				time.Hour, "1c1e3dd0-9531-4f30-b24a-c021ca3b95b8", `{"a": [1, null]}`, []string{"x", "y, z"}, "1.50")
		}
		show(ctx, conn, "SELECT * FROM customers WHERE id <= $1 ORDER BY id", mode, 2)
		do(ctx, conn, "UPDATE orders SET total = total + $1 WHERE id = $2", mode, 1.5, 1)
		do(ctx, conn, "INSERT INTO countries VALUES ($1, 'again', 'EU')", mode, "DE")
		show(ctx, conn, "SELECT 1 / $1::int", mode, 0)
		show(ctx, conn, "SELECT nosuch", mode)
	}
	if err := transaction(ctx, conn, "SELECT 1 / 0"); err != nil {
		return err
	}
	batch(ctx, conn)
	for _, step := range []func(context.Context, *pgx.Conn) error{bulk, large, listen, cancel, schemaChange} {
		if err := step(ctx, conn); err != nil {
			return err
		}
	}
	return nil
}

func bulk(ctx context.Context, conn *pgx.Conn) error {
	title("bulk")
	do(ctx, conn, "CREATE TABLE bulk (id bigint, text text, at timestamptz, tags text[])")
	n, err := conn.CopyFrom(ctx, pgx.Identifier{"bulk"}, []string{"id", "text", "at", "tags"}, pgx.CopyFromSlice(20000, func(i int) ([]any, error) {
		return []any{i, fmt.Sprintf("row %d", i), time.Unix(int64(i), 0), []string{"a", "b"}}, nil
	}))
	if err != nil {
		return err
	}
	fmt.Println(n)
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"bulk"}, []string{"id"}, pgx.CopyFromSlice(10000, func(i int) ([]any, error) {
		if i == 9000 {
			return nil, errors.New("the source broke")
		}
		return []any{i}, nil
	}))
	fmt.Println(err)
	show(ctx, conn, "SELECT count(*), sum(id)::text, max(text) FROM bulk")
	rows, _ := conn.Query(ctx, "SELECT id, repeat(text, 20) FROM bulk ORDER BY id")
	sum := 0
	_, err = pgx.ForEachRow(rows, []any{new(int), new(string)}, func() error { sum++; return nil })
	fmt.Println(sum, err)
	var out counter
	tag, err := conn.PgConn().CopyTo(ctx, &out, "COPY bulk TO STDOUT (FORMAT binary)")
	fmt.Println(tag, out, err)
	return err
}

type counter int

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

func large(ctx context.Context, conn *pgx.Conn) error {
	title("large objects")
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		objects := tx.LargeObjects()
		id, err := objects.Create(ctx, 0)
		if err != nil {
			return err
		}
		o, err := objects.Open(ctx, id, pgx.LargeObjectModeRead|pgx.LargeObjectModeWrite)
		if err != nil {
			return err
		}
		if _, err := o.Write(make([]byte, 3<<20)); err != nil {
			return err
		}
		size, err := o.Seek(0, io.SeekEnd)
		fmt.Println(size, err)
		return errors.Join(o.Truncate(100), o.Close(), objects.Unlink(ctx, id))
	})
}

func listen(ctx context.Context, conn *pgx.Conn) error {
	title("notifications")
	other, err := pgx.Connect(ctx, "")
	if err != nil {
		return err
	}
	defer other.Close(ctx)
	do(ctx, conn, "LISTEN birds")
	do(ctx, other, "SELECT pg_notify('birds', $1)", "tit")
	n, err := conn.WaitForNotification(ctx)
	if err != nil {
		return err
	}
	fmt.Println(n.Channel, n.Payload, n.PID == other.PgConn().PID())
	title("idle wait ended by its context")
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err = conn.WaitForNotification(short)
	fmt.Println(errors.Is(err, context.DeadlineExceeded), conn.IsClosed())
	do(ctx, conn, "UNLISTEN *")
	return nil
}

// cancel ends a statement by its context: pgx closes the connection, unless
// it is told to send a CancelRequest.
func cancel(ctx context.Context, conn *pgx.Conn) error {
	title("cancelled")
	config := conn.Config()
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, CancelRequestDelay: 0, DeadlineDelay: 10 * time.Second}
	}
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	short, stop := context.WithTimeout(ctx, 100*time.Millisecond)
	defer stop()
	_, err = c.Exec(short, "SELECT pg_sleep(30)")
	fail(err)
	show(ctx, c, "SELECT 'alive'")
	title("timed out by the server")
	do(ctx, c, "SET statement_timeout = 50")
	do(ctx, c, "SELECT pg_sleep(30)")
	title("closed by its context")
	short, stop = context.WithTimeout(ctx, 100*time.Millisecond)
	defer stop()
	_, err = conn.Exec(short, "SELECT pg_sleep(30)")
	fmt.Println(err != nil, conn.IsClosed())
	return nil
}

// schemaChange alters a table under a cached statement.
func schemaChange(ctx context.Context, _ *pgx.Conn) error {
	title("schema changed")
	conn, err := pgx.Connect(ctx, "")
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	do(ctx, conn, "CREATE TABLE changing (a int); INSERT INTO changing VALUES (1)")
	show(ctx, conn, "SELECT * FROM changing")
	do(ctx, conn, "ALTER TABLE changing ADD b text DEFAULT 'new'")
	show(ctx, conn, "SELECT * FROM changing")
	show(ctx, conn, "SELECT * FROM changing")
	do(ctx, conn, "DROP TABLE changing")
	return nil
}
