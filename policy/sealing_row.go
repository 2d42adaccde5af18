package policy

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
)

// Values of a class that says "bind: row" are sealed together with the primary key of
// their row: one that is moved to another row does not open there. So the key has to be
// known where a value is sealed, and comes with it where it is read.

// KeyColumn is a column of the primary key that values are bound to.
type KeyColumn struct {
	Name string
	Type string // in pg_type: one of RowKeyTypes
}

// RowKeyTypes are the types of keys that values can be bound to, by their names in
// pg_type: equal values of them are written in one way.
var RowKeyTypes = []string{"int2", "int4", "int8", "uuid", "text", "varchar", "bpchar"}

// Texts tells whether the column holds texts, which can have any characters in them.
func (k KeyColumn) Texts() bool { return k.Type == "text" || k.Type == "varchar" || k.Type == "bpchar" }

// rowKey gives the primary key of a table in the order of its columns.
func rowKey(rel *catalog.Relation) (key []KeyColumn) {
	for i, c := range rel.Columns {
		if slices.Contains(rel.PrimaryKey, i) {
			key = append(key, KeyColumn{Name: c.Name, Type: c.Type.Name})
		}
	}
	return key
}

// cannotBind tells why values of a table cannot be bound to its rows; "" when they can.
func cannotBind(rel *catalog.Relation) string {
	switch {
	case len(rel.Parents) > 0 && !rel.Partition:
		return "bind: row takes a table that inherits from none: its rows can have the keys of others"
	case len(rel.PrimaryKey) == 0 && !rel.Partition:
		return "bind: row takes a table with a primary key"
	}
	for _, i := range rel.PrimaryKey {
		c := &rel.Columns[i]
		switch {
		case c.Type.Schema != "pg_catalog" || !slices.Contains(RowKeyTypes, c.Type.Name):
			return fmt.Sprintf("bind: row takes a primary key of the types %s, and %s is %s", strings.Join(RowKeyTypes, ", "), c.Name, c.Type.SQL)
		case c.Loose:
			return fmt.Sprintf("bind: row takes a primary key whose equal values are written in one way, and the collation of %s is not deterministic", c.Name)
		case c.Generated:
			return fmt.Sprintf("bind: row takes a primary key that is known before the row is, and the server computes %s", c.Name)
		}
	}
	return ""
}

// rowEnd ends each column of a row's key where that stands before a value.
const rowEnd = "~"

// SplitRow cuts what ReadSQL gives into the row's key and what is stored. ok is false
// where it is not what ReadSQL gives.
func (s *Sealed) SplitRow(text []byte) (key, stored []byte, ok bool) {
	at := 0
	for _, k := range s.RowKey {
		n := 0
		if k.Texts() {
			digits := 0
			for at+digits < len(text) && text[at+digits] >= '0' && text[at+digits] <= '9' && digits < 10 {
				n, digits = 10*n+int(text[at+digits]-'0'), digits+1
			}
			if at += digits; digits == 0 || at == len(text) || text[at] != ':' {
				return nil, nil, false
			}
			at++
			for ; n > 0 && at < len(text); n-- { // characters of UTF-8
				for at++; at < len(text) && text[at]&0xc0 == 0x80; at++ {
				}
			}
		}
		end := bytes.IndexByte(text[at:min(len(text), at+maxNumber)], rowEnd[0])
		if end < 0 || n > 0 || k.Texts() && end > 0 {
			return nil, nil, false
		}
		at += end + len(rowEnd)
	}
	return text[:at], text[at:], true
}

// maxNumber is how many characters a key has at most that is no text, with its end.
const maxNumber = 40

// AppendRow appends the value of a column of a row's key, which is as the server writes
// it, to those before it: what SplitRow gives of the whole.
func (k KeyColumn) AppendRow(key []byte, value string) []byte {
	if k.Texts() {
		key = fmt.Appendf(key, "%d:", len([]rune(value)))
	}
	return append(append(key, value...), rowEnd...)
}

// RowSQL gives the expression of the key of a row of a relation, which the statement calls
// alias, as it stands before a value that is bound to it. alias is in the form in which it
// stands in SQL.
func (s *Sealed) RowSQL(alias string) string {
	return "(" + strings.Join(s.rowParts(alias), sqlAnd) + ")"
}

// sqlAnd puts texts together under every search_path.
const sqlAnd = " OPERATOR(pg_catalog.||) "

func (s *Sealed) rowParts(alias string) (parts []string) {
	for _, k := range s.RowKey {
		of := alias + "." + quoteName(k.Name) + "::pg_catalog.text"
		if k.Texts() {
			parts = append(parts, "pg_catalog.char_length("+of+")::pg_catalog.text", "':'")
		}
		parts = append(parts, of, "'"+rowEnd+"'")
	}
	return parts
}

// ReadSQL gives the expression that reads the column of a relation, which the statement
// calls alias: the stored value, as it is, or behind the key of its row, as text, where
// it is bound to that. alias is in the form in which it stands in SQL.
func (s *Sealed) ReadSQL(alias string) string {
	column := alias + "." + quoteName(s.Name)
	if !s.Row {
		return column
	}
	if s.Stored == "bytea" {
		column = "pg_catalog.encode(" + column + ", 'hex')"
	} else {
		column += "::pg_catalog.text"
	}
	return "(" + strings.Join(append(s.rowParts(alias), column), sqlAnd) + ")"
}
