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
	fmt.Println("# requests")
	serve(func(u *User, fails bool) string { return inTransaction(ctx, pool, u, fails) })
	if err := sessions(ctx, pool.Config()); err != nil {
		return err
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	prepared(ctx, conn.Conn())
	return refused(ctx, pool, conn.Conn())
}

// serve answers requests of all users at once. Some fail amid their transaction,
// and some come without a user.
func serve(request func(u *User, fails bool) string) {
	var mu sync.Mutex
	outcomes := map[string]int{}
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < requests; i += workers {
				u := &users[i/5%len(users)]
				if i%5 == 4 {
					u = nil
				}
				outcome := request(u, i%5 == 2)
				mu.Lock()
				outcomes[outcome]++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for _, outcome := range slices.Sorted(maps.Keys(outcomes)) {
		fmt.Println(outcomes[outcome], outcome)
	}
}

// inTransaction says what became of one request.
func inTransaction(ctx context.Context, pool *pgxpool.Pool, u *User, fails bool) string {
	if u == nil {
		_, err := sees(ctx, pool)
		return "without a token: " + state(err)
	}
	own := false
	err := As(ctx, pool, *u, func(tx pgx.Tx) (err error) {
		own, err = u.work(ctx, tx, fails)
		return err
	})
	return fmt.Sprintf("own rows %t: %s", own, state(err))
}

// sessions answers requests by a pool that says itself who asks.
func sessions(ctx context.Context, config *pgxpool.Config) error {
	InSessions(config)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	fmt.Println("# requests in sessions")
	serve(func(u *User, fails bool) string { return inSession(ctx, pool, u, fails) })
	return nil
}

func inSession(ctx context.Context, pool *pgxpool.Pool, u *User, fails bool) string {
	if u == nil {
		_, err := sees(ctx, pool)
		return "without a token: " + state(err)
	}
	own := false
	err := pool.AcquireFunc(context.WithValue(ctx, userOf{}, *u), func(conn *pgxpool.Conn) (err error) {
		own, err = u.work(ctx, conn, fails)
		return err
	})
	return fmt.Sprintf("own rows %t: %s", own, state(err))
}

// work tells whether the user sees their own customers, and may fail then.
func (u *User) work(ctx context.Context, q querier, fails bool) (own bool, err error) {
	ids, err := sees(ctx, q)
	if err == nil && fails {
		_, err = q.Exec(ctx, "SELECT 1/0")
	}
	return slices.Equal(ids, u.sees), err
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
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
