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

func (w sealing) convert(stored []byte) (next, error) {
	value, err := w.c.clear(stored)
	if err != nil {
		return next{}, err
	}
	return w.under(value)
}

// under gives what is stored of a value under the primary key.
func (w sealing) under(value []byte) (n next, err error) {
	n.value = value
	if n.stored, err = w.s.Seal(nil, value); err != nil {
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
	value, err := w.s.Open(nil, stored)
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
	one, err := s.Seal(nil, nil)
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

func (w resealing) convert(stored []byte) (next, error) {
	value, err := w.s.Open(nil, stored)
	if err != nil {
		return next{}, err
	}
	return w.under(value)
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

func (w unsealing) convert(stored []byte) (n next, err error) {
	if n.value, err = w.s.Open(nil, stored); err != nil {
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
	ch := change{where: "NOT " + c.isSealed(), plan: newSealing, todo: func(s *Census) int64 { return s.Clear }}
	return j.begin(ctx, c, ch)
}

// Unseal stores the values of a column in clear again.
func (j *Job) Unseal(ctx context.Context, c *Column) (*Result, error) {
	ch := change{where: c.isSealed(), plan: newUnsealing, todo: opens}
	return j.begin(ctx, c, ch)
}

// Rotate seals under the primary key what another one sealed.
func (j *Job) Rotate(ctx context.Context, c *Column) (*Result, error) {
	ch := change{where: c.isSealed(), plan: newResealing, todo: func(s *Census) (n int64) {
		for _, u := range s.Under {
			if u.State == seal.Enabled {
				n += u.Rows
			}
		}
		return n
	}}
	return j.begin(ctx, c, ch)
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
	if err := j.settle(ctx, c); err != nil {
		return nil, err
	}
	unlock, err := j.lock(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	ring, err := j.Ring(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := ch.plan(ring, c); err != nil {
		return nil, err
	}
	before, err := Count(ctx, j.Conn, ring, c)
	if err != nil {
		return nil, err
	}
	if unknown := before.Unknown(); len(unknown) > 0 && !j.LeaveUnknown {
		return &Result{Census: before, Left: ch.todo(before)}, unknownKeys(c, unknown)
	}
	return j.run(ctx, c, ch, before)
}

// ErrUnknownKeys says that there are values whose keys the ring does not have.
var ErrUnknownKeys = errors.New("the file of keys does not have them: was it restored from a backup from before a rotation? Put the newer one in its place; --leave-unknown goes on without those values")

func unknownKeys(c *Column, unknown []Under) error {
	var b strings.Builder
	for i, u := range unknown {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d values under key %08x", u.Rows, u.Key)
	}
	return fmt.Errorf("%s has %s: %w", c.Column, &b, ErrUnknownKeys)
}
