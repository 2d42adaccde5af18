package mask

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// fixed shows the same of every value: what the server makes of text.
func fixed(text string, t catalog.Type) (show, error) {
	written, err := asServerWrites(text, t)
	return func(dst, _ []byte) ([]byte, bool) { return append(dst, written...), true }, err
}

// asServerWrites gives a constant as the server writes what it reads from it.
// Constants have been found to be of the type.
func asServerWrites(text string, t catalog.Type) (string, error) {
	switch policy.FamilyOf(t) {
	case policy.FamilyText, policy.FamilyDate, policy.FamilyBytes, policy.FamilyJSON:
		return text, nil
	case policy.FamilyUUID:
		return strings.ToLower(text), nil
	case policy.FamilyBoolean:
		return text[:1], nil
	case policy.FamilyInteger:
		v, err := strconv.ParseInt(text, 10, 64)
		return strconv.FormatInt(v, 10), err
	case policy.FamilyNumeric:
		v, ok := new(big.Rat).SetString(text)
		if !ok {
			return "", fmt.Errorf("internal error: a numeric constant is no number")
		}
		_, behind, _ := strings.Cut(text, ".")
		return v.FloatString(len(behind)), nil
	case policy.FamilyTimestamp:
		return timestampConstant(text, t)
	default:
		return "", fmt.Errorf("internal error: no constants of type %s", t.SQL)
	}
}

// timestampConstant rounds to microseconds as the server does: by way of the
// fraction as a floating-point number, and halves to even.
func timestampConstant(text string, t catalog.Type) (string, error) {
	text, behind, _ := strings.Cut(text, ".")
	fraction, err := strconv.ParseFloat("0."+behind+"0", 64)
	if err != nil {
		return "", err
	}
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		at, err = time.Parse(time.DateTime, text)
	}
	if err != nil {
		return "", err
	}
	at = at.Add(time.Duration(math.RoundToEven(fraction*1e6)) * time.Microsecond)
	written := at.Format("2006-01-02 15:04:05.999999")
	if t.Base == "timestamptz" {
		written += utcSuffix
	}
	return written, nil
}

// pseudonym gives the HMAC of the value under a label, in the value's type.
// The message is in UTF-8; in a database with another encoding, tokens of
// sealed texts beyond ASCII are not those of columns that are not sealed.
func pseudonym(label string, t catalog.Type, key []byte) (show, error) {
	if len(key) == 0 {
		return nothing, nil
	}
	inner, outer, err := padded(key)
	if err != nil {
		return nil, err
	}
	begin := append(inner, label...)
	return func(dst, value []byte) ([]byte, bool) {
		var space [512]byte // enough for most values
		message, ok := appendMessage(append(space[:0], begin...), value, t)
		if !ok {
			return dst, false
		}
		digest := sha256.Sum256(message)
		digest = sha256.Sum256(append(append(space[:0], outer...), digest[:]...))
		return appendPseudonym(dst, digest, t), true
	}, nil
}

// appendMessage appends a value as the server writes it in a message.
func appendMessage(dst, value []byte, t catalog.Type) ([]byte, bool) {
	switch t.Base {
	case "int4", "int8":
		least, most := column{typ: t}.integers()
		v, err := strconv.ParseInt(string(value), 10, 64)
		return strconv.AppendInt(dst, v, 10), err == nil && v >= least && v <= most
	case "uuid":
		return append(dst, value...), isUUID(value)
	default:
		return append(dst, value...), isText(value)
	}
}

func appendPseudonym(dst []byte, digest [sha256.Size]byte, t catalog.Type) []byte {
	switch t.Base {
	case "int4":
		return strconv.AppendUint(dst, uint64(binary.BigEndian.Uint32(digest[:])>>1), 10)
	case "int8":
		return strconv.AppendUint(dst, binary.BigEndian.Uint64(digest[:])>>1, 10)
	case "uuid":
		return fmt.Appendf(dst, "%x-%x-%x-%x-%x", digest[:4], digest[4:6], digest[6:8], digest[8:10], digest[10:16])
	default:
		return hex.AppendEncode(dst, digest[:policy.PseudonymLength/2])
	}
}

// isUUID tells whether a value is a uuid as the server writes it.
func isUUID(value []byte) bool {
	if len(value) != 36 {
		return false
	}
	for i, b := range value {
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		if hyphen != (b == '-') || !hyphen && !strings.ContainsRune("0123456789abcdef", rune(b)) {
			return false
		}
	}
	return true
}
