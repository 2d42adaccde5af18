package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/internal/pgserver"
)

// role is somebody with a mix of operations.
type role struct {
	name  string
	deeds []deed
}

// deed is an operation, done on both sides with the same customer. Its answers
// are rows of text, which must be the same.
type deed struct {
	name          string
	weight        int // in a hundred
	veiled, plain func(ctx context.Context, p *pair, customer int) ([][]string, error)
}

// pair is a session on each side.
type pair struct {
	stage         *stage
	veiled, plain *pgx.Conn
	direct        *pgx.Conn // to the governed database, to see when a request is done
	customers     int
	next          int // of rows that are made
	erased        []gone
	read          int // statements of the processor's
}

// gone is a customer who was erased, and by which request.
type gone struct {
	customer int
	request  int64
}

// roles has every role do its operations, and compares the sides at the end.
func roles(ctx context.Context, s *stage, o options) (err error) {
	plainConn, err := pgx.Connect(ctx, s.server.DSN(plain, pgserver.Superuser))
	if err != nil {
		return err
	}
	direct, err := pgx.Connect(ctx, s.server.DSN(governed, pgserver.Superuser))
	if err != nil {
		return err
	}
	p := &pair{stage: s, plain: plainConn, direct: direct, customers: o.customers, next: 1_000_000_000}
	fmt.Printf("%d customers, %d rows\n\n| role | operation | done | pgveil, p50 | p99 | by hand, p50 | p99 | ratio of p50 |\n|---|---|---:|---:|---:|---:|---:|---:|\n", o.customers, o.rows)
	for _, r := range workload {
		if !o.only.MatchString(r.name) {
			continue
		}
		if err := r.work(ctx, p, o.seconds); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return errors.Join(p.judge(ctx), plainConn.Close(ctx), direct.Close(ctx))
}

// work does operations for a while, each on both sides, the one that begins in
// turn.
func (r role) work(ctx context.Context, p *pair, long time.Duration) (err error) {
	if p.veiled, err = p.stage.through(ctx, r.name); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.veiled.Close(ctx)) }()
	if err := p.awaitLog(ctx); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, uint64(len(r.name))))
	took := make([][2][]time.Duration, len(r.deeds))
	for n, end := 0, time.Now().Add(long); time.Now().Before(end); n++ {
		i := r.pick(random.IntN(100))
		d, customer := r.deeds[i], 1+random.IntN(p.customers)
		if slices.ContainsFunc(p.erased, func(e gone) bool { return e.customer == customer }) {
			continue
		}
		var answers [2][][]string
		for side := range 2 {
			side ^= n & 1
			f := d.veiled
			if side == 1 {
				f = d.plain
			}
			start := time.Now()
			if answers[side], err = f(ctx, p, customer); err != nil {
				return fmt.Errorf("%s, side %d: %w", d.name, side, err)
			}
			took[i][side] = append(took[i][side], time.Since(start))
		}
		if !reflect.DeepEqual(answers[0], answers[1]) {
			return fmt.Errorf("%s, customer %d: pgveil answers\n%v\nby hand it is\n%v", d.name, customer, answers[0], answers[1])
		}
		if p.next++; r.name == "processor" {
			p.read++
		}
	}
	for i, d := range r.deeds {
		d.print(r.name, took[i])
	}
	return nil
}

// awaitLog waits until the database's copy of the access log has what the
// processor read: it is a second behind.
func (p *pair) awaitLog(ctx context.Context) error {
	for late := time.Now().Add(time.Minute); ; {
		rows, err := texts(ctx, p.direct, "SELECT count(*) FROM pgveil.access_log WHERE username = 'processor' AND kind = 'statement' AND outcome IS NOT NULL")
		if err != nil || rows[0][0] == strconv.Itoa(p.read) {
			return err
		}
		if time.Now().After(late) {
			return fmt.Errorf("the access log in the database has %s statements of the processor's, of %d", rows[0][0], p.read)
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

func (r role) pick(n int) int {
	for i, d := range r.deeds {
		if n -= d.weight; n < 0 {
			return i
		}
	}
	return len(r.deeds) - 1
}

func (d deed) print(role string, took [2][]time.Duration) {
	for _, t := range took {
		slices.Sort(t)
	}
	ratio := ""
	if n := len(took[0]); n > 0 {
		ratio = fmt.Sprintf("%.1f", took[0][(n-1)/2].Seconds()/took[1][(n-1)/2].Seconds())
	}
	fmt.Printf("| %s | %s | %d | %s | %s | %s | %s | %s |\n", role, d.name, len(took[0]),
		quantile(took[0], 50), quantile(took[0], 99), quantile(took[1], 50), quantile(took[1], 99), ratio)
}

// texts runs statements and gives the rows of the last one, as text.
func texts(ctx context.Context, conn *pgx.Conn, sql string) ([][]string, error) {
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		var refused *pgconn.PgError
		if errors.As(err, &refused) {
			return nil, fmt.Errorf("%w (%s)", err, refused.Hint)
		}
		return nil, err
	}
	var rows [][]string // nil for none, whoever says so
	for _, row := range results[len(results)-1].Rows {
		var line []string
		for _, v := range row {
			line = append(line, string(v))
		}
		rows = append(rows, line)
	}
	return rows, nil
}
