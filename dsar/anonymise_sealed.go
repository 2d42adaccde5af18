package dsar

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// filling is what stands in a sealed column of a row that is anonymised: a value that
// tells of nobody, sealed anew for each row.
type filling struct {
	of   *policy.Sealed
	text func() string
}

// factsOf gives the facts about a relation's columns with what the policy says of them.
func factsOf(set *policy.Set, r *catalog.Relation, facts []fact) []fact {
	for i := range facts {
		f := &facts[i]
		class, _ := set.Class(r, f.name)
		f.class, f.reference = class.Name, r.QualifiedName()+"."+f.name
		if f.sealed = set.Sealed(r, f.name); f.sealed == nil || !f.sealed.Blind {
			continue
		}
		for j := range facts {
			if facts[j].name == policy.BlindColumn(f.name) {
				facts[j].blind = true
				f.same = facts[j].unique
			}
		}
	}
	return facts
}

// beside gives what the blind column of a sealed one becomes with it.
func (b becomes) beside(facts []fact) (hashes becomes, ok bool) {
	f, _ := factOf(facts, b.column)
	if f.sealed == nil || !f.sealed.Blind {
		return becomes{}, false
	}
	hashes = becomes{column: policy.BlindColumn(b.column), how: "null", value: "NULL"}
	if b.fill != nil {
		hashes.how, hashes.value, hashes.fill, hashes.hashes = "of "+b.column, "", b.fill, true
	}
	return hashes, true
}

// fitSealed gives a value for a sealed column that cannot be null. Where equal values
// look alike and may not be there twice, it is a random one.
func (f fact) fitSealed() becomes {
	b := becomes{column: f.name, how: "a fixed value, sealed"}
	if f.sealed.Row {
		return b // each row would need a value for its key
	}
	text, ok := fixedText(f.sealed)
	differs := f.unique && f.sealed.Mode == policy.SealDeterministic || f.same
	if differs || f.mail() && f.sealed.Format.Alphabet == "" && (f.sealed.Values == "text" || f.sealed.Values == "varchar") {
		b.how = "a random value, sealed"
		text, ok = f.randomText()
	}
	if ok {
		b.fill = &filling{f.sealed, text}
	}
	return b
}

// fixedText gives a value of a column's type that tells of nobody.
func fixedText(of *policy.Sealed) (func() string, bool) {
	if n := of.Format.Least; n > 0 {
		return func() string { return strings.Repeat(lettersOf(of)[:1], n) }, true
	}
	text, ok := map[string]string{
		"text": "anonymised", "varchar": "anonymised", "bytea": `\x`, "json": "{}", "jsonb": "{}", "date": "1900-01-01", "timestamp": "1900-01-01 00:00",
		"timestamptz": "1900-01-01 00:00Z", "numeric": "0", "int2": "0", "int4": "0", "int8": "0", "uuid": "00000000-0000-0000-0000-000000000000", "bool": "false",
	}[of.Values]
	return func() string { return text }, ok
}

// lettersOf gives characters that a column's format allows.
func lettersOf(of *policy.Sealed) string {
	if of.Format.Alphabet == "letters" {
		return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	}
	return "0123456789"
}

// randomText gives values of a column's type that are others each time.
func (f fact) randomText() (func() string, bool) {
	digits := func() string {
		var b [16]byte
		rand.Read(b[:]) // never fails
		return hex.EncodeToString(b[:])
	}
	number := func(bits int) func() string {
		return func() string {
			var b [8]byte
			rand.Read(b[:]) // never fails
			return fmt.Sprint(binary.BigEndian.Uint64(b[:]) >> (64 - bits))
		}
	}
	if n := f.sealed.Format.Most; n > 0 {
		letters := lettersOf(f.sealed)
		return func() string {
			b := make([]byte, n)
			rand.Read(b) // never fails
			for i := range b {
				b[i] = letters[int(b[i])%len(letters)]
			}
			return string(b)
		}, true
	}
	switch f.sealed.Values {
	case "text", "varchar":
		if f.mail() {
			return func() string { return digits() + mailDomain }, true
		}
		return digits, true
	case "uuid":
		return digits, true
	case "bytea":
		return func() string { return `\x` + digits() }, true
	case "int4":
		return number(28), true
	case "int8", "numeric":
		return number(52), true
	default:
		return nil, false
	}
}

// fill gives what columns become with the values of sealed ones as SQL, of as many rows,
// each with a value of its own: which one does not matter.
func (v Values) fill(ctx context.Context, set []becomes, rows int64) ([]becomes, error) {
	filled := make([]becomes, len(set))
	made := map[*filling][]sealedValue{}
	for i, b := range set {
		filled[i] = b
		if b.fill == nil {
			continue
		}
		all, ok := made[b.fill]
		if !ok {
			var err error
			if all, err = v.sealMany(ctx, b.fill, rows); err != nil {
				return nil, err
			}
			made[b.fill] = all
		}
		values := make([]string, len(all))
		for j, s := range all {
			values[j] = literal(s.text)
			if b.hashes {
				values[j] = literal(string(asText("bytea", s.blind)))
			}
		}
		filled[i].value = "(ARRAY[" + strings.Join(values, ", ") + "]::pg_catalog.text[])[CAST(row_number() OVER () AS pg_catalog.int4)]"
	}
	return filled, nil
}

func (v Values) sealMany(ctx context.Context, f *filling, rows int64) ([]sealedValue, error) {
	if _, err := v.with(f.of); err != nil {
		return nil, err // though there be no rows
	}
	var all []sealedValue
	for range rows {
		s, err := v.seal(ctx, f.of, f.text(), nil)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}
