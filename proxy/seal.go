package proxy

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/rewrite/mask"
	"github.com/pgveil/pgveil/seal"
)

// Values of sealed columns are sealed on their way to the server, and opened on
// their way to the client, as plans say (rewrite.Seals): literals here, the
// parameters of Bind in seal_bind.go, rows and what describes them in seal_rows.go,
// the data of COPY in seal_copy.go.

// sealerSet is what seals and opens for one ring of keys and one engine, made when
// it is first needed.
type sealerSet struct {
	ring    *seal.Ring
	engine  *rewrite.Engine
	columns sync.Map // *policy.Sealed → *seal.Sealer
}

// sealers are those for a session.
type sealers struct {
	*sealerSet
	s    *session
	room []byte
}

// UseRing takes other keys into use. Statements that have begun go on with those
// that they began with.
func (srv *Server) UseRing(r *seal.Ring) { srv.ring.Store(r) }

// sealersOf gives the sealers for the keys in use.
func (s *session) sealersOf() (*sealers, error) {
	ring := s.srv.ring.Load()
	if ring == nil {
		return nil, refuseKeys(errors.New("there are no keys"))
	}
	have := s.srv.sealers.Load()
	if have == nil || have.ring != ring || have.engine != s.engine {
		have = &sealerSet{ring: ring, engine: s.engine}
		s.srv.sealers.Store(have)
	}
	return &sealers{sealerSet: have, s: s}, nil
}

// of gives what seals and opens the values of a column.
func (a *sealers) of(c *policy.Sealed) (*seal.Sealer, error) {
	if made, ok := a.columns.Load(c); ok {
		return made.(*seal.Sealer), nil
	}
	made, err := a.ring.Sealer(c)
	if err != nil {
		return nil, refuseKeys(err)
	}
	a.columns.Store(c, made)
	return made, nil
}

// refuseKeys refuses what cannot be sealed or opened for want of a key.
func refuseKeys(err error) error {
	return &rewrite.Refusal{Code: "58000", Message: "sealed columns cannot be used: " + err.Error(), Hint: "an operator must look at the keys (pgveil keys list)"}
}

// sealText gives the text to send for one in which values are to be sealed.
func (s *session) sealText(sql []byte, holes []rewrite.Hole) ([]byte, error) {
	with, err := s.sealersOf()
	if err != nil {
		return nil, err
	}
	text, at := make([]byte, 0, len(sql)+128*len(holes)), 0
	for _, h := range holes {
		text = append(text, sql[at:h.At]...)
		at = h.End
		if !h.Forms {
			row, err := with.row(h.Row, nil, nil)
			if err != nil {
				return nil, err
			}
			stored, err := with.stored(nil, h.For, []byte(h.Value), h.Find, row)
			if err != nil {
				return nil, err
			}
			text = appendLiteral(text, stored, h.Find || h.For.Stored == "bytea")
			continue
		}
		forms, err := with.forms(h.For, []byte(h.Value), h.Find)
		if err != nil {
			return nil, err
		}
		for i, form := range forms {
			if i > 0 {
				text = append(text, ", "...)
			}
			text = appendLiteral(text, form, h.Find || h.For.Stored == "bytea")
		}
	}
	return append(text, sql[at:]...), nil
}

// stored gives what is stored for a value that a client wrote as text, or what it
// is found by, perhaps in room. row is the key of the row that it is bound to; nil where
// it is bound to none.
func (a *sealers) stored(room []byte, c *policy.Sealed, text []byte, find bool, row []byte) ([]byte, error) {
	with, value, err := a.canonical(c, text)
	if err != nil {
		return nil, err
	}
	if find {
		found, err := with.Blind(value)
		if err != nil {
			return nil, refuseKeys(err)
		}
		return found, nil
	}
	if row != nil {
		with = with.At(row)
	}
	sealed, err := with.Seal(room[:0], value)
	if errors.Is(err, seal.ErrNeedsDataKey) {
		sealed, err = a.s.sealUnder(with, c, value)
	}
	var form *seal.FormError
	switch {
	case errors.Is(err, errWaits):
		return nil, err
	case errors.As(err, &form):
		return nil, &rewrite.Refusal{Code: "22023", Message: fmt.Sprintf("the value for %s cannot be sealed: %v", c.Column, form)}
	case err != nil:
		return nil, refuseKeys(err)
	case c.Room > 0 && len(sealed) > c.Room:
		return nil, &rewrite.Refusal{Code: "22001", Message: fmt.Sprintf("the value is too long for %s, once it is sealed: %d characters of %d", c.Column, len(sealed), c.Room)}
	}
	return sealed, nil
}

// canonical gives a value that a client wrote as text in the form that is sealed, and
// what seals it.
func (a *sealers) canonical(c *policy.Sealed, text []byte) (*seal.Sealer, []byte, error) {
	with, err := a.of(c)
	if err != nil {
		return nil, nil, err
	}
	value, err := seal.Canonical(c.Values, text)
	if err != nil {
		return nil, nil, &rewrite.Refusal{Code: "22023", Message: fmt.Sprintf("the value for %s cannot be sealed: %v", c.Column, err)}
	}
	if a.s.recodes.Load() && !fitsAll(c.Values, value) {
		return nil, nil, &rewrite.Refusal{Code: "22021", Message: fmt.Sprintf("the value for %s cannot be sealed as it is written under this client_encoding", c.Column), Hint: "set client_encoding to UTF8"}
	}
	return with, value, nil
}

