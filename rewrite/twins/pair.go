package twins

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/rewrite/mask"
)

// pair is a session on each of a fixture's databases, like the proxy's.
type pair [2]*pgconn.PgConn

// maskKey is the key of keyed masks in every run, so that a run can be repeated.
var maskKey = []byte("the mask key of generated cases.")

// connect opens the two sessions of a caller.
func (f *Fixture) connect(ctx context.Context, c Caller, settings map[string]string) (pair, error) {
	keyed, err := mask.Settings(maskKey)
	if err != nil {
		return pair{}, err
	}
	maps.Copy(keyed, settings)
	keyed[rewrite.PurposeSetting] = c.Purpose
	if c.Path != "" {
		keyed["search_path"] = c.Path
	}
	if f.Logins {
		keyed["session_authorization"] = c.User
	}
	var set []string
	for _, name := range slices.Sorted(maps.Keys(keyed)) {
		set = append(set, fmt.Sprintf("pg_catalog.set_config(%s, %s, false)", quote(name), quote(keyed[name])))
	}
	return f.open(ctx, "SELECT "+strings.Join(set, ", "), "BEGIN") // in one text, ROLLBACK would take the settings back
}

// open opens two sessions and begins them alike.
func (f *Fixture) open(ctx context.Context, begin ...string) (p pair, err error) {
	for i, dsn := range f.dsns {
		config, err := pgconn.ParseConfig(dsn)
		if err != nil {
			return p, errors.Join(err, p.close(ctx))
		}
		config.OnNotice = func(c *pgconn.PgConn, n *pgconn.Notice) {
			o := c.CustomData()["outcome"].(*outcome)
			o.notices = append(o.notices, fmt.Sprintf("notice %s %s %s %s", n.Code, n.Message, n.Detail, n.Hint))
		}
		if p[i], err = pgconn.ConnectConfig(ctx, config); err != nil {
			return p, errors.Join(err, p.close(ctx))
		}
		p[i].CustomData()["outcome"] = &outcome{}
	}
	if err := p.exec(ctx, begin...); err != nil {
		return p, errors.Join(err, p.close(ctx))
	}
	return p, nil
}

func (p pair) close(ctx context.Context) (err error) {
	for _, c := range p {
		if c != nil {
			err = errors.Join(err, c.Close(ctx))
		}
	}
	return err
}

// both does the same on the two servers at once.
func (p pair) both(do func(*pgconn.PgConn) (*outcome, error)) (o [2]*outcome, err error) {
	var errs [2]error
	var wg sync.WaitGroup
	wg.Go(func() { o[0], errs[0] = do(p[0]) })
	o[1], errs[1] = do(p[1])
	wg.Wait()
	return o, errors.Join(errs[0], errs[1])
}

// run sends a plan to both and takes back what it changed.
func (p pair) run(ctx context.Context, plan *rewrite.Plan) ([2]*outcome, error) {
	after := "ROLLBACK; BEGIN"
	if plan.Has(rewrite.Prepares) {
		after = "ROLLBACK; DEALLOCATE ALL; BEGIN"
	}
	return p.both(func(c *pgconn.PgConn) (*outcome, error) {
		o := &outcome{}
		c.CustomData()["outcome"] = o
		if err := o.send(ctx, c, plan.SQL, len(plan.Steps) == 1 && plan.Steps[0].Command == "COPY"); err != nil {
			return nil, err
		}
		c.CustomData()["outcome"] = &outcome{}
		o.redact(plan)
		return o, c.Exec(ctx, after).Close()
	})
}

// exec runs texts on both, whose outcome is not looked at.
func (p pair) exec(ctx context.Context, sqls ...string) error {
	_, err := p.both(func(c *pgconn.PgConn) (*outcome, error) {
		for _, sql := range sqls {
			if err := c.Exec(ctx, sql).Close(); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	return err
}

// understands tells whether the server knows what a statement means, without
// running it.
func (p pair) understands(ctx context.Context, sql string) bool {
	_, err := p[0].Prepare(ctx, "", sql, nil)
	return err == nil
}
