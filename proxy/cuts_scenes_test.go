package proxy_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// scene is a session that is cut.
type scene struct {
	name  string
	under string // the settings of pgveil, as TestCuts has them
	user  string
	login bool // it is the login that is cut, else what comes after it
	play  func(net.Conn) error
}

// talk is the client's part of a scene.
func (r *rig) talk(ctx context.Context, s scene) error {
	mode := "disable"
	if r.sealed {
		mode = "require"
	}
	config, err := pgconn.ParseConfig(fmt.Sprintf("postgres://%s:%[1]s-password@%s/%s?sslmode=%s&connect_timeout=5", s.user, r.near.Addr(), r.database, mode))
	if err != nil {
		return err
	}
	logged, err := pgconn.ConnectConfig(ctx, config)
	var told *pgconn.PgError
	if r.sealed && errors.As(err, &told) {
		r.opened = encode(&pgproto3.ErrorResponse{Severity: told.Severity, Code: told.Code})
	}
	if err != nil {
		return err
	}
	hijacked, err := logged.Hijack()
	if err != nil {
		return err
	}
	conn := opening{hijacked.Conn, &r.opened}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if err := s.play(conn); err != nil {
		return err
	}
	return say(conn, 0, &pgproto3.Terminate{})
}

// opening keeps what is read.
type opening struct {
	net.Conn
	read *[]byte
}

func (o opening) Read(b []byte) (int, error) {
	n, err := o.Conn.Read(b)
	*o.read = append(*o.read, b[:n]...)
	return n, err
}

// say sends messages and reads up to one of a type; type 0 is the end.
func say(conn net.Conn, until byte, messages ...pgproto3.Message) error {
	if _, err := conn.Write(encode(messages...)); err != nil {
		return err
	}
	for {
		var head [5]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(head[1:]))-4); err != nil || head[0] == until {
			return err
		}
	}
}

func scenes() []scene {
	query := func(sql string) func(net.Conn) error {
		return func(c net.Conn) error { return say(c, 'Z', &pgproto3.Query{String: sql}) }
	}
	run := func(sql string) []pgproto3.Message {
		return []pgproto3.Message{&pgproto3.Parse{Query: sql}, &pgproto3.Bind{}, &pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}}
	}
	pipeline := func(texts ...string) func(net.Conn) error {
		var all []pgproto3.Message
		for _, sql := range texts {
			all = append(all, run(sql)...)
		}
		return func(c net.Conn) error { return say(c, 'Z', append(all, &pgproto3.Sync{})...) }
	}
	const masked = "SELECT id, email FROM customers WHERE id < 4 ORDER BY id"
	return []scene{
		{"login", "SCRAM", "dora", true, func(net.Conn) error { return nil }},
		{"query", "trust", "dora", false, query("SELECT 1; SELECT 2")},
		{"pipeline", "trust", "dora", false, pipeline("SELECT 1", "SELECT 2", "SELECT 3")},
		{"error amid a pipeline", "trust", "dora", false, pipeline("SELECT 1", "SELECT 1/0", "SELECT 3")},
		{"large row", "trust", "dora", false, query("SELECT repeat('x', 70000)")},
		{"COPY in", "trust", "dora", false, copyIn},
		{"COPY out", "trust", "dora", false, query("COPY (SELECT id, status FROM orders WHERE id < 4) TO STDOUT")},
		{"masked", "trust", "alice", false, query(masked)},
		{"masked pipeline", "trust", "alice", false, pipeline(masked, "UPDATE orders SET status = 'paid' WHERE id = 1")},
		{"masked, durable", "durable", "alice", false, pipeline(masked, "UPDATE orders SET status = 'paid' WHERE id = 1")},
		{"under TLS", "TLS", "dora", false, query("SELECT 1; SELECT 2")},
		{"refused amid a pipeline", "trust", "alice", false, pipeline(masked, "SELECT ssn FROM customers", "SELECT 1")},
	}
}

func copyIn(c net.Conn) error {
	if err := say(c, 'G', &pgproto3.Query{String: "COPY orders (customer_id, placed_at, status, total) FROM STDIN"}); err != nil {
		return err
	}
	row := &pgproto3.CopyData{Data: []byte("1\t2026-01-01\tnew\t10.00\n")}
	return say(c, 'Z', row, row, row, &pgproto3.CopyDone{})
}