// forms gives what a value that is looked for may be stored as, or be found by in the
// blind column: one form for each key that opens, and the value itself where some may not be
// sealed yet and the policy has those found. Of what no column of the format can hold there is
// one that equals nothing.
func (a *sealers) forms(c *policy.Sealed, text []byte, find bool) (all [][]byte, err error) {
	with, value, err := a.canonical(c, text)
	if err != nil {
		return nil, err
	}
	if find {
		all, err = with.BlindForms(value)
	} else {
		all, err = with.Forms(value)
	}
	var form *seal.FormError
	if errors.As(err, &form) {
		return [][]byte{{}}, nil
	}
	if err != nil {
		return nil, refuseKeys(err)
	}
	if c.Find && !seal.IsSealed(value, c.Stored) {
		all = append(all, value)
	}
	return all, nil
}

// fitsAll tells whether a value is written alike in all encodings of clients.
func fitsAll(typ string, value []byte) bool {
	return typ == "bytea" || !slices.ContainsFunc(value, func(b byte) bool { return b >= utf8.RuneSelf })
}

// appendLiteral appends a value as a literal, which is read alike under every
// setting.
func appendLiteral(dst, value []byte, binary bool) []byte {
	if binary {
		return append(hex.AppendEncode(append(dst, `E'\\x`...), value), '\'')
	}
	if !bytes.ContainsAny(value, `'\`) {
		return append(append(append(dst, '\''), value...), '\'')
	}
	dst = append(dst, `E'`...)
	for _, b := range value {
		if b == '\'' || b == '\\' {
			dst = append(dst, b)
		}
		dst = append(dst, b)
	}
	return append(dst, '\'')
}

// opener opens the values of one column of rows.
type opener struct {
	at     int
	with   []*seal.Sealer // one for each column that a value can be from
	as     []*policy.Sealed
	masked *mask.Applier // nil: clear
}

// openers makes what opens the rows of a step.
func (s *session) openers(outputs []rewrite.Opened) ([]opener, error) {
	if len(outputs) == 0 {
		return nil, nil
	}
	with, err := s.sealersOf()
	if err != nil {
		return nil, err
	}
	all := make([]opener, len(outputs))
	for i, o := range outputs {
		all[i] = opener{at: o.Column, as: o.As}
		for _, c := range o.As {
			one, err := with.of(c)
			if err != nil {
				return nil, err
			}
			all[i].with = append(all[i].with, one)
		}
		if o.Show.Show != policy.ShowClear {
			if all[i].masked, err = s.srv.applier(o); err != nil {
				return nil, fmt.Errorf("the mask of %s: %w", o.As[0].Column, err)
			}
		}
	}
	return all, nil
}

// applier gives the mask of what is opened.
func (srv *Server) applier(o rewrite.Opened) (*mask.Applier, error) {
	c := o.As[0]
	of := mask.Values{Schema: c.Schema, Table: c.Table, Column: c.Name, Type: c.Values, Room: c.Room}
	a, err := mask.NewApplier(o.Show.Mask, c.Class, of, srv.maskKey)
	if err != nil {
		return nil, &rewrite.Refusal{Code: "0A000", Message: err.Error(), Hint: "another mask can be shown of it"}
	}
	return a, nil
}

// open opens a stored value, by a data key that key gives where it takes one. null tells
// that the client gets NULL in its place. The value is in r until the next.
func (o *opener) open(r *room, stored []byte, key func(seal.DataKeyID) (seal.DataKey, bool)) (value []byte, null bool, err error) {
	var row []byte
	if o.as[0].Row {
		if row, stored, err = fromRow(&r.bound, o.as[0], stored); err != nil {
			return nil, o.as[0].Hide, err
		}
	}
	for i, with := range o.with {
		if row != nil {
			with = with.At(row)
		}
		opened, why := with.Open(r.value[:0], stored)
		if errors.Is(why, seal.ErrNeedsDataKey) {
			opened, why = with.OpenUnder(r.value[:0], stored, key)
		}
		if why == nil || i == 0 {
			value, err = opened, why
		}
		if why == nil {
			break
		}
	}
	if errors.Is(err, seal.ErrClear) && o.as[0].Clear {
		value, err = append(r.value[:0], stored...), nil
	}
	switch {
	case err != nil:
		return nil, o.as[0].Hide, err
	case o.masked == nil:
		r.value = value
		return value, false, nil
	}
	r.value = value
	r.shown, null = o.masked.Apply(r.shown[:0], value)
	return r.shown, null, nil
}

// tellDamaged tells operators of a value that cannot be opened.
func (s *session) tellDamaged(o *opener, err error) {
	name := o.as[0].Column
	s.srv.alert(s, alert.Event{
		Name: "sealed_value_damaged", Severity: alert.Critical, User: s.party().access.User,
		Message: "a value of a sealed column cannot be opened",
		Details: []slog.Attr{slog.String("column", name), slog.String("why", err.Error())},
	})
}

// damaged is tellDamaged where a statement ends in it.
func (s *session) damaged(o *opener, err error) error {
	s.tellDamaged(o, err)
	name := o.as[0].Column
	return &rewrite.Refusal{Code: "XX001", Message: fmt.Sprintf("a value of %s cannot be opened: %v", name, err), Hint: "an operator must look at it; damaged: hide shows NULL instead"}
}
