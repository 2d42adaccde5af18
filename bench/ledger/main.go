// Command ledger measures what it costs that rows go by a ledger of consents and
// restrictions: the same statement for a purpose that sees everybody, for one that
// leaves out whom processing is restricted for, and for one that rests on consent,
// through pgveil and, as pgveil rewrites it, on PostgreSQL alone.
//
//	go run ./bench/ledger
//
// What counts are ratios to the first purpose within a round, and their medians.
// docs/consent.md holds the last figures.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/veil"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/state"
)

//go:embed policy.yaml
var policyText string

// purposes are those of the policy, the measure of the others first.
var purposes = []string{"claims", "support", "newsletter"}

// shape is a kind of statement. %v in it stands for a value, made of a number
// that differs each time.
type shape struct {
	name, sql string
	value     func(n int) any
	times     int // a round
}

var shapes = []shape{
	{"a customer by its key", "SELECT name, email FROM customers WHERE id = %v", itself, 300},
	{"a page of 50 by an index", "SELECT id, name FROM customers WHERE created > '%v' ORDER BY created LIMIT 50", minute, 100},
	{"a join with orders", "SELECT c.name, o.total FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.city = 'city %v'", city, 10},
	{"a sum over all, grouped", "SELECT city, sum(balance) FROM customers GROUP BY city", nil, 1},
	{"a count over all", "SELECT count(*) FROM customers", nil, 1},
}

func itself(n int) any { return n }
func city(n int) any   { return n % 1000 }
func minute(n int) any {
	return time.Date(2020, 1, 1, 0, n, 0, 0, time.UTC).Format("2006-01-02 15:04:05")
}

// texts gives the statements of a round.
func (s shape) texts(customers int) []string {
	var all []string
	for i := range s.times {
		if s.value == nil {
			all = append(all, s.sql)
			continue
		}
		all = append(all, fmt.Sprintf(s.sql, s.value(1+i*7919%(customers-1000))))
	}
	return all
}

// load makes n customers, two orders each; seven of ten consented, one of a
// thousand is restricted.
const load = `
CREATE TABLE customers (id integer PRIMARY KEY, name text NOT NULL, email text NOT NULL, city text NOT NULL, created timestamp NOT NULL, balance integer NOT NULL);
INSERT INTO customers SELECT g, 'name ' || g, 'user' || g || '@example.org', 'city ' || g %% 1000, timestamp '2020-01-01' + g * interval '1 minute', g::bigint * 7919 %% 100000
	FROM generate_series(1, %[1]d) g;
CREATE INDEX ON customers (created);
CREATE INDEX ON customers (city);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer NOT NULL REFERENCES customers, total integer NOT NULL);
INSERT INTO orders SELECT g, g::bigint * 7919 %% %[1]d + 1, g %% 1000 FROM generate_series(1, 2 * %[1]d) g;
CREATE INDEX ON orders (customer_id);
CREATE ROLE agent LOGIN;
GRANT SELECT ON customers, orders TO agent`

