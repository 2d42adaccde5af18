package dsar

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/seal"
)

// Values opens and seals the values of sealed columns. Without keys it refuses to.
type Values struct {
	Ring func() *seal.Ring // gives the keys in use; nil: there are none
	Keys DataKeys          // those of single values; nil: there are none
}

// DataKeys gives keys that seal one value each: new ones, and those of values that are
// there.
type DataKeys interface {
	Take(ctx context.Context, class string, hurried bool) (seal.DataKey, error)
	Fetch(ctx context.Context, ids []seal.DataKeyID, hurried bool, found func(seal.DataKey)) error
}

// unreadable is a value that cannot be opened.
type unreadable struct {
	of  *policy.Sealed
	why error
}

func (u *unreadable) Error() string {
	return fmt.Sprintf("a value of %s cannot be opened: %v", u.of.Column, u.why)
}

// with gives what seals and opens the values of a column.
func (v Values) with(of *policy.Sealed) (*seal.Sealer, error) {
	var ring *seal.Ring
	if v.Ring != nil {
		ring = v.Ring()
	}
	if ring == nil {
		return nil, privacy.Fail(privacy.NotAvailable, "an operator says where keys are (sealing)", "the values of %s are sealed, and there are no keys here", of.Column)
	}
	return ring.Sealer(of)
}

// open gives a value from what stands in its column, as text, with its row's key where it is
// bound to that (see readText). The error is an
// *unreadable where the value is to blame.
func (v Values) open(ctx context.Context, of *policy.Sealed, text []byte) ([]byte, error) {
	with, err := v.with(of)
	if err != nil {
		return nil, err
	}
	stored, err := storedOf(of, text)
	if of.Row {
		with, stored, err = atRow(with, of, text)
	}
	if err != nil {
		return nil, &unreadable{of, err}
	}
	value, err := with.Open(nil, stored)
	if errors.Is(err, seal.ErrNeedsDataKey) {
		key, fetching := v.dataKey(ctx, of, stored)
		if fetching != nil {
			return nil, fetching
		}
		value, err = with.OpenUnder(nil, stored, key)
	}
	switch {
	case errors.Is(err, seal.ErrClear) && of.Clear:
		return stored, nil
	case err != nil:
		return nil, &unreadable{of, err}
	}
	return value, nil
}

// openText is open of a value that may be NULL, as PostgreSQL writes it.
func (v Values) openText(ctx context.Context, of *policy.Sealed, text *string) (*string, error) {
	if text == nil {
		return nil, nil
	}
	value, err := v.open(ctx, of, []byte(*text))
	if err != nil {
		return nil, err
	}
	opened := string(asText(of.Values, value))
	return &opened, nil
}

// Opening gives what gives the values of columns of a policy's tables from what stands in
// them, as text: those that are not sealed as they are, and nil for what cannot be opened.
func (v Values) Opening(set *policy.Set) func(ctx context.Context, r *catalog.Relation, column, text string) (*string, error) {
	return func(ctx context.Context, r *catalog.Relation, column, text string) (*string, error) {
		of := set.Sealed(r, column)
		if of == nil {
			return &text, nil
		}
		value, err := v.openText(ctx, of, &text)
		var u *unreadable
		if errors.As(err, &u) {
			return nil, nil
		}
		return value, err
	}
}

// dataKey gives what gives the data key of a stored value.
func (v Values) dataKey(ctx context.Context, of *policy.Sealed, stored []byte) (func(seal.DataKeyID) (seal.DataKey, bool), error) {
	if v.Keys == nil {
		return nil, privacy.Fail(privacy.NotAvailable, "an operator says where data keys are (sealing.data_keys)", "the keys of %s cannot be had here", of.Column)
	}
	found := map[seal.DataKeyID]seal.DataKey{}
	if id, ok := seal.DataKeyOf(stored, of.Stored); ok {
		if err := v.Keys.Fetch(ctx, []seal.DataKeyID{id}, false, func(k seal.DataKey) { found[k.ID] = k }); err != nil {
			return nil, fmt.Errorf("fetching a data key of %s: %w", of.Column, err)
		}
	}
	return func(id seal.DataKeyID) (seal.DataKey, bool) { k, ok := found[id]; return k, ok }, nil
}

// storedOf gives what a column holds from its text.
func storedOf(of *policy.Sealed, text []byte) ([]byte, error) {
	if of.Stored != "bytea" {
		return text, nil
	}
	digits, ok := bytes.CutPrefix(text, []byte(`\x`))
	if !ok {
		return nil, seal.ErrClear
	}
	return hex.AppendDecode(nil, digits)
}

// sealedValue is a value as it is written.
type sealedValue struct {
	text  string // as the column's type reads it
	blind []byte // of the column beside it; nil where there is none
}

