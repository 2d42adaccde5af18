// Pgx does with pgx what applications do with it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func main() {
	ctx := context.Background()
	work := map[string]func(context.Context, *pgx.Conn) error{
		"dora":    dora,
		"alice":   alice,
		"ana":     ana,
		"crm_app": crm,
	}[os.Args[1]]
	conn, err := pgx.Connect(ctx, "") // all of it is in the environment
	if err == nil {
		err = errors.Join(work(ctx, conn), conn.Close(ctx))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// The modes in which pgx sends statements, from describing all to none.
var modes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
	pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
}

func title(format string, args ...any) { fmt.Printf("# "+format+"\n", args...) }

// show prints the rows of a statement, each value as Go has it.
func show(ctx context.Context, q interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
}, sql string, args ...any) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		fail(err)
		return
	}
	print(rows)
}

func print(rows pgx.Rows) {
	defer rows.Close()
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			fmt.Println("error", err)
			return
		}
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = fmt.Sprint(v)
		}
		fmt.Println(strings.Join(texts, "|"))
	}
	if err := rows.Err(); err != nil {
		fail(err)
		return
	}
	fmt.Println(rows.CommandTag())
}

func do(ctx context.Context, q interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
}, sql string, args ...any) {
	tag, err := q.Exec(ctx, sql, args...)
	if err != nil {
		fail(err)
		return
	}
	fmt.Println(tag)
}

func fail(err error) {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		fmt.Println("error", e.Code, e.Message)
		return
	}
	fmt.Println("error", err)
}