const fill = `
INSERT INTO pgveil.customer_consents SELECT id, 'newsletter', 'infinity', now(), gen_random_uuid() FROM customers WHERE id % 10 < 7;
INSERT INTO pgveil.customer_restrictions SELECT id, '', 'restriction', now(), gen_random_uuid() FROM customers WHERE id % 1000 = 0`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	customers := flag.Int("customers", 1_000_000, "rows of the table")
	rounds := flag.Int("rounds", 5, "how often everything is measured")
	flag.Parse()
	err := measure(ctx, *customers, *rounds)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ledger:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, customers, rounds int) (err error) {
	server, err := pgserver.Start(ctx, pgserver.Options{FastUnsafe: true, Settings: map[string]string{"shared_buffers": "256MB", "autovacuum": "off"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	direct, err := pgx.Connect(ctx, server.DSN("postgres", pgserver.Superuser))
	if err != nil {
		return err
	}
	engine, err := prepare(ctx, direct, customers)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "pgveil-ledger-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	v, err := front(ctx, dir, server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Stop()) }()
	through, err := pgx.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=agent dbname=postgres sslmode=disable", v.Port()))
	if err != nil {
		return err
	}
	fmt.Printf("%d customers, medians of %d rounds, times the statement for a purpose that sees everybody\n\n", customers, rounds)
	fmt.Println("| statement | restricted, pgveil | restricted, PostgreSQL | consent, pgveil | consent, PostgreSQL |\n|---|---:|---:|---:|---:|")
	for _, s := range shapes {
		if err := s.run(ctx, through, direct, engine, rounds, customers); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return errors.Join(through.Close(ctx), direct.Close(ctx))
}

// prepare loads the database, and gives an engine that says what pgveil sends.
func prepare(ctx context.Context, conn *pgx.Conn, customers int) (*rewrite.Engine, error) {
	if _, err := conn.PgConn().Exec(ctx, fmt.Sprintf(load, customers)).ReadAll(); err != nil {
		return nil, err
	}
	doc, err := policy.Parse(policy.File{Name: "policy.yaml", Text: policyText})
	if err != nil {
		return nil, err
	}
	cat, err := pgload.Load(ctx, conn)
	if err != nil {
		return nil, err
	}
	set, err := policy.Compile(doc, policy.Implied(doc, cat))
	if err != nil {
		return nil, err
	}
	for _, sql := range []string{state.Schema(dsar.Ledgers(set)...) + fill, "VACUUM ANALYZE"} {
		if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			return nil, err
		}
	}
	if cat, err = pgload.Load(ctx, conn); err != nil {
		return nil, err
	}
	set, err = policy.Compile(doc, cat)
	return rewrite.New(cat, set, 1<<20), err
}

// front builds and starts pgveil.
func front(ctx context.Context, dir string, server *pgserver.Server) (*veil.Veil, error) {
	binary := filepath.Join(dir, "pgveil")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/pgveil/pgveil/cmd/pgveil").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build pgveil: %w\n%s", err, out)
	}
	for name, text := range map[string]string{
		"policy.yaml": policyText, "key": strings.Repeat("0f", 32),
		"pgveil.yaml": fmt.Sprintf(`listen: ["127.0.0.1:0"]
database: postgres
policy: policy.yaml
server: {host: "%s", port: %d, tls: disable, login: postgres}
auth: {method: trust}
audit: {dir: audit}
key: key
log: {format: json}
`, server.SocketDir(), server.Port()),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return veil.Start(ctx, binary, dir)
}

// run measures one shape both ways for every purpose, in turn, and prints its
// line.
func (s shape) run(ctx context.Context, through, direct *pgx.Conn, engine *rewrite.Engine, rounds, customers int) error {
	ratios := map[string][]float64{}
	for round := range rounds + 1 {
		took := map[string]float64{}
		for _, purpose := range purposes {
			texts := s.texts(customers)
			sent, err := rewritten(engine, purpose, texts)
			if err != nil {
				return err
			}
			if _, err := through.Exec(ctx, "SET pgveil.purpose = '"+purpose+"'"); err != nil {
				return err
			}
			for conn, texts := range map[*pgx.Conn][]string{through: texts, direct: sent} {
				name := purpose + ", PostgreSQL"
				if conn == through {
					name = purpose + ", pgveil"
				}
				if took[name], err = elapsed(ctx, conn, texts); err != nil {
					return err
				}
			}
		}
		for _, way := range []string{", pgveil", ", PostgreSQL"} {
			for _, purpose := range purposes[1:] {
				if round > 0 { // the first one warms up
					ratios[purpose+way] = append(ratios[purpose+way], took[purpose+way]/took[purposes[0]+way])
				}
			}
		}
	}
	fmt.Printf("| %s |", s.name)
	for _, column := range []string{"support, pgveil", "support, PostgreSQL", "newsletter, pgveil", "newsletter, PostgreSQL"} {
		slices.Sort(ratios[column])
		fmt.Printf(" %.2f |", ratios[column][len(ratios[column])/2])
	}
	fmt.Println()
	return nil
}

// elapsed gives how long statements take, in seconds.
func elapsed(ctx context.Context, conn *pgx.Conn, texts []string) (float64, error) {
	start := time.Now()
	for _, text := range texts {
		if _, err := conn.PgConn().Exec(ctx, text).ReadAll(); err != nil {
			return 0, err
		}
	}
	return time.Since(start).Seconds(), nil
}

// rewritten gives what pgveil makes of statements for a purpose.
func rewritten(engine *rewrite.Engine, purpose string, texts []string) ([]string, error) {
	access, err := engine.Policy.Access("agent", purpose)
	if err != nil {
		return nil, err
	}
	session, err := engine.Session(access, "public")
	if err != nil {
		return nil, err
	}
	sent := make([]string, len(texts))
	for i, text := range texts {
		plan, err := engine.Plan(session, text)
		if err != nil {
			return nil, err
		}
		sent[i] = plan.SQL
	}
	return sent, nil
}
