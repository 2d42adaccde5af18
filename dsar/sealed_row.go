package dsar

import (
	"encoding/hex"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/seal"
)

// readText is the expression that reads a column of a row as text: what is bound to its
// row behind that row's key. of is nil where it is not sealed.
func readText(of *policy.Sealed, alias, column string) string {
	if of != nil && of.Row {
		return of.ReadSQL(alias)
	}
	return "CAST(" + alias + "." + quote(column) + " AS text)"
}

// withKeys is what replaces members of a row c as JSON by values behind the row's key,
// where they are bound to that.
func (t shown) withKeys() string {
	var members []string
	for _, c := range t.columns {
		if of := t.sealed[c.Name]; of != nil && of.Row {
			members = append(members, literal(c.Name)+", "+of.ReadSQL("c"))
		}
	}
	if members == nil {
		return ""
	}
	return " || jsonb_build_object(" + strings.Join(members, ", ") + ")"
}

// atRow gives what opens a value that was read behind its row's key, and what is stored of
// it.
func atRow(with *seal.Sealer, of *policy.Sealed, text []byte) (at *seal.Sealer, stored []byte, err error) {
	key, stored, ok := of.SplitRow(text)
	if !ok {
		return nil, nil, seal.ErrDamaged
	}
	if of.Stored == "bytea" {
		stored, err = hex.AppendDecode(nil, stored)
	}
	return with.At(key), stored, err
}

// storedIn gives what is stored of a value that was read as readText does.
func storedIn(of *policy.Sealed, text string) string {
	if !of.Row {
		return text
	}
	_, stored, _ := of.SplitRow([]byte(text))
	if of.Stored == "bytea" {
		return `\x` + string(stored)
	}
	return string(stored)
}

// withRow is what readText gives of a stored value.
func withRow(of *policy.Sealed, key []byte, text string) string {
	if !of.Row {
		return text
	}
	if of.Stored == "bytea" {
		text = strings.TrimPrefix(text, `\x`)
	}
	return string(key) + text
}

// rowKey gives the key that a row's values are bound to, of the values of its primary key
// in that one's order; nil where they are not.
func rowKey(of *policy.Sealed, r *catalog.Relation, primary []string) (key []byte) {
	for _, k := range of.RowKey {
		i := slices.Index(r.PrimaryKey, r.ColumnIndex(k.Name))
		if i < 0 || i >= len(primary) {
			return nil
		}
		key = k.AppendRow(key, primary[i])
	}
	return key
}
