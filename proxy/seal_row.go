package proxy

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/seal"
)

// Values of classes that say "bind: row" are sealed with the key of their row, which the
// statement gives (rewrite.Row), and come with it from the server (policy.Sealed.ReadSQL).

// row gives the key of a row that a value is bound to, from literals and the parameters of
// a Bind message with the types that the client declared; nil where it is bound to none.
func (a *sealers) row(row *rewrite.Row, given []parameter, oids []uint32) (key []byte, err error) {
	if row == nil {
		return nil, nil
	}
	for _, v := range *row {
		p, oid := parameter{value: []byte(v.Text)}, uint32(0)
		if v.Client > len(given) {
			return nil, &rewrite.Refusal{Code: "08P01", Message: fmt.Sprintf("Bind gives %d parameters, and the statement has more", len(given))}
		}
		if v.Client > 0 {
			p = given[v.Client-1]
			if v.Client <= len(oids) {
				oid = oids[v.Client-1]
			}
		}
		if key, err = a.appendKey(key, v.Column, p, oid); err != nil {
			return nil, err
		}
	}
	return key, nil
}

// copiedRow is row for a row of COPY, of which values are the columns of the key.
func (a *sealers) copiedRow(c *policy.Sealed, values [][]byte, inBinary bool) (key []byte, err error) {
	if len(values) != len(c.RowKey) {
		return nil, fmt.Errorf("internal error: the key of %s has %d columns, not %d", c.Column, len(c.RowKey), len(values))
	}
	for i, value := range values {
		p := parameter{value: value}
		if inBinary {
			p.format = 1
		}
		if key, err = a.appendKey(key, c.RowKey[i], p, 0); err != nil {
			return nil, err
		}
	}
	return key, nil
}

// appendKey appends the value of a column of a row's key, which a client wrote.
func (a *sealers) appendKey(key []byte, k policy.KeyColumn, p parameter, oid uint32) ([]byte, error) {
	typ := k.Type
	if typ == "bpchar" {
		typ = "text"
	}
	unread := func(why error) error {
		return &rewrite.Refusal{Code: "0A000", Message: fmt.Sprintf("a sealed value is bound to its row, and that row's %s cannot be read: %v", k.Name, why), Hint: "give it as text, or with the type " + k.Type}
	}
	if p.value == nil {
		return nil, unread(errors.New("it is NULL"))
	}
	text, err := textOf(&policy.Sealed{Column: k.Name, Values: typ, Stored: typ}, p, oid)
	if err == nil {
		text, err = seal.Canonical(typ, text)
	}
	if err != nil {
		return nil, unread(err)
	}
	switch {
	case a.s.recodes.Load() && !fitsAll(typ, text):
		return nil, unread(errors.New("it is written under another client_encoding than UTF8"))
	case k.Type == "bpchar":
		text = bytes.TrimRight(text, " ")
	case k.Type == "varchar" && bytes.HasSuffix(text, []byte(" ")): // which the server may cut off
		return nil, unread(errors.New("it ends with a space"))
	}
	return k.AppendRow(key, string(text)), nil
}

// fromRow gives the key of the row that a value came from, and what is stored of it,
// perhaps in room.
func fromRow(room *[]byte, c *policy.Sealed, text []byte) (key, stored []byte, err error) {
	key, stored, ok := c.SplitRow(text)
	if !ok {
		return nil, nil, errors.New("it came without the key of its row")
	}
	if c.Stored == "bytea" {
		if *room, err = hex.AppendDecode((*room)[:0], stored); err != nil {
			return nil, nil, seal.ErrDamaged
		}
		stored = *room
	}
	return key, stored, nil
}
