// Endusers-go is an application with many end users behind one login and one
// small pool. What it sees it holds against what each of them should. With MEASURE=30s
// it says first, on standard error, how many requests a second there are of each way
// to say whose they are, and compares them.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// User is an end user, whom only this application knows.
type User struct {
	Name       string
	Roles      []string
	Attributes map[string]string
	sees       []int32 // the customers of the user's region
}

var users = []User{
	agent("anna", "EU", 1, 2, 3, 4, 10), agent("bert", "US", 5, 6, 7), agent("chloë", "APAC", 8, 9), agent("d'Or", "EU", 1, 2, 3, 4, 10),
}

func agent(name, region string, sees ...int32) User {
	return User{name, []string{"agent"}, map[string]string{"region": region}, sees}
}

// key is the secret that the application shares with pgveil.
var key []byte

const (
	requests = 240
	workers  = 8 // four for each connection
	customer = "SELECT id FROM customers WHERE id > $1 ORDER BY id"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	text, err := os.ReadFile(os.Getenv("CRM_KEY_FILE"))
	if err != nil {
		return err
	}
	key = bytes.TrimSpace(text)
	pool, err := pgxpool.New(ctx, "pool_max_conns=2") // the rest is in the environment
	if err != nil {
		return err
	}
	defer pool.Close()
	if text := os.Getenv("MEASURE"); text != "" {
		lasts, err := time.ParseDuration(text)
		if err != nil {
			return err
		}
		if err := measure(ctx, pool, lasts); err != nil {
			return err
		}
	}
	serve(ctx, pool)
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	prepared(ctx, conn.Conn())
	return refused(ctx, pool, conn.Conn())
}

// serve answers requests of all users at once. Some fail amid their transaction,
// and some come without a token.
func serve(ctx context.Context, pool *pgxpool.Pool) {
	var mu sync.Mutex
	outcomes := map[string]int{}
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < requests; i += workers {
				outcome := request(ctx, pool, users[i/5%len(users)], i)
				mu.Lock()
				outcomes[outcome]++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	fmt.Println("# requests")
	for _, outcome := range slices.Sorted(maps.Keys(outcomes)) {
		fmt.Println(outcomes[outcome], outcome)
	}
}

// request says what became of one request.
func request(ctx context.Context, pool *pgxpool.Pool, u User, i int) string {
	if i%5 == 4 {
		_, err := sees(ctx, pool)
		return "without a token: " + state(err)
	}
	own := false
	err := As(ctx, pool, u, func(tx pgx.Tx) error {
		ids, err := sees(ctx, tx)
		own = slices.Equal(ids, u.sees)
		if i%5 == 2 && err == nil {
			_, err = tx.Exec(ctx, "SELECT 1/0")
		}
		return err
	})
	return fmt.Sprintf("own rows %t: %s", own, state(err))
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func sees(ctx context.Context, q querier) ([]int32, error) {
	rows, err := q.Query(ctx, customer, 0)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int32])
}

func state(err error) string {
	var e *pgconn.PgError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &e):
		return e.Code
	}
	return err.Error()
}
