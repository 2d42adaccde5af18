package reseal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/seal"
)

// sealing seals clear values.
type sealing struct {
	c *Column
	s *seal.Sealer
}

func newSealing(ring *seal.Ring, c *Column) (converter, error) {
	s, err := ring.Sealer(c.Sealed)
	return sealing{c, s}, err
}

func (sealing) where() string { return "" }

func (w sealing) convert(stored, row []byte) (next, error) {
	value, err := w.c.clear(stored)
	if err != nil {
		return next{}, err
	}
	return w.under(value, row)
}

// under gives what is stored of a row's value under the primary key.
func (w sealing) under(value, row []byte) (n next, err error) {
	n.value = value
	if n.stored, err = w.c.at(w.s, row).Seal(nil, value); err != nil {
		return n, err
	}
	if w.c.Room > 0 && len(n.stored) > w.c.Room {
		return n, fmt.Errorf("sealed, it has %d characters, and %s takes %d", len(n.stored), w.c.Column, w.c.Room)
	}
	if w.c.Blind {
		n.blindHash, err = w.s.Blind(value)
	}
	return n, err
}

func (w sealing) same(n *next, stored, blind []byte) error {
	value, err := w.c.at(w.s, n.row).Open(nil, stored)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(value, n.value):
		return errors.New("it opens as another value")
	case w.c.Blind && !bytes.Equal(blind, n.blindHash):
		return fmt.Errorf("%s has another hash", policy.BlindColumn(w.c.Name))
	default:
		return nil
	}
}

// clear gives the value that is stored in clear.
func (c *Column) clear(stored []byte) ([]byte, error) {
	if c.Values == "bytea" { // the bytes themselves
		return stored, nil
	}
	return seal.Canonical(c.Values, stored)
}

// anyRow stands for the key of a row where none is meant.
var anyRow = []byte("0~")

// resealing seals under the primary key what another one sealed.
type resealing struct {
	sealing
	head []byte
}

func newResealing(ring *seal.Ring, c *Column) (converter, error) {
	s, err := ring.Sealer(c.Sealed)
	if err != nil {
		return nil, err
	}
	// Every envelope under the primary key begins alike.
	one, err := c.at(s, anyRow).Seal(nil, nil)
	if err != nil {
		return nil, err
	}
	return resealing{sealing{c, s}, one[:seal.HeadLen(c.Stored)]}, nil
}

func (w resealing) where() string {
	other := fmt.Sprintf("%s <> %s", w.c.head(len(w.head)), w.c.constant(w.head))
	if w.c.Blind {
		other += " OR t." + w.c.blind() + " IS NULL"
	}
	return "(" + other + ")"
}

func (w resealing) convert(stored, row []byte) (next, error) {
	value, err := w.c.at(w.s, row).Open(nil, stored)
	if err != nil {
		return next{}, err
	}
	return w.under(value, row)
}

// unsealing stores values as they are. Hashes stay, for as long as the policy goes by
// them.
type unsealing struct {
	c *Column
	s *seal.Sealer
}

func newUnsealing(ring *seal.Ring, c *Column) (converter, error) {
	s, err := ring.Sealer(c.Sealed)
	return unsealing{c, s}, err
}

func (unsealing) where() string { return "" }

func (w unsealing) convert(stored, row []byte) (n next, err error) {
	if n.value, err = w.c.at(w.s, row).Open(nil, stored); err != nil {
		return n, err
	}
	switch {
	case seal.IsSealed(n.value, w.c.Stored):
		return n, errors.New("the value itself begins as a sealed one: in clear it would be taken for one")
	case w.c.text() && (!utf8.Valid(n.value) || bytes.IndexByte(n.value, 0) >= 0):
		return n, fmt.Errorf("the value is bytes that %s cannot hold", w.c.Stored)
	}
	n.stored = n.value
	if w.c.Blind {
		n.blindHash, err = w.s.Blind(n.value)
	}
	return n, err
}

func (unsealing) same(*next, []byte, []byte) error { return nil } // the server has compared