// seal seals a value that is given as text. row is the key of the row that it is bound to,
// if it is.
func (v Values) seal(ctx context.Context, of *policy.Sealed, text string, row []byte) (s sealedValue, err error) {
	with, err := v.with(of)
	if err != nil {
		return s, err
	}
	if of.Row {
		with = with.At(row)
	}
	value, err := seal.Canonical(of.Values, []byte(text))
	if err != nil {
		return s, unfitFor(of, err)
	}
	stored, err := v.sealOne(ctx, with, of, value)
	var form *seal.FormError
	if errors.As(err, &form) {
		return s, unfitFor(of, err)
	}
	if err != nil {
		return s, fmt.Errorf("sealing a value of %s: %w", of.Column, err)
	}
	if of.Blind {
		if s.blind, err = with.Blind(value); err != nil {
			return s, fmt.Errorf("sealing a value of %s: %w", of.Column, err)
		}
	}
	s.text = string(asText(of.Stored, stored))
	if of.Room > 0 && len(s.text) > of.Room {
		return s, privacy.Fail(privacy.BadKey, "make the column wider", "%s has no room for the value once it is sealed: %d of %d characters", of.Column, len(s.text), of.Room)
	}
	return s, nil
}

func (v Values) sealOne(ctx context.Context, with *seal.Sealer, of *policy.Sealed, value []byte) ([]byte, error) {
	if !of.Shred {
		return with.Seal(nil, value)
	}
	if v.Keys == nil {
		return nil, privacy.Fail(privacy.NotAvailable, "an operator says where data keys are (sealing.data_keys)", "there is no store of data keys")
	}
	k, err := v.Keys.Take(ctx, of.Class, false)
	if err != nil {
		return nil, err
	}
	defer k.Forget()
	return with.SealUnder(nil, value, &k)
}

func unfitFor(of *policy.Sealed, err error) error {
	return privacy.Fail(privacy.BadKey, "", "the value does not fit %s, which is %s: %v", of.Column, of.Values, err)
}

// match is the condition that a column of the row alias has a value, given as text,
// with its arguments from the n-th parameter on. What is sealed is compared as it is
// stored.
func (v Values) match(set *policy.Set, r *catalog.Relation, name, alias, value string, n int) (where string, args []any, err error) {
	column, _ := r.Column(name)
	at := alias + "." + quote(name)
	of := set.Sealed(r, name)
	if of == nil {
		return fmt.Sprintf("%s OPERATOR(%s.=) %s", at, quote(operatorSchema(column.Type)), cast(fmt.Sprintf("$%d::pg_catalog.text", n), column.Type)), []any{value}, nil
	}
	with, err := v.with(of)
	if err != nil {
		return "", nil, err
	}
	clear, err := seal.Canonical(of.Values, []byte(value))
	if err != nil {
		return "", nil, unfitFor(of, err)
	}
	switch {
	case of.Blind:
		hashes, err := with.BlindForms(clear)
		if err != nil {
			return "", nil, err
		}
		where, args = fmt.Sprintf("%s.%s OPERATOR(pg_catalog.=) ANY ($%d::pg_catalog.bytea[])", alias, quote(policy.BlindColumn(name)), n), []any{hashes}
	case of.Mode == policy.SealDeterministic:
		forms, err := with.Forms(clear)
		var form *seal.FormError
		if errors.As(err, &form) {
			return "", nil, unfitFor(of, err)
		}
		if err != nil {
			return "", nil, err
		}
		typ := "text"
		args = []any{asTexts(forms)}
		if of.Stored == "bytea" {
			typ, args = "bytea", []any{forms}
		}
		where = fmt.Sprintf("%s OPERATOR(pg_catalog.=) ANY ($%d::pg_catalog.%s[])", at, n, typ)
	default:
		return "", nil, privacy.Fail(privacy.NotAllowed, "seal it deterministic, or give it a blind index", "nothing can be looked for in %s: equal values of it look different", of.Column)
	}
	if of.Clear {
		where = fmt.Sprintf("(%s OR CAST(%s AS pg_catalog.text) OPERATOR(pg_catalog.=) $%d::pg_catalog.text)", where, at, n+1)
		args = append(args, string(asText(of.Stored, clear)))
	}
	return where, args, nil
}

func asTexts(all [][]byte) []string {
	out := make([]string, len(all))
	for i, b := range all {
		out[i] = string(b)
	}
	return out
}

// asText gives a value as PostgreSQL casts it to text.
func asText(typ string, value []byte) []byte {
	switch typ {
	case "bytea":
		return append([]byte(`\x`), hex.AppendEncode(nil, value)...)
	case "bool":
		switch string(value) {
		case "t":
			return []byte("true")
		case "f":
			return []byte("false")
		}
	}
	return value
}

// asJSON gives a value as to_jsonb gives it.
func asJSON(typ string, value []byte) ([]byte, error) {
	switch typ {
	case "json", "jsonb", "int2", "int4", "int8", "numeric", "bool":
		var b bytes.Buffer
		if json.Compact(&b, asText(typ, value)) == nil {
			return b.Bytes(), nil
		}
	case "timestamp":
		value = bytes.Replace(value, []byte(" "), []byte("T"), 1)
	case "timestamptz":
		if day, at, ok := bytes.Cut(value, []byte(" ")); ok {
			value = fmt.Appendf(nil, "%sT%s:00", day, at) // its offset is +00
		}
	}
	return encode(string(asText(typ, value)))
}
