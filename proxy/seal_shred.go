package proxy

import (
	"context"
	"errors"
	"slices"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/seal"
	"github.com/pgveil/pgveil/shred"
)

// Values of classes that say "shred" have a data key each. The client half takes new
// ones; the server half fetches those of all rows that lie in its buffer at once.

// sealUnder seals a value under a data key of its own.
func (s *session) sealUnder(with *seal.Sealer, c *policy.Sealed, value []byte) ([]byte, error) {
	if s.srv.dataKeys == nil {
		return nil, errors.New("there is no store of data keys")
	}
	// The store bounds how long it is waited for.
	k, err := s.srv.dataKeys.Take(context.Background(), c.Class, s.hurriedC)
	if errors.Is(err, shred.ErrWaits) {
		return nil, errWaits
	}
	if err != nil {
		return nil, err
	}
	defer k.Forget()
	return with.SealUnder(nil, value, &k)
}

// sealsOnce tells whether a text holds values under data keys. Were it run twice, two
// rows would share them, and the erasure of one would take the other's value.
func sealsOnce(p *rewrite.Plan) bool {
	return slices.ContainsFunc(p.Seals.Holes, func(h rewrite.Hole) bool { return h.For.Shred && !h.Find })
}

// runsOnce refuses a second run of a statement that may run but once.
func (n *named) runsOnce() error {
	if n.once && n.ran {
		return &rewrite.Refusal{
			Code: "0A000", Message: "a statement with a literal for a column whose values have keys of their own is bound once",
			Hint: "give the value as a parameter, or send the statement again",
		}
	}
	n.ran = true
	return nil
}

// shreds tells whether values of the data get data keys.
func (in *sealIntake) shreds() bool { return in != nil && in.keyed && !in.failed }

// readyDataKeys has the data keys of a row at hand, with those of the rows behind it
// that are there already. Where they cannot be had, the row does not leave.
func (s *session) readyDataKeys(ctx context.Context, f *flight, typ byte, size int) error {
	o := f.opening
	if o == nil || !o.shreds || len(o.now()) == 0 {
		return nil
	}
	if o.covered >= size {
		o.covered -= size
		return nil
	}
	rows, _ := s.fromS.Run(typ)
	s.fromS.Untake(len(rows))
	ids := seal.DataKeysIn(o.ids[:0], rows)
	slices.Sort(ids)
	o.ids = slices.Compact(ids)
	o.forget()
	err := s.srv.dataKeys.Fetch(ctx, o.ids, s.hurriedS, func(k seal.DataKey) { o.dataKeys[k.ID] = k })
	switch {
	case errors.Is(err, shred.ErrWaits):
		return errWaits
	case ctx.Err() != nil:
		return ctx.Err() // the session has ended
	case err != nil:
		o.why = refuseKeys(err)
		s.log.Error("data keys of sealed values cannot be had", "err", err)
		return nil
	}
	o.covered = len(rows) - size
	return nil
}

// forget forgets the data keys of rows that were read.
func (o *opening) forget() {
	if o.dataKeys == nil {
		o.dataKeys = map[seal.DataKeyID]seal.DataKey{}
	}
	clear(o.dataKeys)
	o.covered = 0
}

// dataKey gives a data key of the rows that are being read.
func (o *opening) dataKey(id seal.DataKeyID) (seal.DataKey, bool) {
	k, ok := o.dataKeys[id]
	return k, ok
}