// Migrate seals the clear values of a column.
func (j *Job) Migrate(ctx context.Context, c *Column) (*Result, error) {
	return j.begin(ctx, c, change{
		where: "NOT " + c.isSealed(), plan: newSealing,
		todo:  func(s *Census) int64 { return s.Clear },
		heeds: func(about topic) bool { return about != unknown || !j.LeaveUnknown },
	})
}

// ErrWall says that a CHECK keeps clear values out.
var ErrWall = errors.New("keeps clear values out: --drop-wall drops it first")

// Unseal stores the values of a column in clear again.
func (j *Job) Unseal(ctx context.Context, c *Column) (*Result, error) {
	if !c.Clear {
		return nil, fmt.Errorf("class %q does not say clear: accept: pgveil would take clear values for damage", c.Class)
	}
	w, err := findWall(ctx, j.Conn, c)
	if err == nil && w != nil {
		err = fmt.Errorf("%s: the CHECK %s %w", c.Column, w.Name, ErrWall)
	}
	if err != nil {
		return nil, err
	}
	return j.begin(ctx, c, change{
		where: c.isSealed(), plan: newUnsealing, todo: opens,
		heeds: func(about topic) bool { return about == foreign || about == unknown && !j.LeaveUnknown },
	})
}

// Rotate seals under the primary key what another one sealed, and gives hashes to sealed
// values that have none.
func (j *Job) Rotate(ctx context.Context, c *Column) (*Result, error) {
	return j.begin(ctx, c, change{
		where: c.isSealed(), plan: newResealing, todo: behind,
		heeds: func(about topic) bool { return about == foreign || about == unknown && !j.LeaveUnknown },
	})
}

// behind counts the values that are not as the primary key would have them.
func behind(s *Census) (n int64) {
	for _, u := range s.Under {
		switch u.State {
		case seal.Enabled:
			n += u.Rows
		case seal.Primary:
			n += max(u.Unhashed, u.Unbound)
		}
	}
	return n
}

// opens counts the values that open, by their keys.
func opens(s *Census) (n int64) {
	for _, u := range s.Under {
		if u.State == seal.Primary || u.State == seal.Enabled {
			n += u.Rows
		}
	}
	return n
}

// begin does a job where nothing speaks against it.
func (j *Job) begin(ctx context.Context, c *Column, ch change) (r *Result, err error) {
	if err := c.Unsupported(); err != nil {
		return nil, err
	}
	unlock, err := j.lock(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = ErrStopped
		}
		err = errors.Join(err, unlock())
	}()
	report, err := j.Check(ctx, c)
	if err != nil {
		return nil, err
	}
	r = &Result{Census: report.Census, Left: ch.todo(report.Census), Unfit: report.Unfit}
	if r.Left == 0 {
		return r, report.refused(func(about topic) bool { return about == unknown && ch.heeds(about) })
	}
	if err := report.refused(ch.heeds); err != nil {
		return r, err
	}
	if err := errors.Join(j.may(ctx, c), j.passBy(ctx)); err != nil {
		return r, err
	}
	return j.run(ctx, c, ch, report.Census)
}

// may makes sure that the login may change the rows, before it changes the first.
func (j *Job) may(ctx context.Context, c *Column) error {
	for _, part := range c.Parts {
		var login string
		var may bool
		err := j.Conn.QueryRow(ctx, "SELECT current_user::text, pg_catalog.has_column_privilege($1::pg_catalog.oid, $2, 'SELECT') AND pg_catalog.has_column_privilege($1::pg_catalog.oid, $2, 'UPDATE')", part.OID, c.Name).Scan(&login, &may)
		if err == nil && !may {
			err = fmt.Errorf("the login %s may not read and update %s of %s: name one that may by --admin-url", login, c.Name, part.QualifiedName())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// errUnknownKeys says that there are values whose keys the ring does not have.
var errUnknownKeys = errors.New("the file of keys does not have them: was it restored from a backup from before a rotation? Put the newer one in its place; --leave-unknown goes on without those values")

func unknownKeys(c *Column, unknown []Under) error {
	var b strings.Builder
	for i, u := range unknown {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d values under key %08x", u.Rows, u.Key)
	}
	return fmt.Errorf("%s has %s: %w", c.Column, &b, errUnknownKeys)
}
