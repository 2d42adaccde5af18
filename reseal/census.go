package reseal

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/seal"
)

// Census counts the values of a column by how they are stored, as their beginnings
// tell.
type Census struct {
	Rows, Null int64
	Clear      int64
	Damaged    int64 // begin as what is sealed, and cannot be
	OwnKeys    int64 // sealed under data keys of their own
	Formed     int64 // keep a format: nothing tells whether they are sealed
	Under      []Under
	Unfound    int64 // values without a hash in the blind column, or hashes without a value
	Longest    int   // bytes of the longest clear value
}

// Under counts the values that one key sealed.
type Under struct {
	Key   uint32
	Mode  policy.SealMode
	State seal.State // its zero: the ring does not have it
	Rows  int64

	Unhashed int64 // those without a hash in the blind column
	Unbound  int64 // those that are not bound to their rows, where they should be
}

// Unknown gives the keys of values that nobody can open as the ring does not have them.
func (s *Census) Unknown() (keys []Under) {
	for _, u := range s.Under {
		if u.State == 0 {
			keys = append(keys, u)
		}
	}
	return keys
}

// Closed counts the values whose keys are disabled or destroyed.
func (s *Census) Closed() (n int64) {
	for _, u := range s.Under {
		if u.State == seal.Disabled || u.State == seal.Destroyed {
			n += u.Rows
		}
	}
	return n
}

// Sealed counts the values that begin as sealed ones.
func (s *Census) Sealed() (n int64) {
	for _, u := range s.Under {
		n += u.Rows
	}
	return n + s.OwnKeys
}

// Count takes a census.
func Count(ctx context.Context, conn *pgx.Conn, ring *seal.Ring, c *Column) (*Census, error) {
	s := &Census{}
	for _, part := range c.Parts {
		head := c.head(seal.HeadLen(c.Stored))
		if c.Shred {
			head = c.head(len(seal.Prefix(c.Stored)))
		}
		unfound := "0, 0"
		if c.Blind {
			unfound = fmt.Sprintf("pg_catalog.count(*) FILTER (WHERE t.%s IS NOT NULL AND t.%s IS NULL), pg_catalog.count(*) FILTER (WHERE t.%[1]s IS NULL AND t.%[2]s IS NOT NULL)", ident(c.Name), c.blind())
		}
		sql := fmt.Sprintf(`SELECT CASE WHEN %[1]s IS NULL THEN 0 WHEN NOT %[2]s THEN 1 WHEN NOT %[3]s THEN 2 ELSE 3 END AS kind,
	CASE WHEN %[2]s AND %[3]s THEN %[4]s END AS head, pg_catalog.count(*), coalesce(pg_catalog.max(pg_catalog.octet_length(%[1]s)), 0), %[5]s
FROM ONLY %[6]s AS t GROUP BY 1, 2`, c.raw(), c.isSealed(), c.isWhole(), head, unfound, ident(part.Schema, part.Name))
		if err := s.add(ctx, conn, ring, c, sql); err != nil {
			return nil, fmt.Errorf("counting the values of %s in %s: %w", c.Column, part.QualifiedName(), err)
		}
	}
	slices.SortFunc(s.Under, func(a, b Under) int { return cmp.Or(cmp.Compare(a.State, b.State), cmp.Compare(a.Key, b.Key)) })
	return s, nil
}

func (s *Census) add(ctx context.Context, conn *pgx.Conn, ring *seal.Ring, c *Column, sql string) error {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return err
	}
	var kind, longest int
	var head []byte
	var n, unhashed, spare int64
	_, err = pgx.ForEachRow(rows, []any{&kind, &head, &n, &longest, &unhashed, &spare}, func() error {
		s.Rows += n
		s.Unfound += unhashed + spare
		switch {
		case kind == 0:
			s.Null += n
		case c.Format.Alphabet != "":
			s.Formed += n
		case kind == 1:
			s.Clear += n
			s.Longest = max(s.Longest, longest)
		case kind == 2:
			s.Damaged += n
		default:
			s.sealed(ring, c, head, n, unhashed)
		}
		return nil
	})
	return err
}

// sealed counts values that begin with one head.
func (s *Census) sealed(ring *seal.Ring, c *Column, head []byte, n, unhashed int64) {
	if c.Shred {
		s.OwnKeys += n
		return
	}
	h, ok := seal.HeadOf(head, c.Stored)
	if !ok || h.Mode != c.Mode || h.Row && !c.Row {
		s.Damaged += n
		return
	}
	at := slices.IndexFunc(s.Under, func(u Under) bool { return u.Key == h.Key && u.Mode == h.Mode })
	if at < 0 {
		at, s.Under = len(s.Under), append(s.Under, Under{Key: h.Key, Mode: h.Mode, State: ring.State(c.Class, h.Key)})
	}
	s.Under[at].Rows += n
	s.Under[at].Unhashed += unhashed
	if c.Row && !h.Row {
		s.Under[at].Unbound += n
	}
}
