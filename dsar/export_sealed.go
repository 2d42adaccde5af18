package dsar

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

// blind tells whether a column holds keyed hashes of a sealed one: they tell nothing to
// whom they are of.
func (g *Graph) blind(t *Table, column string) bool {
	return slices.ContainsFunc(t.Relation.Columns, func(c catalog.Column) bool {
		of := g.set.Sealed(t.Relation, c.Name)
		return of != nil && of.Blind && policy.BlindColumn(c.Name) == column
	})
}

// sealedOf gives the sealed ones of a table's columns.
func (g *Graph) sealedOf(t *Table) map[string]*policy.Sealed {
	all := map[string]*policy.Sealed{}
	for _, c := range t.Relation.Columns {
		if of := g.set.Sealed(t.Relation, c.Name); of != nil {
			all[c.Name] = of
		}
	}
	return all
}

// openRow gives a row, a JSON object, with its sealed values opened. missed is told of
// those that cannot be.
func (t shown) openRow(ctx context.Context, v Values, row []byte, missed func(column string)) ([]byte, error) {
	if len(t.sealed) == 0 {
		return row, nil
	}
	var out []byte
	done := int64(0)
	d := json.NewDecoder(bytes.NewReader(row))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, err
		}
		column, _ := name.(string)
		of := t.sealed[column]
		if of == nil || string(raw) == "null" || raw[0] == '{' && t.mayHide(column) {
			continue
		}
		value, err := openMember(ctx, v, of, raw, missed)
		if err != nil {
			return nil, err
		}
		end := d.InputOffset()
		out = append(append(out, row[done:end-int64(len(raw))]...), value...)
		done = end
	}
	return append(out, row[done:]...), nil
}

// openMember opens a value of a row in JSON.
func openMember(ctx context.Context, v Values, of *policy.Sealed, raw []byte, missed func(column string)) ([]byte, error) {
	text := raw
	if of.Row || of.Stored != "json" && of.Stored != "jsonb" {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil, fmt.Errorf("internal error: %s is no text", of.Column)
		}
		text = []byte(s)
	}
	value, why, err := v.openOrTell(ctx, of, text)
	switch {
	case err != nil:
		return nil, err
	case why != "":
		missed(of.Column)
		return encode(map[string]string{"unreadable": why})
	}
	return asJSON(of.Values, value)
}

// openFields gives a row's values as text with the sealed ones opened.
func (t shown) openFields(ctx context.Context, v Values, values [][]byte) ([][]byte, error) {
	if len(t.sealed) == 0 {
		return values, nil
	}
	out := slices.Clone(values)
	for i, c := range t.columns {
		of := t.sealed[c.Name]
		if of == nil || values[i] == nil || t.isRedacted(c.Name, values[i]) {
			continue
		}
		value, why, err := v.openOrTell(ctx, of, values[i])
		switch {
		case err != nil:
			return nil, err
		case why != "":
			out[i] = []byte("[unreadable: " + why + "]")
		default:
			out[i] = asText(of.Values, value)
		}
	}
	return out, nil
}

// openOrTell opens a value, or tells why it cannot be opened where its class lets it be
// left out.
func (v Values) openOrTell(ctx context.Context, of *policy.Sealed, text []byte) (value []byte, why string, err error) {
	value, err = v.open(ctx, of, text)
	var u *unreadable
	switch {
	case !errors.As(err, &u):
		return value, "", err
	case of.Hide:
		return nil, u.why.Error(), nil
	default:
		return nil, "", u.told()
	}
}

// told is the error for whoever asked.
func (u *unreadable) told() error {
	return privacy.Fail(privacy.NotAvailable, `an operator must look at it; with "damaged: hide" of its class others go on without it`, "%s", u)
}

// mayHide tells whether a column tells of others in some rows.
func (t *Table) mayHide(column string) bool {
	return slices.ContainsFunc(t.counterparts, func(c counterpart) bool { return c.hides(column) })
}

// isRedacted tells whether a column's text stands for one that tells of others.
func (t *Table) isRedacted(column string, text []byte) bool {
	return slices.ContainsFunc(t.counterparts, func(c counterpart) bool { return c.hides(column) && string(text) == redacted(c) })
}
