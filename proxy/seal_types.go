package proxy

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/seal"
)

// A parameter may be declared of another type than the values of its column. The
// server would cast it; here that is done where no setting of the session's has a say
// in it.

// textLike are the OIDs of unknown and bpchar, whose binary format is text.
var textLike = map[uint32]string{705: "text", 1042: "bpchar"}

const float8OID = 701

// declaredType gives the type that a parameter was declared of, which is values where it
// was not; "" for one that cannot be made that.
func declaredType(oid uint32, values string) string {
	if oid == 0 {
		return values
	}
	typ := textLike[oid]
	for _, t := range policy.SealTypes {
		if of, _ := seal.OID(t); of == oid {
			typ = t
		}
	}
	if oid == float8OID {
		typ = "float8"
	}
	if typ == values || becomes(typ, values) {
		return typ
	}
	return ""
}

// becomes tells whether values of one type are made those of another under all settings
// alike.
func becomes(typ, values string) bool {
	number := strings.Contains("int2 int4 int8 numeric", values)
	switch typ {
	case "text", "varchar", "bpchar":
		return true // the client's text, as a literal is
	case "int2", "int4", "int8":
		return number || values == "text" || values == "varchar"
	case "numeric", "float8":
		return values == "numeric"
	case "uuid":
		return values == "text" || values == "varchar"
	case "timestamp":
		return values == "date"
	case "date":
		return values == "timestamp"
	case "json", "jsonb":
		return values == "json" || values == "jsonb"
	default:
		return false
	}
}

var errCast = errors.New("it cannot be made one of the type")

// asAnother gives the text of a value of one type as one of another.
func asAnother(typ, values string, text []byte) ([]byte, error) {
	switch typ {
	case "text", "varchar":
		return text, nil
	case "bpchar":
		return bytes.TrimRight(text, " "), nil
	case "float8":
		return exactly(text)
	default:
		return seal.Canonical(typ, text)
	}
}

// maxExact is how many digits of a float8 the server casts to numeric.
const maxExact = 15

// exactly gives a float8 as the numeric that the server would make of it.
func exactly(text []byte) ([]byte, error) {
	v, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	if err != nil {
		return nil, errCast
	}
	out := strconv.FormatFloat(v, 'f', -1, 64)
	if digits := strings.Trim(strings.NewReplacer(".", "", "-", "").Replace(out), "0"); len(digits) > maxExact || strings.ContainsAny(out, "IN") {
		return nil, errCast
	}
	if v == 0 {
		return []byte("0"), nil
	}
	return []byte(out), nil
}
