package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// sessionsOf are ways to be somebody else, or many.
func sessionsOf() []evasion {
	page := steps(50, "SELECT email, phone FROM customers WHERE number BETWEEN $a AND $b")
	return []evasion{
		{name: "forty connections at once", take: func(ctx context.Context, t *thief) error { return t.crowdIn(ctx, 40) }},
		{name: "a new connection each page", take: func(ctx context.Context, t *thief) error {
			return t.apart(ctx, page, func(int) (login, first string) { return t.login, "SELECT 1" })
		}},
		{name: "DISCARD ALL between pages", take: func(ctx context.Context, t *thief) error {
			var jobs []string
			for _, sql := range page {
				jobs = append(jobs, "DISCARD ALL", "SET pgveil.purpose = 'support'", sql)
			}
			return t.share(ctx, jobs)
		}},
		{name: "another purpose each page", take: func(ctx context.Context, t *thief) error {
			return t.share(ctx, alternate(page, "SET pgveil.purpose = 'support'; ", "SET pgveil.purpose = 'sales'; "))
		}},
		{name: "another purpose amid transactions", take: func(ctx context.Context, t *thief) error {
			return t.share(ctx, alternate(page, "BEGIN; SET LOCAL pgveil.purpose = 'sales'; ", "BEGIN; SET LOCAL pgveil.purpose = 'support'; "))
		}},
		texts("roles and settings of the server", alternate(page, "SET ROLE none; ", "SET application_name = 'x'; ", "SET search_path = public; ", "RESET ALL; ")...),
		{name: "one end user behind two logins", take: func(ctx context.Context, t *thief) error {
			return t.apart(ctx, page, func(n int) (login, first string) {
				return []string{"shared_a", "shared_b"}[n%2], fmt.Sprintf("SET pgveil.end_user = '%s'", t.login)
			})
		}, veiled: true},
		{name: "two hundred end users, a limit of their login's", take: func(ctx context.Context, t *thief) error {
			return t.apart(ctx, page, func(n int) (login, first string) { return "desk", fmt.Sprintf("SET pgveil.end_user = 'guest%d'", n) })
		}, veiled: true},
	}
}

// alternate puts the leads before the jobs, in turns.
func alternate(jobs []string, leads ...string) []string {
	jobs = slices.Clone(jobs)
	for i := range jobs {
		jobs[i] = leads[i%len(leads)] + jobs[i]
	}
	return jobs
}

// crowdIn has that many connections read everything at the same time, each from
// another customer on.
func (t *thief) crowdIn(ctx context.Context, n int) error {
	var all sync.WaitGroup
	errs := make(chan error, n)
	for i := range n {
		all.Go(func() {
			s := &session{t: t, n: i}
			if _, err := s.open(ctx); err != nil {
				errs <- err
				return
			}
			errs <- s.run(ctx, fmt.Sprintf("SELECT * FROM customers ORDER BY (number + %d) %% 10000", i*population/n))
			_ = s.conn.Close(ctx) // it may be gone
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// apart runs each job over a connection of its own, as whom and after what as
// says.
func (t *thief) apart(ctx context.Context, jobs []string, as func(n int) (login, first string)) error {
	var next atomic.Int64
	return t.each(func(*session) error {
		for i := int(next.Add(1) - 1); i < len(jobs); i = int(next.Add(1) - 1) {
			login, first := as(i)
			conn, err := t.connectAs(ctx, login, i)
			if err != nil {
				return err
			}
			if _, err = conn.Exec(ctx, first).ReadAll(); err == nil {
				_, err = conn.Exec(ctx, jobs[i]).ReadAll()
			}
			if err := t.ended(ctx, err); err != nil {
				return err
			}
			_ = conn.Close(ctx) // it may be gone
		}
		return nil
	})
}

// breaking has proxies end amid all this.
func breaking() []evasion {
	restarts := func(kill bool) func(ctx context.Context, t *thief) error {
		return func(ctx context.Context, t *thief) error {
			over := make(chan struct{})
			broken := make(chan error, 1)
			go func() { broken <- t.restarting(ctx, kill, over) }()
			err := t.share(ctx, steps(5, "SELECT email, phone FROM customers WHERE number BETWEEN $a AND $b ORDER BY number"))
			close(over)
			if wrong := <-broken; wrong != nil {
				return wrong
			}
			return err
		}
	}
	return []evasion{
		{name: "restarts of the proxy", take: restarts(false), veiled: true},
		{name: "kill -9 of the proxy", take: restarts(true), veiled: true},
	}
}

// restarting starts the proxies again, one after the other, until it is over.
func (t *thief) restarting(ctx context.Context, kill bool, over <-chan struct{}) error {
	for n := 0; ; n++ {
		select {
		case <-over:
			return nil
		case <-ctx.Done():
			return nil
		default:
		}
		if err := t.at.proxies[n%len(t.at.proxies)].restart(ctx, kill); err != nil {
			return err
		}
		if n >= 2*len(t.at.proxies)+6 {
			return nil
		}
	}
}
