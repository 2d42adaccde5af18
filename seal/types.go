package seal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"
)

// oids are the types of values, with their sizes, from PostgreSQL's pg_type.dat.
var oids = map[string]struct {
	oid  uint32
	size int16
}{
	"text": {25, -1}, "varchar": {1043, -1}, "bytea": {17, -1}, "json": {114, -1}, "jsonb": {3802, -1}, "date": {1082, 4}, "numeric": {1700, -1},
	"int2": {21, 2}, "int4": {23, 4}, "int8": {20, 8}, "uuid": {2950, 16}, "timestamp": {1114, 8}, "timestamptz": {1184, 8}, "bool": {16, 1},
}

// OID gives the OID and size (-1: it varies) of a type of values.
func OID(typ string) (oid uint32, size int16) { return oids[typ].oid, oids[typ].size }

// errForm says nothing of the value.
var errForm = errors.New("it is not of the type")

// Canonical gives the value that a text means, as the type's values are sealed: equal
// values have one form. Of bytea that is the bytes, of all others a text that
// PostgreSQL reads alike under all settings. What depends on settings, as words and
// dates with the day first do, is refused.
func Canonical(typ string, text []byte) ([]byte, error) {
	switch typ {
	case "text", "varchar":
		if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
			return nil, errForm
		}
		return text, nil
	case "json", "jsonb":
		if !json.Valid(text) {
			return nil, errForm
		}
		return text, nil
	case "bytea":
		return bytesOf(text)
	case "int2", "int4", "int8":
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, int(oids[typ].size)*8)
		if err != nil {
			return nil, errForm
		}
		return strconv.AppendInt(nil, n, 10), nil
	case "numeric":
		if isNumeric(text) {
			return text, nil
		}
		return numeric(strings.TrimSpace(string(text)))
	case "bool":
		return boolean(string(text))
	case "uuid":
		if isUUID(text) {
			return text, nil
		}
		return uuid(string(text))
	case "date":
		if _, ok := plainDate(text); ok {
			return text, nil
		}
		return moment(typ, strings.TrimSpace(string(text)))
	case "timestamp", "timestamptz":
		return moment(typ, strings.TrimSpace(string(text)))
	default:
		return nil, fmt.Errorf("values of type %s cannot be sealed", typ)
	}
}

func bytesOf(s []byte) ([]byte, error) {
	digits, ok := bytes.CutPrefix(s, []byte(`\x`))
	if !ok {
		return nil, errors.New(`bytes are written as \x and hexadecimal digits`)
	}
	b, err := hex.AppendDecode(make([]byte, 0, len(digits)/2), digits)
	if err != nil {
		return nil, errForm
	}
	return b, nil
}

var decimal = regexp.MustCompile(`^([+-]?)0*([0-9]*)(?:\.([0-9]*))?$`)

// numeric keeps the digits behind the point, as PostgreSQL does: 1.5 and 1.50 are
// sealed differently, and so are not found for each other.
func numeric(s string) ([]byte, error) {
	if strings.EqualFold(s, "nan") {
		return []byte("NaN"), nil
	}
	m := decimal.FindStringSubmatch(s)
	if m == nil || strings.Trim(s, "+-.") == "" {
		return nil, errForm
	}
	whole, sign := m[2], m[1]
	if whole == "" {
		whole = "0"
	}
	if sign == "+" || strings.Trim(whole+m[3], "0") == "" {
		sign = ""
	}
	out := sign + whole
	if m[3] != "" {
		out += "." + m[3]
	}
	return []byte(out), nil
}

func boolean(s string) ([]byte, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "t", "true", "yes", "on", "1", "y":
		return []byte("t"), nil
	case "f", "false", "no", "off", "0", "n":
		return []byte("f"), nil
	default:
		return nil, errForm
	}
}

func uuid(s string) ([]byte, error) {
	digits := strings.ReplaceAll(strings.Trim(strings.TrimSpace(s), "{}"), "-", "")
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != 16 {
		return nil, errForm
	}
	return fmt.Appendf(nil, "%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

// momentForms are the forms of dates and times that mean the same under every
// setting, but that a time without an offset is in the session's zone. The first are
// those that PostgreSQL writes.
var momentForms = []string{"2006-01-02 15:04:05.999999999", time.DateOnly, "2006-01-02 15:04", "2006-01-02T15:04:05.999999999"}

var offsetForms = []string{"Z07", "Z07:00", "Z0700", " Z07", " Z07:00", "-07:00:00"}

func moment(typ, s string) ([]byte, error) {
	if s == "infinity" || s == "-infinity" {
		return []byte(s), nil
	}
	for _, form := range momentForms {
		if t, err := time.Parse(form, s); err == nil {
			if typ == "timestamptz" {
				return nil, errors.New("a time with a zone is written with its offset")
			}
			return written(typ, t), nil
		}
		for _, offset := range offsetForms {
			if t, err := time.Parse(form+offset, s); err == nil && (form != time.DateOnly || typ == "date") {
				return written(typ, t), nil
			}
		}
	}
	return nil, errors.New("dates and times are written as 2006-01-02 and 2006-01-02 15:04:05.999999+00")
}

// written gives a moment as PostgreSQL writes it with DateStyle ISO; with a zone, in
// UTC. What has an offset and no zone is taken without it.
func written(typ string, t time.Time) []byte {
	switch typ {
	case "date":
		return t.AppendFormat(nil, "2006-01-02")
	case "timestamp":
		return t.AppendFormat(nil, "2006-01-02 15:04:05.999999")
	default:
		return t.UTC().AppendFormat(nil, "2006-01-02 15:04:05.999999+00")
	}
}

// FromBinary gives a value of PostgreSQL's binary format as text, which Canonical
// takes; of bytea the bytes.
func FromBinary(typ string, wire []byte) ([]byte, error) {
	switch typ {
	case "text", "varchar", "bytea", "json":
		return wire, nil
	case "jsonb":
		if len(wire) == 0 || wire[0] != 1 {
			return nil, errForm
		}
		return wire[1:], nil
	case "numeric":
		if text, ok := numericText(wire); ok {
			return text, nil
		}
	}
	return recoded(nil, typ, wire, binaryFormat, textFormat)
}

// The formats of the protocol.
const (
	textFormat   = int16(pgtype.TextFormatCode)
	binaryFormat = int16(pgtype.BinaryFormatCode)
)

// recoded appends a value in the other format of the protocol.
func recoded(dst []byte, typ string, b []byte, from, to int16) ([]byte, error) {
	v := holder(typ)
	if v == nil {
		return nil, fmt.Errorf("values of type %s cannot be sealed", typ)
	}
	m, oid := maps.Get().(*pgtype.Map), oids[typ].oid
	defer maps.Put(m)
	if err := m.Scan(oid, from, b, v); err != nil {
		return nil, errForm
	}
	out, err := m.Encode(oid, to, v, dst)
	if err != nil {
		return nil, errForm
	}
	return out, nil
}

// maps are kept because making one takes longer than all else; one serves one
// goroutine.
var maps = sync.Pool{New: func() any { return pgtype.NewMap() }}

// holder gives room for a value of a type that has a binary format of its own.
func holder(typ string) any {
	switch typ {
	case "date":
		return &pgtype.Date{}
	case "timestamp":
		return &pgtype.Timestamp{}
	case "timestamptz":
		return &pgtype.Timestamptz{}
	case "numeric":
		return &pgtype.Numeric{}
	case "uuid":
		return &pgtype.UUID{}
	case "bool":
		return new(bool)
	case "int2", "int4", "int8":
		return new(int64)
	default:
		return nil
	}
}
