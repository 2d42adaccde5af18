package state

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Demand is what an order asks of a proxy. The zero Demand asks for nothing.
type Demand string

// What one proxy asks of the others.
const (
	ListSessions Demand = "list"
	KillSession  Demand = "kill session"
	KillUser     Demand = "kill user"
)

// Order is what one proxy asks of all others.
type Order struct {
	ID     int64
	What   Demand
	Name   string // of the session or user
	By     string
	Reason string
	Proxy  string // that asks
}

// Session is a session at some proxy. It holds no literal.
type Session struct {
	ID          string    `json:"id"`
	Login       string    `json:"login"`
	User        string    `json:"user"`
	Roles       []string  `json:"roles"`
	Purpose     string    `json:"purpose"`
	Address     string    `json:"address"`
	Application string    `json:"application"`
	Since       time.Time `json:"since"`
	State       string    `json:"state"`
	Command     string    `json:"command"`
	Fingerprint string    `json:"fingerprint"`
	Rows        int64     `json:"rows"`
}

// Answer is what one proxy says to an order.
type Answer struct {
	Proxy    string
	Ended    int // sessions
	Sessions []Session
}

// Times of orders: how long one stands, how long after its last sign of life a
// proxy is expected to answer, and how long all is kept.
const (
	orderStands  = "interval '10 seconds'"
	proxyLives   = "interval '5 seconds'"
	ordersKept   = "interval '1 hour'"
	maxSaid      = 5000 // sessions of an answer
	proxyUpdated = `INSERT INTO pgveil.proxies AS p (proxy) VALUES ($1) ON CONFLICT (proxy) DO UPDATE SET seen_at = clock_timestamp()
		WHERE p.seen_at < clock_timestamp() - interval '1 second'`
)

// Order writes one down.
func (s *Store) Order(ctx context.Context, o Order) (id int64, err error) {
	err = s.use(ctx, "asking the other proxies", func(c *pgx.Conn) error {
		if _, err := c.Exec(ctx, "DELETE FROM pgveil.orders WHERE asked_at < clock_timestamp() - "+ordersKept); err != nil {
			return err
		}
		if _, err := c.Exec(ctx, "DELETE FROM pgveil.proxies WHERE seen_at < clock_timestamp() - "+ordersKept); err != nil {
			return err
		}
		err := c.QueryRow(ctx, `INSERT INTO pgveil.orders (what, name, asked_by, reason, proxy) VALUES ($1, $2, $3, $4, $5) RETURNING id`,
			string(o.What), o.Name, o.By, o.Reason, o.Proxy).Scan(&id)
		if err != nil {
			return err
		}
		return notify(ctx, c)
	})
	return id, err
}

// Orders gives those that stand and that a proxy has not answered, and notes that
// it is alive. What was asked before it was is not for it.
func (s *Store) Orders(ctx context.Context, proxy string) (all []Order, err error) {
	const unanswered = `SELECT o.id, o.what, o.name, o.asked_by, o.reason, o.proxy FROM pgveil.orders AS o
		JOIN pgveil.proxies AS p ON p.proxy = $1 AND o.proxy <> $1 AND o.asked_at >= p.began_at
		WHERE o.asked_at > clock_timestamp() - ` + orderStands + `
			AND NOT EXISTS (SELECT FROM pgveil.answers AS a WHERE a.order_id = o.id AND a.proxy = $1)
		ORDER BY o.id`
	err = s.use(ctx, "reading orders", func(c *pgx.Conn) error {
		if _, err := c.Exec(ctx, proxyUpdated, proxy); err != nil {
			return err
		}
		rows, err := c.Query(ctx, unanswered, proxy)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (o Order, err error) {
			return o, row.Scan(&o.ID, &o.What, &o.Name, &o.By, &o.Reason, &o.Proxy)
		})
		return err
	})
	return all, err
}

// Answer writes down what a proxy says to an order.
func (s *Store) Answer(ctx context.Context, id int64, a Answer) error {
	all := append([]Session{}, a.Sessions[:min(len(a.Sessions), maxSaid)]...)
	if more := len(a.Sessions) - len(all); more > 0 {
		all = append(all, Session{State: fmt.Sprintf("%d more are not listed", more)})
	}
	said, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	_, err = s.exec(ctx, "answering an order", `INSERT INTO pgveil.answers (order_id, proxy, ended, sessions) VALUES ($1, $2, $3, $4)
		ON CONFLICT DO NOTHING`, id, a.Proxy, a.Ended, said)
	return err
}

// Answers gives what was said to an order, and which of the proxies that are alive
// have said nothing.
func (s *Store) Answers(ctx context.Context, o Order) (all []Answer, silent []string, err error) {
	err = s.use(ctx, "reading answers", func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, `SELECT p.proxy, a.ended, a.sessions FROM pgveil.proxies AS p
			LEFT JOIN pgveil.answers AS a ON a.order_id = $1 AND a.proxy = p.proxy
			WHERE p.proxy <> $2 AND (a.proxy IS NOT NULL OR p.seen_at > clock_timestamp() - `+proxyLives+`) ORDER BY p.proxy`, o.ID, o.Proxy)
		if err != nil {
			return err
		}
		all, silent = nil, nil
		var proxy string
		var ended *int
		var said []byte
		_, err = pgx.ForEachRow(rows, []any{&proxy, &ended, &said}, func() error {
			if ended == nil {
				silent = append(silent, proxy)
				return nil
			}
			a := Answer{Proxy: proxy, Ended: *ended}
			all = append(all, a)
			return json.Unmarshal(said, &all[len(all)-1].Sessions)
		})
		return err
	})
	return all, silent, err
}

// Leave says that a proxy stops: nobody waits for its answers.
func (s *Store) Leave(ctx context.Context, proxy string) error {
	_, err := s.exec(ctx, "leaving", "DELETE FROM pgveil.proxies WHERE proxy = $1", proxy)
	return err
}
